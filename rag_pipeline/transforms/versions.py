"""What a table holds as one short text: equal contents have equal versions, whoever wrote them and however often.

Belongs here: from a frame to its version. A table's own version number counts compaction too, and begins anew after a
rebuild; it says that somebody wrote, and not that anything is different.
Does not belong here: which columns of a table tell what it holds, and reading them (`refresh/data_versions.py`).
"""

from __future__ import annotations

import hashlib

import polars as pl

# Some 10 MB are hashed at once.
_SLICE_ROWS = 100_000


def frame_version(rows: pl.DataFrame) -> str:
    """16 hex digits, equal for equal rows in whatever order they stand; lists count in their order.

    Args:
        rows: Columns of text, numbers, truth values and lists of text.
    """
    ordered = rows.select(row=pl.struct(pl.all()).struct.json_encode()).sort("row")["row"]
    found = hashlib.sha256()
    for part in ordered.to_frame().iter_slices(_SLICE_ROWS):
        # JSON writes a line break as two characters, so no row holds the one between two rows.
        found.update("\n".join(part["row"]).encode())
        found.update(b"\n")
    return found.hexdigest()[:16]
