"""One refresh through Dagster in this process: what `rag-pipeline run` does.

Belongs here: running the job that the UI and the schedules run, and summing up its events.
Does not belong here: showing the summary (`cli/`).
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from rag_pipeline.contracts.holds import Hold
from rag_pipeline.contracts.notices import say
from rag_pipeline.contracts.progress import Progress
from rag_pipeline.defs.automation import (
    CATCH_UP_JOB,
    KEEP_IN_STEP_JOB,
    NIGHTLY_JOB,
    published_selection,
    served_partition,
)
from rag_pipeline.defs.build import build_runs
from rag_pipeline.defs.instance import LAUNCH_TAG, dagster_home, opened_instance
from rag_pipeline.defs.liveness import living_runs
from rag_pipeline.defs.names import ANSWERS_CHECK, HINTS_TAG, LAUNCHED_BY_TAG, REFRESH_JOB
from rag_pipeline.defs.publication import ALLOWED_CHECK
from rag_pipeline.defs.resources import met_damage
from rag_pipeline.defs.revocations import HEALED_TAG, WHOLE_CHECK
from rag_pipeline.defs.specs import (
    CHUNKS_KEY,
    DOCUMENTS_KEY,
    DUPLICATES_KEY,
    PUBLICATION_KEY,
    QUARANTINE_KEY,
    bronze_key,
)
from rag_pipeline.defs.step_errors import step_error
from rag_pipeline.defs.summary import RunSummary
from rag_pipeline.defs.unusable import check_it_began, said_of
from rag_pipeline.errors import RagPipelineError, SourceUnavailable
from rag_pipeline.refresh.damage import unless_damaged
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.generations import aliases_behind
from rag_pipeline.refresh.holds import read_holds
from rag_pipeline.refresh.kept_listings import KEPT, KeptListing
from rag_pipeline.refresh.look import forget_settled, inputs_of
from rag_pipeline.refresh.maintenance import is_maintenance_due
from rag_pipeline.refresh.progress import CURRENT
from rag_pipeline.refresh.settle import settle
from rag_pipeline.refresh.unsettled import revoke_alone
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import Pipeline
from rag_pipeline.shown import shown
from rag_pipeline.stores.read_once import SHARED, ReadOnce
from rag_pipeline.transforms.deletion_guard import describe_holds

# Checks that speak of what is stored, whatever a run did: what they find, they find in the next run too.
STANDING_CHECKS = frozenset(
    {
        "content_is_fresh",
        "duplicates_are_few",
        "chunk_lengths_are_usual",
        "few_chunks_are_cut_inside_a_sentence",
        "few_chunks_are_short",
        "fields_are_usual",
        "hits_move_with_a_cause",
        "hybrid_is_as_good_as_each_retriever",
        "languages_are_usual",
        "neighbours_are_as_near",
        "openness_is_usual",
        "patterns_match_something",
        "permissions_can_be_read",
        "quality_is_good",
        "quality_is_usual",
        "quarantine_is_small",
        "refusals_are_usual",
        "somebody_may_read_it",
        "volumes_are_usual",
    }
)


def launch_refresh(
    pipeline: Pipeline,
    *,
    allow_mass_deletion: Sequence[str] = (),
    alias: str | None = None,
    progress: Progress | None = None,
    launch_id: str = "",
    only: Sequence[str] = (),
) -> RunSummary:
    """Refresh everything and publish, in one Dagster run in this process.

    A source that does not answer, and what the deletion guard holds, are failed checks that stop nothing. A source
    whose step fails (a damaged table, a fault of ours) is left out of a second run, in which the rest is refreshed.

    Args:
        allow_mass_deletion: Sources whose deletion guard lets everything go in this run.
        alias: Embedding model whose index is built beside the served one; readers are not pointed to it.
        launch_id: Tells its runs from others, for `cancel_launch`.
        only: Sources to poll, which hints name, and no others; none: all of them.
    """
    started = time.monotonic()
    made_with = _made_with(pipeline)
    token = CURRENT.set(progress) if progress is not None else None
    shared = SHARED.set(ReadOnce())
    kept: dict[str, KeptListing] = {}
    listings = KEPT.set(kept)
    try:
        with opened_instance(dagster_home(pipeline)) as instance:
            unpolled = [name for name in pipeline.settings.sources if only and name not in only]
            # What is not polled has no step that could be told.
            allowed = [name for name in allow_mass_deletion if name not in unpolled]
            runs = _runs(pipeline, instance, allowed, alias, launch_id, unpolled, only)
    except FAULTS as error:
        # A run takes away by itself; this is for what breaks around it, even before a source was polled.
        with Workspace(pipeline, run_id="launch") as workspace:
            left = revoke_alone(workspace, allow_mass_deletion)
        raise said_of(error, pipeline, left) from error
    finally:
        # What comes after looks at the lake itself once more.
        SHARED.reset(shared)
        KEPT.reset(listings)
        if token is not None:
            CURRENT.reset(token)
    summary = _summary(pipeline, runs, time.monotonic() - started)
    _settle(pipeline, summary, None if only else made_with, kept)
    return summary


def _made_with(pipeline: Pipeline) -> str | None:
    """Digest of what a run is made with, before it begins; None where it cannot be told, which the run finds out."""
    try:
        return inputs_of(pipeline)
    except (RagPipelineError, OSError):
        return None


def _settle(pipeline: Pipeline, summary: RunSummary, made_with: str | None, kept: Mapping[str, KeptListing]) -> None:
    """Let the next run look first, where this one left nothing that a run would do or tell otherwise."""
    is_as_before = not summary.commits and not summary.embeddings_computed
    is_held = summary.published is None or summary.published["is_held"]
    # A check that failed may speak of this run alone; what fails where nothing changed, fails in the next run too.
    is_stable = is_as_before or {check["check"] for check in summary.checks_failed} <= STANDING_CHECKS
    with Workspace(pipeline, run_id=summary.run_ids[-1]) as workspace:
        if summary.success and is_stable and not (summary.healed or summary.held or is_held):
            settle(workspace, summary.run_ids[-1], asdict(summary), made_with, kept)
        else:
            forget_settled(pipeline)


def _runs(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    allowed: list[str],
    wanted: str | None,
    launch_id: str,
    unpolled: list[str],
    hinted: Sequence[str],
) -> list[dg.ExecuteInProcessResult]:
    definitions = build_runs(pipeline)
    # Events are kept in the instance; on the terminal the caller shows progress and the summary instead.
    loggers = {"console": {"config": {"log_level": "CRITICAL"}}}

    def execute(
        job: str,
        alias: str,
        selection: list[dg.AssetKey] | None = None,
        ops: dict[str, Any] | None = None,
        healed: str = "",
    ) -> dg.ExecuteInProcessResult:
        run = definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            partition_key=alias,
            run_config={"ops": ops or {}, "loggers": loggers},
            asset_selection=selection,
            raise_on_error=False,
            tags={
                LAUNCHED_BY_TAG: "rag-pipeline run",
                LAUNCH_TAG: launch_id,
                **({HEALED_TAG: healed} if healed else {}),
                **({HINTS_TAG: ",".join(hinted)} if hinted else {}),
            },
        )
        check_it_began(run)
        return run

    _say_who_is_under_way(instance)
    with Workspace(pipeline, run_id="launch") as workspace:
        served = served_partition(workspace)
        # However runs are started: a lake that only ever sees this command is kept in order too.
        job = NIGHTLY_JOB if is_maintenance_due(workspace) and not unpolled else REFRESH_JOB
    chosen = published_selection(pipeline, left_out=unpolled) if unpolled else None
    released: dict[str, Any] = {f"bronze_{name}": {"config": {"allow_mass_deletion": True}} for name in allowed}
    if allowed:
        released["silver_documents"] = {"config": {"allow_mass_deletion": allowed}}
    main = execute(job, served, chosen, released)
    runs = [main]
    if any(map(met_damage, main.all_events)):
        # It was not seen at the beginning. Now the first step looks closely and heals, and everything is done again.
        healing = execute(CATCH_UP_JOB, served)
        main = execute(job, served, chosen, released, healed=_healed(healing))
        runs = [healing, main]
    failed = [name for name in pipeline.settings.sources if _failed(main, f"bronze_{name}")]
    # Where nothing is left to poll, a second run would do what the first one did at its end.
    if failed and len(failed) + len(unpolled) < len(pipeline.settings.sources):
        kept = {op: config for op, config in released.items() if op.removeprefix("bronze_") not in failed}
        runs.append(execute(REFRESH_JOB, served, published_selection(pipeline, left_out=[*failed, *unpolled]), kept))
    with Workspace(pipeline, run_id="launch") as workspace:
        behind = aliases_behind(workspace)
    others = dict.fromkeys([*behind, *([wanted] if wanted is not None and wanted != served else [])])
    runs += [execute(KEEP_IN_STEP_JOB, other) for other in others]
    steps = ("gold_embeddings", "gold_evaluation", "gold_publication")
    if others and (_refused(main) or any(_failed(main, step) for step in steps)):
        # The model that pipeline.yaml names was refused; readers of the one before it get what is new all the same.
        runs.append(execute(REFRESH_JOB, served, [PUBLICATION_KEY]))
    return runs


def _healed(run: dg.ExecuteInProcessResult) -> str:
    """What a run says that it made again; the last run of a launch says it too, since nobody looks between the two."""
    found = (check for check in run.get_asset_check_evaluations() if check.check_name == WHOLE_CHECK)
    return "; ".join(check.description or "" for check in found if not check.passed)


def _say_who_is_under_way(instance: dg.DagsterInstance) -> None:
    """Steps of two runs take turns, which Dagster waits for without a word on the terminal."""
    for run_id in living_runs(instance):
        record = instance.get_run_record_by_id(run_id)
        if record is None:
            continue
        run, began = record.dagster_run, record.start_time or record.create_timestamp.timestamp()
        since = datetime.fromtimestamp(began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        by = run.tags.get(LAUNCHED_BY_TAG, "Dagster")
        say(
            f"Run {run_id} of {run.job_name}, started by {by} at {since}, is under way: this one waits whenever that "
            f"one writes."
        )


def _failed(run: dg.ExecuteInProcessResult, step: str) -> bool:
    return any(event.is_step_failure and event.step_key == step for event in run.all_events)


def _refused(run: dg.ExecuteInProcessResult) -> bool:
    """Whether readers could not be pointed to the newest version."""
    return any(check.check_name == ALLOWED_CHECK and not check.passed for check in run.get_asset_check_evaluations())


@dataclass
class _Told:
    """What the events of all runs of a launch tell, the later in place of the earlier."""

    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: dict[tuple[str, str], Any] = field(default_factory=dict)
    errors: dict[str, dict[str, Any]] = field(default_factory=dict)
    healed: list[str] = field(default_factory=list)
    commits: int = 0
    computed: int = 0
    work_seconds: float = 0.0

    def take(self, event: dg.DagsterEvent) -> None:
        # What is held by a rollback is observed and not made.
        if event.is_step_materialization or event.event_type == dg.DagsterEventType.ASSET_OBSERVATION:
            self._take_facts(_shown(event))
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            self._take_check(event.event_specific_data)
        elif event.is_step_success:
            self.errors.pop(str(event.step_key), None)
        elif event.is_step_failure:
            error = step_error(event)
            # Stopping after a failed check is reported as that check, not as an error of its own.
            if error is not None:
                self.errors[error["step"]] = error

    def _take_facts(self, found: dg.AssetMaterialization | dg.AssetObservation) -> None:
        if not found.metadata:
            return
        values: dict[str, Any] = {key: value.value for key, value in found.metadata.items()}
        self.facts[found.asset_key.to_user_string()] = values
        self.commits += int(values.get("rag/commits", 0))
        self.work_seconds += float(values.get("rag/work_seconds", 0))
        self.computed += int(values.get("rag/embeddings_computed", 0))
        self.healed += str(values.get("rag/healed", "")).split()

    def _take_check(self, data: Any) -> None:
        key = data.asset_key.to_user_string()
        if data.check_name == ANSWERS_CHECK and not data.passed:
            self.errors[key] = _unavailable(data)
        elif not (self.healed and data.check_name == WHOLE_CHECK and data.passed):
            # That a table was healed stays said when a later run of the same launch finds it whole.
            self.checks[key, data.check_name] = data


def _summary(pipeline: Pipeline, runs: list[dg.ExecuteInProcessResult], seconds: float) -> RunSummary:
    told = _Told()
    for run in runs:
        for event in run.all_events:
            told.take(event)
    facts, checks, errors = told.facts, told.checks, told.errors
    failed = [c for c in checks.values() if not c.passed]
    with Workspace(pipeline, run_id="launch") as workspace:
        # That the table is damaged is a failed check already.
        holds: list[Hold] = unless_damaged(lambda: read_holds(workspace), [])

    def fact(key: dg.AssetKey, name: str) -> Any:
        return facts.get(key.to_user_string(), {}).get(name)

    published = facts.get(PUBLICATION_KEY.to_user_string())
    return RunSummary(
        success=not errors and not any(c.severity == dg.AssetCheckSeverity.ERROR for c in failed),
        documents=int(fact(DOCUMENTS_KEY, "dagster/row_count") or 0),
        chunks=int(fact(CHUNKS_KEY, "dagster/row_count") or 0),
        quarantined=int(fact(QUARANTINE_KEY, "dagster/row_count") or 0),
        duplicates=int(fact(DUPLICATES_KEY, "dagster/row_count") or 0),
        embeddings_computed=told.computed,
        commits=told.commits,
        seconds=round(seconds, 3),
        work_seconds=round(told.work_seconds, 3),
        published=_published(published),
        sources=[_source(name, facts[key]) for name, key in _bronze_keys(pipeline) if key in facts],
        checks_passed=sum(c.passed for c in checks.values()),
        checks_failed=[_check(c) for c in failed],
        errors=list(errors.values()),
        run_ids=[run.run_id for run in runs],
        healed=told.healed,
        held=[hold.summary() for hold in holds],
        held_because=describe_holds(holds),
    )


def _shown(event: dg.DagsterEvent) -> dg.AssetMaterialization | dg.AssetObservation:
    if event.is_step_materialization:
        return event.step_materialization_data.materialization
    return event.asset_observation_data.asset_observation


def _unavailable(check: Any) -> dict[str, Any]:
    """A source that did not answer is an error of the run to whoever typed it, with its own exit code."""
    return {
        "step": f"bronze_{check.asset_key.path[-1]}",
        "code": SourceUnavailable.code,
        "message": shown(check.description or ""),
        "exit_code": SourceUnavailable.exit_code,
    }


def _bronze_keys(pipeline: Pipeline) -> Iterable[tuple[str, str]]:
    return ((name, bronze_key(name).to_user_string()) for name in pipeline.settings.sources)


def _published(values: dict[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    names = ("alias", "space_fingerprint", "table_name", "table_version", "rows", "documents", "moved", "is_held")
    return {name: values[f"rag/{name}"] for name in names}


def _source(name: str, values: dict[str, Any]) -> dict[str, Any]:
    names = ("live", "added", "modified", "moved", "metadata_changed", "deleted", "problems", "commits")
    return {"source": name, **{key: values[f"rag/{key}"] for key in names}}


def _check(check: Any) -> dict[str, Any]:
    next_step = check.metadata.get("rag/next_step") if check.metadata else None
    return {
        "asset": check.asset_key.to_user_string(),
        "check": check.check_name,
        "severity": check.severity.value,
        "description": shown(check.description or ""),
        "next_step": "" if next_step is None else shown(str(next_step.value)),
    }
