"""May this version of an index be published, as far as its evaluation goes?

Belongs here: comparing the evaluation of a version with that of what readers see, and the verdict in words.
Does not belong here: evaluating (`evaluation.py`), the audit (`index.py`), moving the pointer (`publication.py`).

Quality never outranks permissions. A newer version of the served index that takes a document or wording away from
somebody who can read it now is published however it was evaluated, or if it could not be: holding it back would go on
showing what was revoked. Only an answer that its asker may not read outranks that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from rag_pipeline.contracts.evaluation import EVALUATIONS
from rag_pipeline.contracts.log_rows import Audit, Publication
from rag_pipeline.contracts.recipe import SearchRecipe
from rag_pipeline.errors import LakeDamaged, SettingsError, StoreError, TableOutdated
from rag_pipeline.refresh.evaluation import Evaluation, fit_for, read_evaluation, stored_evaluation
from rag_pipeline.refresh.revocations import revocations
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.comparison import Comparison, compare, regressions
from rag_pipeline.retrieval.fit import fitted
from rag_pipeline.retrieval.questions import by_standing, read_questions
from rag_pipeline.stores.kept import open_version

# Enough to look into; the evaluation holds all.
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


def judge(
    workspace: Workspace,
    alias: str,
    audit: Audit,
    last: Publication | None,
    recipe: SearchRecipe | None = None,
) -> Verdict:
    """Judge the audited version of a model's index against the last publication.

    Args:
        audit: Audit of the version.
        last: What readers see now; None: nothing yet.
        recipe: How the version is to be searched; None: as pipeline.yaml and the fit on its questions say.

    Files of questions that are not valid count as an evaluation that says no. An index that another version of this
    program wrote cannot be searched by readers of this one, so nothing is held back for it.
    """
    if last is not None and _is_outdated(workspace, last):
        last = None
    recipe = fitted(workspace.recipe, fit_for(workspace, audit.audit_id)) if recipe is None else recipe
    verdict = _judge(workspace, alias, audit, last, recipe)
    if verdict.passed or verdict.is_leak or last is None or last.space_fingerprint != audit.space_fingerprint:
        return verdict
    if last.recipe.unfitted.fingerprint != recipe.unfitted.fingerprint:
        # What is revoked goes without it, from what readers search now.
        return verdict
    revoked = revocations(workspace, last, audit)
    if not revoked:
        return verdict
    why = f"{verdict.reason} It is published nevertheless: it {revoked}."
    return replace(
        verdict, passed=True, reason=why, figures=verdict.figures | {"published_below_baseline": why}, is_below=True
    )


def _is_outdated(workspace: Workspace, last: Publication) -> bool:
    try:
        open_version(workspace.vectors, last)
    except (TableOutdated, LakeDamaged):
        return True
    except StoreError:
        return False
    return False


def leak_of(workspace: Workspace, alias: str, audit: Audit) -> Verdict | None:
    """The verdict on a version of which any evaluation, on whatever questions, found a leak."""
    rows = workspace.lake.read(EVALUATIONS, where=pl.col("audit_id") == audit.audit_id)
    for evaluation_id in rows.filter(pl.col("leaks") > 0)["evaluation_id"]:
        evaluation = read_evaluation(workspace, evaluation_id)
        if evaluation is not None:
            return _leak(workspace, alias, evaluation)
    return None


def _leak(workspace: Workspace, alias: str, evaluation: Evaluation) -> Verdict:
    names = sorted({result.question_id for result in evaluation.results if result.leaks})
    return Verdict(
        False,
        f"searches in the index of embedding model {alias} returned {evaluation.row.leaks} chunks that the "
        f"asker may not read, to questions {', '.join(names[:SHOWN])}. This is a fault of the program: report it, "
        f"and run rag-pipeline verify",
        _figures(workspace, evaluation),
        is_leak=True,
    )


def _judge(
    workspace: Workspace,
    alias: str,
    audit: Audit,
    last: Publication | None,
    recipe: SearchRecipe,
) -> Verdict:
    try:
        questions, unconfirmed = by_standing(read_questions(workspace.pipeline.question_files))
    except SettingsError as error:
        return leak_of(workspace, alias, audit) or Verdict(False, f"{error.message.rstrip('.')}.")
    leak = leak_of(workspace, alias, audit) if unconfirmed else None
    if leak is not None:
        # Whoever wrote the question, an answer that its asker may not read is one.
        return leak
    if not questions:
        none = "nobody has confirmed any of the questions" if unconfirmed else "no questions are configured"
        return Verdict(True, f"{none} under evaluation.questions, so nothing is compared")
    evaluation = stored_evaluation(workspace, audit.audit_id, recipe, questions)
    if evaluation is None:
        return Verdict(
            False,
            f"the index of embedding model {alias}, version {audit.table_version}, has not been evaluated on the "
            f"configured questions. Evaluate it: rag-pipeline eval --model {alias}",
        )
    figures = _figures(workspace, evaluation)
    if evaluation.row.leaks:
        return _leak(workspace, alias, evaluation)
    if last is None:
        return Verdict(
            True, "nothing that can be read was published before, so there is nothing to compare with", figures
        )
    recipe_before = last.recipe
    same_table = last.place == audit.place
    if same_table and recipe_before.fingerprint == recipe.fingerprint:
        return Verdict(True, "this is the version that readers see", figures)
    before = stored_evaluation(workspace, last.audit_id, recipe_before, questions)
    if before is None:
        return Verdict(
            False,
            f"what readers see has not been evaluated on the configured questions, so the index of embedding model "
            f"{alias} cannot be compared with it. Evaluate both: rag-pipeline eval --model {alias}",
            figures,
        )
    return _compared(workspace, alias, before, evaluation, figures)


def judge_unconfirmed(workspace: Workspace, alias: str, audit: Audit, last: Publication | None) -> Verdict:
    """How a version stands on synthetic questions that nobody confirmed; it is for people to see, and decides nothing.

    Raises:
        SettingsError: A file of questions is not valid.
    """
    _, questions = by_standing(read_questions(workspace.pipeline.question_files))
    if not questions:
        return Verdict(True, "no question of a program waits to be confirmed")
    recipe = fitted(workspace.recipe, fit_for(workspace, audit.audit_id))
    after = stored_evaluation(workspace, audit.audit_id, recipe, questions)
    before = None if last is None else stored_evaluation(workspace, last.audit_id, last.recipe, questions)
    if after is None or before is None:
        return Verdict(True, "there are no two evaluations on the questions that nobody confirmed")
    return _compared(workspace, alias, before, after, _figures(workspace, after))


def _compared(
    workspace: Workspace,
    alias: str,
    before: Evaluation,
    after: Evaluation,
    figures: dict[str, object],
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
        f"{'; '.join(parts)} (mode {comparison.mode}, {_questions(comparison.before.questions)}, "
        f"tolerance {tolerance}). {_questions(len(comparison.losses))} came out worse, most of all: {'; '.join(lost)}."
    )


def _questions(count: int) -> str:
    return f"{count:,} question{'s' * (count != 1)}"


def _figures(workspace: Workspace, evaluation: Evaluation) -> dict[str, object]:
    metrics = evaluation.metrics(workspace.settings.evaluation.mode)
    return {
        "evaluation_id": evaluation.row.evaluation_id,
        "questions_hash": evaluation.row.questions_hash,
        "ndcg": metrics.ndcg,
        "recall": metrics.recall,
        "span_ndcg": metrics.span_ndcg,
    }
