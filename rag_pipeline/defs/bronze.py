"""The assets of the bronze layer, one per source.

Belongs here: what such an asset depends on, how it is shown, and the one call that refreshes it.
Does not belong here: how it is refreshed (`refresh/bronze.py`) or what must be true of it (`checks.py`).
"""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from rag_pipeline.contracts.tables import BRONZE
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.defs.specs import OWNERS, RETRY, WRITER_POOL, bronze_key, spec
from rag_pipeline.settings import Pipeline


class BronzeConfig(dg.Config):
    """What an operator may allow for one run of one source."""

    allow_mass_deletion: bool = False


def bronze_asset(pipeline: Pipeline, name: str) -> dg.AssetsDefinition:
    """Documents of one source as they came."""
    source = pipeline.settings.sources[name]
    declared = spec(
        pipeline,
        bronze_key(name),
        BRONZE,
        deps=[],
        kinds={"deltalake", "file"},
        description=f"Documents of source `{name}` ({source.location}) as they came. {BRONZE.doc}",
        owners=list(source.owners) or OWNERS,
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=source.stale_after, warn_window=max(source.stale_after / 2, timedelta(minutes=1))
        )
        if source.stale_after > timedelta(minutes=2)
        else dg.FreshnessPolicy.time_window(fail_window=max(source.stale_after, timedelta(minutes=1))),
    )

    @dg.multi_asset(name=f"bronze_{name}", specs=[declared], pool=WRITER_POOL, retry_policy=RETRY)
    def bronze(config: BronzeConfig, pipeline: PipelineResource) -> dg.MaterializeResult[Any]:
        from rag_pipeline.refresh.bronze import refresh_source

        with as_dagster_failure() as work:
            report = refresh_source(pipeline.workspace, name, allow_mass_deletion=config.allow_mass_deletion)
        facts: dict[str, Any] = {f"rag/{k}": v for k, v in asdict(report).items() if isinstance(v, int)}
        newest = report.newest_modified_at
        if newest is not None:
            facts["rag/newest_modified_at"] = dg.MetadataValue.timestamp(newest)
            facts["rag/content_age_hours"] = (datetime.now(UTC) - newest).total_seconds() / 3600
        facts["rag/report"] = dg.MetadataValue.json(json.loads(json.dumps(asdict(report), default=str)))
        return dg.MaterializeResult(metadata={"dagster/row_count": report.live, **work, **facts})

    return bronze
