"""Other frameworks as contenders of `scoreboard.py`, each set up as its documentation says to keep an index in step.

Belongs here: the incremental feature of each, unembellished: LangChain's indexing API with a record manager and full
cleanup, LlamaIndex's ingestion pipeline with a docstore, upserts and deletions, CocoIndex's memoised functions. With
the first two another model gets a store and a record of its own, since neither can tell vectors of two models apart.
Each is imported where it is used.
"""

from __future__ import annotations

import os
from dataclasses import make_dataclass
from pathlib import Path
from typing import Annotated, Any

from benchmarks.documents import body_of, sections_of

# First number of a vector, which says whose it is.
_MARKS = {"first": 1.0, "second": 2.0}


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


class CocoIndex:
    """A memoised function per file and one per model and text, into a LanceDB table; settings are watched context."""

    def __init__(self, work: Path, folder: Path) -> None:
        # It reports its use to its makers otherwise.
        os.environ["COCOINDEX_DISABLE_USAGE_TRACKING"] = "1"
        self.calls = 0
        self.served_meanwhile: bool | None = None
        self._work = work
        self._folder = folder
        self._model = self._served = ""
        self._principals: list[str] = []
        self._app = self._opened()

    def refresh(self, model: str, principals: list[str]) -> None:
        """See `Contender`."""
        import cocoindex

        self._model, self._principals = model, principals
        self._app.update_blocking()
        # What is provided as context is read when it starts.
        cocoindex.stop_blocking()
        self._served = model

    def rows(self) -> list[tuple[str, str]]:
        """See `Contender`."""
        table = self._table().search().select(["path", "text"]).limit(None).to_arrow()
        return [(row["path"], body_of(row["text"])) for row in table.to_pylist()]

    def _table(self) -> Any:
        import lancedb

        return lancedb.connect(self._work / "lance").open_table("docs")

    def _embedded(self, model: str, text: str) -> list[float]:
        self.calls += 1
        if self._served and self._served != self._model and self.calls % 50 == 0:
            vectors = self._table().search().select(["vector"]).limit(None).to_arrow()["vector"].to_pylist()
            is_whole = {vector[0] for vector in vectors} == {_MARKS[self._served]}
            self.served_meanwhile = is_whole and self.served_meanwhile is not False
        return [_MARKS[model], float(len(text))]

    def _opened(self) -> Any:
        import cocoindex
        import pyarrow as pa
        from cocoindex.connectors import lancedb, localfs

        contender, folder = self, self._folder
        database: Any = cocoindex.ContextKey("scoreboard/database")
        settings: Any = cocoindex.ContextKey("scoreboard/settings", detect_change=True)

        columns = [(name, str) for name in ("id", "path", "text", "allowed_principals")]
        vector_type = Annotated[list[float], lancedb.LanceType(pa.list_(pa.float32(), 2))]
        row_type: Any = make_dataclass("Row", [*columns, ("vector", vector_type)])

        @cocoindex.lifespan
        async def provide(builder: Any) -> Any:
            builder.settings.db_path = contender._work / "state"
            builder.provide(database, await lancedb.connect_async(str(contender._work / "lance")))
            builder.provide(settings, (contender._model, ",".join(contender._principals)))
            yield

        @cocoindex.fn(memo=True)
        async def embed(model: str, text: str) -> list[float]:
            return contender._embedded(model, text)

        @cocoindex.fn(memo=True)
        async def index_file(file: Any, table: Any) -> None:
            model, allowed = cocoindex.use_context(settings)
            path = Path(file.file_path.path).relative_to(folder).as_posix()
            for number, text in enumerate(sections_of(await file.read_text())):
                vector = await embed(model, text)
                table.declare_row(row=row_type(f"{path}#{number}", path, text, allowed, vector))

        @cocoindex.fn
        async def main(source: Path) -> None:
            schema = await lancedb.TableSchema.from_class(row_type, primary_key=["id"])
            table = await lancedb.mount_table_target(database, "docs", schema)
            await cocoindex.mount_each(index_file, localfs.walk_dir(source, recursive=True).items(), table)

        return cocoindex.App(cocoindex.AppConfig(name="scoreboard"), main, folder)
