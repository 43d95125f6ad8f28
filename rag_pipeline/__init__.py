"""A medallion RAG data pipeline on Dagster.

`Searcher` is the way in for programs that search; everything else is run by the command line or Dagster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag_pipeline.retrieval.search import Hit, Searcher

__version__ = "0.1.0"
__all__ = ["Hit", "Searcher", "__version__"]


def __getattr__(name: str) -> Any:
    # Worker processes import this package for its parsers; they must not pay for the search stack.
    if name in ("Hit", "Searcher"):
        from rag_pipeline.retrieval import search

        return getattr(search, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
