"""A small real project in a folder: sources, settings, a lake, and a model that counts what it embeds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding.open import open_model
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline.refresh.verify import VerifyReport, verify
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.search import MODES, Searcher
from rag_pipeline.settings import Pipeline, load_pipeline
from rag_pipeline.stores.kept import open_version

# What a reader can tell of a row. Ids are left out: a moved document keeps its id, and a rebuild cannot know it.
VISIBLE = [
    "source",
    "uri",
    "title",
    "section_path",
    "embedded_text",
    "header_chars",
    "start_char",
    "end_char",
    "page",
    "line",
    "token_count",
    "allowed_principals",
    "source_modified_at",
    "media_type",
    "rank_weight",
]

# Settings, text and pipeline of the last pipeline.yaml that was written: tests ask for one again and again, and reading
# it takes longer than a search.
_LOADED: dict[Path, tuple[str, bytes, Pipeline]] = {}


class CountingModel:
    """A real model that keeps the texts it was asked to embed."""

    def __init__(self, model: Any, texts: list[str]) -> None:
        self._model = model
        self.texts = texts
        self.space = model.space

    def embed_documents(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> np.ndarray:
        self.texts += texts
        vectors: np.ndarray = self._model.embed_documents(texts, on_progress)
        return vectors

    def embed_stream(self, batches: Iterable[list[tuple[str, str]]]) -> Iterator[tuple[list[str], np.ndarray]]:
        def counted() -> Iterator[list[tuple[str, str]]]:
            for batch in batches:
                self.texts += [text for _, text in batch]
                yield batch

        yield from self._model.embed_stream(counted())

    def embed_query(self, text: str) -> np.ndarray:
        vector: np.ndarray = self._model.embed_query(text)
        return vector

    def letters_per_token(self, text: str) -> float:
        letters: float = self._model.letters_per_token(text)
        return letters


@dataclass
class Project:
    """A folder with sources and a pipeline.yaml; `settings` may be edited between refreshes."""

    folder: Path
    settings: dict[str, Any]
    embedded: list[str] = field(default_factory=list)

    @classmethod
    def create(cls, folder: Path, sources: Iterable[str] = ("docs",), **settings: Any) -> Project:
        declared = {}
        for name in sources:
            (folder / name).mkdir(parents=True, exist_ok=True)
            declared[name] = {"location": name, "allowed_principals": ["public"]}
        defaults: dict[str, Any] = {
            "lake": "lake",
            "sources": declared,
            "embedding_models": {"small": {"kind": "hashing", "model": "hashing", "dimension": 64}},
            "serve": "small",
            "worker_processes": 0,
        }
        return cls(folder, defaults | settings)

    def write(self, address: str, content: str | bytes, source: str = "docs") -> Path:
        path = self.folder / source / address
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def copied(self, folder: Path, *, polled: bool = False) -> Project:
        """The same project, lake included, in another folder: for a test that may change it.

        Copying a small lake takes a twentieth of the time of building one.

        Args:
            polled: Have the sources listed once, as a copied file is read again: it is another one on the disk.
        """
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        copy = replace(self, folder=folder, settings=deepcopy(self.settings), embedded=list(self.embedded))
        if polled:
            with copy.workspace() as workspace:
                for name in workspace.settings.sources:
                    refresh_source(workspace, name)
        return copy

    def pipeline(self) -> Pipeline:
        """The settings as they are now, written to pipeline.yaml and read again; the same object while both stay."""
        path, settings = self.folder / "pipeline.yaml", repr(self.settings)
        known = _LOADED.get(path)
        if known is None or known[0] != settings or not path.exists() or path.read_bytes() != known[1]:
            text = yaml.safe_dump(self.settings, sort_keys=False).encode()
            path.write_bytes(text)
            _LOADED.clear()
            known = _LOADED[path] = (settings, text, load_pipeline(path, {}))
        return known[2]

    def workspace(self, run_id: str = "test") -> Workspace:
        pipeline = self.pipeline()

        def counting(spec: EmbeddingModelSpec) -> Any:
            return CountingModel(open_model(spec, pipeline.cache_folder), self.embedded)

        return Workspace(pipeline, run_id=run_id, open_model=counting)

    def refresh(
        self, *, alias: str | None = None, allow_mass_deletion: bool = True, poll: bool = True, evaluate: bool = False
    ) -> int:
        """Everything from sources to publication; returns the number of commits."""
        with self.workspace() as workspace:
            return refresh_everything(
                workspace,
                alias or workspace.settings.serve,
                poll=poll,
                evaluate=evaluate,
                strict=True,
                allow_mass_deletion=list(workspace.settings.sources) * allow_mass_deletion,
            ).commits

    def verify(self) -> VerifyReport:
        with self.workspace() as workspace:
            return verify(workspace)

    def published(self) -> list[dict[str, Any]]:
        """Everything readers can see, in a fixed order."""
        with self.workspace() as workspace:
            last = workspace.lake.last_publication()
            assert last is not None
            table = open_version(workspace.vectors, last)
            rows = table.read(VISIBLE).with_columns(pl.col("allowed_principals").list.sort())
            return rows.sort("source", "uri", "start_char", "embedded_text").to_dicts()

    def rebuilt(self) -> list[dict[str, Any]]:
        """What a build from nothing would publish."""
        other = Project(self.folder, self.settings | {"lake": "rebuilt"})
        shutil.rmtree(self.folder / "rebuilt", ignore_errors=True)
        other.refresh(evaluate=True)
        return other.published()

    def answers(
        self,
        queries: Iterable[str],
        principals: Iterable[str],
        at: Iterable[int] = (1, 5, 200),
        searcher: Searcher | None = None,
    ) -> dict[tuple[str, str, int], list[tuple[Any, ...]]]:
        """What a reader is answered, in every mode and for several k: place, text, score and rank in each retriever."""
        searcher = searcher or Searcher.open(self.pipeline())
        return {
            (mode, query, k): [
                (hit.uri, hit.start_char, hit.text, hit.score, hit.vector_rank, hit.text_rank)
                for hit in searcher.search(query, principals=principals, k=k, mode=mode)
            ]
            for mode in MODES
            for query in queries
            for k in at
        }

    def search(self, query: str, *principals: str, **options: Any) -> list[Any]:
        return Searcher.open(self.pipeline()).search(query, principals=principals, **options)
