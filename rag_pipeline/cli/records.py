"""What a command did, told to Dagster where it is in use, so that the history of an asset has no gaps.

Belongs here: whether there are records to write to, who asked, and what is said if they cannot be written.
Does not belong here: the events themselves (`defs/publication_events.py`, `defs/operator_events.py`).
"""

from __future__ import annotations

import getpass
import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rag_pipeline.cli.rendering import talk
from rag_pipeline.errors import StoreError

if TYPE_CHECKING:
    from rag_pipeline.contracts.holds import Hold
    from rag_pipeline.defs.operator_events import Event
    from rag_pipeline.refresh.generations import RetireReport
    from rag_pipeline.refresh.workspace import Workspace
    from rag_pipeline.settings import Pipeline

log = logging.getLogger(__name__)


@contextmanager
def recorded_publications(workspace: Workspace, how: str) -> Iterator[None]:
    """Report to Dagster what the block publishes, also if it fails afterwards; without a Dagster home nothing is done.

    Args:
        how: The command, as it is shown there.
    """

    def events() -> Iterable[Event]:
        rows = workspace.lake.publications_of(workspace.run_id)
        if not rows:
            return []
        from rag_pipeline.defs.publication_events import publication_events
        from rag_pipeline.defs.standing import standing_facts
        from rag_pipeline.refresh.generations import is_held

        typed = f"rag-pipeline {how}"
        held, beside = is_held(workspace), standing_facts(workspace)
        return publication_events(rows, by_whom=_who(), how=typed, is_held=held, beside=beside)

    try:
        yield
    finally:
        said = 'Its history there lacks it; rag-pipeline sql "SELECT * FROM gold.publications" shows it'
        _record(workspace.pipeline, events, "The publication stands", said)


def record_retirement(workspace: Workspace, report: RetireReport) -> None:
    """Report to Dagster that the index of a model was dropped."""

    def events() -> Iterable[Event]:
        from rag_pipeline.defs.operator_events import retirement_event

        return [
            retirement_event(report.alias, report.table_name, by_whom=_who(), how="rag-pipeline models retire"),
        ]

    said = "The history of gold/index there lacks it; rag-pipeline models list shows it"
    _record(workspace.pipeline, events, f"The index of {report.alias} is gone", said)


@contextmanager
def recorded_releases(pipeline: Pipeline, sources: Sequence[str]) -> Iterator[None]:
    """Report to Dagster which losses of some sources the deletion guard held before the block and not after it."""
    held = _holds(pipeline, sources)

    def events() -> Iterable[Event]:
        from rag_pipeline.defs.operator_events import release_event
        from rag_pipeline.transforms.deletion_guard import release_command

        left = {(hold.source, hold.kind) for hold in _holds(pipeline, sources)}
        return [
            release_event(hold, by_whom=_who(), how=release_command([hold.source]))
            for hold in held
            if (hold.source, hold.kind) not in left
        ]

    try:
        yield
    finally:
        if held:
            said = "The history of the source there lacks who did it"
            _record(pipeline, events, "What was held is let go", said)


def _holds(pipeline: Pipeline, sources: Sequence[str]) -> list[Hold]:
    if not sources:
        return []
    from rag_pipeline.refresh.holds import read_holds
    from rag_pipeline.refresh.workspace import Workspace

    try:
        with Workspace(pipeline, run_id="records") as workspace:
            return [hold for hold in read_holds(workspace) if hold.source in sources]
    except StoreError:
        # The run says what is damaged; nobody can say what was held.
        log.warning("what is held cannot be read", exc_info=True)
        return []


def _record(pipeline: Pipeline, events: Callable[[], Iterable[Event]], what: str, said: str) -> None:
    from rag_pipeline.settings.pipelines import records_home

    home = records_home(pipeline)
    if not home.is_dir():
        return
    # It is done: whatever the records are like, the command did what was asked.
    try:
        found = list(events())
        if found:
            from rag_pipeline.defs.operator_events import report_events

            report_events(home, found)
    except Exception as error:
        log.warning("not recorded in %s", home, exc_info=True)
        talk(
            f"({what}, but Dagster's records in {home} did not take it: {type(error).__name__}. {said}.)",
            style="yellow",
        )


def _who() -> str:
    """The account and machine that the command ran on."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container may run under a number that no account has.
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
