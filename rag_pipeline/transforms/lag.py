"""How long a change at a source takes to be searchable: from when an object was modified to when readers have it.

Belongs here: when an object came to be as it is, the distribution of a source's lags, and what is later than it may be.
Does not belong here: reading the lake (`refresh/lag.py`), the check (`defs/lag_checks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

# A lag that was measured longer ago says nothing of how the pipeline does today.
REMEMBERED = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Lag:
    """How long the changes of one source took that one publication brought to readers.

    Attributes:
        as_of: The last poll whose changes are counted, here or before.
        measured_at: When they became searchable.
        documents: How many there were.
    """

    as_of: datetime
    measured_at: datetime
    documents: int
    p50_seconds: float
    p95_seconds: float
    worst_seconds: float

    def record(self) -> dict[str, Any]:
        """As it stands in a publication's figures."""
        times = {"as_of": self.as_of.isoformat(), "measured_at": self.measured_at.isoformat()}
        return asdict(self) | times


def lag_of(record: Any) -> Lag | None:
    """Out of a publication's figures; None: they say nothing that can be understood."""
    try:
        times = {name: datetime.fromisoformat(record[name]) for name in ("as_of", "measured_at")}
        return Lag(**record | times)
    except (TypeError, ValueError, KeyError):
        return None


def changed_at(modified_at: datetime | None, observed_at: datetime, polls: Sequence[datetime]) -> datetime:
    """When an object came to be as it was found, as far as can be told.

    A file that is copied keeps a time of long ago, and clocks are wrong: it was not so at the poll before.

    Args:
        observed_at: When a poll found it so.
        polls: When the source was polled, oldest first; the last one before that found it otherwise.
    """
    otherwise = max((poll for poll in polls if poll < observed_at), default=observed_at)
    if modified_at is not None and otherwise <= modified_at <= observed_at:
        return modified_at
    return otherwise


def measured(seconds: Sequence[float], as_of: datetime, measured_at: datetime) -> Lag:
    """The distribution of some lags; of none: zeros."""
    ordered = sorted(max(0.0, each) for each in seconds) or [0.0]

    def rank(share: float) -> float:
        return round(ordered[max(0, ceil(share * len(ordered)) - 1)], 3)

    return Lag(as_of, measured_at, len(seconds), rank(0.5), rank(0.95), rank(1.0))


@dataclass(frozen=True, slots=True)
class Late:
    """A source whose changes reach readers later than its `searchable_within` says.

    Attributes:
        waiting: Changes that no reader has yet; 0: those of the last publication came too late.
        seconds: What the slowest of them waited so far, or what 95 % of the published ones took at most.
    """

    source: str
    waiting: int
    seconds: float
    limit_seconds: float


def late_sources(
    limits: Mapping[str, timedelta | None],
    lags: Mapping[str, Lag],
    waiting: Mapping[str, Sequence[float]],
    now: datetime,
) -> list[Late]:
    """Sources that are later than they may be, the latest first.

    Args:
        lags: Of each source what was measured last.
        waiting: Seconds since each change that is not searchable yet.
    """
    found = []
    for source, limit in limits.items():
        if limit is None:
            continue
        most = limit.total_seconds()
        over = [seconds for seconds in waiting.get(source, ()) if seconds > most]
        lag = lags.get(source)
        if over:
            found.append(Late(source, len(over), max(over), most))
        elif lag is not None and now - lag.measured_at <= REMEMBERED and lag.documents and lag.p95_seconds > most:
            found.append(Late(source, 0, lag.p95_seconds, most))
    return sorted(found, key=lambda late: (late.limit_seconds - late.seconds, late.source))
