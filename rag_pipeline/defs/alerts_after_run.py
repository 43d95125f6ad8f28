"""Telling what is wrong after a command's run, without Dagster's daemon.

Belongs here: opening what `alerts.py` needs.
Does not belong here: what is told.
"""

import logging

from rag_pipeline.alerts.cycle import Told, tell_quietly
from rag_pipeline.contracts.alerts import LAUNCH, Finding
from rag_pipeline.defs.alerts import check_specs, tell_of_records
from rag_pipeline.defs.assets import build_assets
from rag_pipeline.defs.automation import build_jobs
from rag_pipeline.defs.checks import build_checks
from rag_pipeline.defs.instance import dagster_home, opened_instance
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.errors import RagPipelineError
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import Pipeline

log = logging.getLogger(__name__)


def tell_after_run(pipeline: Pipeline, *, launched: bool = False, error: Exception | None = None) -> Told:
    """Tell what the last runs left; never raises, since a run that went well must not end badly for that.

    Args:
        launched: A run was just made, or should have been.
        error: What kept it from being made, which no record of a run can tell.
    """
    if not pipeline.settings.alerts.sinks:
        return Told()
    try:
        return _told(pipeline, launched=launched, error=error)
    except Exception:
        log.exception("alerts failed; what should be told is told after the next run")
        return Told()


def _told(pipeline: Pipeline, *, launched: bool, error: Exception | None) -> Told:
    prefix = Prefix()
    with Workspace(pipeline, run_id="alerts") as workspace:
        extra = [_launch_finding(error, workspace.now().timestamp())] if launched else []
        try:
            jobs = [job.name for job in build_jobs(pipeline, prefix).values()]
            specs = check_specs([*build_assets(pipeline), *build_checks(pipeline)])
            with opened_instance(dagster_home(pipeline)) as instance:
                return tell_of_records(instance, workspace, specs, jobs, prefix, extra)
        except RagPipelineError as failure:
            log.error("alerts: %s", failure.message)
        except Exception:
            log.exception("alerts: Dagster's records could not be read")
        # What the lake and the command say by themselves is told all the same. That a run could be made is told by the
        # next look: by that it is known whether all else was told.
        return tell_quietly(workspace, [finding for finding in extra if finding.is_bad])


def _launch_finding(error: Exception | None, at: float) -> Finding:
    if error is None:
        return Finding(LAUNCH, at)
    code = error.code if isinstance(error, RagPipelineError) else "unexpected"
    return Finding(
        key=LAUNCH,
        at=at,
        is_bad=True,
        event="run",
        title=f"No run could be made ({code})",
        means="A run can be made; readers keep what was published last.",
        found=error.message if isinstance(error, RagPipelineError) else type(error).__name__,
        next_step="rag-pipeline run",
        runbook=f"error-{code}",
    )
