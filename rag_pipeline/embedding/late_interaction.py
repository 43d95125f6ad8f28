"""Late interaction: a question's tokens each look for the token of a text that is nearest to them (ColBERT's MaxSim).

Belongs here: token vectors of texts, kept by the text's hash, and scoring by them. Neither torch nor
sentence-transformers is imported.
Does not belong here: finding files and naming what they compute (`reranker.py`), running a graph
(`graph_runner.py`), what scores are used for (`retrieval/rerank.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from rag_pipeline.contracts.ids import digest
from rag_pipeline.embedding.graph_runner import GraphRunner, Pace, ResolvedReranker, Scores, tokenizer_of

# What the vectors of texts that were read may take in memory; a text of 300 tokens of 384 numbers is 0.23 MB.
KEPT_BYTES = 256 * 1024 * 1024
_LEAST_LENGTH = 1e-12

# float16 [tokens, width], each of length 1.
TokenVectors = npt.NDArray[np.float16]


class KeptVectors:
    """Token vectors of texts by the text's hash, those that were asked for longest ago let go first."""

    def __init__(self, limit_bytes: int = KEPT_BYTES) -> None:
        self._limit = limit_bytes
        self._bytes = 0
        self._by_hash: OrderedDict[str, TokenVectors] = OrderedDict()
        self._lock = Lock()

    def get(self, name: str) -> TokenVectors | None:
        with self._lock:
            found = self._by_hash.get(name)
            if found is not None:
                self._by_hash.move_to_end(name)
            return found

    def put(self, name: str, vectors: TokenVectors) -> None:
        with self._lock:
            if name in self._by_hash:
                return
            self._by_hash[name] = vectors
            self._bytes += vectors.nbytes
            while self._bytes > self._limit:
                self._bytes -= self._by_hash.popitem(last=False)[1].nbytes


class LateInteraction:
    """A loaded model that gives each token a vector; several threads may ask at once. `close` it to end its threads.

    Attributes:
        fingerprint: Names its scores.
        kept: Vectors of texts that it read before: they are not computed again.
    """

    def __init__(self, resolved: ResolvedReranker, graph: Path) -> None:
        self.fingerprint = resolved.fingerprint
        self.kept = KeptVectors()
        self._runner = GraphRunner(resolved, graph)
        self._tokenizer = tokenizer_of(resolved)
        self._pace = Pace()
        # OpenVINO's binding sets itself up in its first call, and two threads at once would wait for each other.
        self._embedded(["a"])

    def scores(self, question: str, texts: Sequence[str], seconds: float | None = None) -> Scores:
        """For each text how near its tokens come to those of the question: the mean over the question's tokens of the
        greatest cosine, in [-1, 1]; None for those that time did not suffice for.

        Args:
            texts: Best first: with a budget of time they are scored in this order, some at once.
            seconds: What scoring may take; None: as long as it takes.

        Raises:
            EmbeddingError: The model failed, or gave what is not a number.
        """
        names = [digest("late-text", text) for text in texts]
        known = {name: vectors for name in names if (vectors := self.kept.get(name)) is not None}
        asked = self._embedded([question])[0].astype(np.float32)

        def wave(rows: slice) -> list[float]:
            new = {name: text for name, text in zip(names[rows], texts[rows], strict=True) if name not in known}
            for name, vectors in zip(new, self._embedded(list(new.values())), strict=True):
                known[name] = vectors
                self.kept.put(name, vectors)
            return [_nearness(asked, known[name]) for name in names[rows]]

        if seconds is None:
            return list(wave(slice(None)))
        # Characters stand for tokens, which are counted only once they are needed; what is known costs nothing.
        costs = [0 if name in known else len(text) for name, text in zip(names, texts, strict=True)]
        return self._pace.scored(costs, wave, seconds)

    def close(self) -> None:
        """End its threads, once they have computed what they were given; nothing is scored afterwards."""
        self._runner.close()

    def _embedded(self, texts: list[str]) -> list[TokenVectors]:
        """Vectors of each text's tokens, the marks at its ends included."""
        ids = [np.array(one.ids, dtype=np.int64) for one in self._tokenizer.encode_batch(texts)]
        made: dict[int, TokenVectors] = {}
        for rows, output in self._runner.computed(ids, None):
            for row, states in zip(rows, output, strict=True):
                real = states[: len(ids[row])]
                lengths = np.maximum(np.linalg.norm(real, axis=1, keepdims=True), _LEAST_LENGTH)
                made[int(row)] = (real / lengths).astype(np.float16)
        return [made[row] for row in range(len(texts))]


def _nearness(asked: npt.NDArray[np.float32], vectors: TokenVectors) -> float:
    return float((asked @ vectors.astype(np.float32).T).max(axis=1).mean())
