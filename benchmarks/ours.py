"""This package as a contender of `scoreboard.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import make_pipeline, refresh
from benchmarks.documents import body_of
from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding.open import open_model
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.stores.kept import open_version

MODELS = {
    "first": {"kind": "hashing", "model": "hashing", "dimension": 64},
    "second": {"kind": "hashing", "model": "hashing", "dimension": 32},
}


class CountingModel:
    """A real model that says how many texts it was given."""

    def __init__(self, model: Any, count: Callable[[int], None]) -> None:
        self._model = model
        self._count = count
        self.space = model.space

    def embed_documents(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> np.ndarray:
        self._count(len(texts))
        vectors: np.ndarray = self._model.embed_documents(texts, on_progress)
        return vectors

    def embed_stream(self, batches: Iterable[list[tuple[str, str]]]) -> Iterator[tuple[list[str], np.ndarray]]:
        def counted() -> Iterator[list[tuple[str, str]]]:
            for batch in batches:
                self._count(len(batch))
                yield batch

        yield from self._model.embed_stream(counted())

    def embed_query(self, text: str) -> np.ndarray:
        vector: np.ndarray = self._model.embed_query(text)
        return vector

    def letters_per_token(self, text: str) -> float:
        letters: float = self._model.letters_per_token(text)
        return letters


class OurPipeline:
    """The refresh steps over one folder; both models are configured, one is served."""

    def __init__(self, work: Path, folder: Path) -> None:
        self.calls = 0
        self.served_meanwhile: bool | None = None
        self._work = work
        self._folder = folder
        self._served = ""
        self._model = ""
        self._rows_before = 0

    def refresh(self, model: str, principals: list[str]) -> None:
        """See `Contender`."""
        self._model = model
        source = {"location": str(self._folder), "allowed_principals": principals}
        pipeline = make_pipeline(
            self._work, self._folder, sources={"docs": source}, embedding_models=MODELS, serve=model, worker_processes=0
        )

        def counting(spec: EmbeddingModelSpec) -> Any:
            return CountingModel(open_model(spec, pipeline.cache_folder), self._count)

        with Workspace(pipeline, run_id="scoreboard", open_model=counting) as workspace:
            refresh(workspace, model)
        self._served = model
        self._rows_before = len(self.rows())

    def rows(self) -> list[tuple[str, str]]:
        """See `Contender`."""
        with Workspace(make_pipeline(self._work, self._folder), run_id="scoreboard") as workspace:
            last = workspace.lake.last_publication()
            assert last is not None
            table = open_version(workspace.vectors, last)
            prefix = f"{self._folder}/"
            rows = table.read(["uri", "embedded_text"]).rows()
        return [(uri.removeprefix(prefix), body_of(text)) for uri, text in rows]

    def _count(self, texts: int) -> None:
        self.calls += texts
        if self._served and self._served != self._model:
            published = Searcher.open(str(self._work / "lake")).published()
            is_old = published["alias"] == self._served and published["rows"] == self._rows_before
            self.served_meanwhile = is_old and self.served_meanwhile is not False
