"""`rag-pipeline alerts`: what is wrong, who was told, and whether the sinks work; and telling after a run.

Belongs here: how open alerts and undelivered messages look, exit codes.
Does not belong here: what is told (`transforms/alerts.py`), sending (`alerts/`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from rag_pipeline.cli.exit_codes import FOUND
from rag_pipeline.cli.options import common_options, open_pipeline
from rag_pipeline.cli.rendering import counted, emit, moment, show, table, talk
from rag_pipeline.errors import AlertUndeliverable, StoreError, UsageError

if TYPE_CHECKING:
    from rag_pipeline.settings import Pipeline


@click.group()
def alerts() -> None:
    """Say what is wrong to the people on duty: try the sinks, list what is open, tell it now."""


@alerts.command("test")
@click.argument("sink", required=False)
@common_options
def try_sinks(sink: str | None, as_json: bool) -> None:
    """Send a test message to SINK, or to all of them; exit code 4 if one did not take it.

    That a sink did not take what it was sent before has ended when it takes this.

    Example: rag-pipeline alerts test
    """
    from rag_pipeline.alerts.cycle import settle, trial
    from rag_pipeline.alerts.sinks import send

    pipeline = open_pipeline()
    sinks = pipeline.settings.alerts.sinks
    if sink is not None and sink not in sinks:
        raise UsageError(
            f"there is no sink {sink!r}; allowed: {', '.join(sorted(sinks)) or 'none is listed'}", sink=sink
        )
    if not sinks:
        raise UsageError("pipeline.yaml lists no sink; add one under alerts.sinks")
    refused = 0
    for name in sinks if sink is None else (sink,):
        error = ""
        try:
            now = datetime.now(UTC).timestamp()
            send(trial(name, now), pipeline.settings.alerts, pipeline.environment, pipeline.folder)
        except AlertUndeliverable as failure:
            error = failure.message
            refused += 1
        else:
            settle(pipeline, name, now)
        if as_json:
            emit({"sink": name, "took_it": not error, "error": error})
        else:
            talk(error or f"Sink {name} took the message.", style="red" if error else "green")
    click.get_current_context().exit(AlertUndeliverable.exit_code if refused else 0)


@alerts.command("list")
@common_options
def list_open(as_json: bool) -> None:
    """List what is wrong and was told, and messages that wait to be sent; exit code 1 if there is any.

    Example: rag-pipeline alerts list
    """
    from rag_pipeline.alerts.cycle import alert_file
    from rag_pipeline.alerts.forms import links_of

    pipeline = open_pipeline()
    state = alert_file(pipeline).read()
    found = sorted(state.open.values(), key=lambda finding: (finding.severity, finding.key))
    if as_json:
        for each in found:
            emit(asdict(each) | {"links": asdict(links_of(each, pipeline.settings.alerts))})
        for message in state.outbox:
            emit(asdict(message))
    elif not found and not state.outbox:
        talk("Nothing is open, and no message waits.")
    else:
        rows = [
            [each.severity, each.title, each.found, links_of(each, pipeline.settings.alerts).runbook] for each in found
        ]
        show(table("Open", ["Severity", "What", "Found", "Runbook"], rows))
        for message in state.outbox:
            talk(
                f"A message to {message.sink} of {moment(datetime.fromtimestamp(message.at, UTC))} UTC waits after "
                f"{counted(message.attempts, 'attempt')}: {message.error or 'not tried yet'}",
                style="yellow",
            )
    click.get_current_context().exit(FOUND if found or state.outbox else 0)


@alerts.command("send")
@common_options
def tell_now(as_json: bool) -> None:
    """Look now, and send what turned bad or good since the last look and what could not be sent before.

    Runs and Dagster's sensor do it by themselves. From a scheduler of its own it notices that no run comes any more.

    Example: rag-pipeline alerts send
    """
    from rag_pipeline.defs.alerts_after_run import tell_after_run

    told = tell_after_run(open_pipeline())
    if as_json:
        emit(told)
    else:
        talk(f"{told.sentence().capitalize()}.")
    click.get_current_context().exit(FOUND if told.waiting else 0)


@dataclass
class Telling:
    """What the run was.

    Attributes:
        unchanged_since: It only looked, and nothing changed since a run that had ended by then, seconds since 1970.
    """

    unchanged_since: float | None = None


@contextmanager
def telling(pipeline: Pipeline) -> Iterator[Telling]:
    """Tell, after a run that ended well or badly, what it left; nothing of that changes how the command ends."""
    after = Telling()
    try:
        yield after
    except Exception as error:
        _tell(pipeline, after, error)
        raise
    _tell(pipeline, after)


def _tell(pipeline: Pipeline, after: Telling, error: Exception | None = None) -> None:
    if pipeline.settings.alerts.sinks and not _is_told(pipeline, after):
        from rag_pipeline.defs.alerts_after_run import tell_after_run

        tell_after_run(pipeline, launched=True, error=error)


def _is_told(pipeline: Pipeline, after: Telling) -> bool:
    """Whether a run that only looked has nothing to tell, so that nothing is imported to find that out."""
    if after.unchanged_since is None:
        return False
    from rag_pipeline.alerts.outside import outside_is_told
    from rag_pipeline.contracts.alerts import is_told
    from rag_pipeline.stores.alerts import AlertFile

    try:
        state = AlertFile(pipeline.lake_root, pipeline.dagster_home).read()
    except StoreError:
        return False
    if not is_told(state, after.unchanged_since, time.time()):
        return False
    return outside_is_told(state, pipeline, datetime.now(UTC))
