"""The file in the lake that says what runs cost, and what tables take in storage.

Belongs here: reading the file, adding a row to it, measuring tables.
Does not belong here: what stands in it (`contracts/costs.py`), when it is written (`refresh/costs.py`).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rag_pipeline.contracts.costs import COSTS_FILE, Cost, bytes_of_costs, costs_of, newest_lines
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.errors import LakeDamaged
from rag_pipeline.stores.lake import INDEX_PATH, Lake
from rag_pipeline.stores.whole_files import LineFile

# Several times what the rows that are kept take; what is larger is not this file.
_MAX_BYTES = 16 * 2**20
# Trimmed at twice what they take with long names: the oldest leave once in thousands of rows.
_FILE = LineFile(COSTS_FILE, max_bytes=_MAX_BYTES, trimmed_bytes=4 * 2**20, newest=newest_lines)


def read_costs(lake: Lake) -> list[Cost]:
    """The rows, oldest first; none where the file is missing, damaged or cannot be read."""
    return costs_of(_FILE.read(lake))


def add_cost(lake: Lake, cost: Cost) -> None:
    """Add a row; the caller holds the lake's lock.

    Raises:
        StoreError: It could not be written; what stood there stands.
    """
    _FILE.add(lake, bytes_of_costs([cost]))


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """What one table takes.

    Attributes:
        version: The newest; -1: a folder of several.
        newest_bytes: Of the data files of that version; None: not told apart.
        all_bytes: Of everything in its folder, earlier versions too; None: in an object store.
    """

    table: str
    version: int
    newest_bytes: int | None
    all_bytes: int | None


def table_bytes(lake: Lake, contract: TableContract) -> StoredBytes | None:
    """What a Delta table takes; None: there is none, or it cannot be opened."""
    try:
        table = lake.opened(contract)
    except LakeDamaged:
        return None
    if table is None:
        return None
    sizes = pl.DataFrame(table.get_add_actions(flatten=True))
    newest = int(sizes["size_bytes"].sum()) if sizes.height else 0
    everything = folder_bytes(Path(lake.root, contract.path)) if lake.is_local else None
    return StoredBytes(contract.path, table.version(), newest, everything)


def index_bytes(lake: Lake) -> list[StoredBytes]:
    """What each index takes on a disk, with the versions that are kept."""
    if not lake.is_local:
        return []
    folders = sorted(Path(lake.root, INDEX_PATH).glob("*.lance"))
    return [StoredBytes(f"{INDEX_PATH}/{folder.stem}", -1, None, folder_bytes(folder)) for folder in folders]


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; what goes away meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                total += path.stat().st_size
    return total
