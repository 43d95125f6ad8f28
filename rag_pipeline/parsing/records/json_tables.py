"""Tables that programs write as JSON in another form than a list of objects: columns apart from rows, or by column.

Belongs here: telling such tables, as pandas and spreadsheets on the web write them, and making records of them.
Does not belong here: what becomes of records (`json_records.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from rag_pipeline.parsing.records.json_places import Placed, PlacedList, line_of

INDEX = "index"
"""Name of the column that pandas gives the names of rows, where they have one."""
_SPLIT = frozenset({"columns", INDEX, "data", "name", "index_names", "column_names"})


def as_records(value: Any) -> Any:
    """The records that a table in another form holds; the value itself where it is none.

    Forms: `split` (columns, index and data apart; also of one series), `table` (data with its schema), `columns` and
    `index` where the rows have no names but their numbers.
    """
    if not isinstance(value, Mapping) or not value:
        return value
    if isinstance(value.get("data"), list) and value.keys() <= _SPLIT:
        return _split(value) or value
    return _numbered(value) or value


def is_table_schema(value: Mapping[str, Any]) -> bool:
    """Whether an object is a list of records, `data`, beside the schema of its fields."""
    schema = value.get("schema")
    return value.keys() == {"schema", "data"} and isinstance(schema, Mapping) and isinstance(schema.get("fields"), list)


def is_grid(value: Any) -> bool:
    """Whether a list holds rows of cells, some of them words, as spreadsheets on the web give them."""
    if not isinstance(value, list) or len(value) < 2 or not all(isinstance(row, list) and row for row in value):
        return False
    return (
        len(value[0]) > 1
        and not any(isinstance(cell, Mapping | list) for row in value for cell in row)
        and any(isinstance(cell, str) for row in value for cell in row)
    )


def _split(value: Mapping[str, Any]) -> list[Any] | None:
    rows, index = value["data"], value.get(INDEX)
    names = value.get("columns")
    if names is None:
        # One series has its name, or none.
        names, rows = [value.get("name") or "value"], [[item] for item in rows]
    is_indexed = isinstance(index, list) and len(index) == len(rows)
    if not rows or not isinstance(names, list) or not (is_indexed or index is None):
        return None
    columns = [_joined(name) for name in names]
    if len(set(columns)) < len(columns) or not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        return None
    shows_index = is_indexed and INDEX not in columns and index != list(range(len(rows)))
    records: list[Any] = []
    for number, row in enumerate(rows):
        record = ({INDEX: _joined_value(index[number])} if shows_index and index else {}) | dict(
            zip(columns, row, strict=True)
        )
        line = line_of(row) or (value["data"].line_at(number) if isinstance(value["data"], PlacedList) else None)
        records.append(record if line is None else Placed(record, line))
    return records


def _joined(name: Any) -> str:
    """A name of several levels as one."""
    return " ".join(str(part) for part in name) if isinstance(name, list) else str(name)


def _joined_value(value: Any) -> Any:
    return _joined(value) if isinstance(value, list) else value


def _numbered(value: Mapping[str, Any]) -> list[Any] | None:
    """Records of a table by columns, or by rows, whose rows are numbered from 0."""
    if not all(isinstance(item, Mapping) and item for item in value.values()):
        return None
    inner = [*next(iter(value.values()))]
    if len(value) > 1 and _counts(value):
        return [*value.values()]
    if not _counts(inner) or any([*item] != inner for item in value.values()):
        return None
    scalars = chain.from_iterable(item.values() for item in value.values())
    if any(isinstance(item, Mapping) for item in scalars):
        return None
    # A column of one row is an object with a number for a name.
    if len(inner) < 2:
        return None
    return [{name: column[number] for name, column in value.items()} for number in inner]


def _counts(names: Any) -> bool:
    return [*names] == [str(number) for number in range(len(names))]
