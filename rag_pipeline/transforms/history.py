"""What is unusual of a source by its own history: the state of now against those of the last weeks.

Belongs here: what is usual on a day like today, and which figures moved further from it than they ever should unseen.
Does not belong here: counting silver (`refresh/history.py`), what a check says (`defs/history_checks.py`).

A lake that changes on weekdays only has no row for a Sunday: its state of then is that of the last row before. So days
are compared, and not rows. A source that is known for less than a week has nothing usual, and is not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import TypeVar

from rag_pipeline.contracts.history import Snapshot, SourceFigures, by_name

# Long enough for each weekday to stand three times, short enough that what is new is usual after ten days.
DAYS_COMPARED = 21
# Each weekday has been seen once by then.
LEAST_DAYS = 7
# A handful of documents more or less is no trend, however few there were.
LEAST_CHANGE = 20
# Half or twice as much: daily work moves a source by a few percent.
MOST_RATIO = 2.0
# One in twenty objects more than usual that is refused for one reason is a fault of a parser, a right or an export.
MOST_REFUSED_SHARE = 0.05
# A fifth of a source does not change its language, or open or close, without anybody meaning it.
MOST_SHARE_MOVED = 0.2
# The median length of chunks does not move by half unless the chunker, a parser or the source does.
MOST_LENGTH_RATIO = 1.5
# Scores are near 1 but for what is broken, so that a mean moves by a tenth when a good part of a source is.
MOST_QUALITY_MOVED = 0.1
# How long who reads is compared with before; then it has been seen, or will not be.
READERS_COMPARED = timedelta(days=1)
# A principal of fewer documents, or of less of a source, is somebody's own and comes and goes.
LEAST_READABLE = 3
LEAST_READABLE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Moved:
    """A figure that is unusual.

    Attributes:
        what: Like `documents`, or `refused as encrypted`.
        is_share: Of the source's documents or objects, 0 to 1.
    """

    source: str
    what: str
    now: float
    usual: float
    is_share: bool = False


Measure = Callable[[SourceFigures], float]
T = TypeVar("T")


def usual(history: Sequence[tuple[datetime, T]], now: datetime, measure: Callable[[T], float]) -> list[float]:
    """What a figure usually is: the median of the last weeks, and that of this weekday; nothing where it is too young.

    Args:
        history: Of one source, oldest first.
    """
    states = {days: state for days in range(1, DAYS_COMPARED + 1) if (state := _as_of(history, now, days)) is not None}
    if max(states, default=0) < LEAST_DAYS:
        return []
    values = {days: measure(state) for days, state in states.items()}
    same_day = [value for days, value in values.items() if days % 7 == 0]
    return [median(values.values()), median(same_day)]


def _as_of(history: Sequence[tuple[datetime, T]], now: datetime, days: int) -> T | None:
    moment = now - timedelta(days=days)
    return next((state for at, state in reversed(history) if at <= moment), None)


def volumes_moved(snapshots: Sequence[Snapshot], now: datetime) -> list[Moved]:
    """Documents, chunks and bytes of sources that are half or twice of what is usual, by week and by weekday."""
    measures: dict[str, tuple[Measure, float]] = {
        "documents": (lambda state: state.documents, LEAST_CHANGE),
        "chunks": (lambda state: state.chunks, LEAST_CHANGE),
        # As many documents of a kilobyte.
        "bytes": (lambda state: state.bytes, LEAST_CHANGE * 1_024),
    }
    return [
        moved
        for source, state, history in _sources(snapshots)
        for what, (measure, least) in measures.items()
        if (moved := _volume_moved(source, what, measure(state), usual(history, now, measure), least)) is not None
    ]


def _volume_moved(source: str, what: str, value: float, before: Sequence[float], least: float) -> Moved | None:
    if not before:
        return None
    is_moved = all(
        abs(value - each) >= least and not each / MOST_RATIO <= value <= each * MOST_RATIO for each in before
    )
    return Moved(source, what, value, before[0]) if is_moved else None


def refusals_moved(snapshots: Sequence[Snapshot], now: datetime) -> list[Moved]:
    """Reasons for which clearly more of a source's objects are in quarantine than is usual."""

    def share_of(reason: str) -> Measure:
        return lambda state: state.refused.get(reason, 0) / max(1, state.documents + sum(state.refused.values()))

    found = []
    for source, state, history in _sources(snapshots):
        for reason, count in state.refused.items():
            share = share_of(reason)
            before = usual(history, now, share)
            if before and count >= LEAST_CHANGE and share(state) > max(before) + MOST_REFUSED_SHARE:
                found.append(Moved(source, f"refused as {reason}", share(state), max(before), is_share=True))
    return found


def languages_moved(snapshots: Sequence[Snapshot], now: datetime) -> list[Moved]:
    """Languages whose share of a source's documents is far from what is usual."""

    def share_of(language: str) -> Measure:
        return lambda state: state.languages.get(language, 0) / max(1, state.documents)

    found = []
    for source, state, history in _sources(snapshots):
        known = {language for _, each in history for language in each.languages} | set(state.languages)
        for language in sorted(known):
            moved = _share_moved(
                source, f"in {language or 'no known language'}", state, history, now, share_of(language)
            )
            found += [moved] if moved is not None else []
    return found


def lengths_moved(snapshots: Sequence[Snapshot], now: datetime) -> list[Moved]:
    """Sources whose chunks are much longer or shorter than is usual."""
    measures: dict[str, Measure] = {
        "tokens in the median chunk": lambda state: state.tokens_p50,
        "tokens in the chunk at 90 %": lambda state: state.tokens_p90,
    }
    found = []
    for source, state, history in _sources(snapshots):
        for what, measure in measures.items():
            before = usual(history, now, measure)
            value = measure(state)
            far = [not each / MOST_LENGTH_RATIO <= value <= each * MOST_LENGTH_RATIO for each in before]
            if before and all(far) and state.chunks >= LEAST_CHANGE:
                found.append(Moved(source, what, value, before[0]))
    return found


def openness_moved(snapshots: Sequence[Snapshot], now: datetime) -> list[Moved]:
    """Sources of which clearly more or less is public, or closed to everybody, than is usual."""
    measures: dict[str, Measure] = {
        "public": lambda state: state.public / max(1, state.documents),
        "closed to everybody": lambda state: state.closed / max(1, state.documents),
    }
    return [
        moved
        for source, state, history in _sources(snapshots)
        for what, measure in measures.items()
        if (moved := _share_moved(source, what, state, history, now, measure)) is not None
    ]


def quality_moved(snapshots: Sequence[Snapshot], now: datetime) -> list[Moved]:
    """Sources whose texts are clearly worse than is usual, on average or by the share of low ones; better ones are not.

    A threshold alone does not see a source fall from very good to just good enough.
    """
    found = []
    for source, state, history in sampled(snapshots):
        if state.sampled < LEAST_CHANGE:
            continue
        means = usual(history, now, lambda each: each.quality_mean)
        if means and all(each - state.quality_mean >= MOST_QUALITY_MOVED for each in means):
            found.append(Moved(source, "quality on average", state.quality_mean, means[0], is_share=True))
        lows = usual(history, now, _low_share)
        if lows and all(_low_share(state) - each >= MOST_SHARE_MOVED for each in lows):
            found.append(Moved(source, "of low quality", _low_share(state), lows[0], is_share=True))
    return found


def _low_share(state: SourceFigures) -> float:
    return state.low_quality / max(1, state.sampled)


def _share_moved(
    source: str,
    what: str,
    state: SourceFigures,
    history: Sequence[tuple[datetime, SourceFigures]],
    now: datetime,
    measure: Measure,
) -> Moved | None:
    before = usual(history, now, measure)
    share = measure(state)
    is_far = bool(before) and all(abs(share - each) >= MOST_SHARE_MOVED for each in before)
    is_many = state.documents >= LEAST_CHANGE
    return Moved(source, what, share, before[0], is_share=True) if is_far and is_many else None


@dataclass(frozen=True, slots=True)
class ReadersMoved:
    """Principals who may read a good part of a source now and could not a day ago, or the other way round; hashes."""

    source: str
    appeared: tuple[str, ...]
    vanished: tuple[str, ...]


def readers_moved(snapshots: Sequence[Snapshot], now: datetime) -> list[ReadersMoved]:
    """Sources that other principals may read than a day ago; one that is younger is not judged."""
    found = []
    for source, state, history in _sources(snapshots):
        moment = now - READERS_COMPARED
        before = next((each for at, each in reversed(history) if at <= moment), None)
        if before is None or not before.documents:
            continue
        appeared = tuple(sorted(state.readers.keys() - before.readers.keys()))
        vanished = tuple(sorted(before.readers.keys() - state.readers.keys()))
        if appeared or vanished:
            found.append(ReadersMoved(source, appeared, vanished))
    return found


def _sources(
    snapshots: Sequence[Snapshot],
) -> Iterable[tuple[str, SourceFigures, list[tuple[datetime, SourceFigures]]]]:
    """Each source of the newest snapshot: its name, how it is, and how it was, that included."""
    for name, state in snapshots[-1].sources.items() if snapshots else ():
        yield name, state, by_name(snapshots, name)


def sampled(
    snapshots: Sequence[Snapshot],
) -> Iterable[tuple[str, SourceFigures, list[tuple[datetime, SourceFigures]]]]:
    """As `_sources`, less lines that an older version wrote, which counted neither quality nor fields."""
    for name, state, history in _sources(snapshots):
        yield name, state, [(at, each) for at, each in history if each.sampled]


def notable_readers(counts: Mapping[str, int], documents: int) -> dict[str, int]:
    """Principals who may read enough of a source to be missed, with how much that is."""
    least = max(LEAST_READABLE, LEAST_READABLE_SHARE * documents)
    return {reader: count for reader, count in counts.items() if count >= least}
