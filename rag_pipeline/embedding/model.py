"""An embedding model as the rest of the package sees it, and the loop that keeps every backend busy.

Belongs here: the protocol, prompts, order of results, work ahead of the caller and its bounds.
Does not belong here: any arithmetic of a model (`*_backend.py`).
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from rag_pipeline.contracts.embedding import EmbeddingSpace
from rag_pipeline.embedding.batching import Rows
from rag_pipeline.embedding.tokens import letters_per_token
from rag_pipeline.embedding.vectors import Embedded, Vectors, finished, finished_with_lengths

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WINDOW_TEXTS = 2_048
"""Texts sorted by length together: wide enough for equal lengths, small enough to bound memory."""

Key = TypeVar("Key", bound=Hashable)


class EmbeddingModel(Protocol):
    """Turns text into unit vectors of one embedding space."""

    @property
    def space(self) -> EmbeddingSpace: ...

    def embed_documents(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> Vectors:
        """Vectors of all texts, float32 [texts, dimension], unit length, in the order given.

        Args:
            on_progress: Told how many texts were finished since it was last called.

        Raises:
            VectorInvalid: The model's output is no direction.
        """
        ...

    def embed_stream(self, batches: Iterable[list[tuple[str, str]]]) -> Iterator[tuple[list[str], Vectors]]:
        """Vectors of (key, text) pairs, batch by batch and in order, for storing as they come.

        The next batch is being computed while the caller stores this one, and the one after it is only
        read once the caller returns, so a stop loses at most these two. `batches` is read in the caller's thread.
        """
        ...

    def embed_query(self, text: str) -> Vectors:
        """Vector of one query, float32 [dimension]."""
        ...

    def letters_per_token(self, text: str) -> float:
        """How many letters a token of a text has on average: few in a language that the model does not know.

        Infinite where nobody knows, or there are no letters.
        """
        ...


class Backend(Protocol):
    """How one kind of model computes. `compute` may be called from `workers` threads at once."""

    @property
    def workers(self) -> int: ...

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The model's own; None: it has none, or it is not here."""
        ...

    def prepare(self, texts: list[str]) -> Any:
        """Tokenize, or whatever has to come first; in a thread of its own, ahead of `compute`."""
        ...

    def plan(self, prepared: Any) -> list[Rows]:
        """Which rows to compute together."""
        ...

    def compute(self, prepared: Any, rows: Rows) -> np.ndarray[Any, np.dtype[np.floating[Any]]]:
        """Raw output of these rows, [rows, width]; need not be normalised."""
        ...


class BackendModel:
    """An `EmbeddingModel` over any backend.

    Args:
        open_backend: Called on first use: loading weights is the slow part.
    """

    def __init__(self, space: EmbeddingSpace, open_backend: Callable[[], Backend]) -> None:
        self.space = space
        self._open_backend = open_backend
        self._backend: Backend | None = None
        self._opening = threading.Lock()

    def embed_documents(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> Vectors:
        """See `EmbeddingModel`."""
        vectors = np.empty((len(texts), self.space.dimension), dtype=np.float32)
        windows = (
            [(row, texts[row]) for row in range(start, min(start + WINDOW_TEXTS, len(texts)))]
            for start in range(0, len(texts), WINDOW_TEXTS)
        )
        for rows, window in self._stream(windows, on_progress):
            vectors[rows[0] : rows[-1] + 1] = window
        return vectors

    def embed_stream(self, batches: Iterable[list[tuple[str, str]]]) -> Iterator[tuple[list[str], Vectors]]:
        """See `EmbeddingModel`."""
        return self._stream(batches, None)

    def embed_query(self, text: str) -> Vectors:
        """See `EmbeddingModel`."""
        backend = self.backend
        prepared = backend.prepare([self.space.query_prompt + text])
        raw = backend.compute(prepared, np.zeros(1, dtype=np.intp))
        vector: Vectors = finished(raw, self.space.dimension, self.space.model)[0]
        return vector

    def letters_per_token(self, text: str) -> float:
        """See `EmbeddingModel`."""
        tokenizer = self.backend.tokenizer
        return math.inf if tokenizer is None else letters_per_token(tokenizer, text)

    @property
    def backend(self) -> Backend:
        """The loaded model; several threads may ask for it at once."""
        with self._opening:
            if self._backend is None:
                self._backend = self._open_backend()
            return self._backend

    def _stream(
        self, batches: Iterable[list[tuple[Key, str]]], on_progress: Callable[[int], None] | None
    ) -> Iterator[tuple[list[Key], Vectors]]:
        backend = self.backend
        pending: deque[tuple[list[Key], Future[_Jobs]]] = deque()
        preparing = ThreadPoolExecutor(1, thread_name_prefix="embed-prepare")
        computing = ThreadPoolExecutor(backend.workers, thread_name_prefix="embed-compute")

        def begin(texts: list[str]) -> _Jobs:
            prepared = backend.prepare(texts)
            return [(rows, computing.submit(backend.compute, prepared, rows)) for rows in backend.plan(prepared)]

        try:
            for batch in batches:
                if not batch:
                    continue
                texts = [self.space.document_prompt + text for _, text in batch]
                pending.append(([key for key, _ in batch], preparing.submit(begin, texts)))
                if len(pending) > 1:
                    yield self._collected(*pending.popleft(), on_progress)
            while pending:
                yield self._collected(*pending.popleft(), on_progress)
        finally:
            # An abandoned or failed stream must not go on computing what nobody will read.
            preparing.shutdown(wait=True, cancel_futures=True)
            computing.shutdown(wait=True, cancel_futures=True)

    def _collected(
        self, keys: list[Key], begun: Future[_Jobs], on_progress: Callable[[int], None] | None
    ) -> tuple[list[Key], Vectors]:
        vectors = np.empty((len(keys), self.space.dimension), dtype=np.float32)
        lengths = np.empty(len(keys), dtype=np.float32)
        for rows, job in begun.result():
            found = finished_with_lengths(job.result(), self.space.dimension, self.space.model)
            vectors[rows], lengths[rows] = found
            if on_progress is not None:
                on_progress(len(rows))
        return Embedded.of(keys, vectors, lengths)


_Jobs = list[tuple[Rows, Future[np.ndarray[Any, np.dtype[np.floating[Any]]]]]]
