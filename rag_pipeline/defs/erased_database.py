"""Take what was erased out of Dagster's records where dagster.yaml names a database for them.

Belongs here: which tables are Dagster's, changing their rows, and that a server keeps nothing of the old ones in them.
Does not belong here: what takes the place of a value, and files (`erased_records.py`); both together (`scrub.py`).
"""

import json
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as db
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.runs.schema import RunsTable, RunStorageSqlMetadata, SnapshotsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage

from rag_pipeline.defs.erased_records import anonymous, value_without
from rag_pipeline.errors import StoreUnavailable
from rag_pipeline.stores.byte_search import Needles, found_in_value

# A record of an event is some kilobytes, a snapshot of a job up to megabytes.
_ROWS = 200
# As long as for a file (`erased_records.py`): others hold a table for moments, and rewriting one waits for all of them.
_BUSY_SECONDS = 20
_POSTGRES = "postgresql"


def scrub_databases(instance: dg.DagsterInstance, needles: Needles, principals: Collection[str]) -> list[str]:
    """Put a mark in the place of each piece in the tables of an instance that are in no file of SQLite.

    Returns:
        What a person should know.

    Raises:
        StoreUnavailable: A server does not answer, or somebody holds a table for longer than records are written.
    """
    notes = []
    changed: set[str] = set()
    has_server = False
    for said, connect, metadata in _storages(instance):
        if connect is None:
            notes.append(f"dagster.yaml names a {said} that is no database known here: it was not searched.")
            continue
        with _cleaning(said):
            with connect as connection:
                engine = connection.engine
            if engine.dialect.name == "sqlite":
                continue
            has_server = True
            # Dagster's own connections commit each statement: here all is changed, or nothing is.
            with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection, connection.begin():
                changed |= _scrub(connection, metadata, needles, principals)
            _forget_old_rows(engine, metadata)
    if changed:
        notes.append(
            f"{len(changed)} tables of Dagster's database named it ({', '.join(sorted(changed))}), and have a mark in "
            f"its place."
        )
    if has_server:
        notes.append(
            "Dagster's database was searched by its rows. Its server's log of writes keeps what was there until it is "
            "recycled, its backups and replicas for as long as you keep them."
        )
    return notes


def folders_elsewhere(instance: dg.DagsterInstance, home: Path) -> list[Path]:
    """Folders beyond a home in which an instance has files of SQLite."""
    found = []
    for said, connect, _ in _storages(instance):
        if connect is None:
            continue
        with _cleaning(said), connect as connection:
            place = connection.engine.url.database
            if connection.dialect.name == "sqlite" and place:
                found.append(Path(place).resolve().parent)
    return [folder for folder in dict.fromkeys(found) if not folder.is_relative_to(home.resolve())]


def _storages(
    instance: dg.DagsterInstance,
) -> Iterator[tuple[str, AbstractContextManager[db.Connection] | None, db.MetaData]]:
    """Each storage, how it is connected to, and which tables of a database are its own: others may have some there."""
    runs, events, schedules = instance.run_storage, instance.event_log_storage, instance.schedule_storage
    of_runs = runs.connect() if isinstance(runs, SqlRunStorage) else None
    yield "storage of runs", of_runs, RunStorageSqlMetadata
    of_events = events.index_connection() if isinstance(events, SqlEventLogStorage) else None
    yield "storage of events", of_events, SqlEventLogStorageMetadata
    of_schedules = schedules.connect() if isinstance(schedules, SqlScheduleStorage) else None
    yield "storage of schedules", of_schedules, ScheduleStorageSqlMetadata


@contextmanager
def _cleaning(said: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # What the server says may quote the row that it was given.
        why = type(getattr(error, "orig", None) or error).__name__
        raise StoreUnavailable(
            f"Dagster's {said} could not be cleaned of what was erased ({why}). See that its server answers and that "
            f"nobody holds its tables, then run: rag-pipeline erase --finish"
        ) from None


def _scrub(connection: db.Connection, metadata: db.MetaData, needles: Needles, principals: Collection[str]) -> set[str]:
    """Change rows; the names of the tables that had some to change."""
    if connection.dialect.name == _POSTGRES:
        connection.execute(db.text(f"SET LOCAL lock_timeout = '{_BUSY_SECONDS}s'"))
    there = set(db.inspect(connection).get_table_names())
    changed = set()
    for table in metadata.sorted_tables:
        if table.name not in there:
            continue
        for row in _rows(connection, table):
            after = _row_without(table, row, needles, principals)
            if after is None:
                _delete(connection, table, row)
            elif after:
                connection.execute(db.update(table).where(*_same(table, row)).values(after))
            if after != {}:
                changed.add(table.name)
    return changed


def _delete(connection: db.Connection, table: db.Table, row: dict[str, Any]) -> None:
    if table is SnapshotsTable:
        # Their runs stay, and are shown without the graph of then.
        of_it = RunsTable.c.snapshot_id == row["snapshot_id"]
        connection.execute(db.update(RunsTable).where(of_it).values(snapshot_id=None))
    connection.execute(db.delete(table).where(*_same(table, row)))


def _row_without(
    table: db.Table, row: dict[str, Any], needles: Needles, principals: Collection[str]
) -> dict[str, Any] | None:
    """What changes in a row; None: the row has to go."""
    after: dict[str, Any] = {}
    for name, value in row.items():
        now = value
        if principals and (table.name, name) == ("runs", "run_body") and '"principal"' in str(value):
            now = json.dumps(anonymous(json.loads(value), principals))
        if found_in_value(now, needles):
            now = value_without(name, now, needles)
            if now is None:
                return None
        if now != value:
            after[name] = now
    return after


def _rows(connection: db.Connection, table: db.Table) -> Iterator[dict[str, Any]]:
    """All rows, a few at a time where they have numbers: the log of a year of runs does not fit into memory."""
    names = {column["name"] for column in db.inspect(connection).get_columns(table.name)}
    # An older release of Dagster's tables lacks some.
    columns = [column for column in table.columns if column.name in names]
    number = table.columns.get("id")
    asked = db.select(*columns)
    if number is None or not isinstance(number.type, db.Integer):
        yield from (dict(row) for row in connection.execute(asked).mappings().all())
        return
    last: Any = None
    while True:
        page = asked.order_by(number).limit(_ROWS)
        found = connection.execute(page if last is None else page.where(number > last)).mappings().all()
        if not found:
            return
        last = found[-1]["id"]
        yield from map(dict, found)


def _same(table: db.Table, row: dict[str, Any]) -> list[db.ColumnElement[bool]]:
    """What tells a row from all others: its number, or else all that stands in it."""
    number = table.columns.get("id")
    named = [number] if number is not None else [column for column in table.columns if column.name in row]
    return [column.is_not_distinct_from(row[column.name]) for column in named]


def _forget_old_rows(engine: db.Engine, metadata: db.MetaData) -> None:
    """Write tables anew: a row that was changed stands in their files until then, and Dagster changes rows itself."""
    if engine.dialect.name != _POSTGRES:
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        there = set(db.inspect(connection).get_table_names())
        connection.execute(db.text(f"SET lock_timeout = '{_BUSY_SECONDS}s'"))
        try:
            for name in sorted(there & metadata.tables.keys()):
                connection.execute(db.text(f"VACUUM (FULL) {engine.dialect.identifier_preparer.quote(name)}"))
        finally:
            connection.execute(db.text("RESET lock_timeout"))
