"""What a search found, as plain texts with metadata: what every framework takes.

Belongs here: windows or hits, and the values that go with each.
Does not belong here: a framework's own classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.modes import Mode
from rag_pipeline.retrieval.hits import Hit
from rag_pipeline.retrieval.search import Searcher


@dataclass(frozen=True, slots=True)
class Found:
    """One text.

    Attributes:
        metadata: Plain values, which every framework can store.
    """

    id: str
    text: str
    score: float
    metadata: dict[str, Any]


def found_by(
    searcher: Searcher,
    query: str,
    principals: Iterable[str],
    k: int,
    mode: Mode,
    window_tokens: int | None,
    filters: Filter | None,
) -> list[Found]:
    """Texts for a query that its asker may read, best first.

    Args:
        window_tokens: Give the text around each hit up to so many tokens, neighbours as one; None: the hits alone.
    """
    hits = searcher.search(query, principals=principals, k=k, mode=mode, limits=filters)
    if window_tokens is None:
        return [Found(hit.chunk_id, hit.text, hit.score, _metadata(hit)) for hit in hits]
    by_rank = {hit.rank: hit for hit in hits}
    windows = searcher.windows(hits, principals=principals, max_tokens=window_tokens)
    best = [(window, by_rank[window.ranks[0]]) for window in windows]
    return [Found(hit.chunk_id, window.text, hit.score, _metadata(hit)) for window, hit in best]


def _metadata(hit: Hit) -> dict[str, Any]:
    modified = None if hit.source_modified_at is None else hit.source_modified_at.isoformat()
    return {
        "chunk_id": hit.chunk_id,
        "document_id": hit.document_id,
        "source": hit.source,
        "uri": hit.uri,
        "title": hit.title,
        "section_path": list(hit.section_path),
        "page": hit.page,
        "line": hit.line,
        "start_char": hit.start_char,
        "end_char": hit.end_char,
        "media_type": hit.media_type,
        "source_modified_at": modified,
        "citation": hit.citation,
        "score": hit.score,
    }
