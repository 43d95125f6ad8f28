"""Checks of quality that never block: what is worse is served otherwise, and said in yellow.

Belongs here: figures that an audit recorded, and what follows from them.
Does not belong here: promises that must hold (`checks.py`), thresholds of pipeline.yaml (`threshold_checks.py`).
"""

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg

from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.defs.specs import INDEX_KEY, model_partitions
from rag_pipeline.defs.words import figure
from rag_pipeline.settings import Pipeline


def build_quality_checks(pipeline: Pipeline) -> list[dg.AssetChecksDefinition]:
    """All checks of this module."""
    return [_approximate_index_is_close(pipeline)]


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
        return closeness({} if audit is None else json.loads(str(audit["findings"])).get("search", {}))

    return check


def closeness(search: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Yellow if vectors are searched deeper than usual.

    Args:
        search: What an audit says of it (`refresh/recall.py`); empty without an approximate index.
    """
    from rag_pipeline.refresh.recall import words_for
    from rag_pipeline.stores.legs import REFINE_FACTOR

    if not search:
        return dg.AssetCheckResult(passed=True, description="there is no approximate index; search is exact")
    factor = int(search["refine_factor"])
    figures = "; ".join(f"{100 * recall:.1f} % with refine factor {at}" for at, recall in search["recall"].items())
    return dg.AssetCheckResult(
        passed=factor == REFINE_FACTOR,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"recall of the first {search['depth']}: {figures}. Vectors are searched {words_for(factor)}.",
        metadata={"rag/refine_factor": factor, "rag/recall": figure(max(search["recall"].values()))},
    )
