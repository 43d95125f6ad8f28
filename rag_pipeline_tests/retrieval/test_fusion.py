"""Fusing by scores: a leg that has nothing to say does not spoil the other."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.retrieval.fusion import MOST, SCALE_DEPTH, fuse, scaled_cosines

NAMES = [f"c{number:03}" for number in range(300)]


def falling(first: float, last: float, count: int) -> list[float]:
    return [first + (last - first) * at / max(1, count - 1) for at in range(count)]


def order(vector: list[tuple[str, float]], text: list[tuple[str, float]]) -> list[str]:
    scores = fuse(vector, text).scores
    return sorted(scores, key=lambda name: -scores[name])


def test_words_decide_where_the_vectors_know_nothing_of_them() -> None:
    """The model does not know the language: its hits are others altogether, all about equally near."""
    vector = list(zip(NAMES[100:200], falling(0.84, 0.80, 100), strict=True))
    text = list(zip(NAMES[:100], [20.0, 19.0, *falling(6, 3, 98)], strict=True))
    fused = fuse(vector, text)
    assert fused.vector_weight < 0.1
    assert order(vector, text)[:2] == NAMES[:2]


def test_vectors_count_where_both_agree_and_the_words_tell_little() -> None:
    vector = list(zip(NAMES[:100], falling(0.9, 0.3, 100), strict=True))
    text = list(zip(NAMES[:100], falling(9.0, 7.0, 100), strict=True))
    agreeing = fuse(vector, text).vector_weight
    assert agreeing > 0.35
    steep = list(zip(NAMES[:100], [9.0, *falling(1.0, 0.5, 99)], strict=True))
    assert fuse(vector, steep).vector_weight < agreeing


def test_a_leg_that_found_nothing_leaves_the_order_to_the_other() -> None:
    vector = list(zip(NAMES[:5], falling(0.9, 0.3, 5), strict=True))
    assert order(vector, []) == NAMES[:5]
    assert fuse(vector, []).vector_weight == 1
    assert order([], [("a", 3.0), ("b", 2.0)]) == ["a", "b"]
    assert fuse([], []).scores == {}


def test_equal_cosines_and_scores_without_width_are_no_division_by_zero() -> None:
    fused = fuse([("a", 0.5), ("b", 0.5)], [("b", 0.0), ("c", 0.0)])
    assert all(math.isfinite(score) for score in fused.scores.values())
    assert fused.scores["a"] == fused.scores["b"] > fused.scores["c"]


def test_an_id_twice_in_one_leg_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        fuse([("a", 0.5), ("a", 0.4)], [])


def test_what_lies_below_the_scale_keeps_its_order_and_weighs_nothing() -> None:
    scaled = scaled_cosines(list(zip(NAMES, falling(0.9, 0.1, 300), strict=True)))
    values = list(scaled.values())
    assert values == sorted(values, reverse=True)
    assert values[SCALE_DEPTH - 1] == 0
    assert -1e-5 < values[-1] < 0


LEG = st.lists(st.floats(0.01, 50), min_size=1, max_size=250).map(lambda values: sorted(values, reverse=True))


@given(cosines=LEG, bm25=LEG, offset=st.integers(0, 50))
def test_scores_stay_in_bounds_and_a_longer_search_begins_like_a_shorter(
    cosines: list[float], bm25: list[float], offset: int
) -> None:
    vector = [(NAMES[at], cosine / 50) for at, cosine in enumerate(cosines)]
    text = [(NAMES[at + offset], score) for at, score in enumerate(bm25)]
    fused = fuse(vector, text)
    assert set(fused.scores) == {name for name, _ in [*vector, *text]}
    assert all(-1e-5 <= score <= 1 + 1e-9 for score in fused.scores.values())
    assert 0 <= fused.vector_weight <= MOST
    # What both searches know of a text in the first hundred of each leg is the same.
    shorter = fuse(vector[:SCALE_DEPTH], text[:SCALE_DEPTH])
    if len(vector) >= SCALE_DEPTH:
        assert shorter.vector_weight == pytest.approx(fused.vector_weight)
        for name, _ in text[:SCALE_DEPTH]:
            assert shorter.scores[name] == pytest.approx(fused.scores[name], abs=1e-5)
