"""What searches of the serving found, counted: one small file in the lake, a JSON object per line.

Belongs here: a row, reading and writing the file's bytes.
Does not belong here: the file itself (`stores/searches.py`), counting (`serving/searched.py`), what is unusual
(`transforms/searches.py`).

It holds numbers alone: no words of a question, nobody who asked, nothing that was found. So there is nothing in it that
somebody may not read, and nothing to be erased.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

SEARCHES_FILE = "searches.jsonl"
# Held by the process that adds a line; runs never write here, so that the lake's own lock is not waited for.
SEARCHES_LOCK = ".searches.lock"
# Twice what is compared.
KEPT = timedelta(days=42)
# Of what is older than this, one line is kept of each day; of what is younger, one of each hour.
_HOURLY = timedelta(days=2)
# Cosine distances of best hits by steps of 0.05; what is opposite counts as unrelated.
BUCKETS = 20
BUCKET_WIDTH = 0.05


@dataclass(frozen=True, slots=True)
class Found:
    """What some searches found.

    Attributes:
        searches: How many there were.
        empty: Of those, without any hit.
        best: By `bucket_of`, how near the nearest hit was, of searches whose hits have a vector distance.
    """

    searches: int = 0
    empty: int = 0
    best: tuple[int, ...] = (0,) * BUCKETS

    def __add__(self, other: Found) -> Found:
        best = tuple(mine + theirs for mine, theirs in zip(self.best, other.best, strict=True))
        return Found(self.searches + other.searches, self.empty + other.empty, best)


@dataclass(frozen=True, slots=True)
class Searches:
    """What the searches of a while found.

    Attributes:
        at: When the last of them was counted; UTC.
        spaces: By fingerprint of the embedding space that readers searched.
    """

    at: datetime
    spaces: Mapping[str, Found]


def bucket_of(distance: float) -> int:
    """Where a cosine distance counts."""
    return min(max(int(distance / BUCKET_WIDTH), 0), BUCKETS - 1)


def found_by(distances: list[float | None]) -> Found:
    """What one search found.

    Args:
        distances: Vector distance of each hit, None where it was found by words alone.
    """
    known = [each for each in distances if each is not None]
    best = [0] * BUCKETS
    if known:
        best[bucket_of(min(known))] = 1
    return Found(1, int(not distances), tuple(best))


def line_of(row: Searches) -> bytes:
    """The line of a row."""
    spaces = {
        name: {"searches": found.searches, "empty": found.empty, "best": found.best}
        for name, found in sorted(row.spaces.items())
    }
    return json.dumps({"at": row.at.isoformat(), "spaces": spaces}).encode() + b"\n"


def searches_of(content: bytes) -> list[Searches]:
    """Read the file's bytes; lines that cannot be understood are left out, and never raised for."""
    return [found for found in map(_row, content.splitlines()) if found is not None]


def newest_lines(content: bytes) -> bytes:
    """The file's bytes with the lines of one hour, and of one day further back, added up: some ninety of six weeks."""
    rows = searches_of(content)
    merged: dict[str, Searches] = {}
    for row in rows:
        age = rows[-1].at - row.at
        if age <= KEPT:
            moment = f"{row.at:%Y-%m-%d}" if age > _HOURLY else f"{row.at:%Y-%m-%dT%H}"
            before = merged.get(moment)
            merged[moment] = row if before is None else Searches(row.at, added(before.spaces, row.spaces))
    return b"".join(map(line_of, merged.values()))


def added(some: Mapping[str, Found], others: Mapping[str, Found]) -> dict[str, Found]:
    """Both together."""
    none = Found()
    return {name: some.get(name, none) + others.get(name, none) for name in {**some, **others}}


def _row(line: bytes) -> Searches | None:
    try:
        row = json.loads(line)
        at = datetime.fromisoformat(row["at"]).astimezone(UTC)
        return Searches(at, {str(name): _found(values) for name, values in row["spaces"].items()})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None


def _found(values: Mapping[str, Any]) -> Found:
    found = Found(values["searches"], values["empty"], tuple(values["best"]))
    numbers = (found.searches, found.empty, *found.best)
    if len(found.best) != BUCKETS or not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("no count")
    return found
