"""What people said of hits and of answers, as rows of a table.

Belongs here: the table, and one remark as a value.
Does not belong here: taking remarks (`serving/feedback.py`), questions made of them (`refresh/remarks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

import polars as pl

from rag_pipeline.contracts.table import Column, RowRule, TableContract

Verdict = Literal["up", "down"]
Decision = Literal["accepted", "dismissed"]
_UTC_TIME = pl.Datetime("us", "UTC")

FEEDBACK = TableContract(
    layer="gold",
    name="feedback",
    doc="One row per remark that a caller made on a hit or an answer they could see; only what became of it changes.",
    key=("feedback_id",),
    columns={
        "feedback_id": Column(pl.String(), "Digest of the remark and when it was made."),
        "query": Column(pl.String(), "What was searched or asked."),
        "mode": Column(pl.String(), "Search mode."),
        "rank": Column(pl.Int64(), "Place of the hit, from 1; as the caller says.", True),
        "chunk_id": Column(pl.String(), "The hit; null where the remark is on an answer.", True),
        "document_id": Column(pl.String(), "Its document; null like that.", True),
        "uri": Column(pl.String(), "Location of the document for people, then; null like that.", True),
        "verdict": Column(pl.String(), "up: it answers the question; down: it does not."),
        "comment": Column(pl.String(), "What the caller wrote; empty if nothing."),
        "caller": Column(pl.String(), "Name of who asked."),
        "principals": Column(pl.List(pl.String()), "Whose rights they had."),
        "publication": Column(pl.Int64(), "Sequence of the publication that was served."),
        "given_at": Column(_UTC_TIME, "When."),
        "cited_chunk_ids": Column(
            pl.List(pl.String()), "Hits that the answer cites; null: it is on a hit.", True, True
        ),
        "cited_document_ids": Column(pl.List(pl.String()), "Their documents, each once; null like that.", True, True),
        "plan_fingerprint": Column(pl.String(), "Names how it was answered, as the caller says.", True, True),
        "chat_model": Column(pl.String(), "Alias of the model that answered, as the caller says.", True, True),
        "decision": Column(pl.String(), "accepted: it is a question of evaluation; dismissed; null: open.", True, True),
        "decided_at": Column(_UTC_TIME, "When that was decided.", True, True),
    },
    rules=(
        RowRule("verdict_is_known", pl.col("verdict").is_in(["up", "down"]), "a verdict is up or down"),
        RowRule("query_is_said", pl.col("query").str.strip_chars() != "", "a remark is on the hit of a question"),
        RowRule(
            "it_is_on_one_thing",
            pl.col("chunk_id").is_null() != pl.col("cited_chunk_ids").is_null(),
            "a remark is on a hit or on an answer",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Remark:
    """One row of the table; fields as its columns say."""

    feedback_id: str
    query: str
    mode: str
    rank: int | None
    chunk_id: str | None
    document_id: str | None
    uri: str | None
    verdict: Verdict
    comment: str
    caller: str
    principals: tuple[str, ...]
    publication: int
    given_at: datetime
    cited_chunk_ids: tuple[str, ...] | None = None
    cited_document_ids: tuple[str, ...] | None = None
    plan_fingerprint: str | None = None
    chat_model: str | None = None
    decision: Decision | None = None
    decided_at: datetime | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Remark:
        """From a row of the table."""
        values: dict[str, Any] = {field.name: row[field.name] for field in fields(cls)}
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**values | lists)

    @property
    def documents(self) -> tuple[str, ...]:
        """Ids of the documents that it is about: of the hit, or those that the answer cites."""
        return (self.document_id,) if self.document_id is not None else self.cited_document_ids or ()

    def row(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
