"""Checks of quality that never block: what is worse is served otherwise, and said in yellow.

Belongs here: figures that an audit recorded, and what follows from them.
Does not belong here: promises (`promise_checks.py`), thresholds of pipeline.yaml (`threshold_checks.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.defs.check_rows import Subject
from rag_pipeline.defs.silver import LEFT_OUT_COUNTS
from rag_pipeline.defs.words import figure
from rag_pipeline.transforms.left_out import left_out_by_source, losses

# Nearly a day of hourly runs: what is usual is measured against so many.
RUNS_REMEMBERED = 20


def documents_lose_no_more_than_usual(subject: Subject) -> dg.AssetCheckResult:
    """What is left out of the documents of each source now, against the last runs."""
    now = left_out_by_source(subject.workspace.lake.read(DOCUMENTS, ["source", "metadata"]))
    [key] = subject.context.selected_asset_check_keys
    return loss_result(now, _earlier(subject.context.instance, key.asset_key))


def _earlier(instance: dg.DagsterInstance, key: dg.AssetKey) -> list[dict[str, dict[str, int]]]:
    """What was left out after each of the last runs, the present one excepted."""
    records = instance.fetch_materializations(key, limit=RUNS_REMEMBERED + 1).records
    found = [record.asset_materialization for record in records[1:]]
    values = [event.metadata[LEFT_OUT_COUNTS].value for event in found if event and LEFT_OUT_COUNTS in event.metadata]
    return [value for value in values if isinstance(value, dict)]


def loss_result(
    now: Mapping[str, Mapping[str, int]], history: Sequence[Mapping[str, Mapping[str, int]]]
) -> dg.AssetCheckResult:
    """Whether no source loses more than it ever did; arguments as `losses` takes them."""
    found = losses(now, history)
    named = "; ".join(
        f"{loss.source}: {loss.count:,} {loss.cause.replace('_', ' ')} in {loss.documents:,} documents, "
        f"so far {loss.usual:,.0f}"
        for loss in found
    )
    return dg.AssetCheckResult(
        passed=not found,
        description=f"more is left out than before ({named})" if found else "no source loses more than it did",
        metadata={"rag/runs_compared": len(history), "rag/next_step": "rag-pipeline inspect FILE"},
    )


def approximate_index_is_close(subject: Subject) -> dg.AssetCheckResult:
    """What the newest audit of a model's index says of its approximate index."""
    workspace = subject.workspace
    audit = workspace.lake.last_audit(workspace.space(subject.alias).fingerprint)
    return closeness({} if audit is None else audit.search)


def closeness(search: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Whether vectors are not searched much deeper than usual.

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
        description=f"recall of the first {search['depth']}: {figures}. Vectors are searched {words_for(factor)}.",
        metadata={"rag/refine_factor": factor, "rag/recall": figure(max(search["recall"].values()))},
    )
