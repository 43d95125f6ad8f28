"""Where the vectors of each run point on average: one small file in the lake, a JSON object per line.

Belongs here: a row, reading and writing the file's bytes.
Does not belong here: the file itself (`stores/directions.py`), what is unusual (`transforms/directions.py`).

A mean of few vectors would say what its texts say, and outlive them; so there is none of few.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

DIRECTIONS_FILE = "directions.jsonl"
# Days of hourly runs that all embedded much, which say where vectors point. A row has kilobytes for each source.
MOST_ROWS = 150
# The mean of fewer texts is more chance than direction, and no secret of theirs.
LEAST_TEXTS = 30


@dataclass(frozen=True, slots=True)
class Direction:
    """The mean of the vectors of one source that one run computed.

    Attributes:
        mean: float32 [dimension]; its length is 1 where all texts had the same vector, and near 0 where they have
            nothing in common.
        lengths: Of a sample of the vectors as the model gave them, before they were made unit vectors: what 5, 50 and
            95 % are no longer than; None: not known.
    """

    texts: int
    mean: np.ndarray
    lengths: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Directions:
    """What one run embedded with one model, by source."""

    at: datetime
    run_id: str
    space: str
    sources: Mapping[str, Direction]


def line_of(row: Directions) -> bytes:
    """The line of a row; half precision is enough to tell directions apart."""
    sources: dict[str, dict[str, Any]] = {
        name: {"texts": each.texts, "mean": base64.b64encode(each.mean.astype("<f2").tobytes()).decode()}
        | ({} if each.lengths is None else {"lengths": each.lengths})
        for name, each in row.sources.items()
    }
    record = {"at": row.at.isoformat(), "run_id": row.run_id, "space": row.space, "sources": sources}
    return json.dumps(record, sort_keys=True).encode() + b"\n"


def directions_of(content: bytes) -> list[Directions]:
    """Read the file's bytes, oldest first; lines that cannot be understood are left out, and never raised for."""
    return [found for found in map(_row, content.splitlines()) if found is not None]


def newest_lines(content: bytes) -> bytes:
    """The file's bytes without its oldest lines, where there are more than are kept."""
    return b"".join(content.splitlines(keepends=True)[-MOST_ROWS:])


def _row(line: bytes) -> Directions | None:
    try:
        row = json.loads(line)
        at = datetime.fromisoformat(row["at"]).astimezone(UTC)
        sources = {str(name): _direction(values) for name, values in row["sources"].items()}
        return Directions(at, str(row["run_id"]), str(row["space"]), sources)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None


def _direction(values: Mapping[str, Any]) -> Direction:
    mean = np.frombuffer(base64.b64decode(values["mean"], validate=True), dtype="<f2").astype(np.float32)
    texts = values["texts"]
    if type(texts) is not int or texts < LEAST_TEXTS or not mean.size or not np.isfinite(mean).all():
        raise ValueError("no direction")
    # Earlier programs noted none.
    return Direction(texts, mean, _lengths(values["lengths"]) if "lengths" in values else None)


def _lengths(values: Any) -> tuple[float, float, float]:
    p5, p50, p95 = values
    if not all(type(value) in (int, float) and 0 < value < math.inf for value in values) or not p5 <= p50 <= p95:
        raise ValueError("no lengths")
    return float(p5), float(p50), float(p95)
