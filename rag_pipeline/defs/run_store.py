"""Dagster's own SQLite storage, with connections that are kept open for as long as a command runs.

Belongs here: how the files of a Dagster home are opened by `rag-pipeline run`.
Does not belong here: what stands in them, which is Dagster's business, and what the UI and the daemon open them with.

Dagster makes an engine for each event, so each statement is compiled anew and each commit waits for the disk: a quarter
of the processor time of a small run. The files are the same, by the same statements, with the same locks.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from sqlalchemy.engine import Connection, Engine


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


class EventLog(SqliteEventLogStorage):
    """Events, a file for each run and one for all."""

    def __init__(self, *arguments: Any, **values: Any) -> None:
        self._engines = Engines()
        super().__init__(*arguments, **values)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engines.of(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def dispose(self) -> None:
        super().dispose()
        self._engines.close()


class Runs(SqliteRunStorage):
    """Runs and their tags."""

    def __init__(self, *arguments: Any, **values: Any) -> None:
        self._engines = Engines()
        super().__init__(*arguments, **values)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self._engines.of(self._conn_string).begin() as connection:
            yield connection

    def dispose(self) -> None:
        super().dispose()
        self._engines.close()


class RunStore(DagsterSqliteStorage):
    """All that Dagster keeps in the folder of a home, where it keeps it by default."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        super().__init__(base_dir, inst_data)
        self._run_storage = Runs.from_local(os.path.join(base_dir, "history", ""))  # noqa: PTH118 - Dagster's own form
        self._event_log_storage = EventLog(os.path.join(base_dir, "history", "runs", ""))  # noqa: PTH118

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "RunStore":
        return cls(inst_data=inst_data, **config_value)


def overrides(home: str) -> dict[str, Any]:
    """What an instance is opened with, to use this store for a home."""
    return {"storage": {"custom": {"module": __name__, "class": RunStore.__name__, "config": {"base_dir": home}}}}
