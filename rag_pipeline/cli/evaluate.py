"""`rag-pipeline eval`: search quality of an index, two evaluations side by side, and a gate for CI.

Belongs here: arguments, how figures and changes look, files of earlier figures, the exit code.
Does not belong here: evaluating (`refresh/evaluation.py`), comparing (`retrieval/comparison.py`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from rag_pipeline.cli.exit_codes import FOUND
from rag_pipeline.cli.options import QUESTIONS_OPTION, common_options, open_workspace
from rag_pipeline.cli.rendering import counted, emit, facts, moment, show, table, talk
from rag_pipeline.cli.shell import file_argument
from rag_pipeline.contracts.modes import MODES
from rag_pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag_pipeline.contracts.evaluation import Metrics, QuestionResult
    from rag_pipeline.refresh.evaluation import Evaluation
    from rag_pipeline.refresh.workspace import Workspace
    from rag_pipeline.retrieval.comparison import Comparison, QuestionChange

# As many as a person goes through; the rest stand in the table of results.
WEAKEST_SHOWN = 10
# A screenful; all of them are in the JSON.
CHANGES_SHOWN = 20
HEADINGS = {
    "recall": "Recall",
    "mrr": "MRR",
    "ndcg": "nDCG",
    "span_recall": "Span recall",
    "span_mrr": "Span MRR",
    "span_ndcg": "Span nDCG",
}
# Recall is part of the gate here: a baseline file is about one lake, where nothing is deleted by surprise.
GATED = ("ndcg", "recall", "span_ndcg")


@click.command(name="eval")
@click.option("--model", "alias", metavar="ALIAS", help="Embedding model; else the one that is served.")
@QUESTIONS_OPTION
@click.option(
    "--compare",
    "pair",
    nargs=2,
    metavar="A B",
    help="Two models, or ids of two earlier evaluations: figures side by side, and each question that changed.",
)
@click.option(
    "--baseline",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What `eval --json` printed earlier; exit code 1 if nDCG or recall fell by more than the tolerance.",
)
@click.option("--tolerance", type=click.FloatRange(0, 1), metavar="X", help="Else the one of pipeline.yaml.")
@click.option("--answers", "of_answers", is_flag=True, help="Evaluate answers of the chat model, instead of search.")
@click.option("--ci", "is_ci", is_flag=True, help="Print what fell below --baseline and nothing else.")
@common_options
def evaluate(
    alias: str | None,
    files: tuple[Path, ...],
    pair: tuple[str, str] | None,
    baseline: Path | None,
    tolerance: float | None,
    of_answers: bool,
    is_ci: bool,
    as_json: bool,
) -> None:
    """Measure how well the newest audited index answers the questions; what was measured before is only read.

    With --answers the chat model is asked, and its answers are scored by what is expected of them.

    Exit code 1: below the baseline, or a question was answered with what its asker may not read.

    Example: rag-pipeline eval --baseline evaluation.json
    """
    if pair is not None and (alias is not None or baseline is not None):
        raise UsageError("--compare goes with neither --model nor --baseline: it names both sides itself")
    if is_ci and baseline is None:
        raise UsageError("--ci holds figures to those of an earlier evaluation; name its file with --baseline")
    if of_answers:
        if pair is not None or alias is not None:
            raise UsageError("--answers is about what readers see; it goes with neither --compare nor --model")
        _answers(files, baseline, tolerance, as_json=as_json, is_ci=is_ci)
        return
    earlier = None if baseline is None else read_baseline(baseline)
    with open_workspace() as workspace:
        if pair is not None:
            _compare(workspace, pair, files, as_json)
            return
        evaluation, unconfirmed = _evaluation(workspace, alias, files)
        settings = workspace.settings.evaluation
    if as_json:
        emit(record_of(evaluation, settings.mode))
    elif not is_ci:
        _show(evaluation, settings.mode, unconfirmed)
    failed = any([_leaked(each) for each in (evaluation, unconfirmed) if each is not None])
    if earlier is not None:
        allowed = settings.tolerance if tolerance is None else tolerance
        failed = _is_below(earlier, evaluation, settings.mode, allowed) or failed
    if failed:
        click.get_current_context().exit(FOUND)


def _answers(
    files: tuple[Path, ...], baseline: Path | None, tolerance: float | None, *, as_json: bool, is_ci: bool
) -> None:
    from rag_pipeline.cli.evaluate_answers import evaluate_answers

    if evaluate_answers(files, baseline, tolerance, as_json=as_json, is_terse=is_ci):
        click.get_current_context().exit(FOUND)


def record_of(evaluation: Evaluation, mode: str) -> dict[str, Any]:
    """An evaluation as one JSON object: figures by mode, and every question.

    Args:
        mode: The mode whose figures decide; they are repeated at the top.
    """
    row = evaluation.row.row()
    leading = {name: getattr(evaluation.metrics(mode), name) for name in HEADINGS}
    return {**row, "mode": mode, **leading, "results": [asdict(result) for result in evaluation.results]}


def read_baseline(path: Path) -> tuple[QuestionResult, ...]:
    """Results that `eval --json` printed into a file.

    Raises:
        UsageError: The file is missing, or is something else.
    """
    from rag_pipeline.contracts.evaluation import QuestionResult

    try:
        record = json.loads(path.read_text("utf-8"))
        return tuple(QuestionResult.of(result) for result in record["results"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is not a baseline ({type(error).__name__}: {error}); make one with: "
            f"rag-pipeline eval --json > {file_argument(str(path))}",
            path=str(path),
        ) from error


def _evaluation(workspace: Workspace, alias: str | None, files: Sequence[Path]) -> tuple[Evaluation, Evaluation | None]:
    """The evaluation that decides, and that of questions that nobody confirmed, where both are asked."""
    from rag_pipeline.refresh.evaluation import refresh_evaluation

    report = refresh_evaluation(workspace, alias, files=files or None)
    found = report.evaluation or report.unconfirmed
    if found is None:
        raise UsageError(
            "there are no questions: name files under evaluation.questions in pipeline.yaml, or with --questions"
        )
    return found, report.unconfirmed if report.evaluation is not None else None


def _side(workspace: Workspace, name: str, files: Sequence[Path]) -> Evaluation:
    from rag_pipeline.refresh.evaluation import read_evaluation

    if name in workspace.settings.embedding_models:
        return _evaluation(workspace, name, files)[0]
    found = read_evaluation(workspace, name)
    if found is None:
        known = ", ".join(sorted(workspace.settings.embedding_models))
        raise UsageError(
            f"{name!r} is neither an embedding model ({known}) nor the id of one evaluation; to see those: "
            f'rag-pipeline sql "SELECT evaluation_id, alias, evaluated_at FROM gold.evaluations"',
            name=name,
        )
    return found


def _compare(workspace: Workspace, pair: tuple[str, str], files: Sequence[Path], as_json: bool) -> None:
    from rag_pipeline.retrieval.comparison import compare

    before, after = (_side(workspace, name, files) for name in pair)
    comparisons = [compare(before.results, after.results, mode) for mode in MODES]
    chosen = next(c for c in comparisons if c.mode == workspace.settings.evaluation.mode)
    if as_json:
        emit({"before": pair[0], "after": pair[1], "comparisons": [asdict(c) for c in comparisons]})
        return
    columns = ["Mode", "", *((heading, "right") for heading in HEADINGS.values())]
    rows = [
        [comparison.mode if side == 0 else "", pair[side], *_figures(metrics)]
        for comparison in comparisons
        for side, metrics in enumerate((comparison.before, comparison.after))
    ]
    k = after.row.k
    title = f"At {k}, on the {counted(chosen.before.questions, 'question')} that both could score"
    show(table(title, columns, rows), "")  # type: ignore[arg-type]
    _show_changes(f"Better with {pair[1]} (mode {chosen.mode})", chosen.wins)
    _show_changes(f"Worse with {pair[1]} (mode {chosen.mode})", chosen.losses)
    talk(_outcome(chosen))


def _outcome(comparison: Comparison) -> str:
    text = f"{len(comparison.wins)} better, {len(comparison.losses)} worse, {comparison.ties} the same."
    if comparison.left_out:
        text += (
            f" {counted(len(comparison.left_out), 'question')} cannot be compared: "
            f"{', '.join(comparison.left_out[:CHANGES_SHOWN])}."
        )
    return text


def _show_changes(title: str, changes: Sequence[QuestionChange]) -> None:
    if not changes:
        return
    rows = [
        [
            change.question_id,
            change.question,
            f"{change.change:+.3f}",
            f"{_rank(change.document_rank_before)} → {_rank(change.document_rank_after)}",
            f"{_rank(change.span_rank_before)} → {_rank(change.span_rank_after)}",
        ]
        for change in changes[:CHANGES_SHOWN]
    ]
    columns = ["Id", "Question", ("nDCG", "right"), ("Document rank", "right"), ("Span rank", "right")]
    show(table(title, columns, rows), "")  # type: ignore[arg-type]


def _show_groups(metrics: Sequence[Metrics], mode: str) -> None:
    """nDCG by language and source in every mode, and which languages are far below the best."""
    from rag_pipeline.retrieval.groups import by_group, weak_languages, weak_sentence

    rows = []
    for group, modes in by_group(metrics).items():
        figures = [_figure(modes[name].ndcg) if name in modes else "-" for name in MODES]
        rows.append([group, str(next(iter(modes.values())).questions), *figures])
    if rows:
        columns = ["nDCG of questions by", ("Questions", "right"), *((m, "right") for m in MODES)]
        show(table("By language and source", columns, rows), "")  # type: ignore[arg-type]
    sentence = weak_sentence(weak_languages(metrics, mode))
    if sentence:
        talk(f"{sentence[:1].upper()}{sentence[1:]}.", style="yellow")


def _show(evaluation: Evaluation, mode: str, unconfirmed: Evaluation | None) -> None:
    row = evaluation.row
    columns = ["Mode", *((heading, "right") for heading in HEADINGS.values())]
    rows = [[metrics.mode, *_figures(metrics)] for metrics in row.metrics if metrics.mode in MODES]
    title = f"{row.alias} version {row.table_version} at {row.k}, {counted(row.scored, 'question')}"
    show(table(title, columns, rows), "")  # type: ignore[arg-type]
    _show_groups(row.metrics, mode)
    results = [result for result in evaluation.results if result.mode == mode]
    weak = sorted((r for r in results if r.status == "scored" and not _is_perfect(r)), key=_quality)
    columns = ["Id", "Question", ("Document rank", "right"), ("Span rank", "right"), "Found first"]
    cells = [
        [r.question_id, r.question, _rank(r.document_rank), _rank(r.span_rank), r.found[0] if r.found else None]
        for r in weak[:WEAKEST_SHOWN]
    ]
    if cells:
        show(table(f"Weakest questions (mode {mode}, {len(weak)} not first)", columns, cells), "")  # type: ignore[arg-type]
    stale = [result for result in results if result.reason is not None]
    if stale:
        why = [[result.question_id, result.question, result.reason] for result in stale]
        show(table("Not judged, or not in full", ["Id", "Question", "Why"], why), "")
    leaks = Text(str(row.leaks), style="bold red" if row.leaks else "green")
    latency = f"{row.latency_p50_ms:.0f} ms median, {row.latency_p95_ms:.0f} ms 95th percentile"
    show(
        facts(
            [
                ("Leaks", leaks),
                ("Hybrid search", latency),
                ("Evaluated", f"{moment(row.evaluated_at)} UTC"),
                ("Evaluation", row.evaluation_id),
            ]
        )
    )
    if unconfirmed is not None:
        _show_unconfirmed(unconfirmed, mode)


def _show_unconfirmed(evaluation: Evaluation, mode: str) -> None:
    """What a program's questions say that nobody confirmed, in a line: they decide nothing."""
    figures = evaluation.metrics(mode)
    stale = f", {evaluation.row.stale:,} stale" if evaluation.row.stale else ""
    talk(
        f"{counted(evaluation.row.questions, 'question')} of a program that nobody confirmed{stale}: nDCG "
        f"{_figure(figures.ndcg)}, span nDCG {_figure(figures.span_ndcg)} (mode {mode}); they decide nothing."
    )


def _is_below(earlier: tuple[QuestionResult, ...], evaluation: Evaluation, mode: str, tolerance: float) -> bool:
    """Say how an evaluation compares with a baseline, and whether it fell by more than the tolerance."""
    from rag_pipeline.refresh.gate import below_baseline
    from rag_pipeline.retrieval.comparison import compare, regressions

    comparison = compare(earlier, evaluation.results, mode)
    if not comparison.before.questions:
        raise UsageError(
            "the baseline and this evaluation have no question in common that both could score; make a new baseline"
        )
    falls = regressions(comparison, tolerance, GATED)
    if falls:
        talk(f"Below the baseline: {below_baseline(comparison, falls, evaluation.row.k, tolerance)}", style="red")
    else:
        talk(f"Not below the baseline by more than {tolerance}. {_outcome(comparison)}")
    return bool(falls)


def _leaked(evaluation: Evaluation) -> bool:
    leaks = {result.question_id for result in evaluation.results if result.leaks}
    if leaks:
        talk(
            f"Questions {', '.join(sorted(leaks))} were answered with chunks that their askers may not read. This is a "
            f"fault of the program; report it.",
            style="red",
        )
    return bool(leaks)


def _figures(metrics: Metrics) -> list[str]:
    return [_figure(getattr(metrics, name)) for name in HEADINGS]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _rank(rank: int | None) -> str:
    return "-" if rank is None else str(rank)


def _is_perfect(result: QuestionResult) -> bool:
    return result.ndcg == 1 and result.span_ndcg in (None, 1)


def _quality(result: QuestionResult) -> tuple[float, float]:
    return result.ndcg or 0, 1 if result.span_ndcg is None else result.span_ndcg
