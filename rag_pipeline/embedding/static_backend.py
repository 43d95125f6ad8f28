"""Static models: the mean of stored token vectors, with numpy alone.

Belongs here: sentence-transformers' StaticEmbedding, and model2vec's files in the same folder format.
Does not belong here: anything with attention.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rag_pipeline.contracts.embedding import EmbeddingSpace
from rag_pipeline.embedding.batching import Rows, TokenIds
from rag_pipeline.embedding.layout import ModelLayout
from rag_pipeline.embedding.tokens import open_tokenizer

# Enough that the table of words is read in runs, few enough to stay in the cache.
BATCH_TEXTS = 256


class StaticBackend:
    """Reads the matrix once; a text without a single known token gets the mean of all token vectors."""

    workers = 1

    def __init__(self, layout: ModelLayout, space: EmbeddingSpace) -> None:
        self._matrix = _matrix(layout)
        self._fallback = self._matrix.mean(axis=0)
        if not self._fallback.any():
            self._fallback[0] = 1.0
        self.tokenizer = open_tokenizer(layout.tokenizer_file, layout.lower_case)
        self._max_tokens = space.max_tokens

    def prepare(self, texts: list[str]) -> list[TokenIds]:
        """Token ids of each text, without special tokens, as StaticEmbedding takes them."""
        encodings = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids[: self._max_tokens], dtype=np.int64) for encoding in encodings]

    def plan(self, prepared: list[TokenIds]) -> list[Rows]:
        """Batches in the order given: there is no padding to save."""
        return np.array_split(np.arange(len(prepared)), -(-len(prepared) // BATCH_TEXTS))

    def compute(self, prepared: list[TokenIds], rows: Rows) -> npt.NDArray[np.float32]:
        """Mean token vector of each row, [rows, width]."""
        means = np.empty((len(rows), self._matrix.shape[1]), dtype=np.float32)
        for position, row in enumerate(rows):
            ids = prepared[row]
            mean = self._matrix[ids].mean(axis=0) if len(ids) else self._fallback
            means[position] = mean if mean.any() else self._fallback
        return means


def _matrix(layout: ModelLayout) -> npt.NDArray[np.float32]:
    """One row a token id; model2vec's token mapping and weights folded in."""
    from safetensors.numpy import load_file

    tensors = load_file(layout.modules[0].folder / "model.safetensors")
    if "embedding.weight" in tensors:
        return tensors["embedding.weight"].astype(np.float32)
    matrix = tensors["embeddings"].astype(np.float32)
    if "mapping" in tensors:
        matrix = matrix[tensors["mapping"].astype(np.int64)]
    if "weights" in tensors:
        matrix = matrix * tensors["weights"].astype(np.float32)[:, None]
    return matrix
