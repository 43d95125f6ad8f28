"""What one search asks, as a value.

Belongs here: refusing what is no search, whoever asks.
Does not belong here: names and texts of other ways of asking (`arguments.py`), searching (`search.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from rag_pipeline.contracts.filters import Filter
from rag_pipeline.errors import BadQuery
from rag_pipeline.retrieval.arguments import is_text
from rag_pipeline.retrieval.plan import SearchPlan


@dataclass(frozen=True, slots=True)
class Asked:
    """What one search asks, whether for its hits or for how they came about.

    Attributes:
        chosen: Who asks, and what else must hold of a hit.
        rerank: Let the reranking model read.
        as_of: The time whose state is searched; None: now.
        space: The embedding model whose index is searched; None: the published one.
    """

    query: str
    chosen: Filter
    plan: SearchPlan
    rerank: bool
    as_of: datetime | date | None
    space: str | None = None

    def __post_init__(self) -> None:
        if self.space is not None and self.as_of is not None:
            raise BadQuery("as_of is what readers had then, whatever its model was; leave out space or as_of")
        if not is_text(self.query) or not self.query.strip():
            raise BadQuery("the query is empty or no text; ask something")
