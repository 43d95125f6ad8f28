"""Fusing two legs by their scores, with a weight that follows what the scores say of this very query.

Belongs here: pure functions from scored rankings to fused scores.
Does not belong here: where the rankings come from (`ranking.py`), how the numbers were found (docs/decisions.md).

Ranks cannot say that a leg has nothing to say; scores can. The vector leg always finds something, and of a text in a
language that its model does not know it finds anything. Then the best hit by words is nowhere near its first, while
BM25 falls steeply where the words of a question stand in few texts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# How many hits of the vector leg its scale is taken from, however many were asked for: the first ten hits of a search
# are the same ten of a longer one.
SCALE_DEPTH = 100
# BM25 is compared with its tenth hit.
DROP_AT = 10
# weight = MOST / (1 + exp(-(BASE + AGREEMENT * agreement + DROP * drop))), fitted on eight sets.
MOST = 0.41
BASE = 1.62
AGREEMENT = 4.74
DROP = -4.07
# Keeps the order of vector hits that lie below the scale, and weighs nothing.
BELOW_SCALE = 1e-6

# Names the rule in the fingerprint of an evaluation.
FUSION = f"scores {SCALE_DEPTH} {DROP_AT} {MOST} {BASE} {AGREEMENT} {DROP}"

Scored = Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Fused:
    """Fused scores by id, in [0, 1] but for rounding, and the weight of the vector leg that they were made with."""

    scores: Mapping[str, float]
    vector_weight: float


def fuse(vector: Scored, text: Scored, scale: float = 1.0) -> Fused:
    """One score for each id of two legs.

    Args:
        vector: (id, cosine similarity), best first; no id stands twice.
        text: (id, BM25), best first; no id stands twice.
        scale: What the rule's weight is multiplied by; it stays at most 1.

    Raises:
        ValueError: An id stands twice in one leg.

    Source: convex combination with min-max scaling, the theoretical minimum for BM25; Bruch, Gai and Ingber, "An
    Analysis of Fusion Functions for Hybrid Retrieval", TOIS 2023.
    """
    by_vector, by_text = scaled_cosines(vector), scaled_bm25(text)
    if len(by_vector) != len(vector) or len(by_text) != len(text):
        raise ValueError("an id stands twice in one ranking")
    weight = min(1.0, scale * vector_weight(list(by_vector.values())[:SCALE_DEPTH], by_vector, text))
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


def vector_weight(scale: Sequence[float], by_vector: Mapping[str, float], text: Scored) -> float:
    """What the vector leg counts for this query, in [0, 1]; the words have the rest.

    Args:
        scale: The first scaled cosines.
        by_vector: All scaled cosines, by id.
        text: The text leg; 1 is answered where it found nothing.
    """
    if not text:
        return 1.0
    if not scale:
        return 0.0
    found = max(0.0, by_vector.get(text[0][0], 0.0))
    agreement = found - sum(scale) / len(scale)
    tenth = text[DROP_AT - 1][1] if len(text) >= DROP_AT else 0.0
    drop = 1 - tenth / text[0][1] if text[0][1] > 0 else 0.0
    return MOST / (1 + math.exp(-(BASE + AGREEMENT * agreement + DROP * drop)))
