"""Dagster's records of runs, which grow for ever otherwise: half a megabyte a run.

Belongs here: which of them may go.
Does not belong here: the lake (`refresh/maintenance.py`).
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES

# Files of SQLite beside a database that was not closed.
_SUFFIXES = ("", "-wal", "-shm", "-journal")


def forget_runs(instance: dg.DagsterInstance, before: datetime) -> int:
    """Remove the records of runs that ended and were created before a moment; return how many went.

    The run of an asset's last materialization or observation stays, however old, so that its page is never empty.
    """
    kept = set(_last_runs(instance))
    old = instance.get_runs(filters=dg.RunsFilter(created_before=before, statuses=list(FINISHED_STATUSES)))
    gone = [run.run_id for run in old if run.run_id not in kept]
    for run_id in gone:
        instance.delete_run(run_id)
        _remove_file(instance, run_id)
    return len(gone)


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
