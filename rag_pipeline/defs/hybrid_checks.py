"""Checks on the configured questions: hybrid search against its retrievers, and hits against those of before.

Belongs here: figures of the last evaluations, and what follows from them.
Does not belong here: evaluating (`refresh/evaluation.py`), how the retrievers are fused (`retrieval/fusion.py`).
"""

from collections.abc import Sequence
from dataclasses import asdict

import dagster as dg

from rag_pipeline.contracts.evaluation import Metrics
from rag_pipeline.defs.check_rows import Subject
from rag_pipeline.defs.describe_evaluation import comparison_metadata
from rag_pipeline.defs.words import counted, figure

# A sentence that a person reads.
_NAMED = 5


def hybrid_is_as_good_as_each_retriever(subject: Subject) -> dg.AssetCheckResult:
    """What the newest evaluation of a model's index says of hybrid search and its retrievers."""
    from rag_pipeline.refresh.evaluation import evaluation_history

    history = evaluation_history(subject.workspace, subject.alias, limit=1)
    return compared_with_each(history[0].metrics if history else ())


def compared_with_each(figures: Sequence[Metrics]) -> dg.AssetCheckResult:
    """Whether no retriever alone is clearly better than both together.

    Args:
        figures: An evaluation's figures, one for each mode; none where nothing was evaluated.
    """
    from rag_pipeline.retrieval.comparison import better_alone

    shown = {f"rag/{one.mode}_ndcg": figure(one.ndcg) for one in figures if one.ndcg is not None}
    if not shown:
        return dg.AssetCheckResult(passed=True, description="no questions were evaluated")
    better = better_alone(figures)
    lost = "; ".join(f"mode {mode} alone finds {loss:.3f} nDCG better" for mode, loss in better.items())
    return dg.AssetCheckResult(
        passed=not better,
        description=f"{lost}. Look at its questions: rag-pipeline eval"
        if lost
        else "hybrid is as good as each retriever",
        metadata=shown,
    )


def unconfirmed_questions_find_what_they_did(subject: Subject) -> dg.AssetCheckResult:
    """Questions that a program wrote and nobody confirmed, on this version and on what readers see."""
    from rag_pipeline.errors import SettingsError
    from rag_pipeline.refresh.gate import judge_unconfirmed

    workspace = subject.workspace
    audit = workspace.lake.last_audit(workspace.space(subject.alias).fingerprint)
    if audit is None or not audit.passed:
        return dg.AssetCheckResult(passed=True, description="nothing that passed its audit was evaluated")
    try:
        verdict = judge_unconfirmed(workspace, subject.alias, audit, workspace.lake.last_publication())
    except SettingsError as error:
        return dg.AssetCheckResult(passed=False, description=error.message)
    return dg.AssetCheckResult(
        passed=verdict.passed,
        description=verdict.reason
        if verdict.passed
        else f"{verdict.reason} Nothing is held back for it: nobody has confirmed these questions",
        metadata=comparison_metadata(verdict.comparison),
    )


def questions_are_diverse(subject: Subject) -> dg.AssetCheckResult:
    """Questions that a program wrote, over what readers see."""
    from rag_pipeline.errors import RagPipelineError
    from rag_pipeline.evaluation.diversity import LEAST_QUESTIONS, problems_of
    from rag_pipeline.refresh.question_diversity import diversity_over_published
    from rag_pipeline.retrieval.questions import read_questions

    workspace = subject.workspace
    try:
        asked = [each for each in read_questions(workspace.pipeline.question_files) if each.synthetic is not None]
        if len(asked) < LEAST_QUESTIONS:
            said = f"{counted(len(asked), 'question')} of a program; nothing is told of fewer than {LEAST_QUESTIONS}"
            return dg.AssetCheckResult(passed=True, description=said)
        figures = diversity_over_published(workspace, asked)
    except RagPipelineError as error:
        return dg.AssetCheckResult(passed=False, description=error.message)
    problems = problems_of(figures)
    shown = {name: value for name, value in asdict(figures).items() if value is not None}
    return dg.AssetCheckResult(
        passed=not problems,
        description="; ".join(problems) or f"{counted(figures.questions, 'question')} of a program are diverse",
        metadata={f"rag/{name}": figure(value) if isinstance(value, float) else value for name, value in shown.items()}
        | {"rag/next_step": "rag-pipeline questions report"},
    )


def hits_move_with_a_cause(subject: Subject) -> dg.AssetCheckResult:
    """Whether what the questions find first is what they found before, but for documents that changed."""
    from rag_pipeline.refresh.moved_hits import hits_moved_without_cause

    moved, compared = hits_moved_without_cause(subject.workspace, subject.alias)
    named = "; ".join(f"{each.question_id} lost {', '.join(each.lost) or 'nothing'}" for each in moved[:_NAMED])
    more = f"; and {len(moved) - _NAMED:,} more" if len(moved) > _NAMED else ""
    return dg.AssetCheckResult(
        passed=not moved,
        description=f"{counted(len(moved), 'question')} found mostly other documents though none of them changed: "
        f"{named}{more}"
        if moved
        else f"{counted(compared, 'question')} compared; none moved without a cause",
        metadata={"rag/moved_count": len(moved), "rag/compared_count": compared, "rag/next_step": "rag-pipeline eval"},
    )
