"""Figures of a ranking: known values, and a second implementation written the long way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.transforms.metrics import mean, ndcg_at, percentile, recall_at, reciprocal_rank_at

RANKS = st.lists(st.none() | st.integers(1, 30), min_size=1, max_size=8, unique_by=lambda r: r or object())


@pytest.mark.parametrize(
    ("ranks", "k", "recall", "reciprocal", "ndcg"),
    [
        ([1], 10, 1.0, 1.0, 1.0),
        ([3], 10, 1.0, 1 / 3, 0.5),
        ([None], 10, 0.0, 0.0, 0.0),
        ([11], 10, 0.0, 0.0, 0.0),
        ([1, 2], 10, 1.0, 1.0, 1.0),
        ([2, 4], 10, 1.0, 0.5, (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))),
        ([1, None], 10, 0.5, 1.0, 1 / (1 + 1 / math.log2(3))),
        ([1, None], 1, 0.5, 1.0, 1.0),
        ([1, 1], 10, 1.0, 1.0, 1.0),
    ],
)
def test_known_values(ranks: list[int | None], k: int, recall: float, reciprocal: float, ndcg: float) -> None:
    assert recall_at(ranks, k) == pytest.approx(recall)
    assert reciprocal_rank_at(ranks, k) == pytest.approx(reciprocal)
    assert ndcg_at(ranks, k) == pytest.approx(ndcg)


@given(ranks=RANKS, k=st.integers(1, 20))
def test_figures_equal_those_of_a_ranking_written_out(ranks: list[int | None], k: int) -> None:
    relevant = {rank for rank in ranks if rank is not None}
    ranking = [place in relevant for place in range(1, k + 1)]
    gains = sum(hit / math.log2(place + 1) for place, hit in enumerate(ranking, start=1))
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(k, len(ranks)) + 1))
    assert ndcg_at(ranks, k) == pytest.approx(gains / ideal)
    assert recall_at(ranks, k) == pytest.approx(sum(ranking) / len(ranks))
    first = next((place for place, hit in enumerate(ranking, start=1) if hit), math.inf)
    assert reciprocal_rank_at(ranks, k) == pytest.approx(1 / first)


@given(ranks=st.lists(st.none() | st.integers(1, 30), min_size=1, max_size=8), k=st.integers(1, 20))
def test_figures_lie_between_0_and_1_and_a_better_rank_never_hurts(ranks: list[int | None], k: int) -> None:
    for figure in (recall_at, reciprocal_rank_at, ndcg_at):
        assert 0 <= figure(ranks, k) <= 1 + 1e-12
    better = [None if rank is None else max(1, rank - 1) for rank in ranks]
    assert recall_at(better, k) >= recall_at(ranks, k)
    assert reciprocal_rank_at(better, k) >= reciprocal_rank_at(ranks, k)


@pytest.mark.parametrize(("ranks", "k"), [([], 10), ([0], 10), ([1], 0)])
@pytest.mark.parametrize("figure", [recall_at, reciprocal_rank_at, ndcg_at])
def test_what_is_no_ranking_is_refused(figure: object, ranks: list[int | None], k: int) -> None:
    with pytest.raises(ValueError, match=r"expected|rank|k is"):
        figure(ranks, k)  # type: ignore[operator]


def test_means_and_percentiles_of_nothing_are_nothing() -> None:
    assert mean([None, None]) is None
    assert percentile([], 0.5) is None
    assert mean([1.0, None, 0.0]) == 0.5
    assert [percentile([4.0, 1.0, 3.0, 2.0], share) for share in (0.25, 0.5, 0.95, 1)] == [1, 2, 4, 4]
