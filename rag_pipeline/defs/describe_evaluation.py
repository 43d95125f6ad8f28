"""What the Dagster UI shows of an evaluation: figures to plot, the weakest questions, history.

Belongs here: translating evaluations and comparisons into Dagster metadata.
Does not belong here: the figures (`transforms/metrics.py`) and what follows from them (`refresh/gate.py`).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_pipeline.contracts.evaluation import METRIC_NAMES, EvaluationRow, Metrics, QuestionResult
from rag_pipeline.defs.describe import lines_of, plain
from rag_pipeline.defs.words import HAPPENED, counted, happened
from rag_pipeline.retrieval.comparison import Comparison, QuestionChange

if TYPE_CHECKING:
    from rag_pipeline.refresh.evaluation import Evaluation, EvaluationReport

# A screenful of the UI.
WEAKEST_SHOWN = 15


def evaluation_metadata(report: "EvaluationReport", history: Sequence[EvaluationRow], mode: str) -> dict[str, Any]:
    """Figures of an evaluation; Dagster plots every number over time.

    Args:
        history: Evaluations, newest first.
        mode: The mode that decides; its figures come without a prefix, those of the others with the mode's name.
    """
    shown: dict[str, Any] = {"rag/commits": report.commits, "rag/evaluations_computed": report.computed}
    if report.unconfirmed is not None:
        shown |= _unconfirmed(report.unconfirmed, mode)
    if report.evaluation is None:
        if report.unconfirmed is not None:
            return {HAPPENED: "No question decides: nobody has confirmed those under evaluation.questions."} | shown
        return {HAPPENED: "Nothing is asked: no questions are configured under evaluation.questions."} | shown
    row = report.evaluation.row
    asked = {"questions asked": row.questions if report.computed else 0}
    told = happened(asked, f"{row.scored:,} of {row.questions:,} questions count; leaks: {row.leaks:,}")
    by_mode = {metrics.mode: metrics for metrics in row.metrics}
    results = [result for result in report.evaluation.results if result.mode == mode]
    shown = told | _metrics(by_mode.get(mode), METRIC_NAMES) | _tables(row, mode, results, history) | shown
    for other, metrics in by_mode.items():
        # One figure of each other mode is plotted; the table has all.
        if "," not in other and other != mode:
            shown |= _metrics(metrics, ("ndcg",), f"{other}_")
    counts = ("questions", "scored", "stale", "leaks", "k", "table_version")
    shown |= {f"rag/{name}": getattr(row, name) for name in counts} | {"dagster/partition_row_count": len(history)}
    latency = {"latency_p50_ms": row.latency_p50_ms, "latency_p95_ms": row.latency_p95_ms}
    return shown | {f"rag/{name}": value for name, value in latency.items() if value is not None}


def _metrics(metrics: Metrics | None, names: Iterable[str], prefix: str = "") -> dict[str, Any]:
    values = {name: getattr(metrics, name, None) for name in names}
    return {f"rag/{prefix}{name}": value for name, value in values.items() if value is not None}


def _tables(
    row: EvaluationRow, mode: str, results: Sequence[QuestionResult], history: Sequence[EvaluationRow]
) -> dict[str, Any]:
    """What is read as a whole: by mode, question by question, over time, and by part of the corpus."""
    modes = [metrics for metrics in row.metrics if "," not in metrics.mode]
    parts = [metrics for metrics in row.metrics if metrics.mode.startswith(f"{mode}, ")]
    tables = {"rag/figures_by_mode": lines_of(_figures_line(each.mode, each) for each in modes)}
    tables["rag/weakest_questions"] = _weakest(results)
    stale = [result for result in results if result.status == "stale"]
    if stale:
        tables["rag/stale_questions"] = _left_out(stale)
    tables["rag/history"] = _history(history, mode)
    if parts:
        named = (_figures_line(each.mode.partition(", ")[2], each) for each in parts)
        tables["rag/figures_by_part"] = lines_of(named)
    return tables


def _figures_line(named: str, metrics: Metrics) -> str:
    return f"**{plain(named)}**: {counted(metrics.questions, 'question')}{_figures(metrics)}"


def _figures(metrics: Metrics | None) -> str:
    """What was measured, to stand behind something else."""
    values = ((name.replace("_", " "), getattr(metrics, name, None)) for name in METRIC_NAMES)
    return "".join(f", {name} {value:.3f}" for name, value in values if value is not None)


def _unconfirmed(evaluation: "Evaluation", mode: str) -> dict[str, Any]:
    """Questions that a program wrote and nobody confirmed; they decide nothing."""
    row, metrics = evaluation.row, evaluation.metrics(mode)
    shown: dict[str, Any] = {f"rag/unconfirmed_{name}": getattr(row, name) for name in ("questions", "stale", "leaks")}
    values = {name: getattr(metrics, name) for name in METRIC_NAMES}
    shown |= {f"rag/unconfirmed_{name}": value for name, value in values.items() if value is not None}
    stale = [result for result in evaluation.results if result.mode == mode and result.status == "stale"]
    if stale:
        shown["rag/unconfirmed_stale_questions"] = _left_out(stale)
    return shown


def comparison_metadata(comparison: Comparison | None) -> dict[str, Any]:
    """Two evaluations side by side, with the questions that lost and won."""
    if comparison is None:
        return {}
    shown: dict[str, Any] = {
        "rag/compared_questions": comparison.before.questions,
        "rag/wins": len(comparison.wins),
        "rag/losses": len(comparison.losses),
        "rag/left_out": len(comparison.left_out),
    }
    for side, metrics in (("published", comparison.before), ("this", comparison.after)):
        values = {name: getattr(metrics, name) for name in METRIC_NAMES}
        shown |= {f"rag/{side}_{name}": value for name, value in values.items() if value is not None}
    changes = [*comparison.losses, *comparison.wins][: 2 * WEAKEST_SHOWN]
    if changes:
        shown["rag/changed_questions"] = lines_of(map(_changed_line, changes))
    return shown


def _weakest(results: Sequence[QuestionResult]) -> dg.MetadataValue:
    def quality(result: QuestionResult) -> tuple[float, float]:
        return result.ndcg or 0, result.span_ndcg if result.span_ndcg is not None else 1

    scored = sorted((r for r in results if r.status == "scored"), key=quality)[:WEAKEST_SHOWN]
    return lines_of(map(_weakest_line, scored))


def _weakest_line(result: QuestionResult) -> str:
    ranks = f"document rank {_rank(result.document_rank)}, span rank {_rank(result.span_rank)}"
    kind = f" ({plain(result.kind)})" if result.kind else ""
    found = ", ".join(map(plain, result.found[:2])) or "nothing"
    return f"{_asked(result)}{kind}: {ranks}; found first: {found}"


def _left_out(stale: Iterable[QuestionResult]) -> dg.MetadataValue:
    """Questions with why they are left out."""
    return lines_of(f"{_asked(result)}: {plain(result.reason)}" for result in stale)


def _changed_line(change: QuestionChange) -> str:
    document = f"document rank {_rank(change.document_rank_before)} → {_rank(change.document_rank_after)}"
    span = f"span rank {_rank(change.span_rank_before)} → {_rank(change.span_rank_after)}"
    return f"{_asked(change)}: nDCG {change.change:+.3f}, {document}, {span}"


def _asked(of: QuestionResult | QuestionChange) -> str:
    return f"**{plain(of.question_id)}** {plain(of.question)}"


def _history(history: Sequence[EvaluationRow], mode: str) -> dg.MetadataValue:
    lines = []
    for row in history:
        metrics = next((one for one in row.metrics if one.mode == mode), None)
        asked = f"{row.scored:,} of {row.questions:,} questions of {row.questions_hash} count"
        at = f"{row.evaluated_at:%Y-%m-%d %H:%M} UTC"
        lines.append(f"**{at}**: version {row.table_version}, {asked}{_figures(metrics)}")
    return lines_of(lines)


def _rank(rank: int | None) -> str:
    return "-" if rank is None else str(rank)
