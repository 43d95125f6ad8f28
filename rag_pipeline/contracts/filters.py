"""What a search is limited to: who asks, and what they want to see.

Belongs here: the filter as plain values, and reading one condition as a person types it.
Does not belong here: its translation for the store (`stores/filters.py`), arguments of a search (`retrieval/`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "in", "exists"]
OPERATORS: tuple[Operator, ...] = get_args(Operator)
# Longer values are texts and no facts that anybody filters by.
MAX_VALUE_CHARS = 200
_CONDITION = re.compile(r"\s*(?P<field>[^\s=!<>]+)\s*(?:(?P<operator>!=|<=|>=|=|<|>|\bin\b)\s*(?P<value>.*))?", re.S)
_AGO = re.compile(r"(\d{1,5})\s*([hdwmy])")
_UNITS: Mapping[str, timedelta] = {
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "m": timedelta(days=30),
    "y": timedelta(days=365),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """What a document's own metadata must say.

    Attributes:
        field: As `fact_name` makes it of a name.
        values: One for a comparison, any number for `in`, none for `exists`.
    """

    field: str
    operator: Operator
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """What a search may find; every field but the principals is no limit where it is None.

    Attributes:
        principals: Who asks. Without any, nothing is found.
        paths: Globs on the end of an address, from a folder on: `hr/**` is any folder `hr`.
        modified_after, modified_before: Last modified from then on, and before then; UTC. A document of unknown age is
            in neither.
        least_quality: Quality score of the document, 0 to 1.
        conditions: All of them hold.
        closed_ids: Documents that are not found, whatever else holds of them.
    """

    principals: frozenset[str]
    sources: tuple[str, ...] | None = None
    media_types: tuple[str, ...] | None = None
    languages: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None
    modified_after: datetime | None = None
    modified_before: datetime | None = None
    least_quality: float | None = None
    document_ids: tuple[str, ...] | None = None
    chunk_ids: tuple[str, ...] | None = None
    conditions: tuple[Condition, ...] = ()
    closed_ids: frozenset[str] = frozenset()


def among(chosen: Filter, document_ids: Iterable[str]) -> Filter:
    """The same filter for some documents alone; those that it leaves out already stay out."""
    names = set(document_ids)
    if chosen.document_ids is not None:
        names &= set(chosen.document_ids)
    return replace(chosen, document_ids=tuple(sorted(names)))


def fact_name(name: str) -> str:
    """A field's name as it is compared: `Last-Review` is `last_review`."""
    return re.sub(r"[\s=-]+", "_", unicodedata.normalize("NFC", name).strip()).casefold()


def fact_value(value: str) -> str:
    """A value as it is compared: letter case and blanks around it do not count."""
    return unicodedata.normalize("NFC", value).strip()[:MAX_VALUE_CHARS].casefold()


def parse_condition(text: str) -> Condition:
    """`status=Final`, `year>=2020`, `status in Draft,Final`, or `status` alone for one that says anything.

    Raises:
        ValueError: It is none of these; the message says how to type one.
    """
    match = _CONDITION.fullmatch(text)
    operator = (match.group("operator") or "exists") if match else ""
    value = (match.group("value") or "").strip() if match else ""
    if match is None or (operator != "exists" and not value):
        raise ValueError(
            f"{text!r} is not a condition; write one like status=Final, year>=2020 or 'status in Draft,Final'"
        )
    values = [part for part in map(fact_value, value.split(",") if operator == "in" else [value]) if part]
    found = next(known for known in OPERATORS if known == operator)
    return Condition(fact_name(match.group("field")), found, tuple(values))


def parse_moment(text: str, now: datetime) -> datetime:
    """A day or a time as ISO 8601 writes it (UTC where it names no zone), or how long ago: `12h`, `30d`, `2w`, `1y`.

    Raises:
        ValueError: It is neither; the message says how to type one.
    """
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago:
            return now - int(ago.group(1)) * _UNITS[ago.group(2)]
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a time; write one like 3y, 30d, 2026-03-01 or 2026-03-01T12:00") from error
