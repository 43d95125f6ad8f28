"""A fixed set of texts whose vectors tell whether a model still is what it was.

Belongs here: the texts, their vectors, and how far two sets of vectors are apart.
Does not belong here: storing them, or deciding what to do about a difference (the audit).
"""

from __future__ import annotations

import numpy as np

from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.embedding.model import EmbeddingModel
from rag_pipeline.embedding.vectors import Vectors

# Changing any of these makes stored canary vectors incomparable; the fingerprint below then changes with them.
CANARY_TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "How do I reset my password?",
    "Permissions are checked before ranking, never after.",
    "def total(prices: list[float]) -> float:\n    return sum(prices)",
    "SELECT name, count(*) FROM orders GROUP BY name ORDER BY 2 DESC;",
    "| metric | value |\n|---|---|\n| latency | 35 ms |",
    "Der Vertrag endet am 31. Dezember, sofern er nicht verlängert wird.",
    "La réunion est reportée à jeudi à cause de la grève.",
    "会议改到星期四下午三点。",
    "Пожалуйста, подтвердите получение этого письма.",
    "ERROR 503: upstream connect error, retry in 30s",
    "3.14159 26535 89793 23846",
    "a",
    "!?;:",
    "Ünïcödé and emoji 😀🚀 in one line",
    "word " * 400,
)
CANARY_FINGERPRINT = fingerprint("canary", *CANARY_TEXTS)
"""Names this set of texts; keep it beside stored canary vectors."""

TOLERANCE = 1e-4
"""Largest cosine distance that backends, batches and processors of one fp32 space account for."""


def canary_vectors(model: EmbeddingModel) -> Vectors:
    """Vectors of the fixed texts, float32 [16, dimension]."""
    return model.embed_documents(CANARY_TEXTS)


def drift(before: Vectors, now: Vectors) -> float:
    """Largest cosine distance between two sets of vectors of the same texts, in [0, 2].

    Compare with `TOLERANCE`; lower precisions move more between processors: 1e-3 for bf16, 1e-2 for int8.
    """
    if before.shape != now.shape:
        return 2.0
    cosines = np.einsum("ij,ij->i", before.astype(np.float64), now.astype(np.float64))
    return float(max(0.0, 1.0 - cosines.min()))
