"""Other frameworks as contenders of `scoreboard.py`, each set up as its documentation says to keep an index in step.

Belongs here: the incremental feature of each, unembellished: LangChain's indexing API with a record manager and full
cleanup, LlamaIndex's ingestion pipeline with a docstore, upserts and deletions. Another model gets a store and a record
of its own, since neither can tell vectors of two models apart. Each is imported where it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.documents import body_of, sections_of


def _chunks(folder: Path) -> list[tuple[str, str]]:
    return [
        (path.relative_to(folder).as_posix(), section)
        for path in sorted(folder.rglob("*.md"))
        for section in sections_of(path.read_text("utf-8"))
    ]


def _vector(text: str) -> list[float]:
    return [1.0, float(len(text))]


class LangChain:
    """`langchain_core.indexing.index` with cleanup="full", one vector store and record manager per model."""

    served_meanwhile = None

    def __init__(self, folder: Path) -> None:
        self.calls = 0
        self._folder = folder
        self._stores: dict[str, tuple[Any, Any]] = {}
        self._model = ""

    def refresh(self, model: str, principals: list[str]) -> None:
        """See `Contender`."""
        from langchain_core.documents import Document
        from langchain_core.indexing import index

        self._model = model
        store, records = self._stores.setdefault(model, self._opened(model))
        documents = [
            Document(page_content=text, metadata={"source": address, "allowed_principals": principals})
            for address, text in _chunks(self._folder)
        ]
        index(documents, records, store, cleanup="full", source_id_key="source", key_encoder="sha256")

    def rows(self) -> list[tuple[str, str]]:
        """See `Contender`."""
        rows = self._stores[self._model][0].store.values()
        return [(row["metadata"]["source"], body_of(row["text"])) for row in rows]

    def _opened(self, model: str) -> tuple[Any, Any]:
        from langchain_core.embeddings import Embeddings
        from langchain_core.indexing import InMemoryRecordManager
        from langchain_core.vectorstores import InMemoryVectorStore

        contender = self

        class Counting(Embeddings):
            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                contender.calls += len(texts)
                return [_vector(text) for text in texts]

            def embed_query(self, text: str) -> list[float]:
                return _vector(text)

        records = InMemoryRecordManager(namespace=model)
        records.create_schema()
        return InMemoryVectorStore(Counting()), records


class LlamaIndex:
    """`IngestionPipeline` with a docstore, strategy upserts and delete, and its cache; one of each per model."""

    served_meanwhile = None

    def __init__(self, folder: Path) -> None:
        self.calls = 0
        self._folder = folder
        self._pipelines: dict[str, Any] = {}
        self._model = ""

    def refresh(self, model: str, principals: list[str]) -> None:
        """See `Contender`."""
        from llama_index.core.schema import Document

        self._model = model
        if model not in self._pipelines:
            self._pipelines[model] = self._opened(model)
        hidden = ["path", "allowed_principals", "body"]
        documents = [
            Document(
                id_=path.relative_to(self._folder).as_posix(),
                text=path.read_text("utf-8"),
                metadata={
                    "path": path.relative_to(self._folder).as_posix(),
                    "allowed_principals": ",".join(principals),
                },
                excluded_embed_metadata_keys=hidden,
            )
            for path in sorted(self._folder.rglob("*.md"))
        ]
        self._pipelines[model].run(documents=documents)

    def rows(self) -> list[tuple[str, str]]:
        """See `Contender`."""
        stored = self._pipelines[self._model].vector_store.data.metadata_dict.values()
        return [(row["path"], row["body"]) for row in stored]

    def _opened(self, model: str) -> Any:
        from llama_index.core.embeddings import BaseEmbedding
        from llama_index.core.ingestion import DocstoreStrategy, IngestionCache, IngestionPipeline
        from llama_index.core.node_parser.interface import TextSplitter
        from llama_index.core.schema import TransformComponent
        from llama_index.core.storage.docstore import SimpleDocumentStore
        from llama_index.core.vector_stores import SimpleVectorStore

        contender = self

        class Sections(TextSplitter):
            def split_text(self, text: str) -> list[str]:
                return sections_of(text)

        class KeepBody(TransformComponent):
            def __call__(self, nodes: Any, **_: Any) -> Any:
                for node in nodes:
                    node.metadata["body"] = body_of(node.text)
                return nodes

        class Counting(BaseEmbedding):
            def _get_text_embedding(self, text: str) -> list[float]:
                contender.calls += 1
                return _vector(text)

            def _get_query_embedding(self, query: str) -> list[float]:
                return _vector(query)

            async def _aget_query_embedding(self, query: str) -> list[float]:
                return _vector(query)

        return IngestionPipeline(
            transformations=[Sections(), KeepBody(), Counting(model_name=model)],
            docstore=SimpleDocumentStore(),
            vector_store=SimpleVectorStore(),
            docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
            cache=IngestionCache(),
        )
