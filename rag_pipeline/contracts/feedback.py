"""What people said of hits, as rows of a table.

Belongs here: the table, and one remark as a value.
Does not belong here: taking remarks (`serving/feedback.py`), questions made of them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import polars as pl

from rag_pipeline.contracts.table import Column, RowRule, TableContract

Verdict = Literal["up", "down"]
_UTC_TIME = pl.Datetime("us", "UTC")

FEEDBACK = TableContract(
    layer="gold",
    name="feedback",
    doc="One row per remark that a caller made on a hit they could see; append-only.",
    key=("feedback_id",),
    columns={
        "feedback_id": Column(pl.String(), "Digest of the remark and when it was made."),
        "query": Column(pl.String(), "What was searched."),
        "mode": Column(pl.String(), "Search mode."),
        "rank": Column(pl.Int64(), "Place of the hit, from 1; as the caller says.", True),
        "chunk_id": Column(pl.String(), "The hit."),
        "document_id": Column(pl.String(), "Its document."),
        "uri": Column(pl.String(), "Location of the document for people, then."),
        "verdict": Column(pl.String(), "up: it answers the question; down: it does not."),
        "comment": Column(pl.String(), "What the caller wrote; empty if nothing."),
        "caller": Column(pl.String(), "Name of who asked."),
        "principals": Column(pl.List(pl.String()), "Whose rights they had."),
        "publication": Column(pl.Int64(), "Sequence of the publication that was served."),
        "given_at": Column(_UTC_TIME, "When."),
    },
    rules=(
        RowRule("verdict_is_known", pl.col("verdict").is_in(["up", "down"]), "a verdict is up or down"),
        RowRule("query_is_said", pl.col("query").str.strip_chars() != "", "a remark is on the hit of a question"),
    ),
)


@dataclass(frozen=True, slots=True)
class Remark:
    """One row of the table; fields as its columns say."""

    feedback_id: str
    query: str
    mode: str
    rank: int | None
    chunk_id: str
    document_id: str
    uri: str
    verdict: Verdict
    comment: str
    caller: str
    principals: tuple[str, ...]
    publication: int
    given_at: datetime

    def row(self) -> dict[str, Any]:
        return asdict(self) | {"principals": list(self.principals)}
