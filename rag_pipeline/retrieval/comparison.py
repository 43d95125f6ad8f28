"""Two evaluations side by side, question by question.

Belongs here: means, which questions can be compared, what won and what lost, what is worse than tolerated.
Does not belong here: running searches (`evaluate.py`), what is done about a loss (`refresh/evaluation.py`, `cli/`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rag_pipeline.contracts.evaluation import METRIC_NAMES, Metrics, QuestionResult
from rag_pipeline.transforms.metrics import mean

# Publication looks at these; recall at k of the same questions moves with nDCG, and rarely alone.
GATED = ("ndcg", "span_ndcg")
_ROUNDING = 1e-9
# Hybrid may be so much nDCG below a retriever alone: what a few questions more or less do by chance.
ALONE_TOLERANCE = 0.005


@dataclass(frozen=True, slots=True)
class QuestionChange:
    """One question that came out differently; `change` is of nDCG on spans where both have one, else on documents."""

    question_id: str
    question: str
    change: float
    document_rank_before: int | None
    document_rank_after: int | None
    span_rank_before: int | None
    span_rank_after: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two evaluations on the questions that both could score.

    Attributes:
        before, after: Means over those questions only.
        wins, losses: Questions that came out better or worse, most first.
        ties: Questions that came out the same.
        left_out: Ids of questions that one of the two lacks, words differently or could not score.
    """

    mode: str
    before: Metrics
    after: Metrics
    wins: tuple[QuestionChange, ...]
    losses: tuple[QuestionChange, ...]
    ties: int
    left_out: tuple[str, ...]


def metrics_of(results: Iterable[QuestionResult], mode: str) -> Metrics:
    """Means over the questions scored in one mode."""
    scored = [result for result in results if result.mode == mode and result.status == "scored"]
    means = {name: mean(getattr(result, name) for result in scored) for name in METRIC_NAMES}
    return Metrics(mode, len(scored), sum(result.span_ndcg is not None for result in scored), **means)


def better_alone(metrics: Iterable[Metrics]) -> dict[str, float]:
    """Retrievers that alone find clearly better than both together, with how much nDCG hybrid loses to each."""
    by_mode = {one.mode: one.ndcg for one in metrics}
    hybrid = by_mode.get("hybrid")
    if hybrid is None:
        return {}
    retrievers = (("vector", by_mode.get("vector")), ("text", by_mode.get("text")))
    lost = {mode: ndcg - hybrid for mode, ndcg in retrievers if ndcg is not None}
    return {mode: loss for mode, loss in lost.items() if loss > ALONE_TOLERANCE + _ROUNDING}


def compare(before: Iterable[QuestionResult], after: Iterable[QuestionResult], mode: str) -> Comparison:
    """Compare two evaluations in one mode.

    A question counts only if both have it with the same words, answers and askers, and could score it: a document
    that was deleted or moved out of an asker's reach takes its questions out of both sides. Likewise for spans.
    """
    old = {result.question_id: result for result in before if result.mode == mode}
    new = {result.question_id: result for result in after if result.mode == mode}
    pairs: list[tuple[QuestionResult, QuestionResult]] = []
    left_out: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        first, second = old.get(name), new.get(name)
        if first is not None and second is not None and _compares(first, second):
            pairs.append((first, second))
        elif any(result is not None and result.status != "no-answer" for result in (first, second)):
            left_out.append(name)
    changes = [_change(first, second) for first, second in pairs]
    return Comparison(
        mode=mode,
        before=_means([first for first, _ in pairs], [second for _, second in pairs], mode),
        after=_means([second for _, second in pairs], [first for first, _ in pairs], mode),
        wins=tuple(sorted((c for c in changes if c.change > _ROUNDING), key=lambda c: (-c.change, c.question_id))),
        losses=tuple(sorted((c for c in changes if c.change < -_ROUNDING), key=lambda c: (c.change, c.question_id))),
        ties=sum(abs(c.change) <= _ROUNDING for c in changes),
        left_out=tuple(left_out),
    )


def regressions(comparison: Comparison, tolerance: float, names: Sequence[str] = GATED) -> dict[str, float]:
    """By how much each figure fell, for those that fell by more than `tolerance`."""
    falls = {}
    for name in names:
        before, after = getattr(comparison.before, name), getattr(comparison.after, name)
        if before is not None and after is not None and before - after > tolerance + _ROUNDING:
            falls[name] = before - after
    return falls


def _compares(first: QuestionResult, second: QuestionResult) -> bool:
    return first.question_hash == second.question_hash and first.status == second.status == "scored"


def _means(results: list[QuestionResult], others: list[QuestionResult], mode: str) -> Metrics:
    """Means of one side; spans count only where both sides could judge them."""
    pairs = zip(results, others, strict=True)
    spans = [r for r, other in pairs if r.span_ndcg is not None and other.span_ndcg is not None]
    documents, quoted = metrics_of(results, mode), metrics_of(spans, mode)
    return Metrics(
        mode,
        documents.questions,
        quoted.questions,
        documents.recall,
        documents.mrr,
        documents.ndcg,
        quoted.span_recall,
        quoted.span_mrr,
        quoted.span_ndcg,
    )


def _change(first: QuestionResult, second: QuestionResult) -> QuestionChange:
    if first.span_ndcg is not None and second.span_ndcg is not None:
        change = second.span_ndcg - first.span_ndcg
        # Found at the same place within the document: the document's own place may still have moved.
        change = change or (second.ndcg or 0) - (first.ndcg or 0)
    else:
        change = (second.ndcg or 0) - (first.ndcg or 0)
    return QuestionChange(
        question_id=second.question_id,
        question=second.question,
        change=change,
        document_rank_before=first.document_rank,
        document_rank_after=second.document_rank,
        span_rank_before=first.span_rank,
        span_rank_after=second.span_rank,
    )
