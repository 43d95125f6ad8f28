"""May this version of an index be published, as far as its evaluation goes?

Belongs here: comparing the evaluation of a version with that of what readers see, and the verdict in words.
Does not belong here: evaluating (`evaluation.py`), the audit (`index.py`), moving the pointer (`publication.py`).

Quality never outranks permissions. A newer version of the served index that takes a document away from somebody who
can read it now is published however it was evaluated: holding it back would go on showing what was withdrawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rag_pipeline.refresh.evaluation import Evaluation, published_audit, stored_evaluation
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.comparison import Comparison, compare, regressions
from rag_pipeline.retrieval.questions import read_questions

SHOWN = 5
NAMES = {"ndcg": "nDCG@{k}", "span_ndcg": "nDCG@{k} on quoted spans", "recall": "recall@{k}"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the evaluation lets a version be published.

    Attributes:
        passed: It does.
        reason: Why, for a person.
        figures: For the publication log.
        is_below: It was found worse than what readers see; with `passed`, something outranks that.
        is_leak: A question was answered with what its asker may not read; no override releases that.
    """

    passed: bool
    reason: str
    figures: dict[str, object] = field(default_factory=dict)
    comparison: Comparison | None = None
    is_below: bool = False
    is_leak: bool = False


def judge(workspace: Workspace, alias: str, audit: Mapping[str, object], last: Mapping[str, object] | None) -> Verdict:
    """Judge the audited version of a model's index against the last publication.

    Args:
        audit: Audit of the version.
        last: What readers see now; None: nothing yet.

    Raises:
        SettingsError: A file of questions is not valid.
    """
    questions = read_questions(workspace.pipeline.question_files)
    if not questions:
        return Verdict(True, "no questions are configured under evaluation.questions, so nothing is compared")
    evaluation = stored_evaluation(workspace, str(audit["audit_id"]), questions)
    if evaluation is None:
        return Verdict(
            False,
            f"the index of embedding model {alias}, version {audit['table_version']}, has not been evaluated on the "
            f"configured questions. Evaluate it: rag-pipeline eval --model {alias}",
        )
    figures = _figures(workspace, evaluation)
    if evaluation.row["leaks"]:
        names = sorted({result.question_id for result in evaluation.results if result.leaks})
        return Verdict(
            False,
            f"searches in the index of embedding model {alias} returned {evaluation.row['leaks']} chunks that the "
            f"asker may not read, to questions {', '.join(names[:SHOWN])}. This is a fault of the program: report it, "
            f"and run rag-pipeline verify",
            figures,
            is_leak=True,
        )
    if last is None:
        return Verdict(True, "nothing was published before, so there is nothing to compare with", figures)
    if (last["table_name"], last["table_version"]) == (audit["table_name"], audit["table_version"]):
        return Verdict(True, "this is the version that readers see", figures)
    before = stored_evaluation(workspace, published_audit(last), questions)
    if before is None:
        return Verdict(
            False,
            f"what readers see has not been evaluated on the configured questions, so the index of embedding model "
            f"{alias} cannot be compared with it. Evaluate both: rag-pipeline eval --model {alias}",
            figures,
        )
    return _compared(workspace, alias, before, evaluation, figures, last)


def _compared(
    workspace: Workspace,
    alias: str,
    before: Evaluation,
    after: Evaluation,
    figures: dict[str, object],
    last: Mapping[str, object],
) -> Verdict:
    settings = workspace.settings.evaluation
    comparison = compare(before.results, after.results, settings.mode)
    if not comparison.before.questions:
        return Verdict(True, "no question can be compared with what readers see", figures, comparison)
    falls = regressions(comparison, settings.tolerance)
    figures |= {"compared_questions": comparison.before.questions, "published_ndcg": comparison.before.ndcg}
    if not falls:
        return Verdict(True, f"not below what readers see by more than {settings.tolerance}", figures, comparison)
    reason = below_baseline(comparison, falls, settings.k, settings.tolerance)
    if last["space_fingerprint"] == after.row["space_fingerprint"]:
        withdrawn = _withdrawn(workspace, before, after)
        if withdrawn:
            why = (
                f"{reason} It is published nevertheless: it withdraws {withdrawn} documents that some readers see now."
            )
            return Verdict(True, why, figures | {"published_below_baseline": why}, comparison, is_below=True)
    return Verdict(
        False,
        f"the index of embedding model {alias} is worse than what readers see: {reason}",
        figures,
        comparison,
        is_below=True,
    )


def below_baseline(comparison: Comparison, falls: Mapping[str, float], k: int, tolerance: float) -> str:
    """By how much which figures fell, and the questions that lost most."""
    parts = []
    for name, fall in falls.items():
        before, after = getattr(comparison.before, name), getattr(comparison.after, name)
        parts.append(f"{NAMES[name].format(k=k)} fell by {fall:.3f} from {before:.3f} to {after:.3f}")
    lost = [f"{change.question_id} ({change.change:+.2f}) {change.question}" for change in comparison.losses[:SHOWN]]
    return (
        f"{'; '.join(parts)} (mode {comparison.mode}, {comparison.before.questions} questions, tolerance {tolerance}). "
        f"{len(comparison.losses)} questions came out worse, most of all: {'; '.join(lost)}."
    )


def _figures(workspace: Workspace, evaluation: Evaluation) -> dict[str, object]:
    metrics = evaluation.metrics(workspace.settings.evaluation.mode)
    return {
        "evaluation_id": evaluation.row["evaluation_id"],
        "questions_hash": evaluation.row["questions_hash"],
        "ndcg": metrics.ndcg,
        "recall": metrics.recall,
        "span_ndcg": metrics.span_ndcg,
    }


def _withdrawn(workspace: Workspace, before: Evaluation, after: Evaluation) -> int:
    """Documents that somebody can read in the earlier version and can no longer read in the later one."""
    readers = []
    for evaluation in (before, after):
        name, version = evaluation.row["table_name"], evaluation.row["table_version"]
        table = workspace.vectors.open(name, evaluation.row["space_fingerprint"], version=version)
        rows = table.read(["document_id", "allowed_principals"], "position = 0")
        readers.append({document: set(principals) for document, principals in rows.iter_rows()})
    return sum(bool(principals - readers[1].get(document, set())) for document, principals in readers[0].items())
