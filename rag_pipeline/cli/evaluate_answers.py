"""`rag-pipeline eval --answers`: how good answers are, and a gate for CI.

Belongs here: files, tables, the exit code.
Does not belong here: scores (`answering/evaluation.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_pipeline.cli.options import open_pipeline
from rag_pipeline.cli.rendering import counted, emit, facts, show, table, talk
from rag_pipeline.cli.shell import file_argument
from rag_pipeline.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from rag_pipeline.answering.evaluation import AnswerResult
    from rag_pipeline.answering.judging import Agreement, Judge
    from rag_pipeline.settings import Pipeline

# As many as a person goes through; all of them are in the JSON.
WEAKEST_SHOWN = 10


def evaluate_answers(
    files: tuple[Path, ...], baseline: Path | None, tolerance: float | None, *, as_json: bool, is_terse: bool
) -> bool:
    """Ask, print, compare; whether a score fell by more than the tolerance.

    Raises:
        SettingsError: No model or no questions are configured.
        UsageError: The baseline is none.
    """
    from rag_pipeline.answering import evaluation
    from rag_pipeline.answering.answerer import Answerer

    pipeline = open_pipeline()
    earlier = None if baseline is None else read_answers_baseline(baseline)
    with Answerer.open(pipeline, keep=False) as answerer:
        answers = pipeline.settings.answers
        named = answers.questions if answers is not None else ()
        questions = evaluation.read_answer_questions(files or [pipeline.folder / Path(name) for name in named])
        if not questions:
            raise UsageError("there are no questions: name files under answers.questions, or with --questions")
        judge, agreement = _judge(pipeline)
        results = evaluation.evaluate_answers(answerer, questions, judge)
    if as_json:
        emit(evaluation.record_of(results) | {"agreement": None if agreement is None else _record(agreement)})
    elif not is_terse:
        _show(results)
    if agreement is not None:
        talk(_said(agreement), style="" if agreement.is_trusted else "yellow")
    if earlier is None:
        return False
    allowed = pipeline.settings.evaluation.tolerance if tolerance is None else tolerance
    is_trusted = agreement is not None and agreement.is_trusted
    fell = evaluation.falls(earlier, results, allowed, with_facts=is_trusted)
    for name, (before, now) in fell.items():
        talk(f"Below the baseline: {name} fell from {before:.3f} to {now:.3f}, by more than {allowed}.", style="red")
    if not fell:
        talk(f"Not below the baseline by more than {allowed}, on {counted(len(results), 'question')}.")
    return bool(fell)


def read_answers_baseline(path: Path) -> tuple[AnswerResult, ...]:
    """Results that `eval --answers --json` printed into a file.

    Raises:
        UsageError: The file is missing, or is something else.
    """
    from rag_pipeline.answering.evaluation import result_of

    try:
        return tuple(result_of(result) for result in json.loads(path.read_text("utf-8"))["results"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is not a baseline of answers ({type(error).__name__}: {error}); make one with: "
            f"rag-pipeline eval --answers --json > {file_argument(str(path))}",
            path=str(path),
        ) from error


def _judge(pipeline: Pipeline) -> tuple[Judge | None, Agreement | None]:
    """The judge that pipeline.yaml names, and how far it agrees with the labels there."""
    from rag_pipeline.answering.asking import chat_client
    from rag_pipeline.answering.judging import Judge, read_labels

    answers = pipeline.settings.answers
    if answers is None or answers.judge is None:
        return None, None
    if answers.judge not in pipeline.settings.chat_models:
        known = ", ".join(sorted(pipeline.settings.chat_models))
        raise SettingsError(f"answers.judge: {answers.judge!r} is no chat model; chat_models: {known}")
    judge = Judge(chat_client(pipeline, answers.judge))
    labels = () if answers.labels is None else read_labels(pipeline.folder / Path(answers.labels))
    return judge, judge.agreement(labels)


def _record(agreement: Agreement) -> dict[str, Any]:
    return asdict(agreement) | {"is_trusted": agreement.is_trusted}


def _said(agreement: Agreement) -> str:
    from rag_pipeline.answering.judging import LEAST_KAPPA, LEAST_LABELS

    if agreement.kappa is None:
        measured = f"agreement was not measured on {counted(agreement.labels, 'label')}"
    else:
        measured = (
            f"kappa {agreement.kappa:.2f} ({agreement.low:.2f} to {agreement.high:.2f}) on "
            f"{counted(agreement.labels, 'label')}"
        )
    if agreement.is_trusted:
        return f"The judge agrees with people: {measured}."
    return (
        f"The judge is not trusted: {measured}, and it takes {LEAST_LABELS} labels and a lower end of {LEAST_KAPPA}. "
        f"Its facts are shown and not compared."
    )


def _show(results: Sequence[AnswerResult]) -> None:
    from rag_pipeline.answering.evaluation import SCORES, figures_of, record_of

    figures = figures_of(results)
    show(table(f"Answers to {counted(len(results), 'question')}", SCORES, [[_figure(figures[s]) for s in SCORES]]), "")
    weak = sorted(results, key=_worth)[:WEAKEST_SHOWN]
    rows = [[r.question_id, r.question, r.verdict, *(_figure(getattr(r, s)) for s in SCORES[:3])] for r in weak]
    show(table("Weakest", ["Id", "Question", "Verdict", *SCORES[:3]], rows), "")
    sums = record_of(results)
    slowest = max(result.latency_seconds for result in results)
    tokens = f"{sums['tokens_in']:,} in, {sums['tokens_out']:,} out"
    show(facts([("Failed", sums["failed"]), ("Struck", sums["struck"]), ("Tokens", tokens), ("Cost", sums["cost"]),
                ("Slowest", f"{slowest:.1f} s")]))  # fmt: skip


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _worth(result: AnswerResult) -> float:
    from rag_pipeline.answering.evaluation import SCORES

    values = [value for name in SCORES if (value := getattr(result, name)) is not None]
    return sum(values) / len(values) if values else 0.0
