"""The typed filter as a store reads it: one condition for every retriever, before anything is ranked.

Belongs here: all SQL of what a search may find, and how the stores spell it.
Does not belong here: what a filter is (`contracts/filters.py`), the searches (`retrievers.py`, `postgres/`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl

from rag_pipeline.contracts.filters import Condition, Filter
from rag_pipeline.contracts.names import comparable
from rag_pipeline.errors import BadQuery
from rag_pipeline.stores.quoting import sql_string
from rag_pipeline.transforms.facts import values_in_range

NOTHING = "false"
# A line or two; a typing mistake is seen among them.
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a store spells what is no common SQL.

    Attributes:
        has_any: Whether a column of lists has one of some values, which are listed.
        matches: Whether a column is matched by a regular expression, which is a literal.
        moment: A point in time, of a literal.
        any_mark: Any character but the end of a line, in a regular expression.
    """

    has_any: str
    matches: str
    moment: str
    any_mark: str


LANCE = Dialect("array_has_any({column}, [{values}])", "regexp_like({column}, {pattern})", "TIMESTAMP {text}", ".")
POSTGRES = Dialect(
    "{column} && ARRAY[{values}]::pg_catalog.text[]", "{column} ~ {pattern}", "TIMESTAMPTZ {text}", r"[^\n]"
)


class Rows(Protocol):
    """What is asked of a table while its filter is made."""

    dialect: Dialect

    def count(self, where: str | None = None) -> int: ...

    def read(self, columns: list[str], where: str | None = None) -> pl.DataFrame: ...


def permission_filter(principals: Iterable[str], dialect: Dialect = LANCE) -> str:
    """SQL that holds for the rows a caller may read; no principals match no row."""
    return _has_any("allowed_principals", sorted(set(principals)), dialect)


def one_of(column: str, values: Iterable[str | int]) -> str:
    """SQL that holds for the rows with one of the values; none match no row."""
    names = ", ".join(str(value) if isinstance(value, int) else sql_string(value) for value in values)
    return f"{column} IN ({names})" if names else NOTHING


def saying_any(fields: Iterable[str], dialect: Dialect = LANCE) -> str:
    """SQL that holds for the rows whose documents' metadata has one of the fields."""
    return _has_any("facts", fields, dialect)


def where_of(chosen: Filter, table: Rows, known_sources: Iterable[str] = ()) -> str:
    """SQL of a filter; the condition on who asks stands first, and holds for all that is looked up for the others.

    Args:
        known_sources: Names that are no mistake although nothing of theirs can be read.

    Raises:
        BadQuery: A source or field is named that nothing the caller may read has; the message names what there is.
    """
    dialect = table.dialect
    readers = permission_filter(chosen.principals, dialect)
    if chosen.closed_ids:
        readers = f"({readers}) AND NOT ({one_of('document_id', sorted(chosen.closed_ids))})"
    parts = [readers]
    for column, values in (
        ("source", chosen.sources),
        ("media_type", chosen.media_types),
        ("language", chosen.languages),
        ("document_id", chosen.document_ids),
        ("chunk_id", chosen.chunk_ids),
    ):
        if values is not None:
            parts.append(one_of(column, sorted(set(values))))
    if chosen.paths is not None:
        parts.append(" OR ".join(_path(path, dialect) for path in chosen.paths) or NOTHING)
    if chosen.modified_after is not None:
        parts.append(f"source_modified_at >= {_moment(chosen.modified_after, dialect)}")
    if chosen.modified_before is not None:
        parts.append(f"source_modified_at < {_moment(chosen.modified_before, dialect)}")
    if chosen.least_quality is not None:
        parts.append(f"quality_score >= {float(chosen.least_quality)!r}")
    for name in sorted(set(chosen.sources or ()) - set(known_sources)):
        _check(table, readers, f"source = {sql_string(name)}", f"source {name!r}", "sources", _sources)
    for condition in chosen.conditions:
        has = saying_any([condition.field], dialect)
        _check(table, readers, has, f"field {condition.field!r}", "fields", _fields)
        parts.append(_condition(condition, table, f"({readers}) AND {has}"))
    return " AND ".join(f"({part})" for part in parts)


def _condition(condition: Condition, table: Rows, readable: str) -> str:
    name, dialect = condition.field, table.dialect
    if condition.operator == "exists":
        return saying_any([name], dialect)
    if condition.operator == "!=":
        return f"NOT {_has_any('facts', _facts(name, condition.values), dialect)}"
    values = list(condition.values)
    if condition.operator not in ("=", "in"):
        facts = table.read(["facts"], readable)["facts"].explode().drop_nulls().unique()
        values = values_in_range(
            condition, (fact.removeprefix(f"{name}=") for fact in facts if fact.startswith(f"{name}="))
        )
    return _has_any("facts", _facts(name, values), dialect)


def _has_any(column: str, values: Iterable[str], dialect: Dialect) -> str:
    listed = ", ".join(map(sql_string, values))
    # Filled in, not formatted: a value may hold braces.
    return dialect.has_any.replace("{column}", column).replace("{values}", listed) if listed else NOTHING


def _check(
    table: Rows, readers: str, part: str, what: str, kind: str, listed: Callable[[Rows, str], list[str]]
) -> None:
    if table.count(f"({readers}) AND {part}"):
        return
    there = listed(table, readers)
    more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
    raise BadQuery(
        f"there is no {what} in what may be read here; {kind} there are: {', '.join(there[:SHOWN]) or 'none'}{more}"
    )


def _sources(table: Rows, readers: str) -> list[str]:
    return sorted(table.read(["source"], readers)["source"].unique())


def _fields(table: Rows, readers: str) -> list[str]:
    facts = table.read(["facts"], readers)["facts"].explode().drop_nulls().unique()
    return sorted(fact for fact in facts if "=" not in fact)


def _facts(name: str, values: Iterable[str]) -> list[str]:
    return [f"{name}={value}" for value in values]


def _moment(moment: datetime, dialect: Dialect) -> str:
    return dialect.moment.format(text=sql_string(moment.isoformat()))


def _path(pattern: str, dialect: Dialect) -> str:
    """An address that ends with what a glob matches, however its letters are composed; `#` begins a part of it."""
    shapes = {unicodedata.normalize(form, comparable(pattern)) for form in ("NFC", "NFD")}
    expression, mark = "|".join(sorted(map(_expression, shapes))), dialect.any_mark
    literal = sql_string(f"^(?:{mark}*/)?(?:{expression})(?:#{mark}*)?$")
    return dialect.matches.replace("{column}", "uri").replace("{pattern}", literal)


def _expression(pattern: str) -> str:
    """A glob for the store's expressions, which take time in proportion to the text and know no looking ahead."""
    pattern = pattern.removeprefix("./").lstrip("/")
    segments = (f"{pattern}**" if pattern.endswith("/") else pattern).split("/")
    text = ""
    for at, segment in enumerate(segments):
        is_last = at == len(segments) - 1
        if segment == "**":
            text += "(?:[^/]+/)*[^/]+" if is_last else "(?:[^/]+/)*"
        else:
            text += _segment(segment) + ("" if is_last else "/")
    return text


def _segment(segment: str) -> str:
    return "".join("[^/]*" if mark == "*" else "[^/]" if mark == "?" else re.escape(mark) for mark in segment)
