"""Record how polling a source went, and tell which sources are overdue.

Belongs here: when it is recorded, and under which settings it is judged.
Does not belong here: the file (`stores/polls.py`), polling (`bronze.py`), what is overdue (`transforms/freshness.py`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime

from rag_pipeline.contracts.log_rows import UNRECORDED
from rag_pipeline.contracts.polls import MAX_ERROR_CHARS, MOST_IDLE, MOST_IDLE_CHARS, POLLS_FILE, Poll, Polls
from rag_pipeline.errors import RagPipelineError, SourceUnavailable, StoreError
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings.hints import hints_folder
from rag_pipeline.shown import shown
from rag_pipeline.stores.hints import HintFolder
from rag_pipeline.stores.polls import read_polls, write_polls
from rag_pipeline.transforms.freshness import is_overdue

log = logging.getLogger(__name__)

# In place of the time of the last one.
NEVER_POLLED = "no poll with success is known"


@dataclass(frozen=True, slots=True)
class PollStatus:
    """When a source was last polled, judged by the settings of now.

    Attributes:
        polled_at: When it was last polled with success; None: never, or not known.
        attempted_at: When it was last polled at all; None: not known.
        overdue_at: When it counts as overdue, or has since; None where `polled_at` is.
        is_overdue: It was not polled with success for longer than its `stale_after`; None: not known.
        poll_error: Why the last attempt failed; empty if it succeeded.
        erased: Objects that the source still lists and that are left out, since they were erased.
    """

    source: str
    polled_at: datetime | None
    attempted_at: datetime | None
    overdue_at: datetime | None
    is_overdue: bool | None
    poll_error: str
    erased: int = 0


@dataclass
class Polled:
    """What a poll found out; None where it did not come to that.

    Attributes:
        erased, idle: See `Poll`.
    """

    erased: int | None = None
    idle: Sequence[str] | None = None


@contextmanager
def recorded_poll(workspace: Workspace, name: str, *, was_looked: bool = False) -> Iterator[Polled]:
    """Record in the lake that a source was polled in this block, and how it ended; the caller holds the lake's lock.

    Being stopped by a person says nothing of the source, and is not recorded.

    Args:
        was_looked: The source was looked at before this block, so that hints that came since are not done with.
    """
    workspace.unrecorded.discard(name)
    polled = Polled()
    try:
        with nullcontext() if was_looked else hints_followed(workspace, name):
            yield polled
    except FAULTS as error:
        if not isinstance(error, SourceUnavailable):
            workspace.unrecorded.add(name)
        # A source that did not even list anything says nothing new: what was known of bronze before stands.
        _record(workspace, name, _masked(error), polled, unrecorded=_is_unrecorded(workspace, name))
        raise
    workspace.unrecorded.discard(name)
    _record(workspace, name, "", polled)


def hints_followed(workspace: Workspace, name: str) -> AbstractContextManager[Sequence[str]]:
    """What was hinted of a source before this block began is done with it.

    Gives the addresses that were hinted at; none: nothing was, or the source as a whole.
    """
    folder = hints_folder(workspace.settings.hints, workspace.pipeline.folder)
    if folder is None or workspace.is_trial:
        return nullcontext(())
    return HintFolder(folder, workspace.settings.sources).looking(name)


def unrecorded_sources(workspace: Workspace) -> set[str]:
    """Sources of which bronze does not hold what they say now, by this run or the last that polled them.

    Raises:
        RagPipelineError: The log of publications cannot be read.
    """
    return _unrecorded(workspace) & set(workspace.settings.sources)


def _unrecorded(workspace: Workspace) -> set[str]:
    """The same with those that pipeline.yaml does not name at present, and may name again.

    The publication that took something away for it says so too: the record of polls may be lost, or was not written.
    """
    polls = read_polls(workspace.lake).by_source
    noted = {name for name, poll in polls.items() if poll.unrecorded}
    last = workspace.lake.last_publication()
    if last is not None:
        for name in last.unrecorded:
            poll = polls.get(name)
            # By their order and not by time: clocks are set back.
            if poll is None or poll.publication < last.sequence:
                noted.add(name)
    return noted | workspace.unrecorded


def unrecorded_figures(workspace: Workspace) -> dict[str, list[str]]:
    """For the figures of a publication: the sources of which bronze lacks what they said; empty where there is none."""
    names = sorted(_unrecorded(workspace))
    return {UNRECORDED: names} if names else {}


def _is_unrecorded(workspace: Workspace, name: str) -> bool:
    try:
        return name in unrecorded_sources(workspace)
    except FAULTS as error:
        log.error("nobody can say whether bronze holds what source %s said last, so it counts as not: %s", name, error)
        return True


def poll_statuses(workspace: Workspace, names: Iterable[str] | None = None) -> tuple[list[PollStatus], str]:
    """Each configured source, or some of them, and what could not be read of the record; never raises for that."""
    polls = read_polls(workspace.lake)
    chosen = workspace.settings.sources if names is None else names
    return [_status(workspace, name, polls) for name in chosen], polls.problem


def _status(workspace: Workspace, name: str, polls: Polls) -> PollStatus:
    poll = polls.by_source.get(name)
    if poll is None:
        return PollStatus(name, None, None, None, None, "")
    stale_after = workspace.settings.sources[name].stale_after
    return PollStatus(
        source=name,
        polled_at=poll.polled_at,
        attempted_at=poll.attempted_at,
        overdue_at=None if poll.polled_at is None else poll.polled_at + stale_after,
        is_overdue=is_overdue(poll, workspace.now(), stale_after),
        poll_error=poll.error,
        erased=poll.erased,
    )


def _record(workspace: Workspace, name: str, error: str, polled: Polled, *, unrecorded: bool = False) -> None:
    known = read_polls(workspace.lake).by_source
    sources = workspace.settings.sources
    before = known.get(name)
    now = workspace.now()
    last = before.polled_at if before is not None else None
    polled_at = now if not error else last
    erased = polled.erased if polled.erased is not None else before.erased if before is not None else 0
    earlier = () if before is None else before.earlier if error else before.successes
    idle = () if before is None else before.idle
    if polled.idle is not None:
        idle = tuple(text[:MOST_IDLE_CHARS] for text in polled.idle[:MOST_IDLE])
    stale_after = sources[name].stale_after
    poll = Poll(now, polled_at, error, stale_after, unrecorded, _publication(workspace), erased, earlier, idle)
    try:
        # Sources that pipeline.yaml no longer names are forgotten, unless they may come back with more than they said.
        kept = {each: known[each] for each in known if each in sources or known[each].unrecorded}
        write_polls(workspace.lake, kept | {name: poll})
    except StoreError as failure:
        # The time of a poll is worth no failed run: without it the source only counts as overdue sooner.
        log.warning("%s was not written: %s", POLLS_FILE, failure.message)


def _publication(workspace: Workspace) -> int:
    """Sequence of the last publication; -1 if there is none, or it cannot be told."""
    try:
        last = workspace.lake.last_publication()
    except FAULTS as error:
        log.warning("which publication comes before this poll cannot be told: %s", error)
        return -1
    return -1 if last is None else last.sequence


def _masked(error: BaseException) -> str:
    """What an error says, without what opens the source."""
    if not isinstance(error, RagPipelineError):
        # Its message may hold anything, credentials too.
        number = error.errno if isinstance(error, OSError) else None
        return os.strerror(number) if number else type(error).__name__
    return shown(error.message)[:MAX_ERROR_CHARS] or type(error).__name__
