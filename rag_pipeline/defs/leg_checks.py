"""The check that compares hybrid search with its legs, on the configured questions.

Belongs here: figures of the last evaluation, and what follows from them.
Does not belong here: evaluating (`refresh/evaluation.py`), how the legs are fused (`retrieval/fusion.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from rag_pipeline.defs.check_rows import Subject
from rag_pipeline.defs.words import figure


def hybrid_holds_its_better_leg(subject: Subject) -> dg.AssetCheckResult:
    """What the newest evaluation of a model's index says of hybrid search and its legs."""
    from rag_pipeline.refresh.evaluation import evaluation_history

    history = evaluation_history(subject.workspace, subject.alias, limit=1)
    return held_legs(history[0]["metrics"] if history else [])


def held_legs(metrics: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
    """Whether no leg alone is clearly better than both together.

    Args:
        metrics: Rows of an evaluation's figures, one for each mode; none where nothing was evaluated.
    """
    from rag_pipeline.contracts.evaluation import Metrics
    from rag_pipeline.retrieval.comparison import better_legs

    figures = [Metrics(**one) for one in metrics]
    shown = {f"rag/{one.mode}_ndcg": figure(one.ndcg) for one in figures if one.ndcg is not None}
    if not shown:
        return dg.AssetCheckResult(passed=True, description="no questions were evaluated")
    better = better_legs(figures)
    lost = "; ".join(f"mode {mode} alone finds {loss:.3f} nDCG better" for mode, loss in better.items())
    return dg.AssetCheckResult(
        passed=not better,
        description=f"{lost}. Look at its questions: rag-pipeline eval" if lost else "hybrid is as good as each leg",
        metadata=shown,
    )
