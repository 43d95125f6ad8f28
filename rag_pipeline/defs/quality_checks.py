"""Checks of quality that never block: what is worse is served otherwise, and said in yellow.

Belongs here: figures that an audit recorded, and what follows from them.
Does not belong here: promises that must hold (`checks.py`), thresholds of pipeline.yaml (`threshold_checks.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.defs.silver import LEFT_OUT_COUNTS
from rag_pipeline.defs.specs import DOCUMENTS_KEY, INDEX_KEY, model_partitions
from rag_pipeline.defs.words import figure
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.lake import DOCUMENTS_PATH
from rag_pipeline.transforms.left_out import left_out_by_source, losses

RUNS_REMEMBERED = 20


def build_quality_checks(pipeline: Pipeline) -> list[dg.AssetChecksDefinition]:
    """All checks of this module."""
    return [_approximate_index_is_close(pipeline), _documents_lose_no_more_than_usual()]


def _documents_lose_no_more_than_usual() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=DOCUMENTS_KEY,
        name="documents_lose_no_more_than_usual",
        description="Of no source is clearly more left out of its documents, by any cause such as pages without text "
        "or hidden rows, than in any of the last runs.",
    )
    def check(context: dg.AssetCheckExecutionContext, pipeline: PipelineResource) -> dg.AssetCheckResult:
        lake = pipeline.workspace.lake
        now = left_out_by_source(lake.read(DOCUMENTS_PATH, DOCUMENTS, ["source", "metadata"]))
        [key] = context.selected_asset_check_keys
        return loss_result(now, _earlier(context.instance, key.asset_key))

    return check


def _earlier(instance: dg.DagsterInstance, key: dg.AssetKey) -> list[dict[str, dict[str, int]]]:
    """What was left out after each of the last runs, the present one excepted."""
    records = instance.fetch_materializations(key, limit=RUNS_REMEMBERED + 1).records
    found = [record.asset_materialization for record in records[1:]]
    values = [event.metadata[LEFT_OUT_COUNTS].value for event in found if event and LEFT_OUT_COUNTS in event.metadata]
    return [value for value in values if isinstance(value, dict)]


def loss_result(
    now: Mapping[str, Mapping[str, int]], history: Sequence[Mapping[str, Mapping[str, int]]]
) -> dg.AssetCheckResult:
    """Yellow if a source loses more than it ever did; arguments as `losses` takes them."""
    found = losses(now, history)
    named = "; ".join(
        f"{loss.source}: {loss.count:,} {loss.cause.replace('_', ' ')} in {loss.documents:,} documents, "
        f"so far {loss.usual:,.0f}"
        for loss in found
    )
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"more is left out than before ({named})" if found else "no source loses more than it did",
        metadata={"rag/runs_compared": len(history), "rag/next_step": "rag-pipeline inspect FILE"},
    )


def _approximate_index_is_close(pipeline: Pipeline) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=INDEX_KEY,
        name="approximate_index_is_close",
        partitions_def=model_partitions(pipeline),
        description="The approximate vector index finds at least 95 % of the true nearest rows at the depth that "
        "readers search. One that does not is searched deeper, then exactly: slower, and nothing is lost.",
    )
    def check(context: dg.AssetCheckExecutionContext, pipeline: PipelineResource) -> dg.AssetCheckResult:
        workspace = pipeline.workspace
        audit = workspace.lake.last_audit(workspace.space(context.partition_key).fingerprint)
        return closeness({} if audit is None else audit.search)

    return check


def closeness(search: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Yellow if vectors are searched much deeper than usual.

    Args:
        search: What an audit says of it (`refresh/recall.py`); empty without an approximate index.
    """
    from rag_pipeline.refresh.recall import FACTORS, words_for

    if not search:
        return dg.AssetCheckResult(passed=True, description="there is no approximate index; search is exact")
    factor = int(search["refine_factor"])
    figures = "; ".join(f"{100 * recall:.1f} % with refine factor {at}" for at, recall in search["recall"].items())
    return dg.AssetCheckResult(
        passed=factor in FACTORS[:2],
        severity=dg.AssetCheckSeverity.WARN,
        description=f"recall of the first {search['depth']}: {figures}. Vectors are searched {words_for(factor)}.",
        metadata={"rag/refine_factor": factor, "rag/recall": figure(max(search["recall"].values()))},
    )
