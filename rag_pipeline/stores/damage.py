"""Finding damaged files of a lake, and taking them out of the way so that what is sound can be read again.

Belongs here: comparing files with what their table says of them, reading them through, moving damaged ones aside.
Does not belong here: making again what they held (`refresh/rebuild.py`).

Damaged files are moved and never deleted, into `.damaged` at the root of the lake: a person may still want them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler

from rag_pipeline.contracts.index import ROW_COLUMNS
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.errors import EmbeddingSpaceMismatch, LakeDamaged, StoreError, TableMissing, TableOutdated
from rag_pipeline.stores.failures import cure, reading, reason_of
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.quoting import sql_string
from rag_pipeline.stores.vectors import VectorStore, VectorTable

ASIDE = ".damaged"
# Whole rows are read, and bytes of documents are large.
READ_ROWS = 512
# Enough to see what kind of damage it is.
NAMED = 3
# Lance names the file of a version by what is left to this number.
LAST_VERSION = 2**64 - 1
# Enough words that some of them are in the index, whatever its stop words are.
PROBE_CHARS = 300


@dataclass(frozen=True, slots=True)
class SetAside:
    """What was taken out of a table: names of files, and whether its log could not be read, so that all of it went."""

    files: list[str]
    whole: bool = False

    def __bool__(self) -> bool:
        return self.whole or bool(self.files)


def check_table(lake: Lake, contract: TableContract, *, thorough: bool) -> None:
    """Open a Delta table and compare its files with its log.

    Args:
        thorough: Read every file through as well; without it a file that was changed but kept its size passes.

    Raises:
        LakeDamaged: Some file cannot be read; the message names the first few.
        StoreUnavailable: The store did not answer.
    """
    table, path = lake.opened(contract), contract.path
    if table is None:
        return
    bad = _bad_files(lake, path, table, thorough=thorough)
    if bad:
        named = "; ".join(f"{name}: {reason}" for name, reason in list(bad.items())[:NAMED])
        place = lake.uri(path)
        raise LakeDamaged(
            f"{len(bad)} of the data files of {place} cannot be read ({named}). {cure(path, place)}",
            table=path,
            place=place,
        )


def _bad_files(lake: Lake, path: str, table: DeltaTable, *, thorough: bool) -> dict[str, str]:
    """Reason by name of a data file."""
    with reading("list the files of", lake.uri(path), path):
        actions = pa.table(table.get_add_actions(flatten=True))
        sizes = dict(zip(actions["path"].to_pylist(), actions["size_bytes"].to_pylist(), strict=True))
        files: Any = pafs.PyFileSystem(DeltaStorageHandler.from_table(table._table))
        found = files.get_file_info(list(sizes))
    bad: dict[str, str] = {}
    for info, (name, size) in zip(found, sizes.items(), strict=True):
        if info.type == pafs.FileType.NotFound:
            bad[name] = "it is gone"
        elif info.size != size:
            bad[name] = f"it has {info.size:,} bytes instead of {size:,}"
        elif thorough:
            try:
                with reading("read", lake.uri(path), path):
                    _read_through(files, name)
            except LakeDamaged as error:
                bad[name] = reason_of(error.__cause__ or error)
    return bad


def _read_through(files: Any, name: str) -> None:
    with files.open_input_file(name) as opened:
        for _ in pq.ParquetFile(opened).iter_batches(READ_ROWS):
            pass


def set_damage_aside(lake: Lake, contract: TableContract) -> SetAside:
    """Take the damaged files out of a Delta table; what it held else stays and can be read.

    A table whose log cannot be read is moved away as a whole.

    Raises:
        StoreError: That takes a file system, and the lake lies in an object store.
    """
    path = contract.path
    try:
        table = lake.opened(contract)
    except LakeDamaged as error:
        if not lake.is_local:
            raise StoreError(
                f"{error.message} The log of the table cannot be read, and nothing can be moved in an object store: "
                f"move {lake.uri(path)} away with the tools of the store, then run: rag-pipeline run",
                table=path,
            ) from error
        _move_aside(lake, path)
        return SetAside([], whole=True)
    if table is None:
        return SetAside([])
    bad = _bad_files(lake, path, table, thorough=True)
    if not bad:
        return SetAside([])
    for name in bad:
        if lake.is_local:
            _move_aside(lake, f"{path}/{name}")
    lake.forget_missing_files(contract, table, list(bad))
    return SetAside(list(bad))


def _move_aside(lake: Lake, path: str) -> None:
    here = Path(lake.root, path)
    if not here.exists():
        return
    there = Path(lake.root, ASIDE, f"{path}.{uuid.uuid4().hex[:8]}")
    there.parent.mkdir(parents=True, exist_ok=True)
    here.replace(there)


def rows_set_aside(lake: Lake, contract: TableContract) -> pl.DataFrame:
    """Rows that can still be read of tables that were moved away as a whole, each key once.

    Only for tables that rows are only ever added to: the files of others hold what was replaced since.
    """
    folder = Path(lake.root, ASIDE, contract.path)
    parts = [contract.empty()]
    for file in sorted(folder.parent.glob(f"{folder.name}.*/*.parquet"), key=lambda file: file.stat().st_mtime):
        try:
            with reading("read", str(file), contract.path):
                rows = pl.read_parquet(file, glob=False)
                parts.append(rows.select([pl.col(name).cast(dtype) for name, dtype in contract.schema.items()]))
        except LakeDamaged:
            continue
    return pl.concat(parts).unique(list(contract.key), keep="last", maintain_order=True)


# -- the index ------------------------------------------------------------------------------------------------


def probe_index(table: VectorTable) -> None:
    """Ask each index of a version once, and read every row: whatever readers may touch.

    Raises:
        LakeDamaged: A file of it cannot be read.
    """
    for _ in table.stream([*ROW_COLUMNS, "vector"]):
        pass
    ask_index(table)


def ask_index(table: VectorTable) -> None:
    """Ask each index of a version once, as a search does; the time it takes does not grow with the rows.

    Raises:
        LakeDamaged: A file that is needed for that cannot be read.
    """
    rows = table.read([*ROW_COLUMNS, "vector"], limit=1)
    if rows.is_empty():
        return
    row = rows.row(0, named=True)
    for condition in _conditions(row):
        table.read(["chunk_id"], condition)
    table.nearest(np.asarray(row["vector"], dtype=np.float32), "true", 1, ["chunk_id"])
    table.matching(row["embedded_text"][:PROBE_CHARS], "true", 1, ["chunk_id"])


def _conditions(row: dict[str, Any]) -> Iterator[str]:
    for column in ("chunk_id", "document_id", "source"):
        yield f"{column} = {sql_string(row[column])}"
    yield f"array_has_any(allowed_principals, [{sql_string((row['allowed_principals'] or ['public'])[0])}])"


def set_manifests_aside(lake: Lake, store: VectorStore, name: str, space_fingerprint: str) -> int:
    """Move away what keeps an index table from being opened, and what would stop its housekeeping; say how many files.

    The newest version that opens is the table then. Where none does, the next step makes the table anew.
    """
    if not lake.is_local:
        return 0
    moved = 0
    # Versions are counted down in the names of manifests, so the newest comes first.
    for file in sorted(Path(store.place(name), "_versions").glob("*.manifest")):
        try:
            store.open(name, space_fingerprint, version=LAST_VERSION - int(file.stem)).count()
        except LakeDamaged:
            _move_aside(lake, str(file.relative_to(lake.root)))
            moved += 1
        except (TableMissing, TableOutdated, EmbeddingSpaceMismatch):
            continue
    return moved
