"""A LangChain retriever over what is published (extra `langchain`).

retriever = PipelineRetriever.open("pipeline.yaml", principals={"public"})
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from rag_pipeline.adapters.found import found_by
from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.modes import Mode
from rag_pipeline.retrieval.search import Searcher


class PipelineRetriever(BaseRetriever):
    """Finds for one caller; follows what is published by itself.

    Attributes:
        principals: Who asks: the caller's own name and groups.
        window_tokens: Give the text around each hit up to so many tokens; None: the hits alone.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    searcher: Searcher
    principals: frozenset[str]
    k: int = 5
    mode: Mode = "hybrid"
    window_tokens: int | None = None
    filters: Filter | None = None

    @classmethod
    def open(cls, target: str | Path, *, principals: set[str] | frozenset[str], **options: Any) -> PipelineRetriever:
        """A retriever on a pipeline.yaml or a lake.

        Raises:
            SettingsError: pipeline.yaml is not valid.
        """
        return cls(searcher=Searcher.open(target), principals=frozenset(principals), **options)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - LangChain's signature
    ) -> list[Document]:
        found = found_by(self.searcher, query, self.principals, self.k, self.mode, self.window_tokens, self.filters)
        return [Document(id=text.id, page_content=text.text, metadata=text.metadata) for text in found]
