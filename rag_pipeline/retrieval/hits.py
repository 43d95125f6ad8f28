"""Hits: what a search gives back.

Belongs here: the values of a hit, and what a person or a program reads of it.
Does not belong here: finding (`candidates.py`) and ordering (`ranking.py`) them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rag_pipeline.contracts.documents import place_named


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another place that the caller may read, with the text of a hit or nearly the same."""

    document_id: str
    uri: str
    chunk_id: str


@dataclass(frozen=True, slots=True)
class Version:
    """A newer version of a hit's document, which the caller may read."""

    document_id: str
    uri: str
    title: str | None


@dataclass(frozen=True, slots=True)
class Hit:
    """One chunk that was found.

    Attributes:
        score: Higher is better; comparable within one search only. In mode hybrid the fused score, blended with
            the reranking model's where one read the hit, in mode vector the cosine similarity, in mode text BM25.
        vector_rank, text_rank: Place in each retriever, from 1; None if that retriever did not find it.
        vector_distance: Cosine distance, 0 is the same direction.
        text_score: BM25.
        vector_weight: What the vector retriever counted in this search, in [0, 1], the text retriever having the rest;
            None but in mode hybrid.
        rank_weight: What `score` was multiplied by: below 1 for documents that are ranked down for their quality.
        start_char, end_char: Span in the document's text, code points.
        published_at: When the index this was found in was published.
        source_polled_at: When its source was last polled with success; None: never, or not known.
        elsewhere: Where the same text, or nearly the same, was found as well; these are no hits of their own.
        rerank_score: What the reranking model said of it, a logit or a mean cosine; None: it did not read it.
        rerank_note: Why the model did not read all of the best hits; None: it did, or there is none.
        superseded_by: The newest versions of its document that the caller may read; empty: it is the newest itself.
        age_weight: What `score` was multiplied by for the document's age; 1 where its source has no half-life.
        at_source: What its source said when it was asked again: `same`, `changed`, `gone`, or `unknown` where it did
            not answer; None: it was not asked.
        raised_above: document_id of the older version that it was put before, whose score it has; None: its place is
            its own.
        source_overdue: The source was not polled with success for longer than its `stale_after`; None: not known.
    """

    rank: int
    score: float
    chunk_id: str
    document_id: str
    source: str
    uri: str
    title: str | None
    section_path: tuple[str, ...]
    text: str
    page: int | None
    line: int | None
    start_char: int
    end_char: int
    token_count: int
    media_type: str
    allowed_principals: tuple[str, ...]
    source_modified_at: datetime | None
    vector_rank: int | None
    vector_distance: float | None
    text_rank: int | None
    text_score: float | None
    vector_weight: float | None
    rank_weight: float
    published_at: datetime
    source_polled_at: datetime | None = None
    source_overdue: bool | None = None
    elsewhere: tuple[Elsewhere, ...] = ()
    rerank_score: float | None = None
    rerank_note: str | None = None
    superseded_by: tuple[Version, ...] = ()
    age_weight: float = 1.0
    at_source: str | None = None
    raised_above: str | None = None

    @property
    def citation(self) -> str:
        """Where the text stands, for a person: address, page, line or row, section."""
        place = f", {named}" if (named := place_named(self.page, self.line)) else ""
        section = f" ({' > '.join(self.section_path)})" if self.section_path else ""
        return f"{self.uri}{place}{section}"

    def record(self) -> dict[str, Any]:
        """Plain values with stable keys, for JSON."""
        record = asdict(self)
        record["citation"] = self.citation
        return record


def body_of(row: Mapping[str, Any]) -> str:
    """Text of a row without its header."""
    return str(row["embedded_text"])[row["header_chars"] :]
