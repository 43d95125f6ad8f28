"""What runs cost: one small file in the lake with the last runs that did something, and its rows as values.

Belongs here: a row, and the file's bytes: a JSON object per line, so that a row is added without touching the others.
It is no table, since a row for each source and model would be a commit for each.
Does not belong here: the file itself (`stores/costs.py`), when a row is written (`refresh/costs.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

COSTS_FILE = "costs.json"
# A year of nights with some sources and models; the oldest go first.
MOST_ROWS = 8_000

Work = Literal["read", "parse", "cut", "embed", "enrich"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one step of a run took for one source or model.

    Attributes:
        at: When it ended; UTC.
        work: `read`, `parse` or `cut` of a source, `embed` or `enrich` with a model.
        name: Of the source or the model; empty: of all sources together, as versions before wrote it.
        space: Fingerprint of the embedding space; empty otherwise.
        bytes: Read or parsed.
        documents, texts, tokens: Parsed or cut; embedded or read.
        seconds: Of wall time, for sources that a model worked on together by their tokens; for `parse` and `cut` those
            of all worker processes added up.
        source: Whose texts a model embedded; empty: not told apart.
        price: In the currency of `price_per_million_tokens`; 0 on this machine, None: not known.
    """

    at: datetime
    run_id: str
    work: Work
    name: str
    space: str = ""
    bytes: int = 0
    documents: int = 0
    texts: int = 0
    tokens: int = 0
    seconds: float = 0.0
    price: float | None = 0.0
    source: str = ""

    @property
    def of_source(self) -> str:
        """The source that it was done for; empty: not told apart."""
        return self.source if self.work in ("embed", "enrich") else self.name


def bytes_of_costs(costs: Sequence[Cost]) -> bytes:
    """A line for each row."""
    return b"".join(json.dumps(asdict(cost) | {"at": cost.at.isoformat()}).encode() + b"\n" for cost in costs)


def newest_lines(content: bytes) -> bytes:
    """The file's bytes without its oldest rows, where there are more than are kept."""
    return b"".join(content.splitlines(keepends=True)[-MOST_ROWS:])


def costs_of(content: bytes) -> list[Cost]:
    """Read the file's bytes; rows that cannot be understood are left out, and never raised for."""
    rows = [row for line in content.splitlines() for row in _rows(line)]
    return [cost for cost in map(_cost, rows) if cost is not None][-MOST_ROWS:]


def _rows(line: bytes) -> list[Any]:
    """What one line holds: a row, or all rows of a file as it was written at first."""
    try:
        found = json.loads(line)
        rows = found.get("rows", [found])
    except (ValueError, AttributeError, RecursionError):
        return []
    return rows if isinstance(rows, list) else []


def _cost(row: Any) -> Cost | None:
    try:
        cost = Cost(**row | {"at": datetime.fromisoformat(row["at"]).astimezone(UTC)})
    except (TypeError, ValueError, KeyError, OverflowError):
        return None
    texts = (cost.run_id, cost.work, cost.name, cost.space, cost.source)
    numbers = (cost.bytes, cost.documents, cost.texts, cost.tokens, cost.seconds, cost.price or 0)
    is_sound = all(isinstance(text, str) for text in texts) and all(
        isinstance(number, (int, float)) and math.isfinite(number) and number >= 0 for number in numbers
    )
    return cost if is_sound else None
