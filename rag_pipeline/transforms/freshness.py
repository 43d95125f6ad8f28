"""How new a source's content is, by times that can be believed.

Belongs here: which modification times count, when a source was not polled for too long, what age counts in a search.
Does not belong here: when content is too old (`content_stale_after`), showing it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from rag_pipeline.contracts.polls import Poll

# Two clocks that are kept in step differ by less; one wrong time must not hide for years that a source is stale.
CLOCK_TOLERANCE = timedelta(minutes=5)


# However old, a document that answers alone is still found above what hardly answers.
LEAST_AGE_WEIGHT = 0.5


def age_weight(modified_at: datetime | None, now: datetime, half_life: timedelta) -> float:
    """What a score is multiplied by: 1 for what is new, and half way down to `LEAST_AGE_WEIGHT` at the half-life.

    A time in the future is no younger than now, and what has no time counts as old as the half-life.
    """
    age = half_life if modified_at is None else max(timedelta(0), now - modified_at)
    return float(LEAST_AGE_WEIGHT + (1 - LEAST_AGE_WEIGHT) * 0.5 ** (age / half_life))


@dataclass(frozen=True, slots=True)
class ContentAge:
    """When a source's content was last changed.

    Attributes:
        newest: The newest time that is not in the future, UTC; None if there is none.
        in_future: Documents whose time is in the future, and so tells nothing.
    """

    newest: datetime | None
    in_future: int


def content_age(modified_at: Iterable[datetime | None], now: datetime) -> ContentAge:
    """The age of documents by their modification times; times in the future are counted and not believed."""
    latest = now + CLOCK_TOLERANCE
    newest: datetime | None = None
    in_future = 0
    for moment in modified_at:
        if moment is None:
            continue
        if moment > latest:
            in_future += 1
        elif newest is None or moment > newest:
            newest = moment
    return ContentAge(newest, in_future)


def is_overdue(poll: Poll | None, now: datetime, stale_after: timedelta) -> bool | None:
    """Whether a source was not polled with success for longer than it may be; None if that is not known.

    A success in the future tells nothing. Where none is known, a failed attempt is too long without one.
    """
    if poll is None:
        return None
    if poll.polled_at is not None and poll.polled_at <= now + CLOCK_TOLERANCE:
        return now - poll.polled_at > stale_after
    return True if poll.error else None
