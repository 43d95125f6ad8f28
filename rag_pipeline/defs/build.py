"""All definitions of one pipeline, put together.

Belongs here: the list.
Does not belong here: any one definition.
"""

import warnings
from collections.abc import Sequence

import dagster as dg

from rag_pipeline.defs.alerts import build_alert_sensors, check_specs
from rag_pipeline.defs.assets import build_assets
from rag_pipeline.defs.automation import build_jobs, build_schedules, build_sensors
from rag_pipeline.defs.checks import build_checks
from rag_pipeline.defs.hints import build_hint_sensors
from rag_pipeline.defs.operations import build_operator_jobs
from rag_pipeline.defs.prefix import Prefix, prefixed_asset, prefixed_check
from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.settings import Pipeline


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
    jobs = build_jobs(pipeline, names)
    with warnings.catch_warnings():
        # Checks per partition are still marked as preview; the pinned minor version has them whole.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        checks = [prefixed_check(check, names) for check in build_checks(pipeline)]
        # Where an asset is written down is a beta feature; of a prefixed one it is its own place, so it comes first.
        warnings.simplefilter("ignore", dg.BetaWarning)
        written = dg.with_source_code_references(build_assets(pipeline))
    assets = [prefixed_asset(asset, names) for asset in written if isinstance(asset, dg.AssetsDefinition)]
    job_names = [job.name for job in jobs.values()]
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=[*jobs.values(), *build_operator_jobs(pipeline, names)],
        schedules=build_schedules(pipeline, jobs, names),
        sensors=[
            *build_sensors(pipeline, jobs, names),
            *build_hint_sensors(pipeline, jobs, names),
            *build_alert_sensors(pipeline, check_specs([*assets, *checks]), job_names, names),
        ],
        resources={names.resource: PipelineResource(config_path=str(pipeline.path))},
    )
