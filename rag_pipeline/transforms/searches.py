"""Whether searches find less than they did: more of them nothing, or nothing near.

Belongs here: which share rose further beyond the last weeks than it ever should unseen.
Does not belong here: counting (`serving/searched.py`), what a check says (`defs/search_checks.py`).

A distance says nothing by itself, since each model has its own. So it is not asked what is near: it is looked for the
distance beyond which clearly more of the nearest hits lie than did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median

from rag_pipeline.contracts.searches import BUCKET_WIDTH, BUCKETS, Found, Searches

# As for volumes: each weekday three times, and what is new is usual after ten days.
DAYS_COMPARED = 21
# Each weekday has been seen once by then.
LEAST_DAYS = 7
# Fewer searches of a day say more of who asked than of what is found.
LEAST_SEARCHES = 20
# What is told of now; fewer hours would compare a morning with days.
NOW = timedelta(days=1)
# One in ten more that finds nothing is felt by everybody who searches.
MOST_EMPTY_RISE = 0.1
# Of twenty distances the one that moved most is told, so it has to move further.
MOST_FAR_RISE = 0.2
# What chance alone does to a share of so many searches, once in hundreds of days.
_SIGMAS = 3.0


@dataclass(frozen=True, slots=True)
class Rise:
    """A share of searches that is larger than it usually is.

    Attributes:
        what: Like `found nothing`, or `found nothing nearer than 0.45`.
        searches: Of the last day.
    """

    what: str
    now: float
    usual: float
    searches: int


def rises(rows: Sequence[Searches], space: str, now: datetime) -> list[Rise]:
    """What searches with a model found less of on the last day than in the last weeks and on this weekday.

    A model that has been searched for less than a week has nothing usual.
    """
    today, days = _days(rows, space, now)
    known = {ago: found for ago, found in days.items() if found.searches >= LEAST_SEARCHES}
    if max(known, default=0) < LEAST_DAYS or today.searches < LEAST_SEARCHES:
        return []
    empty = {ago: each.empty / each.searches for ago, each in known.items()}
    found = _rise("found nothing", today.empty / today.searches, empty, MOST_EMPTY_RISE, today.searches)
    return ([] if found is None else [found]) + _further(today, known)


def _further(today: Found, known: Mapping[int, Found]) -> list[Rise]:
    """Where the nearest hits lie further away than they did: the distance at which that is clearest."""
    measured = {ago: each for ago, each in known.items() if sum(each.best) >= LEAST_SEARCHES}
    if max(measured, default=0) < LEAST_DAYS or sum(today.best) < LEAST_SEARCHES:
        return []
    found = [
        _rise(
            f"found nothing nearer than {bucket * BUCKET_WIDTH:.2f}",
            _share_from(today, bucket),
            {ago: _share_from(each, bucket) for ago, each in measured.items()},
            MOST_FAR_RISE,
            sum(today.best),
        )
        for bucket in reversed(range(1, BUCKETS))
    ]
    rises = [each for each in found if each is not None]
    return [max(rises, key=lambda rise: rise.now - rise.usual)] if rises else []


def _days(rows: Sequence[Searches], space: str, now: datetime) -> tuple[Found, dict[int, Found]]:
    """What was found on the last day, and by how many days ago, those before it."""
    today, days = Found(), dict.fromkeys(range(2, DAYS_COMPARED + 1), Found())
    first: date = now.date()
    for row in rows:
        found = row.spaces.get(space)
        if found is None or row.at > now:
            continue
        ago = (first - row.at.date()).days
        if now - row.at < NOW:
            today += found
        elif ago in days:
            days[ago] += found
    return today, days


def _rise(what: str, share: float, days: Mapping[int, float], most: float, searches: int) -> Rise | None:
    usual = median(days.values())
    same_day = [value for ago, value in days.items() if ago % 7 == 0]
    highest = max(usual, median(same_day or [usual]))
    chance = _SIGMAS * math.sqrt(max(highest * (1 - highest), 1 / searches) / searches)
    return Rise(what, share, usual, searches) if share - highest > max(most, chance) else None


def _share_from(found: Found, bucket: int) -> float:
    return sum(found.best[bucket:]) / max(1, sum(found.best))
