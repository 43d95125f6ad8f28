"""Runs that were killed: noticed by the next run, marked failed, and what they held set free.

Belongs here: a lock per run that its process holds, and the sweep over runs whose lock nobody holds any more.
Does not belong here: the lake's write lock (`stores/lake.py`), which the kernel sets free by itself.

Dagster keeps the claim of a pool in its storage, and only the process that claimed it gives it back. Without the
sweep a killed run would hold the pool of writers for ever, and every run after it would wait.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

FOLDER = "rag_pipeline_runs"
_UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]


@contextmanager
def alive(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Show other processes that this run is under way while the block runs; the kernel ends it with the process."""
    folder = Path(instance.storage_directory()) / FOLDER
    lock = FileLock(folder / f"{run_id}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        # A full disk must not keep anybody from taking away what was revoked.
        log.warning("other processes cannot see that run %s is under way: %s", run_id, error)
        yield
        return
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def living_runs(instance: dg.DagsterInstance) -> list[str]:
    """Ids of the runs that are under way in some process now."""
    folder = Path(instance.storage_directory()) / FOLDER
    living = []
    for path in sorted(folder.glob("*.lock")):
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            living.append(path.stem)
        else:
            lock.release()
    return living


def end_killed_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed whose process is gone, and free what they held; returns their ids."""
    folder = Path(instance.storage_directory()) / FOLDER
    ended = []
    for path in sorted(folder.glob("*.lock")):
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue
        try:
            run = instance.get_run_by_id(path.stem)
            if run is not None and run.status in _UNFINISHED:
                instance.report_run_failed(run, "The process of this run was killed.")
                log.warning("ended killed run=%s", path.stem)
                ended.append(path.stem)
            instance.event_log_storage.free_concurrency_slots_for_run(path.stem)
            path.unlink(missing_ok=True)
        finally:
            lock.release()
    return ended
