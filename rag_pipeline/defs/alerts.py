"""What Dagster's records say is wrong, as findings; and the sensor that tells it.

Belongs here: reading checks and runs by their last state, so that nothing is lost while nobody looks.
Does not belong here: what is told to whom (`transforms/alerts.py`), sending (`alerts/`).

Both `rag-pipeline run` and the sensor read the same records and fold them into one state in the lake, so either may run
alone, and both together tell nothing twice.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from rag_pipeline.alerts.cycle import OVERDUE_CHECK, Told, alert_file, check_key, tell
from rag_pipeline.contracts.alerts import Event, Finding
from rag_pipeline.defs.automation import published_selection
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.defs.specs import MAINTENANCE_KEY
from rag_pipeline.defs.step_errors import step_error
from rag_pipeline.settings import Pipeline
from rag_pipeline.shown import bounded, shown
from rag_pipeline.transforms.freshness import CLOCK_TOLERANCE

if TYPE_CHECKING:
    from rag_pipeline.refresh.workspace import Workspace

# Soon enough for people; a look reads the last state of each check.
SENSOR_SECONDS = 60
# Runs looked at in one look, the oldest first: what is more is looked at in the next one.
RUNS_LOOKED_AT = 500
# Dagster's own job for what a person materializes in the UI.
_ASSET_JOB = "__ASSET_JOB"
_EVENTS: dict[str, Event] = {
    "newest_version_may_be_published": "publication",
    "pointer_resolves": "publication",
    "postgres_has_what_is_published": "publication",
    "everything_revoked_has_left_postgres": "publication",
    "deletion_guard_holds_nothing": "deletion_guard",
    "no_source_is_refused_at_once": "deletion_guard",
    "content_is_fresh": "freshness",
    "changes_are_searchable_in_time": "freshness",
}
# As far back runs are read where a clock was set back since the last look, which came within minutes mostly.
_READ_AGAIN_SECONDS = 3_600.0
# More of an error than a person reads in a message.
_FOUND_CHARS = 2_000

CheckSpecs = Sequence[dg.AssetCheckSpec]


def check_specs(definitions: Iterable[dg.AssetsDefinition]) -> list[dg.AssetCheckSpec]:
    """The checks of some assets, and of definitions of checks alone."""
    return [spec for each in definitions for spec in each.check_specs]


def tell_of_records(
    instance: dg.DagsterInstance,
    workspace: "Workspace",
    specs: CheckSpecs,
    jobs: Iterable[str],
    prefix: Prefix,
    extra: Iterable[Finding] = (),
    *,
    is_current: bool = True,
) -> Told:
    """Tell what the records of an instance say that was not told yet.

    Args:
        extra: What is known beside the records.
        is_current: The checks are those of pipeline.yaml as it stands, so what others found is over.

    Raises:
        StoreError: The state of alerts cannot be written; nobody was told anything.
    """
    if not workspace.settings.alerts.sinks:
        return Told()
    record = f"runs of {instance.root_directory}"
    since = alert_file(workspace.pipeline).read().looked.get(record)
    findings = [*extra, *_check_findings(instance, workspace, specs, prefix)]
    assets = {prefix.key(key) for key in (*published_selection(workspace.pipeline), MAINTENANCE_KEY)}
    ran, until = _run_findings(instance, workspace, set(jobs), assets, since)
    checks = set(_keys_of(specs, workspace, prefix)) if is_current else None
    found = [*findings, *ran, *_forced(workspace)]
    return tell(workspace, found, looked={} if until is None else {record: until}, checks=checks)


def _keys_of(specs: CheckSpecs, workspace: "Workspace", prefix: Prefix) -> Iterator[str]:
    yield from (check_key(f"source/{name}", OVERDUE_CHECK) for name in workspace.settings.sources)
    for spec in specs:
        plain = "/".join(spec.asset_key.path[len(prefix.parts) :])
        aliases = [""] if spec.partitions_def is None else list(workspace.settings.embedding_models)
        yield from (check_key(plain, spec.name, alias) for alias in aliases)


def _check_findings(
    instance: dg.DagsterInstance, workspace: "Workspace", specs: CheckSpecs, prefix: Prefix
) -> Iterator[Finding]:
    by_key = {spec.key: spec for spec in specs if spec.name != OVERDUE_CHECK}
    apart = [key for key, spec in by_key.items() if spec.partitions_def is None]
    of_models = [key for key, spec in by_key.items() if spec.partitions_def is not None]
    looks: list[tuple[str, list[dg.AssetCheckKey], PartitionKeyFilter | None]] = [("", apart, None)]
    looks += [(alias, of_models, PartitionKeyFilter(key=alias)) for alias in workspace.settings.embedding_models]
    for alias, keys, chosen in looks:
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys, chosen)
        for key, record in found.items():
            entry = record.event
            event = entry.dagster_event if entry is not None else None
            # One that is planned only is what a run leaves that ended before the check: no news.
            if entry is None or event is None or event.event_type is not dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                continue
            told = event.asset_check_evaluation_data
            yield _of_check(workspace, told, by_key[key], prefix, alias, record.run_id, entry.timestamp)


def _of_check(
    workspace: "Workspace",
    told: Any,
    spec: dg.AssetCheckSpec,
    prefix: Prefix,
    alias: str,
    run_id: str,
    at: float,
) -> Finding:
    path = list(told.asset_key.path)
    plain = "/".join(path[len(prefix.parts) :])
    key = check_key(plain, told.check_name, alias)
    if told.passed:
        return Finding(key, at, run_id=run_id)
    source = path[-1] if path[-2:-1] in (["bronze"], ["source"]) else ""
    settings = workspace.settings.sources.get(source)
    step = told.metadata.get("rag/next_step") if told.metadata else None
    return Finding(
        key=key,
        at=at,
        is_bad=True,
        event=_EVENTS.get(told.check_name, "check"),
        severity="warning" if told.severity is dg.AssetCheckSeverity.WARN else "error",
        title=f"{told.check_name} of {plain}{f' ({alias})' if alias else ''}",
        means=spec.description or "",
        found=bounded(shown(told.description or ""), _FOUND_CHARS),
        next_step="" if step is None else shown(str(step.value)),
        source=source if settings is not None else "",
        owners=settings.owners if settings is not None else (),
        asset="/".join(path),
        run_id=run_id,
        runbook=told.check_name,
    )


def _run_findings(
    instance: dg.DagsterInstance,
    workspace: "Workspace",
    jobs: Collection[str],
    assets: Collection[dg.AssetKey],
    since: float | None,
) -> tuple[list[Finding], float | None]:
    """What runs that ended since a moment say of their steps, and the moment up to which they were read.

    Dagster's own job is that of every project of the instance, so what it did counts where it was to make our assets.
    """
    now = workspace.now().timestamp()
    if since is not None and since > now + CLOCK_TOLERANCE.total_seconds():
        # The clock was ahead: runs that end now end before what was read last.
        since = now - _READ_AGAIN_SECONDS
    # What ended in the same moment as the last one read is read once more, which tells nothing twice.
    after = None if since is None else datetime.fromtimestamp(since, UTC) - timedelta(seconds=1)
    wanted = dg.RunsFilter(statuses=list(FINISHED_STATUSES), updated_after=after)
    is_first = since is None
    limit = 1 if is_first else RUNS_LOOKED_AT
    while True:
        records = instance.get_run_records(
            filters=wanted, limit=limit, order_by="update_timestamp", ascending=not is_first
        )
        if since is None or len(records) < limit or records[-1].update_timestamp.timestamp() > since:
            break
        # So many ended in that moment that none after it was among them: else no look would come further.
        limit *= 2
    found: list[Finding] = []
    until = since
    for record in records:
        until = max(until or 0.0, record.update_timestamp.timestamp())
        run = record.dagster_run
        if run.job_name == _ASSET_JOB:
            steps = _steps_of(instance, run.run_id, assets)
            found += _of_run(instance, workspace, record, steps) if steps else ()
        elif run.job_name in jobs:
            found += _of_run(instance, workspace, record, None)
    return found, until


def _steps_of(instance: dg.DagsterInstance, run_id: str, assets: Collection[dg.AssetKey]) -> set[str]:
    """Steps of a run that were to make or check some assets."""
    planned = {dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED}
    steps = set()
    for record in instance.get_records_for_run(run_id, of_type=planned).records:
        event = record.event_log_entry.dagster_event
        if event is not None and event.step_key is not None and event.event_specific_data.asset_key in assets:  # type: ignore[union-attr]
            steps.add(event.step_key)
    return steps


def _of_run(
    instance: dg.DagsterInstance, workspace: "Workspace", record: dg.RunRecord, steps: Collection[str] | None
) -> Iterator[Finding]:
    """What one run says.

    Args:
        steps: Those that are ours; None: all of them.
    """
    run = record.dagster_run
    ended = record.end_time or record.update_timestamp.timestamp()
    of_run = f"run:{run.job_name}"
    if run.is_success:
        yield Finding(of_run, ended, run_id=run.run_id)
    failures = 0
    for stats in instance.get_run_step_stats(run.run_id, None if steps is None else sorted(steps)):
        if stats.status is not None and stats.status.value == "SUCCESS":
            yield Finding(f"step:{stats.step_key}", stats.end_time or ended, run_id=run.run_id)
    for event in instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records:
        told = event.event_log_entry.dagster_event
        assert told is not None
        failures += 1
        error = step_error(told) if steps is None or told.step_key in steps else None
        if error is not None:
            if error["code"] == "unexpected":
                # Its text may hold anything, credentials too, and messages go to other services.
                error |= {"message": f"{_class_of(told)}; what it says stands in the run"}
            yield _of_step(workspace, error, run, event.event_log_entry.timestamp)
    if run.status is dg.DagsterRunStatus.FAILURE and not failures:
        yield Finding(
            key=of_run,
            at=ended,
            is_bad=True,
            event="run",
            title=f"A run of {run.job_name} failed",
            means="Each run ends well; readers keep what was published last, less what was revoked.",
            found="It ended outside of any step: it was killed, or its process was lost.",
            next_step="rag-pipeline run; what was committed is kept",
            run_id=run.run_id,
            runbook="failed-run",
        )


def _class_of(event: dg.DagsterEvent) -> str:
    """The name of the class of what a step raised, without Dagster's wrapping."""
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return (error.cls_name if error is not None else None) or "an error without a name"


def _of_step(workspace: "Workspace", error: Mapping[str, Any], run: dg.DagsterRun, at: float) -> Finding:
    source = str(error["step"]).rpartition("bronze_")[2]
    settings = workspace.settings.sources.get(source)
    # The stack is in the run; its last line says what it was.
    cause = str(error["message"]).rpartition("following exception:\n")[2].strip() or str(error["message"])
    return Finding(
        key=f"step:{error['step']}",
        at=at,
        is_bad=True,
        event="run",
        title=f"Step {error['step']} of {run.job_name} failed ({error['code']})",
        means="Each step ends well; readers keep what was published last, less what was revoked.",
        found=bounded(shown(cause), _FOUND_CHARS),
        next_step="",
        source=source if settings is not None else "",
        owners=settings.owners if settings is not None else (),
        run_id=run.run_id,
        runbook=f"error-{error['code']}",
    )


def _forced(workspace: "Workspace") -> Iterator[Finding]:
    """The last publication, if it was forced past the evaluation."""
    last = workspace.lake.last_publication()
    reason = last.figures.get("gate_overridden") if last is not None else None
    if last is not None and reason:
        yield Finding(
            key="forced",
            at=last.published_at.timestamp(),
            is_bad=True,
            event="publication",
            severity="warning",
            title=f"{last.alias} version {last.table_version} was published although the evaluation says no",
            means="Publication refuses what answers the configured questions worse; a person may override that.",
            found=shown(f"{reason} The reason given: {last.note}"),
            next_step="rag-pipeline models rollback --note WHY goes back",
            asset="gold/publication",
            run_id=last.run_id,
            runbook="worse-answers",
            lasts=False,
        )


def build_alert_sensors(pipeline: Pipeline, specs: CheckSpecs, jobs: Iterable[str], prefix: Prefix) -> list[Any]:
    """The sensor that tells what is wrong; none where nobody is to be told."""
    if not pipeline.settings.alerts.sinks:
        return []
    names = list(jobs)
    made_of = pipeline.settings

    @dg.sensor(
        name=prefix.name("alerts"),
        minimum_interval_seconds=SENSOR_SECONDS,
        # Whoever lists sinks wants to be told, whether or not runs are started by hand.
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells the sinks of pipeline.yaml what turned bad or well again: failed runs and checks, overdue "
        "sources, refused and forced publications, what the deletion guard holds.",
    )
    @prefix.bound
    def alerts(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SkipReason:
        workspace = pipeline.workspace
        # Until it is loaded anew, it knows the checks of the pipeline.yaml of then.
        is_current = workspace.settings == made_of
        told = tell_of_records(context.instance, workspace, specs, names, prefix, is_current=is_current)
        return dg.SkipReason(told.sentence())

    return [alerts]
