"""The file in the lake that says where the vectors of each run point on average.

Belongs here: reading it, and adding a line.
Does not belong here: what stands in it (`contracts/directions.py`), when a line is added (`refresh/embeddings.py`).
"""

from __future__ import annotations

from rag_pipeline.contracts.directions import DIRECTIONS_FILE, Directions, directions_of, line_of, newest_lines
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.whole_files import LineFile

# Rows of ten sources with vectors of 3,072 numbers; what is larger is not this file.
_FILE = LineFile(DIRECTIONS_FILE, max_bytes=128 * 2**20, trimmed_bytes=2**20, newest=newest_lines)


def read_directions(lake: Lake) -> list[Directions]:
    """The rows, oldest first; none where the file is missing, damaged or cannot be read."""
    return directions_of(_FILE.read(lake))


def add_directions(lake: Lake, row: Directions) -> None:
    """Add a line; the caller holds the lake's lock.

    Raises:
        StoreError: It could not be written; what stood there stands.
    """
    _FILE.add(lake, line_of(row))
