"""Jobs, schedules and the sensor that make the pipeline run by itself.

Belongs here: when what is refreshed.
Does not belong here: assets. Triggers are schedules and one level-triggered sensor, never edges that can be lost.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_pipeline.defs.names import REFRESH_JOB as REFRESH_JOB
from rag_pipeline.defs.names import source_key
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.principals import has_groups
from rag_pipeline.defs.releases import RELEASE_JOB
from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.defs.specs import (
    BOILERPLATE_KEY,
    CHUNKS_KEY,
    DOCUMENTS_KEY,
    DUPLICATES_KEY,
    EMBEDDINGS_KEY,
    ENRICHMENTS_KEY,
    EVALUATION_KEY,
    INDEX_KEY,
    MAINTENANCE_KEY,
    MEMBERSHIPS_KEY,
    PRINCIPALS_KEY,
    PUBLICATION_KEY,
    QUARANTINE_KEY,
    REVOCATIONS_KEY,
    bronze_key,
    has_enrichments,
)
from rag_pipeline.settings import Pipeline

if TYPE_CHECKING:
    from rag_pipeline.refresh.workspace import Workspace

# The type that define_asset_job returns has no public name.
Job = Any

HOURLY_JOB = "hourly"
NIGHTLY_JOB = "nightly"
CATCH_UP_JOB = "catch_up"
KEEP_IN_STEP_JOB = "keep_in_step"
PARSE_AGAIN_JOB = "parse_again"
CUT_AGAIN_JOB = "cut_again"
# Soon enough for what a failed run left behind; each look reads two versions.
SENSOR_SECONDS = 120
# What failed so often on one state of bronze waits for another one, or for a person.
MOST_ATTEMPTS = 3
ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build_jobs(pipeline: Pipeline, prefix: Prefix) -> dict[str, Job]:
    """Jobs by their plain name; each refreshes its whole selection in a single run that carries a model's partition."""
    sources = pipeline.settings.sources
    # Named one by one: merged into another project, "all assets" or a group would take that project's along.
    derived = published_selection(pipeline, left_out=sources)
    jobs = {
        REFRESH_JOB: _job(
            prefix,
            REFRESH_JOB,
            published_selection(pipeline),
            description="Everything, from the sources to what readers see.",
        ),
        HOURLY_JOB: _job(
            prefix,
            HOURLY_JOB,
            [*polled(name for name, source in sources.items() if source.schedule is None), *derived],
            description="Sources without a schedule of their own, and everything made from all of them.",
        ),
        NIGHTLY_JOB: _job(
            prefix,
            NIGHTLY_JOB,
            [*published_selection(pipeline), MAINTENANCE_KEY],
            description="Everything, and maintenance afterwards.",
        ),
        CATCH_UP_JOB: _job(
            prefix,
            CATCH_UP_JOB,
            derived,
            description="Silver to publication, without polling the sources.",
        ),
        KEEP_IN_STEP_JOB: _job(
            prefix,
            KEEP_IN_STEP_JOB,
            [EMBEDDINGS_KEY, INDEX_KEY, EVALUATION_KEY],
            description="Embeddings and index of one model, beside the served one. Backfill a new model with it: it "
            "goes on where it stopped.",
            tags={"dagster/priority": "-5"},
        ),
    }
    for name in sources:
        jobs[f"refresh_{name}"] = _job(
            prefix,
            f"refresh_{name}",
            [*polled([name]), *derived],
            description=f"Source {name}, and everything made from it.",
        )
    return jobs | _asked_jobs(pipeline, prefix, derived)


# The button itself opens a dialog in which nothing is filled in.
_HOW = "Open it by the arrow beside Materialize all, Open launchpad, and choose the served model as partition."


def _asked_jobs(pipeline: Pipeline, prefix: Prefix, derived: Sequence[dg.AssetKey]) -> dict[str, Job]:
    """Jobs whose configuration the Launchpad shows filled in, so that a person changes a word of it.

    Dagster maps no configuration of fewer fields for jobs with partitions.
    """

    def shown(*fields: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        return {"ops": {prefix.name(op): {"config": config} for op, config in fields}}

    guards = [(f"bronze_{name}", {"allow_mass_deletion": False, "by": ""}) for name in pipeline.settings.sources]
    return {
        RELEASE_JOB: _job(
            prefix,
            RELEASE_JOB,
            published_selection(pipeline),
            config=shown(*guards, ("silver_documents", {"allow_mass_deletion": [], "by": ""})),
            description="Let a source lose what the deletion guard holds, this once, in a run of everything. Look "
            f"first whether the source is whole: an unmounted share looks the same. {_HOW} Set "
            "allow_mass_deletion of the source to true, name it under silver_documents too where documents were "
            "refused, and say by whom.",
        ),
        PARSE_AGAIN_JOB: _job(
            prefix,
            PARSE_AGAIN_JOB,
            derived,
            config=shown(("silver_documents", {"parse_again": []})),
            description="Parse the documents of some formats again although nothing changed, and bring readers what "
            f"comes out differently; texts that stay the same are not embedded again. {_HOW} Name media types, "
            "like application/pdf.",
        ),
        CUT_AGAIN_JOB: _job(
            prefix,
            CUT_AGAIN_JOB,
            derived,
            config=shown(("silver_chunks", {"cut_again": []})),
            description="Cut the documents of some sources again although nothing changed; chunks that come out the "
            f"same are not embedded again. {_HOW} Name the sources.",
        ),
    }


def _job(prefix: Prefix, name: str, keys: Sequence[dg.AssetKey], **more: Any) -> Job:
    # The executor is the job's own: a multiprocess one would import everything anew for each step.
    selection = dg.AssetSelection.assets(*map(prefix.key, keys))
    return dg.define_asset_job(prefix.name(name), selection=selection, executor_def=dg.in_process_executor, **more)


def build_schedules(pipeline: Pipeline, jobs: dict[str, Job], prefix: Prefix) -> Sequence[dg.ScheduleDefinition]:
    """Hourly, nightly, and one for each source that has its own."""
    settings = pipeline.settings
    schedules = [
        _schedule(pipeline, "hourly", jobs[HOURLY_JOB], settings.hourly_schedule, prefix),
        _schedule(pipeline, "nightly", jobs[NIGHTLY_JOB], settings.nightly_schedule, prefix),
    ]
    for name, source in settings.sources.items():
        if source.schedule is not None:
            own = f"refresh_{name}"
            schedules.append(_schedule(pipeline, own, jobs[own], source.schedule, prefix))
    return schedules


def _schedule(described: Pipeline, name: str, job: Job, cron: str, prefix: Prefix) -> dg.ScheduleDefinition:
    settings = described.settings

    @dg.schedule(
        job=job,
        cron_schedule=cron,
        name=prefix.name(f"{name}_schedule"),
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING if settings.automation else dg.DefaultScheduleStatus.STOPPED,
    )
    @prefix.bound
    def schedule(context: dg.ScheduleEvaluationContext, pipeline: PipelineResource) -> dg.RunRequest | dg.SkipReason:
        waiting = context.instance.get_runs_count(dg.RunsFilter(job_name=job.name, statuses=ACTIVE))
        if waiting:
            # A run looks at everything there is when it starts, so a second one in the queue would find nothing.
            return dg.SkipReason(f"{waiting} earlier runs of {job.name} have not ended; the next tick asks again")
        # A run key of the UTC time: one of the local hour would meet itself when clocks go back.
        return dg.RunRequest(
            run_key=context.scheduled_execution_time.isoformat(), partition_key=served_partition(pipeline.workspace)
        )

    return schedule


def served_partition(workspace: "Workspace") -> str:
    """The model whose partition a run carries, also while the log of publications is damaged: the run heals it."""
    from rag_pipeline.refresh.damage import unless_damaged
    from rag_pipeline.refresh.generations import served_alias

    return unless_damaged(lambda: served_alias(workspace), workspace.settings.serve)


def build_sensors(pipeline: Pipeline, jobs: dict[str, Job], prefix: Prefix) -> Sequence[dg.SensorDefinition]:
    """The sensor that asks for what should be current and is not."""
    is_on = pipeline.settings.automation

    @dg.sensor(
        jobs=[jobs[CATCH_UP_JOB], jobs[KEEP_IN_STEP_JOB]],
        name=prefix.name("published_is_behind_bronze"),
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED,
        description="Requests silver to publication when bronze holds something that readers do not see yet: a source "
        "that failed must not hold up the others, and a run that was killed is made up for.",
    )
    @prefix.bound
    def behind(
        context: dg.SensorEvaluationContext, pipeline: PipelineResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        from rag_pipeline.refresh.damage import unless_damaged
        from rag_pipeline.refresh.generations import aliases_behind
        from rag_pipeline.refresh.status import bronze_versions, is_behind

        # Other jobs of the instance do not hold this one up.
        own = [dg.RunsFilter(job_name=job.name, statuses=ACTIVE) for job in jobs.values()]
        if any(context.instance.get_runs_count(runs) for runs in own):
            yield dg.SkipReason("a run is under way; it may be what is missing")
            return
        workspace = pipeline.workspace
        # A run heals what is damaged; a question that fails would never ask for one.
        if unless_damaged(lambda: is_behind(workspace), True):
            missing = [(CATCH_UP_JOB, served_partition(workspace))]
        else:
            missing = [(KEEP_IN_STEP_JOB, alias) for alias in aliases_behind(workspace)]
        if not missing:
            yield dg.SkipReason("readers see everything that bronze holds, and every living model is in step")
        for job, alias in missing:
            yield _request(context, jobs[job].name, alias, bronze_versions(workspace))

    return [behind]


def _request(context: dg.SensorEvaluationContext, job: str, alias: str, state: str) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run on a state of bronze, again after a failure, three times at most."""
    tags = {"rag/bronze": state, "rag/job": job, "rag/model": alias}
    failed = context.instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=[dg.DagsterRunStatus.FAILURE]))
    if failed >= MOST_ATTEMPTS:
        return dg.SkipReason(f"{failed} runs on this state failed; look at them, then run {job} by hand")
    # The key names the state and the failures: a key asks once ever, and what failed must be asked for again.
    return dg.RunRequest(run_key=f"{job}-{alias}-{state}-{failed}", job_name=job, partition_key=alias, tags=tags)


def polled(names: Iterable[str]) -> list[dg.AssetKey]:
    """Assets of some sources: one step polls a source and brings its table up to date."""
    return [key(name) for name in names for key in (source_key, bronze_key)]


def published_selection(pipeline: Pipeline, *, left_out: Collection[str] = ()) -> list[dg.AssetKey]:
    """Everything from the sources to what readers see, less the polling of some sources."""
    sources = polled(name for name in pipeline.settings.sources if name not in left_out)
    groups = [*([MEMBERSHIPS_KEY] if has_groups(pipeline) else []), PRINCIPALS_KEY]
    silver = [*groups, REVOCATIONS_KEY, DOCUMENTS_KEY, QUARANTINE_KEY, DUPLICATES_KEY, BOILERPLATE_KEY, CHUNKS_KEY]
    silver += [ENRICHMENTS_KEY] if has_enrichments(pipeline) else []
    return [*sources, *silver, EMBEDDINGS_KEY, INDEX_KEY, EVALUATION_KEY, PUBLICATION_KEY]
