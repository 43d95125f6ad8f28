"""Rows on their way from candidates to hits: what the steps of ranking pass on to each other.

Belongs here: the values, and their order by score and place.
Does not belong here: the steps (`ranking.py`, `supersession.py`), what a caller gets (`hits.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rag_pipeline.contracts.index import PLACE_COLUMNS
from rag_pipeline.retrieval.hits import Elsewhere, Version


@dataclass(slots=True)
class Ranked:
    """One row on its way to a hit.

    Attributes:
        row: As the store gave it, with `_rank` and `_value` of the retrievers (`vector_rank` …) that found it.
        score: What it is ordered by; a step that orders anew sets it.
        elsewhere: Places of the same text, or nearly the same.
        rerank_score: What the reranking model said; None: it did not read it.
        age_weight: What the score was multiplied by for the document's age.
        superseded_by: The newest versions of its document.
        raised_above: document_id of the older version that it was put before; None: its place is its own.
    """

    row: Mapping[str, Any]
    score: float
    elsewhere: list[Elsewhere] = field(default_factory=list)
    rerank_score: float | None = None
    age_weight: float = 1.0
    superseded_by: tuple[Version, ...] = ()
    raised_above: str | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows, best first, and the weight that the vector retriever had; None but in mode hybrid."""

    ranked: list[Ranked]
    vector_weight: float | None


def in_order(ranked: Iterable[Ranked]) -> list[Ranked]:
    """Best first, and equal ones by where they stand, so that equal lakes answer equally."""

    def key(one: Ranked) -> tuple[Any, ...]:
        return -one.score, one.rerank_score is None, -(one.rerank_score or 0), *place_of(one.row)

    return sorted(ranked, key=key)


def place_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where a row stands: the order of rows that are equally good."""
    return tuple(row[name] for name in PLACE_COLUMNS)
