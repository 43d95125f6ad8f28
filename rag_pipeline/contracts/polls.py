"""When each source was last polled: one small file in the lake, read by everything that shows how fresh a source is.

Belongs here: what stands in the file, reading and writing its bytes. It is no table, since a run that changes nothing
must not leave a commit for each source behind.
Does not belong here: what is overdue (`transforms/freshness.py`), the file itself (`stores/polls.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

POLLS_FILE = "polls.json"
# The file is read at each search, so it stays small.
MAX_ERROR_CHARS = 1_000
# So many runs may fail one after the other, and it is known all the same when a source was found otherwise.
MOST_EARLIER = 8
# What a person is shown of sentences on patterns, and of each.
MOST_IDLE = 10
MOST_IDLE_CHARS = 300
# Raise it when an older reader would misread the file.
_FORMAT = 1
# A hundred years: more is a damaged number.
_LONGEST_SECONDS = 36_500 * 86_400


@dataclass(frozen=True, slots=True)
class Poll:
    """How the last polls of one source went.

    Attributes:
        attempted_at: When it was last polled, with or without success; UTC.
        polled_at: When that last succeeded; None if it is not known to have succeeded ever.
        error: Why the last attempt failed, without passwords; empty if it succeeded.
        stale_after: How long after `polled_at` it counts as overdue, as pipeline.yaml said at the last attempt.
        unrecorded: The last attempt failed although the source may answer, so bronze does not hold what it says now.
        erased: Objects that its last listing named and that are left out, since they were erased.
        earlier: When the last successes before `polled_at` were, the newest last; none: that was the first.
        idle: What had no effect in the last listing of all, in sentences; the first few.
        publication: Sequence of the last publication before that attempt; -1: there was none, or it is not known.
    """

    attempted_at: datetime
    polled_at: datetime | None
    error: str
    stale_after: timedelta
    unrecorded: bool = False
    publication: int = -1
    erased: int = 0
    earlier: tuple[datetime, ...] = ()
    idle: tuple[str, ...] = ()

    @property
    def successes(self) -> tuple[datetime, ...]:
        """The last times at which polling succeeded, for the record of the next."""
        return (*self.earlier, *([] if self.polled_at is None else [self.polled_at]))[-MOST_EARLIER:]


@dataclass(frozen=True, slots=True)
class Polls:
    """What the file says, by source.

    Attributes:
        problem: Why the file, or a part of it, says nothing; empty if all of it could be read.
    """

    by_source: Mapping[str, Poll] = field(default_factory=dict)
    problem: str = ""


def polls_of(content: bytes) -> Polls:
    """Read the file's bytes; what cannot be understood is left out and named in `problem`, never raised."""
    try:
        record = json.loads(content)
        entries = dict(record["sources"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        return Polls(problem=f"it is damaged ({type(error).__name__})")
    found, wrong = {}, []
    for name, entry in entries.items():
        try:
            found[str(name)] = _poll_of(entry)
        except (ValueError, TypeError, KeyError, OverflowError):
            wrong.append(str(name))
    return Polls(found, f"what it says of {', '.join(wrong)} is damaged" if wrong else "")


def bytes_of(polls: Mapping[str, Poll]) -> bytes:
    """The file's bytes for what is known; `overdue_at` is written for those who read it without this program."""
    entries = {name: _record_of(poll) for name, poll in sorted(polls.items())}
    return (json.dumps({"format": _FORMAT, "sources": entries}, ensure_ascii=False, indent=1) + "\n").encode(
        "utf-8", "replace"
    )


def _record_of(poll: Poll) -> dict[str, Any]:
    return {
        "attempted_at": poll.attempted_at.isoformat(),
        "polled_at": None if poll.polled_at is None else poll.polled_at.isoformat(),
        "overdue_at": None if poll.polled_at is None else (poll.polled_at + poll.stale_after).isoformat(),
        "stale_after_seconds": poll.stale_after.total_seconds(),
        "error": poll.error,
        "unrecorded": poll.unrecorded,
        "publication": poll.publication,
        "erased": poll.erased,
        "earlier": [moment.isoformat() for moment in poll.earlier],
        **({"idle": list(poll.idle)} if poll.idle else {}),
    }


def _poll_of(entry: Mapping[str, Any]) -> Poll:
    error = entry["error"]
    seconds = entry["stale_after_seconds"]
    if not isinstance(error, str) or isinstance(seconds, bool) or not math.isfinite(seconds):
        raise ValueError("neither a text nor a number")
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise ValueError("out of range")
    polled = entry["polled_at"]
    attempted_at = _moment(entry["attempted_at"])
    polled_at = None if polled is None else _moment(polled)
    stale_after = timedelta(seconds=seconds)
    publication, erased = entry.get("publication", -1), entry.get("erased", 0)
    if type(publication) is not int or type(erased) is not int or erased < 0:
        raise ValueError("no number of a publication, or of objects")
    is_unrecorded = entry.get("unrecorded") is True
    earlier = tuple(map(_moment, entry.get("earlier", ())))[-MOST_EARLIER:]
    idle = tuple(str(text)[:MOST_IDLE_CHARS] for text in list(entry.get("idle", ()))[:MOST_IDLE])
    return Poll(
        attempted_at,
        polled_at,
        error[:MAX_ERROR_CHARS],
        stale_after,
        is_unrecorded,
        publication,
        erased,
        earlier,
        idle,
    )


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or not 1970 <= at.year < 9_000:
        raise ValueError("no time in UTC, or none that a poll can have had")
    return at.astimezone(UTC)
