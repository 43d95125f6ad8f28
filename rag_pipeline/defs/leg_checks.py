"""The check that compares hybrid search with its legs, on the configured questions.

Belongs here: figures of the last evaluation, and what follows from them.
Does not belong here: evaluating (`refresh/evaluation.py`), how the legs are fused (`retrieval/fusion.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.defs.specs import EVALUATION_KEY, model_partitions
from rag_pipeline.defs.words import figure
from rag_pipeline.settings import Pipeline


def hybrid_holds_its_better_leg(pipeline: Pipeline) -> dg.AssetChecksDefinition:
    """The check of each evaluation; it never blocks."""

    @dg.asset_check(
        asset=EVALUATION_KEY,
        name="hybrid_holds_its_better_leg",
        partitions_def=model_partitions(pipeline),
        description="On the configured questions hybrid search finds as well as words alone and as vectors alone.",
    )
    def check(context: dg.AssetCheckExecutionContext, pipeline: PipelineResource) -> dg.AssetCheckResult:
        from rag_pipeline.refresh.evaluation import evaluation_history

        history = evaluation_history(pipeline.workspace, context.partition_key, limit=1)
        return held_legs(history[0]["metrics"] if history else [])

    return check


def held_legs(metrics: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
    """Yellow if a leg alone is clearly better than both together.

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
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{lost}. Look at its questions: rag-pipeline eval" if lost else "hybrid is as good as each leg",
        metadata=shown,
    )
