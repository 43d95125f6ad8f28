"""Take rows out of tables for good: out of their newest version, and every older version away.

Belongs here: rewriting data files without some rows, and removing histories, of Delta tables and of index tables.
Does not belong here: which rows (`refresh/erase.py`), the housekeeping of every day (`delta.py`, `upkeep.py`).

All of it is for a lake in a folder whose write lock is held, and may be done again from any point.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping
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
from rag_pipeline.stores.delta_log import forget_log
from rag_pipeline.stores.failures import reading, written
from rag_pipeline.stores.lake import INDEX_PATH, Lake
from rag_pipeline.stores.quoting import sql_name, sql_string

_COMPRESSED = WriterProperties(compression="ZSTD")
_NOW: Mapping[str, Any] = {"retention_hours": 0, "enforce_retention_duration": False, "full": True}
# At no time at all the library warns of readers, whom the caller has moved on.
_NO_TIME = timedelta(milliseconds=1)
# A predicate of more values is a text of megabytes.
_BATCH = 2_000


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
        delete = partial(_delete, table, f"{sql_name(column)} IN ({named})")
        deleted = written(contract.path, "delete from", lake.uri(contract.path), delete)
        found = found or bool(deleted)
    lake.commits += found
    return found


def _delete(table: DeltaTable, predicate: str) -> int:
    return int(table.delete(predicate, writer_properties=_COMPRESSED).get("num_deleted_rows") or 0)


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
        if table.vacuum(dry_run=True, **_NOW):
            table.vacuum(dry_run=False, **_NOW)
        table.create_checkpoint()
        forget_log(Path(path) / "_delta_log", table.version())

    written(contract.path, "forget the history of", path, forget)


def index_tables(lake: Lake) -> list[str]:
    """Names of all index tables with a folder, whether they can be opened or not."""
    folder = Path(lake.root, INDEX_PATH)
    return sorted(path.name.removesuffix(".lance") for path in folder.glob("*.lance"))


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
        shutil.rmtree(place, ignore_errors=True)
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

    written(INDEX_PATH, "write anew", place, write)
    return True


def compact_index(lake: Lake, name: str) -> None:
    """Compact and index what waits for it, so that forgetting versions makes no new one.

    Raises:
        StoreError: It cannot be opened or written.
    """
    written(INDEX_PATH, "optimize", _place(lake, name), lambda: _database(lake).open_table(name).optimize())


def forget_versions(lake: Lake, name: str, before: float) -> None:
    """Leave of an index table its newest version alone, and no file from before a moment.

    Args:
        before: Time of the file system, seconds, when the newest version began to be written with new files alone.

    Raises:
        StoreError: It cannot be opened or written.
    """
    place = _place(lake, name)

    def forget() -> None:
        table = _database(lake).open_table(name)
        table.optimize(cleanup_older_than=_NO_TIME, delete_unverified=True)

    written(INDEX_PATH, "forget the versions of", place, forget)
    # What killed writers left is known to no version, and the store never removes it.
    for path in Path(place).rglob("*"):
        if path.is_file() and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)


def file_time(lake: Lake) -> float:
    """What time it is for the disk of the lake."""
    path = Path(lake.root, f".time.{uuid.uuid4().hex[:8]}")
    path.touch()
    try:
        return path.stat().st_mtime
    finally:
        path.unlink(missing_ok=True)


def _database(lake: Lake) -> Any:
    return lancedb.connect(lake.uri(INDEX_PATH))


def _place(lake: Lake, name: str) -> str:
    return f"{lake.uri(INDEX_PATH)}/{name}.lance"
