"""Cross-encoders: a question and a text read together give one score.

Belongs here: scoring pairs. Neither torch nor sentence-transformers is imported.
Does not belong here: finding files and naming what they compute (`reranker.py`), running a graph
(`graph_runner.py`), what scores are used for (`retrieval/rerank.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rag_pipeline.embedding.batching import TokenIds
from rag_pipeline.embedding.graph_runner import GraphRunner, Pace, ResolvedReranker, Scores, tokenizer_of


class CrossEncoder:
    """A loaded cross-encoder; several threads may ask it at once. `close` it to end its own threads.

    Attributes:
        fingerprint: Names its scores.
    """

    def __init__(self, resolved: ResolvedReranker, graph: Path) -> None:
        self.fingerprint = resolved.fingerprint
        self._runner = GraphRunner(resolved, graph)
        self._tokenizer = tokenizer_of(resolved)
        self._pace = Pace()
        # OpenVINO's binding sets itself up in its first call, and two threads at once would wait for each other.
        self.scores("a", ["a"])

    def scores(self, question: str, texts: Sequence[str], seconds: float | None = None) -> Scores:
        """A logit for each text, higher is a better answer; None for those that time did not suffice for.

        Args:
            texts: Best first: with a budget of time they are scored in this order, some at once.
            seconds: What scoring may take; None: as long as it takes.

        Raises:
            EmbeddingError: The model gave something else than one number for each.
        """
        encodings = self._tokenizer.encode_batch([(question, text) for text in texts])
        ids = [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]
        types = [np.array(encoding.type_ids, dtype=np.int64) for encoding in encodings]
        if seconds is None:
            return list(self._wave(ids, types))
        lengths = [len(one) for one in ids]
        return self._pace.scored(lengths, lambda rows: self._wave(ids[rows], types[rows]), seconds)

    def close(self) -> None:
        """End its threads, once they have computed what they were given; nothing is scored afterwards."""
        self._runner.close()

    def _wave(self, ids: list[TokenIds], types: list[TokenIds]) -> list[float]:
        """Logits of pairs, computed together on every core."""
        scored = np.empty(len(ids), dtype=np.float64)
        for rows, output in self._runner.computed(ids, types):
            scored[rows] = output.reshape(len(rows), -1)[:, 0]
        return [float(value) for value in scored]
