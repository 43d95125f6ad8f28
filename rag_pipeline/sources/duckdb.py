"""DuckDB for SQLAlchemy: DuckDB files, and Parquet, CSV and JSON files by queries over them.

Belongs here: what SQLAlchemy wants to know of DuckDB's driver.
Does not belong here: what rows are (`rows.py`), opening a database (`stores/duckdb_driver.py`).

What else there is that joins the two takes DuckDB for PostgreSQL and asks it for what it does not have; to read rows
less is needed.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.engine import URL, Connection, default
from sqlalchemy.pool import NullPool

from rag_pipeline.stores.duckdb_driver import DRIVER, opening_of


class DuckDbDialect(default.DefaultDialect):
    """Reading only. Each connection opens the database and lets go of it, so that others may write between two runs."""

    name = "duckdb"
    driver = "duckdb"
    supports_statement_cache = True
    supports_native_boolean = True
    default_paramstyle = "qmark"
    poolclass = NullPool

    @classmethod
    def import_dbapi(cls) -> Any:
        """The module with the driver."""
        return DRIVER

    def create_connect_args(self, url: URL) -> Any:
        """What the driver is asked to open."""
        database, options = opening_of(url.database)
        return (database,), options

    def initialize(self, connection: Connection) -> None:
        """Nothing is asked of it: what it can do is known."""

    def do_execute(self, cursor: Any, statement: str, parameters: Any, _context: Any = None) -> None:
        """Run one SELECT: DuckDB runs several statements at once, and COPY writes files wherever it was opened."""
        if [each.type for each in cursor.extract_statements(statement)] != [DRIVER.StatementType.SELECT]:
            raise DRIVER.InvalidInputException("want one SELECT")
        cursor.execute(statement, parameters)

    def do_rollback(self, dbapi_connection: Any) -> None:
        """There is nothing to roll back: nothing is written, and each statement is of one moment."""


def let_sqlalchemy_know() -> None:
    """Have `duckdb` in an address mean this."""
    registry.register("duckdb", __name__, "DuckDbDialect")
