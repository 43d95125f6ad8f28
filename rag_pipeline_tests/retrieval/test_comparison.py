"""Two evaluations are compared on what both could score, question by question."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag_pipeline.contracts.evaluation import QuestionResult
from rag_pipeline.retrieval.comparison import compare, metrics_of, regressions
from rag_pipeline.transforms.metrics import ndcg_at


def result(name: str, rank: int | None, span: int | None = None, *, quoted: bool = True) -> QuestionResult:
    figure = ndcg_at([rank], 10)
    spans = ndcg_at([span], 10) if quoted else None
    return QuestionResult(
        question_id=name,
        question_hash=name,
        question=f"question {name}",
        kind="",
        mode="hybrid",
        status="scored",
        reason=None,
        document_rank=rank,
        span_rank=span,
        recall=float(rank is not None),
        mrr=1 / rank if rank else 0.0,
        ndcg=figure,
        span_recall=spans,
        span_mrr=spans,
        span_ndcg=spans,
        leaks=0,
        found=(),
    )


def stale(name: str) -> QuestionResult:
    figures = dict.fromkeys(("recall", "mrr", "ndcg", "span_recall", "span_mrr", "span_ndcg"))
    return replace(result(name, 1, 1), status="stale", document_rank=None, span_rank=None, **figures)  # type: ignore[arg-type]


def test_wins_and_losses_are_named_most_first() -> None:
    before = [result("a", 1, 1), result("b", 3, 3), result("c", 2, 2), result("d", 1, 1)]
    after = [result("a", 2, 2), result("b", 1, 1), result("c", None, None), result("d", 1, 1)]
    found = compare(before, after, "hybrid")
    assert [change.question_id for change in found.wins] == ["b"]
    assert [change.question_id for change in found.losses] == ["c", "a"]
    assert found.ties == 1
    assert (found.losses[1].document_rank_before, found.losses[1].document_rank_after) == (1, 2)


def test_a_question_that_one_side_cannot_score_is_left_out_of_both() -> None:
    before = [result("kept", 1, 1), result("deleted", 1, 1), result("gone", 1, 1), result("reworded", 1, 1)]
    after = [result("kept", 1, 1), stale("deleted"), result("new", None), replace(before[3], question_hash="other")]
    found = compare(before, after, "hybrid")
    assert found.before == found.after
    assert found.before.questions == 1
    assert found.left_out == ("deleted", "gone", "new", "reworded")
    assert regressions(found, 0.0) == {}


def test_a_span_that_one_side_cannot_judge_is_left_out_of_both_and_its_document_is_not() -> None:
    before = [result("a", 1, 1), result("b", 1, 1)]
    after = [result("a", 1, quoted=False), result("b", 1, 1)]
    found = compare(before, after, "hybrid")
    assert (found.after.questions, found.after.spans, found.before.spans) == (2, 1, 1)
    assert found.after.span_ndcg == 1


def test_a_fall_within_the_tolerance_is_no_regression() -> None:
    before = [result(str(number), 1, 1) for number in range(10)]
    after = [result("0", 2, 1), *before[1:]]
    found = compare(before, after, "hybrid")
    fall = 1 - ndcg_at([2], 10)
    assert regressions(found, 0.02) == {"ndcg": pytest.approx(fall / 10)}
    assert regressions(found, fall / 10) == {}
    assert regressions(found, 0.0, ["recall"]) == {}


def test_means_of_no_question_are_nothing() -> None:
    found = metrics_of([stale("a")], "hybrid")
    assert (found.questions, found.spans, found.ndcg, found.span_ndcg) == (0, 0, None, None)
