"""How a published index is searched, beside its embedding space: kept with every publication.

Belongs here: the values, their form in a publication's figures, and what names them.
Does not belong here: searching by them (`retrieval/`), where they come from (settings, `refresh/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.contracts.reranking import RerankerSpec

_KEY = "recipe"


@dataclass(frozen=True, slots=True)
class SearchRecipe:
    """What a publication adds to a search.

    Attributes:
        rerank: The model that reads the best hits; None: nothing is reranked.
        reranker: Fingerprint of that model's files; a search with other files would give another order.
        vector_scale: What the vector retriever's weight in mode hybrid is multiplied by; fitted on its questions.
    """

    rerank: RerankerSpec | None = None
    reranker: str = ""
    vector_scale: float = 1.0

    @property
    def fingerprint(self) -> str:
        """Names the order that it gives; empty for the plain one. How long it may take is no part of it."""
        parts: list[str] = []
        if self.rerank is not None:
            parts += [self.reranker, str(self.rerank.candidates), repr(self.rerank.weight)]
        if self.vector_scale != 1:
            parts += ["vector", repr(self.vector_scale)]
        return fingerprint("recipe", *parts) if parts else ""

    @property
    def unfitted(self) -> SearchRecipe:
        """What pipeline.yaml alone says of it."""
        return replace(self, vector_scale=1.0)

    def figures(self) -> dict[str, Any]:
        """As it stands among the figures of a publication; nothing for the plain one."""
        return {_KEY: asdict(self)} if self != SearchRecipe() else {}

    @classmethod
    def of(cls, figures: Mapping[str, Any]) -> SearchRecipe:
        """From the figures of a publication."""
        record: Mapping[str, Any] = figures.get(_KEY) or {}
        rerank = record.get("rerank")
        return cls(
            RerankerSpec.from_record(rerank) if rerank else None,
            str(record.get("reranker", "")),
            float(record.get("vector_scale", 1)),
        )
