"""What an index table should hold, compared with what it holds: pure planning and auditing.

Belongs here: the difference between silver and an index table, and the audit of one.
Does not belong here: reading or writing either (`refresh/index.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

# Enough to look into.
SAMPLE = 5
# float32 rounding of a sum of a few hundred squares stays far below this.
UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """Differences between silver and an index table, as chunk_ids."""

    new: list[str]
    changed: list[str]
    gone: list[str]

    @property
    def is_empty(self) -> bool:
        return not (self.new or self.changed or self.gone)

    @property
    def removed(self) -> int:
        """Rows that are there no more afterwards."""
        return len(set(self.gone) - set(self.new))


def desired_state(chunks: pl.DataFrame, documents: pl.DataFrame) -> pl.DataFrame:
    """chunk_id, document_id, text_hash, chunk_hash and metadata_hash of every row the index should hold."""
    return chunks.select("chunk_id", "document_id", "text_hash", "chunk_hash").join(
        documents.select("document_id", "metadata_hash"), on="document_id"
    )


def plan_index(desired: pl.DataFrame, actual: pl.DataFrame) -> IndexPlan:
    """Compare by chunk_id and hashes. A chunk_id that stands twice in the index is removed and added again."""
    twice = actual.filter(pl.col("chunk_id").is_duplicated())["chunk_id"].unique()
    sound = actual.filter(~pl.col("chunk_id").is_in(twice.implode()))
    hashes = ["chunk_id", "text_hash", "chunk_hash", "metadata_hash"]
    new = desired.join(sound, on="chunk_id", how="anti")
    known = desired.join(new, on="chunk_id", how="anti")
    moved_text = known.join(sound, on=["chunk_id", "text_hash"], how="anti")
    changed = known.join(moved_text, on="chunk_id", how="anti").join(sound, on=hashes, how="anti")
    gone = actual.join(desired, on="chunk_id", how="anti")
    return IndexPlan(
        new=new["chunk_id"].to_list() + moved_text["chunk_id"].to_list(),
        changed=changed["chunk_id"].to_list(),
        gone=sorted({*gone["chunk_id"], *twice, *moved_text["chunk_id"]}),
    )


@dataclass(frozen=True, slots=True)
class Findings:
    """What an audit found; every count is of rows, every sample names at most five chunk_ids.

    Attributes:
        details: Findings by name, for people.
        at_fault: chunk_ids of all rows that are wrong or missing; repairing these mends the table.
    """

    ghosts: int
    missing: int
    mismatched: int
    details: dict[str, object] = field(default_factory=dict)
    at_fault: frozenset[str] = frozenset()

    @property
    def passed(self) -> bool:
        return not self.details


def audit_rows(desired: pl.DataFrame, actual: pl.DataFrame) -> Findings:
    """Compare an index table with silver, row by row.

    Args:
        desired: `desired_state` with allowed_principals.
        actual: chunk_id, text_hash, chunk_hash, metadata_hash, allowed_principals of the table.
    """
    ghosts = actual.join(desired, on="chunk_id", how="anti")
    missing = desired.join(actual, on="chunk_id", how="anti")
    both = desired.join(actual, on="chunk_id", suffix="_found").with_row_index("row")
    hashes = pl.any_horizontal(
        pl.col(name) != pl.col(f"{name}_found") for name in ("text_hash", "chunk_hash", "metadata_hash")
    )
    stale = both.filter(hashes)
    # Nearly all are the same in the same order, and to sort a hundred thousand lists takes longer than all else here.
    leaking = both.filter(pl.col("allowed_principals") != pl.col("allowed_principals_found")).filter(
        pl.col("allowed_principals").list.sort() != pl.col("allowed_principals_found").list.sort()
    )
    twice = actual.filter(pl.col("chunk_id").is_duplicated())
    details: dict[str, object] = {}
    for name, rows in (
        ("ghosts", ghosts),
        ("missing", missing),
        ("stale", stale),
        ("permissions", leaking),
        ("twice", twice),
    ):
        if rows.height:
            details[name] = {"count": rows.height, "sample": rows["chunk_id"].sort().head(SAMPLE).to_list()}
    wrong = pl.concat([stale, leaking]).unique("row")
    at_fault = frozenset().union(*(rows["chunk_id"] for rows in (ghosts, missing, wrong, twice)))
    return Findings(ghosts.height, missing.height, wrong.height + twice.height, details, at_fault)


def invalid_vectors(chunk_ids: list[str], vectors: np.ndarray) -> list[str]:
    """chunk_ids whose vector is not finite or not of unit length."""
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(vectors, axis=1)
        sound = np.isfinite(vectors).all(axis=1) & (np.abs(lengths - 1) < UNIT_TOLERANCE)
    return [chunk_ids[i] for i in np.flatnonzero(~sound)]
