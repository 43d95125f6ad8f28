"""What breaks around a run: Dagster's own records, and runs that ended before any step of theirs began.

Belongs here: telling such a failure from one of a step, and wording it.
Does not belong here: launching (`launch.py`), what readers lose all the same (`refresh/unsettled.py`).
"""

import os
import sqlite3

import dagster as dg
import yaml
from dagster._check import CheckError
from sqlalchemy.exc import SQLAlchemyError

from rag_pipeline.errors import DagsterUnusable
from rag_pipeline.settings import Pipeline

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
    home = os.environ.get("DAGSTER_HOME") or pipeline.folder / ".dagster"
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return DagsterUnusable(
        f"no run could be made, since Dagster's records in {home} cannot be used: {reason}. Make room, or "
        f"move {home} away (it holds records of runs and no documents), then run: rag-pipeline run. {_revoked(left)}",
        home=str(home),
    )


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
