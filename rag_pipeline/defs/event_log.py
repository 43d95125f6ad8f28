"""Dagster's event log in SQLite, written some events at a time.

Belongs here: when events of a run are written, and what is asked of the files once instead of with each event.
Does not belong here: what is written, which is Dagster's business: the same rows, by its own statements, in the order
in which things happened.

A run makes three hundred events. One transaction each, and up to three for those that are mirrored in the file of all
runs, is a third of the processor time of a small run. So what only says that something begins, is planned, was handed
over or went well waits for the next event that says what came of it, and is written with it in one transaction. Nothing
waits for longer than `LONGEST_SECONDS`: a process that is killed leaves a log whose last moment may be missing, and no
gap in it.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from dagster._core.definitions.asset_key import AssetKey
from dagster._core.event_api import AssetRecordsFilter, EventRecordsResult
from dagster._core.events import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    EVENT_TYPE_TO_PIPELINE_RUN_STATUS,
    DagsterEventType,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster_shared.serdes import serialize_value
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError

from rag_pipeline.defs.engines import Engines, is_set_up, with_tables_of

if TYPE_CHECKING:
    from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned

# A person who watches the UI, which looks every second, sees no difference.
LONGEST_SECONDS = 0.1
# These say that something is intended, begins, was handed over or went well; so does a check that passed. All others
# are written at once: what was made, seen or has failed, the end of a run, and whatever a later version of Dagster
# brings.
WAITING = frozenset(
    {
        DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
        DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        DagsterEventType.HANDLED_OUTPUT,
        DagsterEventType.LOADED_INPUT,
        DagsterEventType.LOGS_CAPTURED,
        DagsterEventType.RESOURCE_INIT_STARTED,
        DagsterEventType.RESOURCE_INIT_SUCCESS,
        DagsterEventType.STEP_INPUT,
        DagsterEventType.STEP_OUTPUT,
        DagsterEventType.STEP_START,
        # What went well in between: what was made, and how the run ended, say it too.
        DagsterEventType.STEP_SUCCESS,
    }
)
_MIRRORED = ASSET_EVENTS | ASSET_CHECK_EVENTS | EVENT_TYPE_TO_PIPELINE_RUN_STATUS.keys()
_INSERT = SqlEventLogStorageTable.insert()
_INSERT_CHECK = AssetCheckExecutionsTable.insert()

# An event and what is written of it.
_Row = tuple[EventLogEntry, dict[str, Any]]


def _may_wait(event: EventLogEntry) -> bool:
    """Whether nobody misses it for a moment, nor for ever when the process is killed in that moment."""
    kind, told = event.dagster_event_type, event.dagster_event
    if kind == DagsterEventType.ASSET_CHECK_EVALUATION:
        return told is not None and told.asset_check_evaluation_data.passed
    return kind in WAITING


class EventLog(SqliteEventLogStorage):
    """Events, a file for each run and one for all."""

    def __init__(self, *arguments: Any, **values: Any) -> None:
        self._engines = Engines()
        self._tables: set[str] = set()
        self._has_index_columns = False
        # What was found of materializations, and the state of the file of all runs in which it was.
        self._found: dict[str, EventRecordsResult] = {}
        self._found_in: tuple[object, int] | None = None
        self._waiting: list[_Row] = []
        # The transaction with the file of all runs in which Dagster's own methods write.
        self._writing: Connection | None = None
        self._failed: Exception | None = None
        # Whether what failed last had been written into the files of runs alone.
        self._is_half = False
        self._came, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        super().__init__(*arguments, **values)
        # Taken again by Dagster's own methods while events are written.
        self._db_lock: Any = threading.RLock()

    def store_event(self, event: EventLogEntry) -> None:
        """Write an event with all that wait, or let it wait.

        Raises:
            OperationalError: The files cannot be written. What could not be written goes on waiting.
        """
        # Its row says what it was when it happened.
        row = self._event_to_row(event)
        with self._db_lock:
            self._waiting.append((event, row))
            if not _may_wait(event) or self._closed.is_set():
                self._write_waiting()
            elif self._failed is not None:
                failed, self._failed = self._failed, None
                raise failed
            else:
                self._have_written_soon()

    def _write_waiting(self) -> None:
        """Write what waits; the caller holds the lock."""
        if not self._waiting:
            return
        self._failed = None
        try:
            self._write(self._waiting)
        except OperationalError:
            # The disk is full, or another process holds the file: that may pass.
            raise
        except Exception:
            # One of them cannot be written at all. It must not keep the others out, least of all how the run ended.
            self._write_each()
        self._waiting.clear()

    def _write(self, waiting: Sequence[_Row]) -> None:
        """Write events into the file of their run, and into that of all runs those that Dagster mirrors there."""
        self._is_half = False
        of_runs: dict[str, list[dict[str, Any]]] = {}
        for event, row in waiting:
            of_runs.setdefault(event.run_id, []).append(row)
        mirrored = [(event, row) for event, row in waiting if event.dagster_event_type in _MIRRORED]
        with ExitStack() as rolled_back:
            connections = []
            # In one order: two processes that hold a file each and want the other's would wait until both give up.
            for shard, rows in sorted(of_runs.items()):
                connections.append(rolled_back.enter_context(self._opened(shard).connect()))
                connections[-1].execute(_INSERT, rows)
            if mirrored:
                connections.append(rolled_back.enter_context(self._opened(INDEX_SHARD_NAME).connect()))
                self._mirror(connections[-1], mirrored)
            # A run's own file first, as Dagster does: what the file of all runs says, that of the run says too.
            for number, connection in enumerate(connections):
                self._commit(connection, is_first=number == 0)

    def _mirror(self, index: Connection, waiting: Sequence[_Row]) -> None:
        self._writing = index
        try:
            for event, row in waiting:
                event_id = index.execute(_INSERT, row).inserted_primary_key[0]  # type: ignore[index]
                if event.dagster_event_type in ASSET_EVENTS:
                    self._found.clear()
                    self._store_asset_event_tags(index, [event], [event_id])
                    self._store_asset_event(index, event, event_id)
                elif event.dagster_event_type in ASSET_CHECK_EVENTS:
                    self.store_asset_check_event(event, event_id)
        finally:
            self._writing = None

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        """The row that Dagster writes; it has its statement compiled anew for each, at the beginning of each run."""
        planned = cast("AssetCheckEvaluationPlanned", event.get_dagster_event().event_specific_data)
        subset = planned.partitions_subset
        row = {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "run_id": event.run_id,
            "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
            "evaluation_event": serialize_value(event),
            "evaluation_event_timestamp": datetime.fromtimestamp(event.timestamp, UTC).replace(tzinfo=None),
            "evaluation_event_storage_id": event_id,
        }
        with self.index_connection() as connection:
            for partition in subset.get_partition_keys() if subset else [None]:
                connection.execute(_INSERT_CHECK, row | {"partition": partition})

    def _commit(self, connection: Connection, *, is_first: bool) -> None:
        try:
            connection.commit()
        except OperationalError:
            self._is_half = not is_first
            if self._is_half:
                # Written again, they would stand twice in the run's own file.
                self._waiting.clear()
            raise

    def _write_each(self) -> None:
        waiting, self._waiting = self._waiting, []
        first: Exception | None = None
        for number, each in enumerate(waiting):
            try:
                self._write([each])
            except OperationalError:
                # That may pass: this one, unless it stands in its run's file already, and those after it wait on.
                self._waiting = list(waiting[number + self._is_half :])
                raise
            except Exception as error:
                first = first or error
        if first is not None:
            raise first

    def _have_written_soon(self) -> None:
        # In a process that was forked the thread is not there.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._keep_up, name="events", daemon=True)
            self._thread.start()
        self._came.set()

    def _keep_up(self) -> None:
        while True:
            self._came.wait()
            self._came.clear()
            if self._closed.wait(LONGEST_SECONDS):
                return
            with self._db_lock:
                try:
                    self._write_waiting()
                except Exception as error:
                    # Told to whoever stores the next event: it belongs to the run, and not to this thread.
                    self._failed = error

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            if self._writing is not None and shard == INDEX_SHARD_NAME:
                yield self._writing
                return
            if self._is_awaited(shard):
                self._write_waiting()
            with self._opened(shard).begin() as connection:
                yield connection

    def _is_awaited(self, shard: str) -> bool:
        """Whether something waits that would be found in a file."""
        if shard == INDEX_SHARD_NAME:
            return any(event.dagster_event_type in _MIRRORED for event, _ in self._waiting)
        return any(event.run_id == shard for event, _ in self._waiting)

    def _opened(self, shard: str) -> Engine:
        engine = self._engines.of(self.conn_string_for_shard(shard))
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        return engine

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        # To find out that there is nothing to do, Dagster imports all revisions of its tables there ever were.
        path, index = str(engine.url.database), self.path_for_shard(INDEX_SHARD_NAME)
        if not is_set_up(path) and (for_index_shard or path == index or not with_tables_of(index, path)):
            super()._initdb(engine, for_index_shard)

    def fetch_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """What is in the file; Dagster asks twice for each check which materialization it speaks of."""
        asked = repr((records_filter, limit, cursor, ascending))
        with self._db_lock:
            state = self._state_of_index()
            if state != self._found_in:
                self._found.clear()
                self._found_in = state
            if asked not in self._found:
                self._found[asked] = super().fetch_materializations(records_filter, limit, cursor, ascending)
            return self._found[asked]

    def _state_of_index(self) -> tuple[object, int]:
        """Differs once another connection, of whatever process, has written into the file of all runs."""
        with self._opened(INDEX_SHARD_NAME).connect() as connection:
            own = connection.connection.dbapi_connection
            assert own is not None
            return own, own.execute("PRAGMA data_version").fetchone()[0]

    def delete_events(self, run_id: str) -> None:
        self._found.clear()
        super().delete_events(run_id)

    def wipe_asset(self, asset_key: AssetKey) -> None:
        self._found.clear()
        super().wipe_asset(asset_key)

    def wipe_asset_partitions(self, asset_key: AssetKey, partition_keys: Sequence[str]) -> None:
        self._found.clear()
        super().wipe_asset_partitions(asset_key, partition_keys)

    def wipe(self) -> None:
        """Remove the files; connections to those that were removed would go on writing where nobody reads."""
        with self._db_lock:
            self._waiting.clear()
            self._found.clear()
            self._found_in = None
            self._engines.close()
            super().wipe()
            self._engines.close()

    def has_table(self, table_name: str) -> bool:
        # Dagster looks through the file for the same tables again with each event.
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _has_asset_key_index_cols_on_connection(self, conn: Connection) -> bool:
        self._has_index_columns = self._has_index_columns or super()._has_asset_key_index_cols_on_connection(conn)
        return self._has_index_columns

    def dispose(self) -> None:
        """Write what waits, and close all connections."""
        self._closed.set()
        self._came.set()
        try:
            with self._db_lock:
                self._write_waiting()
        finally:
            super().dispose()
            self._engines.close()
