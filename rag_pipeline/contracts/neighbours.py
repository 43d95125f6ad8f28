"""How near the vectors of each source lie to each other, after runs that changed an index: a small file in the lake.

Belongs here: a row, reading and writing the file's bytes, a JSON object per line.
Does not belong here: the file itself (`stores/neighbours.py`), what is unusual (`transforms/neighbours.py`), sampling
(`refresh/neighbours.py`).

It holds figures of a hundred texts together, and none of a single one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

NEIGHBOURS_FILE = "neighbours.jsonl"
# Always as many: among more texts, the nearest is nearer.
SAMPLE_TEXTS = 100
# Twice what is compared.
KEPT = timedelta(days=42)
# Of what is older than this, one state of each day says what was usual; of what is younger, one of each hour.
_HOURLY = timedelta(days=2)
# Cosine distance of what is opposite.
_FURTHEST = 2


@dataclass(frozen=True, slots=True)
class Nearness:
    """Cosine distances from each text of a source's sample to the nearest other one of it.

    Attributes:
        sample: Stands for the texts; while it is the same, so are the distances.
        p50: The median.
        same_share: Texts whose nearest has nearly the same vector, of all.
    """

    sample: str
    p50: float
    same_share: float


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The sources of an index, those that have enough texts."""

    at: datetime
    run_id: str
    space: str
    sources: Mapping[str, Nearness]


def line_of(row: Neighbours) -> bytes:
    """The line of a row."""
    return json.dumps(asdict(row) | {"at": row.at.isoformat()}, sort_keys=True).encode() + b"\n"


def neighbours_of(content: bytes) -> list[Neighbours]:
    """Read the file's bytes, oldest first; lines that cannot be understood are left out, and never raised for."""
    return [found for found in map(_row, content.splitlines()) if found is not None]


def newest_lines(content: bytes) -> bytes:
    """The file's bytes less what no comparison looks at: some ninety lines of six weeks for each model."""
    rows = [(found, line) for line in content.splitlines() if (found := _row(line)) is not None]
    kept: dict[tuple[str, str], bytes] = {}
    for row, line in rows:
        age = rows[-1][0].at - row.at
        if age <= KEPT:
            kept[row.space, f"{row.at:%Y-%m-%d}" if age > _HOURLY else f"{row.at:%Y-%m-%dT%H}"] = line
    return b"".join(line + b"\n" for line in kept.values())


def of_space(rows: Sequence[Neighbours], space: str) -> list[Neighbours]:
    """Those of one embedding space."""
    return [row for row in rows if row.space == space]


def _row(line: bytes) -> Neighbours | None:
    try:
        row = json.loads(line)
        at = datetime.fromisoformat(row["at"]).astimezone(UTC)
        sources = {str(name): _nearness(**values) for name, values in row["sources"].items()}
        return Neighbours(at, str(row["run_id"]), str(row["space"]), sources)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None


def _nearness(sample: Any, p50: Any, same_share: Any) -> Nearness:
    # A bool is an int, and no distance; what is no number at all lies in no range.
    if not all(type(number) in (int, float) and 0 <= number <= _FURTHEST for number in (p50, same_share)):
        raise ValueError("no distance")
    return Nearness(str(sample), float(p50), float(same_share))
