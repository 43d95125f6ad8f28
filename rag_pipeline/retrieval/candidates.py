"""Candidates: the rows that each retriever of a search finds, before anything is ordered.

Belongs here: asking the retrievers, at the same time, for the columns that ranking needs.
Does not belong here: who may ask (`search.py`), the filter's meaning (`stores/filters.py`), the order (`ranking.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from rag_pipeline.contracts.index import ROW_COLUMNS
from rag_pipeline.retrieval.plan import SearchPlan
from rag_pipeline.stores.selection import Selection
from rag_pipeline.telemetry.tracing import span

if TYPE_CHECKING:
    from rag_pipeline.embedding.vectors import Vectors

# Rows by retriever, best first; `_distance` stands in those of `vector`, `_score` in those of `text`.
Candidates = Mapping[str, list[dict[str, Any]]]
# What only filters and the full-text index look at.
NOT_SHOWN = ("chunk_hash", "metadata_hash", "word_forms", "facts", "quality_score")
HIT_COLUMNS = [name for name in ROW_COLUMNS if name not in NOT_SHOWN]
# What a hit shows and no step of ranking looks at: read afterwards, of the few rows that are shown.
ONLY_SHOWN = ("title", "page", "line", "end_char", "section_path", "token_count", "media_type", "allowed_principals")
RANKED_COLUMNS = (
    *("chunk_id", "document_id", "source", "uri", "start_char", "source_modified_at", "rank_weight"),
    *("text_hash", "header_chars", "embedded_text"),
)
# To find so many rows again costs more than to read them whole at once.
MOST_FOUND_AGAIN = 100


def find_candidates(
    threads: ThreadPoolExecutor,
    selection: Selection,
    embed_query: Callable[[], Vectors],
    query: str,
    plan: SearchPlan,
    columns: Sequence[str] = HIT_COLUMNS,
) -> Candidates:
    """Rows of the retrievers that the plan needs, at most `plan.depth` of each; the retrievers run at the same time.

    Args:
        selection: What the caller may read, and any other limit.
        columns: RANKED_COLUMNS at least.
    """

    def nearest() -> list[dict[str, Any]]:
        return selection.nearest(embed_query(), plan.depth, columns).to_dicts()

    def matching() -> list[dict[str, Any]]:
        return selection.matching(query, plan.depth, columns).to_dicts()

    with span("retrieve", mode=plan.mode) as work:
        if plan.mode == "hybrid":
            # One retriever in the caller's own thread: however many ask, none waits for one that another one holds.
            by_vector = threads.submit(nearest)
            by_text = matching()
            found = {"vector": by_vector.result(), "text": by_text}
        else:
            found = {"vector": [], "text": [], plan.mode: nearest() if plan.mode == "vector" else matching()}
        work.set(**{retriever: len(rows) for retriever, rows in found.items()})
    return found


def shown_of(selection: Selection, chunk_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """ONLY_SHOWN of rows that ranking chose, by chunk_id, under the same filter that they were found with."""
    rows = selection.read_of("chunk_id", chunk_ids, ["chunk_id", *ONLY_SHOWN])
    return {row["chunk_id"]: row for row in rows.to_dicts()}


def best_row_of_each(
    threads: ThreadPoolExecutor,
    selection: Selection,
    embed_query: Callable[[], Vectors],
    query: str,
    plan: SearchPlan,
) -> dict[str, dict[str, Any]]:
    """By document, the row that fits the query best; its first one, where the query has none of its words.

    Args:
        selection: All rows of a few documents.
    """
    found = find_candidates(threads, selection, embed_query, query, plan)
    best: dict[str, dict[str, Any]] = {}
    for retriever in plan.retrievers:
        for row in found[retriever]:
            best.setdefault(row["document_id"], row)
    for row in selection.read(HIT_COLUMNS).sort("start_char").to_dicts():
        best.setdefault(row["document_id"], row)
    return best
