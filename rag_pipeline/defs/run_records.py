"""Dagster's records of runs and of looks, which grow for ever otherwise: half a megabyte a run, 20 KB a look.

Belongs here: which of them may go.
Does not belong here: the lake (`refresh/maintenance.py`).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as db
from dagster._core.events import DagsterEventType
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)

from rag_pipeline.defs.names import source_key
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.specs import MAINTENANCE_KEY
from rag_pipeline.settings import Pipeline

# Dagster's own name for what was told outside of any run.
_RUNLESS = ""
# SQLite takes so many values in a statement, on the oldest versions around.
_BATCH_ROWS = 500
# Files of SQLite beside a database that was not closed.
_SUFFIXES = ("", "-wal", "-shm", "-journal")


def own_runs(pipeline: Pipeline, prefix: Prefix) -> Callable[[dg.DagsterRun], bool]:
    """Whether a run is one of a pipeline, and not of another or of somebody else's assets in the same records."""
    from rag_pipeline.defs.automation import build_jobs, published_selection
    from rag_pipeline.defs.operations import build_operator_jobs

    jobs = {job.name for job in (*build_jobs(pipeline, prefix).values(), *build_operator_jobs(pipeline, prefix))}
    assets = {prefix.key(key) for key in (*published_selection(pipeline), MAINTENANCE_KEY)}

    def is_own(run: dg.DagsterRun) -> bool:
        # Dagster's own job makes what a person chose, of all that there is.
        return run.job_name in jobs or bool(run.asset_selection and run.asset_selection <= assets)

    return is_own


def forget_runs(instance: dg.DagsterInstance, before: datetime, is_own: Callable[[dg.DagsterRun], bool]) -> int:
    """Remove the records of own runs that ended and were created before a moment; return how many went.

    The run of an asset's last materialization or observation stays, however old, so that its page is never empty.
    """
    kept = set(_last_runs(instance))
    old = instance.get_runs(filters=dg.RunsFilter(created_before=before, statuses=list(FINISHED_STATUSES)))
    gone = [run.run_id for run in old if run.run_id not in kept and is_own(run)]
    for run_id in gone:
        instance.delete_run(run_id)
        _remove_file(instance, run_id)
    _forget_looks(instance, before)
    return len(gone)


def _forget_looks(instance: dg.DagsterInstance, before: datetime) -> None:
    """Remove what looks told of sources before a moment; the last word on each source and check stays.

    A look tells it outside of any run, and Dagster removes such events with nothing but their asset.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return
    moment = before.astimezone(UTC).replace(tzinfo=None)
    events, checks, tags = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c, AssetEventTagsTable.c
    of_source = source_key("%").to_string()
    is_made = events.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION.value
    is_old = db.and_(events.run_id == _RUNLESS, events.timestamp < moment)
    old_made = db.and_(is_old, is_made, events.asset_key.like(of_source))
    with storage.index_connection() as index:
        checked = db.and_(checks.run_id == _RUNLESS, checks.create_timestamp < moment, checks.asset_key.like(of_source))
        last_checked = db.select(db.func.max(checks.id)).group_by(checks.asset_key, checks.check_name)
        last_made = db.select(db.func.max(events.id)).where(is_made).group_by(events.asset_key)
        of_check = dict(index.execute(db.select(checks.id, checks.evaluation_event_storage_id).where(checked)).all())
        for (kept,) in index.execute(last_checked):
            of_check.pop(kept, None)
        made = {row[0] for row in index.execute(db.select(events.id).where(old_made))}
        made -= {row[0] for row in index.execute(last_made)}
        _delete(index, AssetCheckExecutionsTable, checks.id, of_check)
        _delete(index, AssetEventTagsTable, tags.event_id, made)
        _delete(index, SqlEventLogStorageTable, events.id, [*made, *filter(None, of_check.values())])
    with storage.run_connection(_RUNLESS) as shard:
        # The default storage keeps a second copy of what it tells outside of runs, which nothing asks for.
        if shard.engine.url != index.engine.url:
            is_checked = events.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION.value
            shard.execute(db.delete(SqlEventLogStorageTable).where(db.or_(old_made, db.and_(is_old, is_checked))))


def _delete(connection: db.Connection, table: db.Table, column: db.ColumnElement[int], gone: Iterable[int]) -> None:
    ordered = sorted(gone)
    for start in range(0, len(ordered), _BATCH_ROWS):
        connection.execute(db.delete(table).where(column.in_(ordered[start : start + _BATCH_ROWS])))


def _last_runs(instance: dg.DagsterInstance) -> Iterator[str]:
    for record in instance.get_asset_records():
        entry = record.asset_entry
        for last in (entry.last_materialization_record, entry.last_observation_record):
            if last is not None:
                yield last.run_id


def _remove_file(instance: dg.DagsterInstance, run_id: str) -> None:
    """The default storage keeps a file for each run, and leaves it emptied."""
    storage: Any = instance.event_log_storage
    if not hasattr(storage, "path_for_shard"):
        return
    for suffix in _SUFFIXES:
        with suppress(FileNotFoundError):
            Path(storage.path_for_shard(run_id) + suffix).unlink()
