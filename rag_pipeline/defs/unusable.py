"""What breaks around a run: Dagster's own records, and runs that ended before any step of theirs began.

Belongs here: telling such a failure from one of a step, and wording it.
Does not belong here: launching (`launch.py`), what readers lose all the same (`refresh/unsettled.py`).
"""

import os
import sqlite3
from pathlib import Path

import dagster as dg
import yaml
from dagster._check import CheckError
from sqlalchemy.exc import SQLAlchemyError

from rag_pipeline.defs.instance import STORAGES
from rag_pipeline.errors import DagsterUnusable
from rag_pipeline.settings import Pipeline
from rag_pipeline.settings.pipelines import records_home

_OF_DAGSTER = (dg.DagsterError, CheckError, OSError, sqlite3.Error, SQLAlchemyError, yaml.YAMLError)


def said_of(error: BaseException, pipeline: Pipeline, left: str) -> BaseException:
    """The error to raise for what kept a launch from running: ours where Dagster's records are at fault.

    Args:
        left: Why what was revoked could not all be taken from readers; empty if it was.
    """
    if isinstance(error, DagsterUnusable):
        return DagsterUnusable(f"{error.message} {_revoked(left)}", **error.facts)
    if not isinstance(error, _OF_DAGSTER):
        return error
    home = records_home(pipeline, os.environ)
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return DagsterUnusable(
        f"no run could be made, since Dagster's records in {home} cannot be used: {reason}. {_mend(home)}, then run: "
        f"rag-pipeline run. {_revoked(left)}",
        home=str(home),
    )


def _mend(home: Path) -> str:
    """What helps: records in a database are not in the folder, and moving it away would only lose the address."""
    try:
        read = yaml.safe_load((home / "dagster.yaml").read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        read = None
    if isinstance(read, dict) and read.keys() & STORAGES:
        return (
            f"Look whether the database that {home / 'dagster.yaml'} names answers, and whether its address begins "
            f"with postgresql+psycopg2:// if it is PostgreSQL"
        )
    return f"Make room, or move {home} away (it holds records of runs and no documents)"


def _revoked(left: str) -> str:
    if left:
        return f"READERS MAY STILL SEE WHAT WAS REVOKED, since it could not all be taken from them: {left}"
    return "What is gone or may be read by fewer has left readers all the same; nothing else was refreshed."


def check_it_began(run: dg.ExecuteInProcessResult) -> None:
    """Refuse a run that failed although none of its steps did: nothing of it was done.

    Raises:
        DagsterUnusable: With what Dagster says of it.
    """
    if run.success or any(event.is_step_failure or event.is_step_success for event in run.all_events):
        return
    reasons = [_reason(event) for event in run.all_events if event.is_failure]
    said = next(filter(None, reasons), "it gives no reason")
    raise DagsterUnusable(
        f"run {run.run_id} failed before any of its steps began: {said}. Once that is mended, run: rag-pipeline run.",
        run_id=run.run_id,
    )


def _reason(event: dg.DagsterEvent) -> str:
    """The innermost cause of a run's failure, in one line."""
    error = event.job_failure_data.error if event.is_job_failure else None
    while error is not None and error.cause is not None:
        error = error.cause
    return (error.message if error is not None else event.message or "").strip().partition("\n")[0]
