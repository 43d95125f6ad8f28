"""Fusing two retrievers by their scores, with a weight that follows what the two retrievers say of this very query.

Belongs here: pure functions from scored rankings to fused scores.
Does not belong here: where the rankings come from (`ranking.py`), how much of a question a text says
(`transforms/said.py`), how the numbers were found (docs/decisions.md).

Ranks cannot say that a retriever has nothing to say; scores and texts can. BM25 falls steeply where the words of a
question stand in few texts, and its best hit has most of them. Where even that one has few, the question is worded
unlike its answer, and the vectors know better; unless theirs has none of what the words found, as in a language that
their model does not know. Where the model cuts the question into loose letters, they hardly count at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# How many hits of the vector retriever its scale is taken from, however many were asked for: the first ten hits of a
# search are the same ten of a longer one.
SCALE_DEPTH = 100
# Fewer hits by words than so many count as if zeros followed: a lone hit stands out and is not flat.
LEAST_HITS = 10
# weight = 1 / (1 + exp(-(BASE + SAID * said + FLAT * flat + SHARED * shared))), fitted on sixteen sets.
BASE = -3.35
SAID = -5.96
FLAT = 7.82
SHARED = 1.9
# From loose letters, which mean nothing, to parts of words as large as those of languages that a model knows somewhat.
# The packaged English model has 4.4 letters a token of English, 2.8 of German and Spanish, 2 of Turkish and
# Vietnamese, and 1 and less of other scripts.
LOOSE_LETTERS = 1.0
KNOWN_LETTERS = 2.5
# Keeps the order of vector hits that lie below the scale, and weighs nothing.
BELOW_SCALE = 1e-6

# Names the rule in the fingerprint of an evaluation.
FUSION = f"scores {SCALE_DEPTH} {LEAST_HITS} {BASE} {SAID} {FLAT} {SHARED} {LOOSE_LETTERS} {KNOWN_LETTERS}"

Scored = Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Fused:
    """Fused scores by id, in [0, 1] but for rounding, and the weight of the vector retriever in them."""

    scores: Mapping[str, float]
    vector_weight: float


def fuse(
    vector: Scored, text: Scored, said: Mapping[str, float], scale: float = 1.0, letters_per_token: float = math.inf
) -> Fused:
    """One score for each id of two retrievers.

    Args:
        vector: (id, cosine similarity), best first; no id stands twice.
        text: (id, BM25), best first; no id stands twice.
        said: How much of the question the text of an id says, in [0, 1]; asked of each retriever's first.
        scale: What the rule's weight is multiplied by; it stays at most 1.
        letters_per_token: Of the question, as the embedding model cuts it.

    Raises:
        ValueError: An id stands twice in one retriever.

    Source: convex combination with min-max scaling, the theoretical minimum for BM25; Bruch, Gai and Ingber, "An
    Analysis of Fusion Functions for Hybrid Retrieval", TOIS 2023.
    """
    by_vector, by_text = scaled_cosines(vector), scaled_bm25(text)
    if len(by_vector) != len(vector) or len(by_text) != len(text):
        raise ValueError("an id stands twice in one ranking")
    by_rule = vector_weight(vector, list(by_text.values()), said_by_best(vector, text, said))
    weight = min(1.0, scale * by_rule) * trust(letters_per_token)
    if not text:
        weight = 1.0
    least = min(by_vector.values(), default=0.0)
    names = dict.fromkeys([*by_vector, *by_text])
    scores = {
        name: weight * by_vector.get(name, min(0.0, least)) + (1 - weight) * by_text.get(name, 0.0) for name in names
    }
    return Fused(scores, weight)


def scaled_cosines(vector: Scored) -> dict[str, float]:
    """1 for the first, 0 for the hundredth; what comes after lies a little below, in its order."""
    if not vector:
        return {}
    best, least = vector[0][1], vector[min(SCALE_DEPTH, len(vector)) - 1][1]
    width = best - least
    if width <= 0:
        return {name: 1.0 if cosine >= least else BELOW_SCALE * (cosine - least) for name, cosine in vector}
    return {
        name: (cosine - least) / width if cosine >= least else BELOW_SCALE * (cosine - least) for name, cosine in vector
    }


def scaled_bm25(text: Scored) -> dict[str, float]:
    """1 for the first, and 0 for what has no word of the question: BM25's own least."""
    best = text[0][1] if text else 0.0
    return {name: score / best if best > 0 else 0.0 for name, score in text}


def said_by_best(vector: Scored, text: Scored, said: Mapping[str, float]) -> tuple[float, float]:
    """How much of the question the best hit by words says, and the best by vector."""
    by_words, by_vector = (said.get(retriever[0][0], 0.0) if retriever else 0.0 for retriever in (text, vector))
    return by_words, by_vector


def trust(letters_per_token: float) -> float:
    """What vectors count at most, in [0, 1], of a question whose tokens have so many letters.

    Which letters stand in a question says next to nothing of what it asks, however sure the cosines look.
    """
    return min(1.0, max(0.0, (letters_per_token - LOOSE_LETTERS) / (KNOWN_LETTERS - LOOSE_LETTERS)))


def vector_weight(vector: Scored, scaled_text: Sequence[float], said: tuple[float, float]) -> float:
    """What the vector retriever counts for this query, in [0, 1]; the words have the rest.

    Args:
        scaled_text: Scaled BM25 of the text retriever, best first; 1 is answered where it found nothing.
        said: As `said_by_best` gives it.
    """
    if not scaled_text:
        return 1.0
    if not vector:
        return 0.0
    by_words, by_vector = said
    first = scaled_text[:SCALE_DEPTH]
    flat = sum(first) / max(LEAST_HITS, len(first))
    shared = min(1.0, by_vector / by_words) if by_words > 0 else 1.0
    return 1 / (1 + math.exp(-(BASE + SAID * by_words + FLAT * flat + SHARED * shared)))
