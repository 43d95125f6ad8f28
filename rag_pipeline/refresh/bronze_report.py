"""What a refresh of one source found.

Belongs here: the report. Does not belong here: refreshing (`bronze.py`, `hinted.py`), showing it (`defs/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class BronzeReport:
    """What one refresh of a source found; counts are documents.

    Attributes:
        held: Documents that the source lost but the deletion guard keeps.
        held_of: Documents that they are measured against.
        held_because: What to say about them, and how to let them go.
        hinted: Objects that were asked for, and no others; 0: all of them.
        kept: Documents that are listed, whose bytes the source did not give now: what was read before stands.
        idle: A sentence on each pattern that matched nothing and each sidecar without a document, and on what is kept.
        unavailable_because: Why the source could not be listed; then nothing is known of it but what bronze holds.
    """

    source: str
    listed: int
    live: int
    added: int
    modified: int
    moved: int
    metadata_changed: int
    deleted: int
    problems: int
    commits: int
    bytes_read: int
    newest_modified_at: datetime | None
    kept: int = 0
    held: int = 0
    held_of: int = 0
    held_because: str = ""
    idle: tuple[str, ...] = ()
    unavailable_because: str = ""
    hinted: int = 0
