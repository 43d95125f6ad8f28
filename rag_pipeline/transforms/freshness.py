"""How new a source's content is, by times that can be believed.

Belongs here: which modification times count.
Does not belong here: what is too old (`content_stale_after`), showing it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

# Two clocks that are kept in step differ by less; one wrong time must not hide for years that a source is stale.
CLOCK_TOLERANCE = timedelta(minutes=5)


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
