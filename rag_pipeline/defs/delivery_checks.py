"""Whether a store beside the lake has what is published, as checks of the steps that deliver.

Belongs here: what to say of it. Does not belong here: delivering (`refresh/deliver.py`).

There are such checks only where pipeline.yaml names a place. They are red and block nothing: readers of the lake have
what they should, and the next run makes up for it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_pipeline.defs.specs import PUBLICATION_KEY, REVOCATIONS_KEY
from rag_pipeline.defs.words import figure
from rag_pipeline.settings import Pipeline

if TYPE_CHECKING:
    from rag_pipeline.contracts.delivery import DeliveryReport
    from rag_pipeline.refresh.workspace import Workspace

DELIVERED_CHECK = "postgres_has_what_is_published"
LEFT_CHECK = "everything_revoked_has_left_postgres"
_DESCRIPTIONS = {
    DELIVERED_CHECK: "PostgreSQL holds what readers of the lake see, row for row, under the same permissions. If not, "
    "its readers have the whole version before, and the next run brings it over.",
    LEFT_CHECK: "What was revoked has left PostgreSQL, too. If not, its readers may still see it: until the next run, "
    "or until its server is shut to them.",
}
_CHECKS = {PUBLICATION_KEY: DELIVERED_CHECK, REVOCATIONS_KEY: LEFT_CHECK}


def delivery_specs(pipeline: Pipeline, asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The check of one of both assets; none where nothing is delivered."""
    if pipeline.settings.publish_to.postgres is None:
        return []
    name = _CHECKS[asset]
    return [dg.AssetCheckSpec(name, asset=asset, description=_DESCRIPTIONS[name])]


def delivery_results(workspace: "Workspace", asset: dg.AssetKey) -> Iterator[dg.AssetCheckResult]:
    """How the delivery of this step came out."""
    from rag_pipeline.refresh.deliver import deliver_published, is_delivered_elsewhere

    if not is_delivered_elsewhere(workspace):
        return
    report = workspace.delivery or deliver_published(workspace)
    metadata: dict[str, Any] = {"rag/next_step": "rag-pipeline run"}
    if report is not None:
        done = report.delivered
        counts = {
            "texts": done.texts,
            "vectors": done.vectors,
            "permissions": done.permissions,
            "removed": done.removed,
        }
        metadata |= {f"rag/delivered_{name}": count for name, count in counts.items()}
        metadata |= {"rag/delivered_seconds": figure(report.seconds)}
    yield dg.AssetCheckResult(
        asset_key=asset,
        check_name=_CHECKS[asset],
        passed=report is None or not report.fault or (asset == REVOCATIONS_KEY and report.is_withdrawn),
        severity=dg.AssetCheckSeverity.ERROR,
        description=_said(report),
        metadata=metadata,
    )


def _said(report: "DeliveryReport | None") -> str:
    if report is None:
        return "nothing is published yet, and nothing is delivered"
    if report.fault:
        return report.fault + (" What was revoked has left it all the same." if report.is_withdrawn else "")
    healed = f"; every row was compared, since {report.delivered.healed}" if report.delivered.healed else ""
    return f"{report.rows:,} rows are there{healed}"
