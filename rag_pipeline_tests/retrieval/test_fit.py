"""A weight is fitted on a pipeline's questions only where held-out questions are answered better beyond chance."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.evaluation import QuestionResult
from rag_pipeline.contracts.recipe import SearchRecipe
from rag_pipeline.contracts.reranking import RerankerSpec
from rag_pipeline.retrieval.fit import SAFE_SCALE, SCALES, fit_of, fitted, mode_at, other_scales
from rag_pipeline.retrieval.fusion import fuse
from rag_pipeline.transforms.paired import LEAST_QUESTIONS, LEVEL, best_choice, chance_of, held_out


def result(number: int, mode: str, ndcg: float | None) -> QuestionResult:
    figures = dict.fromkeys(("recall", "mrr", "span_recall", "span_mrr", "span_ndcg"))
    return QuestionResult(
        question_id=f"q{number}",
        question_hash="",
        question="?",
        kind="",
        mode=mode,
        status="scored" if ndcg is not None else "stale",
        reason=None,
        document_rank=None,
        span_rank=None,
        ndcg=ndcg,
        leaks=0,
        found=(),
        **figures,  # type: ignore[arg-type]
    )


def results(count: int, gain_at: dict[float, float], seed: int = 1, noise: float = 0.3) -> list[QuestionResult]:
    """Questions that all scales answer about as well, but for a gain at some."""
    drawn = random.Random(seed)
    made: list[QuestionResult] = []
    for number in range(count):
        for scale in SCALES:
            ndcg = 0.5 + gain_at.get(scale, 0.0) + drawn.uniform(-noise, noise)
            made.append(result(number, "hybrid" if scale == SAFE_SCALE else mode_at(scale), ndcg))
        made += [result(number, "vector", 0.9), result(number, "text", 0.1)]
    return made


def test_a_scale_that_is_better_on_nearly_all_questions_is_taken() -> None:
    fit = fit_of(results(80, {1.4: 0.2}))
    assert fit.scale == 1.4
    assert fit.gain is not None
    assert 0.1 < fit.gain < 0.25
    assert fit.chance is not None
    assert fit.chance < LEVEL
    assert fit.questions == 80


def test_noise_alone_moves_the_weight_about_as_seldom_as_the_level_says() -> None:
    moved = sum(fit_of(results(60, {}, seed)).scale != SAFE_SCALE for seed in range(60))
    assert moved <= 8


def test_too_few_questions_and_stale_ones_move_nothing() -> None:
    assert fit_of(results(LEAST_QUESTIONS - 1, {2.0: 0.4})).scale == SAFE_SCALE
    stale = [result(number, mode_at(2.0), None) for number in range(90)]
    assert fit_of([*stale, *(result(number, "hybrid", 0.2) for number in range(90))]).gain is None
    assert fit_of([]).scale == SAFE_SCALE


def test_the_same_questions_in_another_order_give_the_same_fit() -> None:
    made = results(70, {0.5: 0.1})
    shuffled = made[:]
    random.Random(3).shuffle(shuffled)
    assert fit_of(made) == fit_of(shuffled)


def test_scales_are_tried_once_and_only_where_they_can_tell() -> None:
    assert other_scales(SearchRecipe(), LEAST_QUESTIONS) == tuple(scale for scale in SCALES if scale != SAFE_SCALE)
    assert other_scales(SearchRecipe(), LEAST_QUESTIONS - 1) == ()
    assert other_scales(SearchRecipe(vector_scale=1.4), 900) == ()


def test_a_fit_is_part_of_what_names_the_order() -> None:
    recipe = SearchRecipe(RerankerSpec("tiny"), "f")
    moved = fitted(recipe, fit_of(results(80, {1.4: 0.2})))
    assert moved.fingerprint not in ("", recipe.fingerprint)
    assert moved.unfitted == recipe
    assert SearchRecipe.of({"recipe": None}) == SearchRecipe()


@given(st.lists(st.floats(-1, 1), max_size=40))
def test_chance_is_a_share_and_falls_with_more_gain(differences: list[float]) -> None:
    chance = chance_of(differences)
    assert 0 < chance <= 1
    assert chance_of([value + 0.5 for value in differences]) <= chance + 1e-9 or not differences


def test_chance_is_one_without_a_gain_and_small_where_all_gain() -> None:
    assert chance_of([]) == 1
    assert chance_of([0.0, 0.0]) == 1
    assert chance_of([-0.2, 0.1]) == 1
    assert chance_of([0.1] * 20) < 0.001
    assert chance_of([0.1] * 3) == pytest.approx(1 / 8, abs=0.03)


def test_gains_are_of_choices_made_on_other_questions() -> None:
    # Each question likes a scale of its own: whatever the others chose is worth nothing to it.
    by_choice = {scale: {f"q{n}": float(n % 7 == at) for n in range(70)} for at, scale in enumerate(SCALES)}
    gains = held_out(by_choice, SAFE_SCALE)
    best = best_choice(by_choice, SAFE_SCALE, sorted(gains))
    assert best == SAFE_SCALE
    assert sum(gains.values()) <= 0


def test_the_weight_is_scaled_and_stays_a_share() -> None:
    vector = [(f"v{n}", 0.9 - n / 200) for n in range(100)]
    text = [("v0", 9.0), *((f"t{n}", 3.0 - n / 50) for n in range(30))]
    said = {"v0": 0.5}
    plain = fuse(vector, text, said)
    assert 0 < plain.vector_weight < 0.5
    assert fuse(vector, text, said, 0.5).vector_weight == pytest.approx(plain.vector_weight / 2)
    assert fuse(vector, text, said, 1e6).vector_weight == 1
    assert fuse(vector, [], said, 0.25).vector_weight == 1
    assert fuse([], text, said, 2).vector_weight == 0
