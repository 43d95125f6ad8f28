"""What the deletion guard holds back: the table that remembers it between runs, and a row as a value.

Belongs here: columns with their meaning, reading and writing a row.
Does not belong here: when the guard closes (`transforms/deletion_guard.py`) or what is kept (`refresh/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import polars as pl

from rag_pipeline.contracts.table import Column, RowRule, TableContract
from rag_pipeline.contracts.tables import UTC_TIME

HoldKind = Literal["vanished", "refused"]
_IDS = pl.List(pl.String())

DELETION_HOLDS = TableContract(
    layer="silver",
    name="deletion_holds",
    doc="One row per source whose losses the deletion guard holds back, until the documents are back or a person "
    "lets them go.",
    key=("source", "kind"),
    columns={
        "source": Column(pl.String(), "Source whose documents are held."),
        "kind": Column(pl.String(), "vanished: gone from the source or unreadable there; refused: by parsing."),
        "held_documents": Column(pl.Int64(), "Documents that readers keep although the source lost them."),
        "of_documents": Column(pl.Int64(), "Documents that they are measured against: what readers had at closing."),
        "reason": Column(pl.String(), "What was lost, for a person."),
        "since_at": Column(UTC_TIME, "When the guard closed."),
        "run_id": Column(pl.String(), "Run in which it closed."),
        "held_ids": Column(_IDS, "document_id in bronze of each held document."),
        "measured_ids": Column(_IDS, "document_id in bronze of each document they are measured against."),
    },
    rules=(
        RowRule(
            "held_are_measured",
            pl.col("held_documents").is_between(1, pl.col("of_documents")),
            "a hold holds something, and no more than there was",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Hold:
    """One row of `silver/deletion_holds`; ids are those of bronze."""

    source: str
    kind: HoldKind
    held: frozenset[str]
    measured: frozenset[str]
    reason: str
    since_at: datetime
    run_id: str

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Hold:
        held, measured = frozenset(row["held_ids"]), frozenset(row["measured_ids"])
        return cls(row["source"], row["kind"], held, measured, row["reason"], row["since_at"], row["run_id"])

    def row(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "kind": self.kind,
            "held_documents": len(self.held),
            "of_documents": len(self.measured),
            "reason": self.reason,
            "since_at": self.since_at,
            "run_id": self.run_id,
            "held_ids": sorted(self.held),
            "measured_ids": sorted(self.measured),
        }

    def summary(self) -> dict[str, Any]:
        """The row without the ids, with the time as text."""
        row = {name: value for name, value in self.row().items() if not name.endswith("_ids")}
        return row | {"since_at": self.since_at.isoformat()}
