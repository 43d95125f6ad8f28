"""All definitions of one pipeline, put together.

Belongs here: the list.
Does not belong here: any one definition.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from rag_pipeline.defs.alerts import build_alert_sensors, check_specs
from rag_pipeline.defs.assets import build_assets
from rag_pipeline.defs.automation import Job, build_jobs, build_schedules, build_sensors
from rag_pipeline.defs.checks import build_checks
from rag_pipeline.defs.hints import build_hint_sensors
from rag_pipeline.defs.operations import build_operator_jobs
from rag_pipeline.defs.prefix import Prefix, prefixed_asset, prefixed_check
from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.settings import Pipeline


@dataclass(frozen=True, slots=True)
class _Graph:
    """What runs are made of: assets, checks and jobs."""

    assets: list[dg.AssetsDefinition]
    checks: list[dg.AssetChecksDefinition]
    jobs: dict[str, Job]


def _graph(pipeline: Pipeline, names: Prefix) -> _Graph:
    with warnings.catch_warnings():
        # Checks per partition are still marked as preview; the pinned minor version has them whole.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        checks = [prefixed_check(check, names) for check in build_checks(pipeline)]
        # Where an asset is written down is a beta feature; of a prefixed one it is its own place, so it comes first.
        warnings.simplefilter("ignore", dg.BetaWarning)
        written = dg.with_source_code_references(build_assets(pipeline))
    assets = [prefixed_asset(asset, names) for asset in written if isinstance(asset, dg.AssetsDefinition)]
    return _Graph(assets, checks, build_jobs(pipeline, names))


def build_runs(pipeline: Pipeline) -> dg.Definitions:
    """What a typed command runs: the same jobs, without what starts runs by itself or is started by a person."""
    names = Prefix.of(())
    graph = _graph(pipeline, names)
    return dg.Definitions(
        assets=graph.assets,
        asset_checks=graph.checks,
        jobs=list(graph.jobs.values()),
        resources={names.resource: PipelineResource(config_path=str(pipeline.path))},
    )


def build_definitions(pipeline: Pipeline, *, prefix: str | Sequence[str] = ()) -> dg.Definitions:
    """All Dagster definitions of one pipeline.yaml.

    Merge them into another project with `dg.Definitions.merge`: jobs hold only assets of this pipeline and bring their
    own executor, and the project's is left as it is. Nothing is opened here: no lake, no model.

    Args:
        prefix: What stands before every asset key, and before the name of every op, job, schedule, sensor, group, pool
            and of the resource: one part, or several. Each pipeline that is merged into one project needs its own.

    Raises:
        SettingsError: The prefix holds what Dagster takes in no name.
    """
    names = Prefix.of(prefix)
    graph = _graph(pipeline, names)
    jobs, job_names = graph.jobs, [job.name for job in graph.jobs.values()]
    return dg.Definitions(
        assets=graph.assets,
        asset_checks=graph.checks,
        jobs=[*jobs.values(), *build_operator_jobs(pipeline, names)],
        schedules=build_schedules(pipeline, jobs, names),
        sensors=[
            *build_sensors(pipeline, jobs, names),
            *build_hint_sensors(pipeline, jobs, names),
            *build_alert_sensors(pipeline, check_specs([*graph.assets, *graph.checks]), job_names, names),
        ],
        resources={names.resource: PipelineResource(config_path=str(pipeline.path))},
    )
