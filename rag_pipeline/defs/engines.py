"""Files of SQLite whose connections stay open for as long as a command runs.

Belongs here: opening a file of a Dagster home, and whether Dagster has made its tables in it.
Does not belong here: what is written into it (`event_log.py`, `run_store.py`).
"""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy.engine import Engine


class Engines:
    """An engine for each file, with its connections."""

    def __init__(self) -> None:
        self._engines: dict[str, Engine] = {}
        self._lock = threading.Lock()

    def of(self, address: str) -> Engine:
        """The engine of a file, by its connection string."""
        with self._lock:
            if address not in self._engines:
                engine = sqlalchemy.create_engine(address, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})
                sqlalchemy.event.listen(engine, "connect", _set_up)
                self._engines[address] = engine
            return self._engines[address]

    def close(self) -> None:
        """Close all connections; the last one of a file takes its write-ahead log in."""
        with self._lock:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()


def _set_up(connection: Any, _: Any) -> None:
    # With a write-ahead log this loses nothing to a crash of the process; one of the machine may lose last records.
    connection.execute("PRAGMA synchronous=NORMAL")


def is_set_up(path: str) -> bool:
    """Whether Dagster has made its tables in a file, of whatever revision, which it notes last."""
    if not Path(path).is_file():
        return False
    with closing(sqlite3.connect(path, timeout=SQLITE_BUSY_TIMEOUT_SECONDS)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return "alembic_version" in tables and bool(list(connection.execute("SELECT 1 FROM alembic_version")))


def with_tables_of(there: str, path: str) -> bool:
    """Make the tables that one file of events has in a new one, which takes no reading of Dagster's revisions.

    Returns:
        Whether it was done: not where somebody else makes them at this moment, which Dagster knows how to wait for.
    """
    if not is_set_up(there):
        return False
    with closing(sqlite3.connect(path, timeout=SQLITE_BUSY_TIMEOUT_SECONDS, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("ATTACH ? AS there", (there,))
            connection.execute("BEGIN IMMEDIATE")
            made = (
                "SELECT sql FROM there.sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
            )
            for (statement,) in connection.execute(made).fetchall():
                connection.execute(statement)
            connection.execute("INSERT INTO main.alembic_version SELECT * FROM there.alembic_version")
            connection.execute("COMMIT")
        except sqlite3.Error:
            return False
    return True
