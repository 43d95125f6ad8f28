"""The file in the lake that says how near the vectors of each source lie to each other.

Belongs here: reading it, and adding a line.
Does not belong here: what stands in it (`contracts/neighbours.py`), when a line is added (`refresh/neighbours.py`).
"""

from __future__ import annotations

from rag_pipeline.contracts.neighbours import NEIGHBOURS_FILE, Neighbours, line_of, neighbours_of, newest_lines
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.whole_files import LineFile

# Six weeks of a lake with a thousand sources and some models; what is larger is not this file.
_FILE = LineFile(NEIGHBOURS_FILE, max_bytes=64 * 2**20, trimmed_bytes=2**18, newest=newest_lines)


def read_neighbours(lake: Lake) -> list[Neighbours]:
    """The rows, oldest first; none where the file is missing, damaged or cannot be read."""
    return neighbours_of(_FILE.read(lake))


def add_neighbours(lake: Lake, row: Neighbours) -> None:
    """Add a line; the caller holds the lake's lock.

    Raises:
        StoreError: It could not be written; what stood there stands.
    """
    _FILE.add(lake, line_of(row))
