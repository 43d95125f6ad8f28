"""Dagster's own SQLite storage, with connections that are kept open for as long as a command runs.

Belongs here: how the files of a Dagster home are opened by `rag-pipeline run`.
Does not belong here: what stands in them, which is Dagster's business, and what the UI and the daemon open them with.

Dagster makes an engine for each event, so each statement is compiled anew and each commit waits for the disk: a quarter
of the processor time of a small run. The files are the same, by the same statements, with the same locks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import create_db_conn_string
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from sqlalchemy.engine import Connection

from rag_pipeline.defs.engines import Engines, is_set_up
from rag_pipeline.defs.event_log import EventLog


class Runs(SqliteRunStorage):
    """Runs and their tags."""

    def __init__(self, *arguments: Any, **values: Any) -> None:
        self._engines = Engines()
        super().__init__(*arguments, **values)

    @classmethod
    def opened(cls, folder: str) -> "Runs":
        """The runs in a folder, made if they are not there."""
        is_there = is_set_up(f"{folder}/runs.db")
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
            if is_set_up(f"{schedules}/schedules.db")
            else SqliteScheduleStorage.from_local(schedules)
        )

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "RunStore":
        return cls(inst_data=inst_data, **config_value)


def overrides(home: str) -> dict[str, Any]:
    """What an instance is opened with, to use this store for a home."""
    return {"storage": {"custom": {"module": __name__, "class": RunStore.__name__, "config": {"base_dir": home}}}}
