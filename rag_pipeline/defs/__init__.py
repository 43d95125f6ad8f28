"""Dagster: assets by layer, checks, jobs, schedules, sensors and the resource they share.

Belongs here: everything that imports dagster. Assets are thin: open, call one refresh step, report.
Does not belong here: any decision about data; that is in `transforms/` and `refresh/`.
"""

import warnings

import dagster as dg

from rag_pipeline.defs.assets import build_assets
from rag_pipeline.defs.automation import build_jobs, build_schedules, build_sensors
from rag_pipeline.defs.checks import build_checks
from rag_pipeline.defs.operations import OPERATOR_JOBS
from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.settings import Pipeline

__all__ = ["build_definitions"]


def build_definitions(pipeline: Pipeline) -> dg.Definitions:
    """All Dagster definitions of one pipeline.yaml.

    Merge them into another project with `dg.Definitions.merge`: jobs hold only assets of this pipeline and bring their
    own executor, and the project's is left as it is. Nothing is opened here: no lake, no model.
    """
    jobs = build_jobs(pipeline)
    with warnings.catch_warnings():
        # Checks per partition are still marked as preview; the pinned minor version has them whole.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        checks = build_checks(pipeline)
    return dg.Definitions(
        assets=build_assets(pipeline),
        asset_checks=checks,
        jobs=[*jobs.values(), *OPERATOR_JOBS],
        schedules=build_schedules(pipeline, jobs),
        sensors=build_sensors(pipeline, jobs),
        resources={"pipeline": PipelineResource(config_path=str(pipeline.path))},
    )
