"""Look before a run; where nothing changed, record that it was looked instead of running everything to find that out.

Belongs here: what Dagster is told of a look.
Does not belong here: looking (`refresh/look.py`), running (`launch.py`).

The UI shows a run of the job that ended well, each source as materialized now, with the data version it has, so that
nothing below it is out of step, and the checks of polling as passed. Everything else keeps what the last whole run told
of it, and a whole run follows before that is too old.
"""

import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.storage.dagster_run import DagsterRun

from rag_pipeline.defs.instance import LAUNCH_TAG, dagster_home, opened_instance
from rag_pipeline.defs.liveness import alive
from rag_pipeline.defs.names import (
    ANSWERS_CHECK,
    DATA_VERSION_TAG,
    HAPPENED,
    LAUNCHED_BY_TAG,
    POLLED_CHECK,
    REFRESH_JOB,
    source_key,
)
from rag_pipeline.defs.summary import RunSummary
from rag_pipeline.refresh.look import Listed, Settled, nothing_changed, read_settled
from rag_pipeline.settings import Pipeline

log = logging.getLogger(__name__)

LOOKED_TAG = "rag/nothing_changed_since_run"


class Looked(NamedTuple):
    """What is told where nothing changed.

    Attributes:
        example: A question to try, and a principal to ask it as.
        since: When the run ended since which nothing changed.
    """

    summary: RunSummary
    example: Sequence[str] | None
    since: datetime


def look_first(pipeline: Pipeline, launch_id: str) -> Looked | None:
    """Record that nothing changed since the last run, if so it is; None: only a run can tell.

    Args:
        launch_id: Tells its run from others, for `cancel_launch`.
    """
    started = time.monotonic()
    settled = read_settled(pipeline)
    if settled is None:
        return None
    try:
        with opened_instance(dagster_home(pipeline)) as instance:
            if not _is_last(instance, settled.run_id) or not nothing_changed(pipeline, settled, datetime.now(UTC)):
                return None
            work_seconds = time.monotonic() - started
            run_id = _record(instance, settled, launch_id)
    except Exception as error:
        # The run meets it too, takes away all the same, and says what is wrong.
        log.warning("no look instead of a run: %s", type(error).__name__)
        return None
    summary = _summary(settled, run_id, work_seconds, time.monotonic() - started)
    return Looked(summary, settled.example, settled.since)


def _is_last(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether no run came after it but such that looked and found nothing; a failed one has to be made up for."""
    for record in instance.get_run_records(limit=1):
        run = record.dagster_run
        return run.is_success and run_id in (run.run_id, run.tags.get(LOOKED_TAG))
    return False


def _record(instance: dg.DagsterInstance, settled: Settled, launch_id: str) -> str:
    now = datetime.now(UTC)
    for name, listed in settled.sources.items():
        for event in _events(name, listed, now, _known(instance, name)):
            instance.report_runless_asset_event(event)
    tags = {LAUNCHED_BY_TAG: "rag-pipeline run", LAUNCH_TAG: launch_id, LOOKED_TAG: settled.run_id}
    run = DagsterRun(REFRESH_JOB, run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.SUCCESS, tags=tags)
    # A look that is killed here is ended by the next run like any other.
    with alive(instance, run.run_id):
        instance.add_run(run)
        for kind in (DagsterEventType.RUN_START, DagsterEventType.RUN_SUCCESS):
            told = DagsterEvent(kind.value, REFRESH_JOB, message="Looked: nothing changed.")
            instance.run_storage.handle_run_event(run.run_id, told)
    return run.run_id


def _known(instance: dg.DagsterInstance, name: str) -> Mapping[str, dg.MetadataValue]:
    """What the page of a source said before: nothing changed, and Dagster shows the last event alone."""
    event = instance.get_latest_materialization_event(source_key(name))
    made = event.asset_materialization if event is not None else None
    return made.metadata if made is not None else {}


def _events(
    name: str, listed: Listed, now: datetime, known: Mapping[str, dg.MetadataValue]
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    objects = f"{listed.objects:,} object{'' if listed.objects == 1 else 's'}"
    yield dg.AssetMaterialization(
        source_key(name),
        metadata={
            **known,
            HAPPENED: f"It answered and listed {objects}; nothing changed.",
            "rag/listed_count": listed.objects,
        },
        tags={DATA_VERSION_TAG: listed.version},
    )
    polled = {"rag/polled_at": dg.MetadataValue.timestamp(now), "rag/attempted_at": dg.MetadataValue.timestamp(now)}
    yield dg.AssetCheckEvaluation(
        source_key(name), ANSWERS_CHECK, True, metadata={}, description=f"it listed {objects}"
    )
    yield dg.AssetCheckEvaluation(
        source_key(name),
        POLLED_CHECK,
        True,
        metadata=polled,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"last polled with success {now:%Y-%m-%d %H:%M} UTC",
    )


def _summary(settled: Settled, run_id: str, work_seconds: float, seconds: float) -> RunSummary:
    """The figures of the run before, less what it did."""
    told = dict(settled.summary)
    kept = ("source", "live", "problems")
    sources = [{name: each[name] if name in kept else 0 for name in each} for each in told["sources"]]
    return RunSummary(
        **told
        | {
            "embeddings_computed": 0,
            "commits": 0,
            "published": told["published"] | {"moved": False},
            "sources": sources,
            "run_ids": [run_id],
            "seconds": round(seconds, 3),
            "work_seconds": round(work_seconds, 3),
        }
    )
