"""What one refresh did, as the command line tells it.

Belongs here: the value. Nothing of Dagster is imported: a look before a run tells the same.
Does not belong here: summing it up (`launch.py`), showing it (`cli/`).
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RunSummary:
    """What one refresh did, summed over its Dagster runs.

    Attributes:
        seconds: From start to end, Dagster's own time included.
        work_seconds: What the pipeline's own steps took of it.
        healed: Tables that had damaged files and were made again, by their path in the lake.
        held: What the deletion guard holds after it, a row for each source and kind.
        held_because: The same in one sentence, with the one command that lets all of it go; empty if nothing is held.
    """

    success: bool
    documents: int
    chunks: int
    quarantined: int
    duplicates: int
    embeddings_computed: int
    commits: int
    seconds: float
    published: dict[str, Any] | None
    sources: list[dict[str, Any]] = field(default_factory=list)
    checks_passed: int = 0
    checks_failed: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)
    work_seconds: float = 0.0
    healed: list[str] = field(default_factory=list)
    held: list[dict[str, Any]] = field(default_factory=list)
    held_because: str = ""
