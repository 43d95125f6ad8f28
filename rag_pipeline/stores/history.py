"""The file in the lake that says how silver looked after each run that changed it.

Belongs here: reading it, and adding a line.
Does not belong here: what stands in it (`contracts/history.py`), when a line is added (`refresh/history.py`).
"""

from __future__ import annotations

from rag_pipeline.contracts.history import HISTORY_FILE, Snapshot, line_of, newest_lines, snapshot_of, snapshots_of
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.whole_files import LineFile

# Six weeks of a lake with a thousand sources; what is larger is not this file.
_FILE = LineFile(HISTORY_FILE, max_bytes=64 * 2**20, trimmed_bytes=2**18, newest=newest_lines)


def read_history(lake: Lake) -> list[Snapshot]:
    """The snapshots, oldest first; none where the file is missing, damaged or cannot be read."""
    return snapshots_of(_FILE.read(lake))


def last_snapshot(lake: Lake) -> Snapshot | None:
    """The newest, without reading the others."""
    return snapshot_of(_FILE.last(lake))


def add_snapshot(lake: Lake, snapshot: Snapshot) -> None:
    """Add a line; the caller holds the lake's lock.

    Raises:
        StoreError: It could not be written; what stood there stands.
    """
    _FILE.add(lake, line_of(snapshot))
