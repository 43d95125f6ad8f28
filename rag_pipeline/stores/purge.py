"""Take rows out of tables for good: out of their newest version, and every older version away.

Belongs here: rewriting data files without some rows, and removing histories, of Delta tables and of index tables.
Does not belong here: which rows (`refresh/erase.py`), the housekeeping of every day (`delta.py`, `upkeep.py`).

All of it is for a lake whose write lock is held, and may be done again from any point. In an object store each table is
committed to before its files go: a writer that lost its lease and goes on is refused then, and does not name what is
gone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

# Lance logs a deprecation line per projected query otherwise; it reads this once, at import.
os.environ.setdefault("LANCEDB_LOG", "error")

import lancedb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, WriterProperties

from rag_pipeline.contracts.table import TableContract
from rag_pipeline.errors import LakeDamaged
from rag_pipeline.stores.delta_log import forget_log, forgettable
from rag_pipeline.stores.failures import Stored, reading, written
from rag_pipeline.stores.lake import INDEX_PATH, Lake
from rag_pipeline.stores.lake_files import State, files_of, folders_of, remove_files, remove_folder, remove_unchanged
from rag_pipeline.stores.quoting import sql_name, sql_string

_COMPRESSED = WriterProperties(compression="ZSTD")
_NOW: Mapping[str, Any] = {"retention_hours": 0, "enforce_retention_duration": False, "full": True}
# At no time at all the library warns of readers, whom the caller has moved on.
_NO_TIME = timedelta(milliseconds=1)
# A predicate of more values is a text of megabytes.
_BATCH = 2_000
# Tables have it already: the commit alone counts, with which no other one at the same time agrees.
_FENCE = {"delta.checkpointInterval": "10"}


def delete_rows(lake: Lake, contract: TableContract, column: str, values: Collection[str]) -> bool:
    """Commit a version without the rows whose column is among some values; say whether there were any.

    Files that hold such rows are written anew; the others are not read through. Old versions still have the rows.

    Raises:
        StoreError: The table cannot be read or written; what was not committed stands.
    """
    table = lake.opened(contract)
    if table is None:
        return False
    found = False
    ordered = sorted(values)
    for start in range(0, len(ordered), _BATCH):
        named = ", ".join(sql_string(value) for value in ordered[start : start + _BATCH])
        delete = partial(_delete, lake, table, f"{sql_name(column)} IN ({named})")
        lake.still_writing()
        deleted = written(contract.path, "delete from", lake.uri(contract.path), delete)
        found = found or bool(deleted)
    lake.commits += found
    return found


def _delete(lake: Lake, table: DeltaTable, predicate: str) -> int:
    done = table.delete(predicate, writer_properties=_COMPRESSED, commit_properties=lake.signed())
    return int(done.get("num_deleted_rows") or 0)


def forget_history(lake: Lake, contract: TableContract) -> None:
    """Leave of a Delta table its newest version alone: no file of an older one, and nothing of its log.

    Raises:
        StoreError: The table cannot be read or written.
    """
    path = lake.uri(contract.path)
    table = lake.opened(contract)
    if table is None:
        return

    def forget() -> None:
        if not lake.is_local:
            table.alter.set_table_properties(_FENCE, commit_properties=lake.signed())
        if table.vacuum(dry_run=True, **_NOW):
            table.vacuum(dry_run=False, **_NOW)
        table.create_checkpoint()
        if lake.is_local:
            forget_log(Path(path) / "_delta_log", table.version())
        else:
            log = f"{contract.path}/_delta_log"
            remove_files(lake, forgettable(files_of(lake, log), table.version()))

    lake.still_writing()
    written(contract.path, "forget the history of", path, forget)


def index_tables(lake: Lake) -> list[str]:
    """Names of all index tables with a folder, whether they can be opened or not."""
    return [name.removesuffix(".lance") for name in folders_of(lake, INDEX_PATH) if name.endswith(".lance")]


def index_rows(lake: Lake, name: str, columns: list[str], documents: Collection[str]) -> list[dict[str, Any]]:
    """Rows of some documents in the newest version of an index table.

    Raises:
        StoreError: It cannot be read.
    """
    with reading("scan", _place(lake, name), INDEX_PATH):
        table = _database(lake).open_table(name)
        wanted = ", ".join(sql_string(each) for each in sorted(documents))
        found = table.search().where(f"document_id IN ({wanted})").select(columns).limit(None).to_arrow()
        return [{name: row[name] for name in columns} for row in found.to_pylist()]


def rewrite_index(lake: Lake, name: str, version: int | None, without: Collection[str]) -> bool:
    """Make the newest version of an index table of new files alone, with a version's rows but for some documents.

    It has no index afterwards. Readers of older versions go on until these are forgotten.

    Args:
        version: Whose rows; None: those of the newest.

    Returns:
        False: The table is damaged, and its folder was removed; the next refresh makes it anew.

    Raises:
        StoreError: It cannot be opened though it is not damaged, or could not be written; what was there stands.
    """
    place, database = _place(lake, name), _database(lake)
    try:
        with reading("open", place, INDEX_PATH):
            table = database.open_table(name)
            if version is not None:
                table.checkout(version)
            schema = table.schema
    except LakeDamaged:
        # What is busy or must not be read is there.
        if version is not None:
            raise
        lake.still_writing()
        remove_folder(lake, f"{INDEX_PATH}/{name}.lance")
        return False
    gone = pa.array(sorted(without), pa.string())

    def kept() -> Iterator[pa.RecordBatch]:
        for batch in table.search().select(schema.names).limit(None).to_batches():
            rows = pa.Table.from_batches([batch]).select(schema.names)
            rows = rows.filter(pc.invert(pc.is_in(rows["document_id"], gone)))
            yield from rows.cast(schema).to_batches()

    def write() -> None:
        reader = pa.RecordBatchReader.from_batches(schema, kept())
        database.create_table(name, reader, schema=schema, mode="overwrite")

    _stored(lake, "write anew", place, write)
    return True


def compact_index(lake: Lake, name: str) -> None:
    """Compact and index what waits for it, so that forgetting versions makes no new one.

    Raises:
        StoreError: It cannot be opened or written.
    """
    _stored(lake, "optimize", _place(lake, name), lambda: _database(lake).open_table(name).optimize())


def forget_versions(lake: Lake, name: str, before: Mapping[str, State]) -> None:
    """Leave of an index table its newest version alone, and no file from before.

    Args:
        before: What there was when the newest version began to be written with new files alone.

    Raises:
        StoreError: It cannot be opened or written.
    """

    def forget() -> None:
        table = _database(lake).open_table(name)
        table.optimize(cleanup_older_than=_NO_TIME, delete_unverified=True)

    _stored(lake, "forget the versions of", _place(lake, name), forget)
    # What killed writers left is known to no version, and the store never removes it.
    remove_unchanged(lake, f"{INDEX_PATH}/{name}.lance", before)


def index_files(lake: Lake) -> dict[str, State]:
    """What there is of all index tables now."""
    return files_of(lake, INDEX_PATH)


def _stored(lake: Lake, verb: str, place: str, action: Callable[[], None]) -> None:
    Stored(INDEX_PATH, lake.still_writing)(verb, place, action)


def _database(lake: Lake) -> Any:
    return lancedb.connect(lake.uri(INDEX_PATH), storage_options=lake.storage_options)


def _place(lake: Lake, name: str) -> str:
    return f"{lake.uri(INDEX_PATH)}/{name}.lance"
