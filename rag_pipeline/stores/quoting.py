"""Names and values inside the queries of the stores.

Belongs here: the one way each is quoted. Does not belong here: conditions (`filters.py`).
"""

from __future__ import annotations


def sql_string(value: str) -> str:
    """A literal of any text, as DuckDB and DataFusion (LanceDB, Delta) read it."""
    return "'" + value.replace("'", "''") + "'"


def sql_name(name: str) -> str:
    """A column's name, as DataFusion reads it."""
    return f"`{name}`"
