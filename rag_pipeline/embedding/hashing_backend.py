"""Feature hashing: vectors from the words of a text, without weights.

Belongs here: a fast and exact stand-in for tests, dry runs and stub builds.
Does not belong here: anything that claims quality; texts are near when they share words, nothing more.

After Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (2009): every feature adds +1 or -1,
by one bit of its hash, at a position given by its other bits. Features are words, pairs of neighbouring words and
the three-letter pieces of words.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np
import numpy.typing as npt

from rag_pipeline.embedding.batching import Rows
from rag_pipeline.embedding.tokens import words_of

# Enough that numpy computes and Python waits, few enough to stay in the cache.
BATCH_TEXTS = 512
# The words of a large corpus that come more than once; new ones are only computed again.
_MAX_REMEMBERED_WORDS = 100_000
_WORD_WEIGHT, _PAIR_WEIGHT, _PIECE_WEIGHT = 1.0, 0.5, 0.3
_PAIR_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_LETTERS = re.compile(r"\w")


class HashingBackend:
    """Args:
    dimension: Width of the vectors.
    max_tokens: Words and marks beyond this many are left out.
    """

    workers = 1
    tokenizer = None

    def __init__(self, dimension: int, max_tokens: int) -> None:
        self._dimension = dimension
        self._max_tokens = max_tokens
        self._words: dict[str, npt.NDArray[np.uint64]] = {}

    def prepare(self, texts: list[str]) -> list[str]:
        """Nothing to prepare."""
        return texts

    def plan(self, prepared: list[str]) -> list[Rows]:
        """Batches in the order given."""
        return np.array_split(np.arange(len(prepared)), -(-len(prepared) // BATCH_TEXTS))

    def compute(self, prepared: list[str], rows: Rows) -> npt.NDArray[np.float64]:
        """Sums of signed features, [rows, dimension]."""
        words = [words_of(prepared[row])[: self._max_tokens] for row in rows]
        counts = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
        features = [self._features(word) for text in words for word in text]
        sums = np.zeros(len(words) * self._dimension)
        if features:
            owners = np.repeat(np.arange(len(words)), counts)
            self._add_words(sums, features, owners)
        matrix = sums.reshape(len(words), self._dimension)
        for row in np.flatnonzero(~matrix.any(axis=1)):
            # Nothing but white space, or features that cancelled out: still a direction, and a stable one.
            matrix[row, int(_hash(prepared[rows[row]]) % np.uint64(self._dimension))] = 1.0
        return matrix

    def _add_words(
        self, sums: npt.NDArray[np.float64], features: list[npt.NDArray[np.uint64]], owners: npt.NDArray[np.int64]
    ) -> None:
        sizes = np.fromiter(map(len, features), dtype=np.int64, count=len(features))
        hashes = np.concatenate(features)
        weights = np.full(len(hashes), _PIECE_WEIGHT)
        heads = np.cumsum(sizes) - sizes
        weights[heads] = _WORD_WEIGHT
        self._add(sums, hashes, np.repeat(owners, sizes), weights)
        same = owners[1:] == owners[:-1]
        first, second = hashes[heads[:-1]][same], hashes[heads[1:]][same]
        self._add(sums, _mixed(first * _PAIR_MULTIPLIER + second), owners[1:][same], np.full(len(first), _PAIR_WEIGHT))

    def _add(
        self,
        sums: npt.NDArray[np.float64],
        hashes: npt.NDArray[np.uint64],
        owners: npt.NDArray[np.int64],
        weights: npt.NDArray[np.float64],
    ) -> None:
        signs = 1.0 - 2.0 * (hashes >> np.uint64(63)).astype(np.float64)
        columns = (hashes % np.uint64(self._dimension)).astype(np.int64)
        sums += np.bincount(owners * self._dimension + columns, weights * signs, minlength=len(sums))

    def _features(self, word: str) -> npt.NDArray[np.uint64]:
        """Hash of the word, then of its pieces."""
        known = self._words.get(word)
        if known is None:
            if len(self._words) >= _MAX_REMEMBERED_WORDS:
                self._words.clear()
            pieces = [f"<{word}>"[at : at + 3] for at in range(len(word))] if _LETTERS.match(word) else []
            known = np.array([_hash(word), *(_hash("piece " + piece) for piece in pieces)], dtype=np.uint64)
            self._words[word] = known
        return known


def _hash(feature: str) -> np.uint64:
    # Python's own hash differs between processes.
    raw = hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.uint64(int.from_bytes(raw, "little"))


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread the bits of sums evenly (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
