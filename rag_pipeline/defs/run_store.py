"""Dagster's own SQLite storage, with connections that are kept open for as long as a command runs.

Belongs here: how the files of a Dagster home are opened by `rag-pipeline run`.
Does not belong here: what stands in them, which is Dagster's business, and what the UI and the daemon open them with.

Dagster makes an engine for each event, so each statement is compiled anew and each commit waits for the disk: a quarter
of the processor time of a small run. The files are the same, by the same statements, with the same locks.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS, create_db_conn_string
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


def _is_set_up(path: str) -> bool:
    """Whether Dagster has made its tables in a file, of whatever revision, which it notes last."""
    if not Path(path).is_file():
        return False
    with closing(sqlite3.connect(path, timeout=SQLITE_BUSY_TIMEOUT_SECONDS)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return "alembic_version" in tables and bool(list(connection.execute("SELECT 1 FROM alembic_version")))


class EventLog(SqliteEventLogStorage):
    """Events, a file for each run and one for all."""

    def __init__(self, *arguments: Any, **values: Any) -> None:
        self._engines = Engines()
        self._has_checks = False
        super().__init__(*arguments, **values)

    @property
    def supports_asset_checks(self) -> bool:
        # Dagster looks through the file for the table again with each check that it notes, twice.
        self._has_checks = self._has_checks or super().supports_asset_checks
        return self._has_checks

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engines.of(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        # To find out that there is nothing to do, Dagster imports all revisions of its tables there ever were.
        if not _is_set_up(str(engine.url.database)):
            super()._initdb(engine, for_index_shard)

    def dispose(self) -> None:
        super().dispose()
        self._engines.close()


class Runs(SqliteRunStorage):
    """Runs and their tags."""

    def __init__(self, *arguments: Any, **values: Any) -> None:
        self._engines = Engines()
        super().__init__(*arguments, **values)

    @classmethod
    def opened(cls, folder: str) -> "Runs":
        """The runs in a folder, made if they are not there."""
        is_there = _is_set_up(f"{folder}/runs.db")
        return cls(create_db_conn_string(folder, "runs")) if is_there else cls.from_local(folder)

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
        # Not that of the class above, which opens the files in its own way first.
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]
        self.base_dir = base_dir
        self._inst_data = inst_data
        self._run_storage = Runs.opened(f"{base_dir}/history")
        self._event_log_storage = EventLog(f"{base_dir}/history/runs")
        schedules = f"{base_dir}/schedules"
        self._schedule_storage = (
            SqliteScheduleStorage(create_db_conn_string(schedules, "schedules"))
            if _is_set_up(f"{schedules}/schedules.db")
            else SqliteScheduleStorage.from_local(schedules)
        )

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "RunStore":
        return cls(inst_data=inst_data, **config_value)


def overrides(home: str) -> dict[str, Any]:
    """What an instance is opened with, to use this store for a home."""
    return {"storage": {"custom": {"module": __name__, "class": RunStore.__name__, "config": {"base_dir": home}}}}
