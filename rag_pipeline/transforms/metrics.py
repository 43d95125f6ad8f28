"""Quality of a ranking against what was expected, with binary relevance.

Belongs here: figures of one question from the ranks of its expected items, and their means.
Does not belong here: finding out those ranks (`retrieval/evaluate.py`).

One question is described by `ranks`: for each expected item the place, from 1, at which it first appears in the
ranking, or None if it does not. Two items may share a place when one chunk answers both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

Ranks = Sequence[int | None]


def recall_at(ranks: Ranks, k: int) -> float:
    """Share of the expected items that appear in the first k places, 0 to 1.

    Raises:
        ValueError: Nothing is expected, a rank is below 1, or k is.

    Source: Manning, Raghavan and Schuetze, "Introduction to Information Retrieval", 2008, section 8.3, cut at k.
    """
    return len(_within(ranks, k)) / len(ranks)


def reciprocal_rank_at(ranks: Ranks, k: int) -> float:
    """One over the best rank, or 0 when no expected item is in the first k places; its mean is MRR@k.

    Raises:
        ValueError: As for `recall_at`.

    Source: Voorhees, "The TREC-8 Question Answering Track Report", 1999.
    """
    found = _within(ranks, k)
    return 1 / min(found) if found else 0.0


def ndcg_at(ranks: Ranks, k: int) -> float:
    """Normalised discounted cumulative gain in the first k places, 0 to 1.

    Each place that brings an expected item gains `1 / log2(1 + rank)`; the ideal has those places first. Items that
    share a place are one gain in the ideal too, so a ranking that answers everything at once scores 1. Without such
    items this is the binary nDCG of trec_eval and of the BEIR and MTEB tables.

    Raises:
        ValueError: As for `recall_at`.

    Source: Jarvelin and Kekalainen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002.
    """
    found = set(_within(ranks, k))
    places = len({rank for rank in ranks if rank is not None}) + sum(rank is None for rank in ranks)
    ideal = math.fsum(_gain(rank) for rank in range(1, min(places, k) + 1))
    return math.fsum(_gain(rank) for rank in found) / ideal


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are there; None if there are none."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def percentile(values: Iterable[float], share: float) -> float | None:
    """Smallest value that at least `share` of the values do not exceed (nearest rank); None of no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _within(ranks: Ranks, k: int) -> list[int]:
    if not ranks:
        raise ValueError("nothing is expected; a question without an answer has no figures")
    if k < 1:
        raise ValueError(f"k is {k}, want at least 1")
    if any(rank is not None and rank < 1 for rank in ranks):
        raise ValueError("ranks count from 1")
    return [rank for rank in ranks if rank is not None and rank <= k]


def _gain(rank: int) -> float:
    return 1 / math.log2(1 + rank)
