"""A Haystack retriever over what is published (extra `haystack`).

retriever = PipelineRetriever("pipeline.yaml", principals=["public"])
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict

from rag_pipeline.adapters.found import found_by
from rag_pipeline.contracts.modes import Mode
from rag_pipeline.retrieval.search import Searcher


@component
class PipelineRetriever:
    """Finds for one caller; follows what is published by itself. It can be saved with its pipeline, as YAML.

    Args:
        target: A pipeline.yaml, or the address of a lake.
        principals: Who asks: the caller's own name and groups.
        window_tokens: Give the text around each hit up to so many tokens; None: the hits alone.
    """

    def __init__(
        self,
        target: str,
        principals: Iterable[str],
        top_k: int = 5,
        mode: Mode = "hybrid",
        window_tokens: int | None = None,
    ) -> None:
        self._options: dict[str, Any] = {
            "target": str(target),
            "principals": sorted(principals),
            "top_k": top_k,
            "mode": mode,
            "window_tokens": window_tokens,
        }
        self._searcher: Searcher | None = None

    def warm_up(self) -> None:
        """Open the pipeline."""
        if self._searcher is None:
            self._searcher = Searcher.open(self._options["target"])

    def close(self) -> None:
        """End its threads and let go of its model; it opens again when it is asked."""
        if self._searcher is not None:
            self._searcher.close()
            self._searcher = None

    def to_dict(self) -> dict[str, Any]:
        """As Haystack stores it."""
        return default_to_dict(self, **self._options)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PipelineRetriever:
        """From what Haystack stored."""
        found: PipelineRetriever = default_from_dict(cls, data)
        return found

    @component.output_types(documents=list[Document])
    def run(self, query: str, top_k: int | None = None) -> dict[str, list[Document]]:
        """Documents for a query, best first."""
        self.warm_up()
        assert self._searcher is not None
        options = self._options
        k = options["top_k"] if top_k is None else top_k
        found = found_by(
            self._searcher, query, options["principals"], k, options["mode"], options["window_tokens"], None
        )
        return {
            "documents": [
                Document(id=text.id, content=text.text, meta=text.metadata, score=text.score) for text in found
            ]
        }
