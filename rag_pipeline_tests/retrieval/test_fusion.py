"""Fusing by scores: a retriever that has nothing to say does not spoil the other."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.retrieval.fusion import KNOWN_LETTERS, SCALE_DEPTH, fuse, scaled_cosines, trust

NAMES = [f"c{number:03}" for number in range(300)]


def falling(first: float, last: float, count: int) -> list[float]:
    return [first + (last - first) * at / max(1, count - 1) for at in range(count)]


def order(vector: list[tuple[str, float]], text: list[tuple[str, float]], said: dict[str, float]) -> list[str]:
    scores = fuse(vector, text, said).scores
    return sorted(scores, key=lambda name: -scores[name])


def test_words_decide_where_the_vectors_know_nothing_of_them() -> None:
    """The model does not know the language: its hits are others altogether, and say nothing of the question."""
    vector = list(zip(NAMES[100:200], falling(0.84, 0.80, 100), strict=True))
    text = list(zip(NAMES[:100], [20.0, 19.0, *falling(6, 3, 98)], strict=True))
    said = {NAMES[0]: 0.6, NAMES[100]: 0.0}
    assert fuse(vector, text, said).vector_weight < 0.05
    assert order(vector, text, said)[:2] == NAMES[:2]


def test_vectors_count_where_the_best_hit_by_words_says_little_of_what_is_asked() -> None:
    """A question worded unlike its answer, or in a filing whose every page has the words that it shares with them."""
    vector = list(zip(NAMES[:100], falling(0.9, 0.3, 100), strict=True))
    text = list(zip(NAMES[50:150], falling(9.0, 5.0, 100), strict=True))
    worded_otherwise = fuse(vector, text, {NAMES[50]: 0.2, NAMES[0]: 0.2}).vector_weight
    assert worded_otherwise > 0.6
    assert order(vector, text, {NAMES[50]: 0.2, NAMES[0]: 0.2})[0] == NAMES[0]
    steep = list(zip(NAMES[50:150], [9.0, *falling(1.0, 0.5, 99)], strict=True))
    assert fuse(vector, steep, {NAMES[50]: 0.2, NAMES[0]: 0.2}).vector_weight < worded_otherwise
    assert fuse(vector, text, {NAMES[50]: 1.0, NAMES[0]: 0.2}).vector_weight < 0.2


def test_the_only_text_with_what_is_asked_for_comes_first() -> None:
    """One text has the identifier; that no other hit by words falls below it makes its retriever no flatter."""
    vector = list(zip(NAMES[:100], falling(0.5, 0.1, 100), strict=True))
    assert order(vector, [(NAMES[200], 7.0)], {NAMES[200]: 1.0, NAMES[0]: 0.0})[0] == NAMES[200]


def test_a_retriever_that_found_nothing_leaves_the_order_to_the_other() -> None:
    vector = list(zip(NAMES[:5], falling(0.9, 0.3, 5), strict=True))
    assert order(vector, [], {}) == NAMES[:5]
    assert fuse(vector, [], {}).vector_weight == 1
    assert order([], [("a", 3.0), ("b", 2.0)], {}) == ["a", "b"]
    assert fuse([], [], {}).scores == {}


def test_equal_cosines_and_scores_without_width_are_no_division_by_zero() -> None:
    fused = fuse([("a", 0.5), ("b", 0.5)], [("b", 0.0), ("c", 0.0)], {})
    assert all(math.isfinite(score) for score in fused.scores.values())
    assert fused.scores["a"] == fused.scores["b"] > fused.scores["c"]


def test_an_id_twice_in_one_retriever_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        fuse([("a", 0.5), ("a", 0.4)], [], {})


def test_what_lies_below_the_scale_keeps_its_order_and_weighs_nothing() -> None:
    scaled = scaled_cosines(list(zip(NAMES, falling(0.9, 0.1, 300), strict=True)))
    values = list(scaled.values())
    assert values == sorted(values, reverse=True)
    assert values[SCALE_DEPTH - 1] == 0
    assert -1e-5 < values[-1] < 0


SCORES = st.lists(st.floats(0.01, 50), min_size=1, max_size=250).map(lambda values: sorted(values, reverse=True))


@given(cosines=SCORES, bm25=SCORES, offset=st.integers(0, 50), by_words=st.floats(0, 1), by_vector=st.floats(0, 1))
def test_scores_stay_in_bounds_and_a_longer_search_begins_like_a_shorter(
    cosines: list[float], bm25: list[float], offset: int, by_words: float, by_vector: float
) -> None:
    vector = [(NAMES[at], cosine / 50) for at, cosine in enumerate(cosines)]
    text = [(NAMES[at + offset], score) for at, score in enumerate(bm25)]
    said = {vector[0][0]: by_vector} | {text[0][0]: by_words}
    fused = fuse(vector, text, said)
    assert set(fused.scores) == {name for name, _ in [*vector, *text]}
    assert all(-1e-5 <= score <= 1 + 1e-9 for score in fused.scores.values())
    assert 0 <= fused.vector_weight <= 1
    # What both searches know of a text in the first hundred of each retriever is the same.
    shorter = fuse(vector[:SCALE_DEPTH], text[:SCALE_DEPTH], said)
    if len(vector) >= SCALE_DEPTH:
        assert shorter.vector_weight == pytest.approx(fused.vector_weight)
        for name, _ in text[:SCALE_DEPTH]:
            assert shorter.scores[name] == pytest.approx(fused.scores[name], abs=1e-5)


@given(
    cosines=SCORES,
    bm25=SCORES,
    offset=st.integers(0, 50),
    by_words=st.floats(0, 1),
    by_vector=st.floats(0, 1),
    scale=st.floats(0.1, 5),
    letters=st.floats(0, 6),
)
def test_vectors_count_the_less_the_fewer_letters_its_tokens_have(
    cosines: list[float],
    bm25: list[float],
    offset: int,
    by_words: float,
    by_vector: float,
    scale: float,
    letters: float,
) -> None:
    vector = [(NAMES[at], cosine / 50) for at, cosine in enumerate(cosines)]
    text = [(NAMES[at + offset], score) for at, score in enumerate(bm25)]
    said = {vector[0][0]: by_vector} | {text[0][0]: by_words}
    whole = fuse(vector, text, said, scale)
    part = fuse(vector, text, said, scale, letters)
    assert part.vector_weight <= whole.vector_weight
    # No fit of a pipeline's questions gives weight to what cannot be read.
    assert part.vector_weight <= trust(letters)
    if letters >= KNOWN_LETTERS:
        assert part == whole
    nothing = fuse(vector, text, said, scale, 0.0).scores
    known = [name for name, _ in text]
    assert [name for name in sorted(nothing, key=lambda name: -nothing[name]) if name in known] == known
    assert all(nothing[name] <= min(score for _, score in text) for name in nothing if name not in known)


@given(st.lists(st.floats(0, 9), min_size=2).map(sorted))
def test_trust_is_a_share_and_never_falls_as_tokens_grow(letters: list[float]) -> None:
    trusted = [trust(each) for each in letters]
    assert trusted == sorted(trusted)
    assert all(0 <= share <= 1 for share in trusted)
    assert trust(0) == trust(1) == 0
    assert trust(math.inf) == 1


def test_where_words_find_nothing_vectors_answer_however_small_the_tokens() -> None:
    vector = list(zip(NAMES[:5], falling(0.9, 0.3, 5), strict=True))
    assert fuse(vector, [], {}, letters_per_token=0.0).vector_weight == 1
