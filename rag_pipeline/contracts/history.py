"""How silver looked after each run that changed it: one small file in the lake, a JSON object per line.

Belongs here: a row, reading and writing the file's bytes. It is no table, since its rows would be commits.
Does not belong here: the file itself (`stores/history.py`), what is unusual (`transforms/history.py`).

It holds counts and names out of pipeline.yaml. Readers stand in it by a hash, since a principal may be a person.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

HISTORY_FILE = "history.jsonl"
# Twice what is compared.
KEPT = timedelta(days=42)
# Of what is older than this, one state of each day says what was usual; of what is younger, one of each hour.
_HOURLY = timedelta(days=2)

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """One source after one run.

    Attributes:
        documents, chunks, bytes: Of documents that are not in quarantine; bytes as the source lists them.
        public, closed: Documents that everybody may read, and that nobody may.
        tokens_p50, tokens_p90: Of chunks, in tokens.
        refused: Objects in quarantine, by reason code.
        languages: Documents, by code; those whose language is not known under an empty one.
        readers: Documents, by `reader_hash` of each principal who may read a good part of them.
        sampled: Documents whose quality and metadata were looked at; 0 in lines that are older than these figures.
        quality_mean: Of their quality scores.
        low_quality: Those of them that score below `low_quality_score`.
        field_names: Different fields that they have.
        fields: Those of them with a field, by `field_key` of its type and name, of fields that many of them have.
    """

    documents: int = 0
    chunks: int = 0
    bytes: int = 0
    public: int = 0
    closed: int = 0
    tokens_p50: float = 0.0
    tokens_p90: float = 0.0
    refused: Figures = field(default_factory=dict)
    languages: Figures = field(default_factory=dict)
    readers: Figures = field(default_factory=dict)
    sampled: int = 0
    quality_mean: float = 0.0
    low_quality: int = 0
    field_names: int = 0
    fields: Figures = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All sources after one run.

    Attributes:
        at: When it was taken; UTC.
        state: Versions of the tables that it was taken of.
    """

    at: datetime
    run_id: str
    state: str
    sources: Mapping[str, SourceFigures]


def line_of(snapshot: Snapshot) -> bytes:
    """The line of a snapshot."""
    return json.dumps(asdict(snapshot) | {"at": snapshot.at.isoformat()}, sort_keys=True).encode() + b"\n"


def snapshots_of(content: bytes) -> list[Snapshot]:
    """Read the file's bytes, oldest first; lines that cannot be understood are left out, and never raised for."""
    return [found for found in map(snapshot_of, content.splitlines()) if found is not None]


def newest_lines(content: bytes) -> bytes:
    """The file's bytes less what no comparison looks at: however often runs are, some ninety lines of six weeks."""
    rows = [(found.at, line) for line in content.splitlines() if (found := snapshot_of(line)) is not None]
    kept: dict[str, bytes] = {}
    for at, line in rows:
        age = rows[-1][0] - at
        if age <= KEPT:
            kept[f"{at:%Y-%m-%d}" if age > _HOURLY else f"{at:%Y-%m-%dT%H}"] = line
    return b"".join(line + b"\n" for line in kept.values())


def snapshot_of(line: bytes) -> Snapshot | None:
    """Read one line; None where it cannot be understood."""
    try:
        row = json.loads(line)
        at = datetime.fromisoformat(row["at"]).astimezone(UTC)
        sources = {str(name): _figures(values) for name, values in row["sources"].items()}
        return Snapshot(at, str(row["run_id"]), str(row["state"]), sources)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None


def _figures(values: Mapping[str, Any]) -> SourceFigures:
    known = {each.name: values[each.name] for each in fields(SourceFigures) if each.name in values}
    numbers: list[Any] = []
    for value in known.values():
        numbers += value.values() if isinstance(value, Mapping) else [value]
    if not all(type(number) in (int, float) and math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError("no count")
    return SourceFigures(**known)


def field_key(kind: str, name: str) -> str:
    """A field of metadata by its type, like `text author`; `field_of` takes it apart."""
    return f"{kind} {name}"


def field_of(key: str) -> tuple[str, str]:
    """Type and name; types have no space in them."""
    kind, _, name = key.partition(" ")
    return kind, name


def by_name(snapshots: Sequence[Snapshot], source: str) -> list[tuple[datetime, SourceFigures]]:
    """What is known of one source, oldest first."""
    return [(each.at, each.sources[source]) for each in snapshots if source in each.sources]
