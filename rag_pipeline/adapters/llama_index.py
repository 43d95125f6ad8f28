"""A LlamaIndex retriever over what is published (extra `llama-index`).

retriever = PipelineRetriever.open("pipeline.yaml", principals={"public"})
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from rag_pipeline.adapters.found import found_by
from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.modes import Mode
from rag_pipeline.retrieval.search import Searcher


class PipelineRetriever(BaseRetriever):
    """Finds for one caller; follows what is published by itself.

    Args:
        principals: Who asks: the caller's own name and groups.
        window_tokens: Give the text around each hit up to so many tokens; None: the hits alone.
    """

    def __init__(
        self,
        searcher: Searcher,
        principals: Iterable[str],
        k: int = 5,
        mode: Mode = "hybrid",
        window_tokens: int | None = None,
        filters: Filter | None = None,
    ) -> None:
        super().__init__()
        self._searcher = searcher
        self._principals = frozenset(principals)
        self._k, self._mode, self._window_tokens, self._filters = k, mode, window_tokens, filters

    @classmethod
    def open(cls, target: str | Path, *, principals: Iterable[str], **options: Any) -> PipelineRetriever:
        """A retriever on a pipeline.yaml or a lake.

        Raises:
            SettingsError: pipeline.yaml is not valid.
        """
        return cls(Searcher.open(target), principals, **options)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = found_by(
            self._searcher,
            query_bundle.query_str,
            self._principals,
            self._k,
            self._mode,
            self._window_tokens,
            self._filters,
        )
        return [
            NodeWithScore(node=TextNode(id_=text.id, text=text.text, metadata=text.metadata), score=text.score)
            for text in found
        ]
