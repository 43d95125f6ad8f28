"""The check that compares hybrid search with its retrievers."""

from __future__ import annotations

import pytest

from rag_pipeline.contracts.evaluation import Metrics
from rag_pipeline.defs.hybrid_checks import compared_with_each


def metrics(**ndcg: float | None) -> list[Metrics]:
    return [Metrics(mode, 10, 0, 0.5, 0.5, value, None, None, None) for mode, value in ndcg.items()]


def test_a_retriever_that_finds_better_alone_is_yellow_and_named() -> None:
    result = compared_with_each(metrics(hybrid=0.7, vector=0.3, text=0.71))
    assert not result.passed
    assert "mode text alone finds 0.010 nDCG better" in str(result.description)
    assert "vector" not in str(result.description)
    assert result.metadata["rag/hybrid_ndcg"].value == 0.7


@pytest.mark.parametrize(
    "figures", [[], metrics(hybrid=0.7, vector=0.7, text=0.705), metrics(hybrid=None, vector=None, text=None)]
)
def test_equal_retrievers_and_no_figures_are_fine(figures: list[Metrics]) -> None:
    assert compared_with_each(figures).passed
