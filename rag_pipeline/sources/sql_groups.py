"""Groups of the kind `sql`: memberships by a query of their own.

Belongs here: what the columns of that query mean.
Does not belong here: connecting (`sql.py`), what is made of memberships (`refresh/memberships.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from rag_pipeline.contracts.groups import MOST_MEMBERSHIPS, Membership, Memberships
from rag_pipeline.sources.rows import Unusable

# Databases without truth values of their own have numbers.
_TRUE, _FALSE = (True, 1), (False, 0, None)


def wanted_columns(fields: Mapping[str, Any]) -> list[str]:
    """Columns that the settings name."""
    return [fields[name] for name in ("group", "member", "is_group") if fields[name] is not None]


def memberships_in(rows: Iterable[Mapping[str, Any]], fields: Mapping[str, Any]) -> Memberships:
    """Memberships, one from each row; a row without a member only says that there is the group.

    Raises:
        Unusable: A row names no group, or holds what is no name; or there are more rows than are held.
    """
    return Memberships(tuple(_memberships(rows, fields)))


def _memberships(rows: Iterable[Mapping[str, Any]], fields: Mapping[str, Any]) -> Iterator[Membership]:
    for number, row in enumerate(rows):
        if number >= MOST_MEMBERSHIPS:
            raise Unusable(f"`groups.query` gives more than {MOST_MEMBERSHIPS:,} rows.")
        group, member = (_name(row[fields[name]], f"groups.{name}") for name in ("group", "member"))
        if group is None:
            raise Unusable("`groups.group` is empty in a row.")
        if member is not None:
            yield Membership(group, member, _is_group(row, fields["is_group"]))


def _name(value: Any, where: str) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, UUID)):
        raise Unusable(f"`{where}` holds {type(value).__name__} where a name is wanted.")
    return str(value)


def _is_group(row: Mapping[str, Any], column: str | None) -> bool:
    value = None if column is None else row[column]
    if value not in (*_TRUE, *_FALSE):
        raise Unusable("`groups.is_group` holds what is neither true nor false.")
    return value in _TRUE
