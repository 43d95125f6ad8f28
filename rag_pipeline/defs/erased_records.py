"""Take what was erased out of Dagster's records: its SQLite files, and logs that were captured.

Belongs here: which values are changed, and that nothing of the old ones stays in a file.
Does not belong here: the lake (`refresh/erase.py`), rows of a database server (`erased_database.py`).
"""

import json
import logging
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from rag_pipeline.errors import StoreUnavailable
from rag_pipeline.stores.byte_search import MARK, Needles, found_in_file, found_in_value, tables_of_sqlite

log = logging.getLogger(__name__)

_SQLITE = b"SQLite format 3\x00"
# The UI and the daemon hold a file for moments.
_BUSY_SECONDS = 20.0
# A record of an event is some kilobytes, a snapshot of a job up to megabytes.
_ROWS = 200
# A short title may be a word of Dagster's own: of it only what says something in words is changed.
_FREE_COLUMNS = frozenset(
    {"event", "evaluation_event", "last_materialization", "run_body", "tick_body", "job_body", "asset_details", "value"}
)
_FREE_FIELDS = frozenset(
    {"user_message", "message", "description", "metadata", "metadata_entries", "error_info", "error", "stack", "tags"}
    | {"run_config", "text", "skip_reason"}
)
# Say what a record is.
_KINDS = frozenset({"__class__", "__enum__"})
_SETTINGS = frozenset({".yaml", ".yml", ".toml", ".py", ".json"})


def scrub_records(home: Path, needles: Needles) -> list[str]:
    """Put a mark in the place of each piece in the files of a Dagster home; return what a person should know.

    Raises:
        StoreUnavailable: A file is in use for longer than records are written.
    """
    notes = []
    changed = 0
    for path in sorted(each for each in home.rglob("*") if each.is_file()):
        # Beside a database; it takes them in.
        if path.name.endswith(("-wal", "-shm", "-journal")):
            continue
        if not any(found_in_file(each, needles) for each in (path, path.with_name(f"{path.name}-wal"))):
            continue
        changed += 1
        with _cleaning(path):
            with path.open("rb") as file:
                is_database = file.read(16) == _SQLITE
            if is_database:
                with _rewriting(path) as database:
                    for table in tables_of_sqlite(database):
                        _scrub_table(database, table, needles)
            else:
                _scrub_text(path, needles)
    if changed:
        notes.append(f"{changed} files of Dagster's records named it, and have a mark in its place.")
    return notes


@contextmanager
def _cleaning(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(
            f"{path} could not be cleaned of what was erased: {error}. End the Dagster UI and its daemon, then "
            f"run: rag-pipeline erase --finish"
        ) from error


@contextmanager
def _rewriting(path: Path) -> Iterator[sqlite3.Connection]:
    """A database to change in one go; nothing of what stood there stays in its file."""
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as file:
        file.execute("PRAGMA secure_delete = ON").fetchall()
        file.execute("BEGIN IMMEDIATE")
        yield file
        file.execute("COMMIT")
        file.execute("VACUUM")
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def forget_principals(path: Path, principals: Collection[str]) -> None:
    """Put a mark where runs were asked to erase somebody; elsewhere such a name is a word that others have, too."""
    if not principals or not path.is_file():
        return
    with _cleaning(path), _rewriting(path) as file:
        if "runs" not in tables_of_sqlite(file):
            return
        asked = file.execute("SELECT rowid, run_body FROM runs WHERE instr(run_body, '\"principal\"')").fetchall()
        for row_id, body in asked:
            after = json.dumps(anonymous(json.loads(body), principals))
            file.execute("UPDATE runs SET run_body = ? WHERE rowid = ?", (after, row_id))


def anonymous(value: Any, principals: Collection[str]) -> Any:
    """A configuration of a run with a mark in the place of whose it was."""
    if isinstance(value, list):
        return [anonymous(each, principals) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: MARK if name == "principal" and each in principals else anonymous(each, principals)
        for name, each in value.items()
    }


def _scrub_table(file: sqlite3.Connection, table: str, needles: Needles) -> None:
    names = [name for _, name, *_ in file.execute(f'PRAGMA table_info("{table}")')]
    for row_id, *values in _rows(file, table):
        for name, value in zip(names, values, strict=True):
            if not found_in_value(value, needles):
                continue
            after = value_without(name, value, needles)
            if after is None:
                file.execute(f'DELETE FROM "{table}" WHERE rowid = ?', (row_id,))
            elif after != value:
                file.execute(f'UPDATE "{table}" SET "{name}" = ? WHERE rowid = ?', (after, row_id))


def _rows(file: sqlite3.Connection, table: str) -> Iterator[tuple[Any, ...]]:
    """All rows with their numbers, a few at a time: the log of a year of runs does not fit into memory."""
    last = -(2**63)
    while rows := file.execute(
        f'SELECT rowid, * FROM "{table}" WHERE rowid > ? ORDER BY rowid LIMIT {_ROWS}', (last,)
    ).fetchall():
        yield from rows
        last = rows[-1][0]


def value_without(name: str, value: Any, needles: Needles) -> Any:
    """A value of a column with a mark in the place of each piece; None: it is packed, and its row has to go."""
    if isinstance(value, str):
        return redacted_event(value, needles) if name in _FREE_COLUMNS else needles.long().redacted(value)
    return None if found_in_value(value, needles.long()) else value


def redacted_event(text: str, needles: Needles) -> str:
    """A record of Dagster with a mark in the place of each piece, short ones in what it says in words alone."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        return needles.redacted(text)
    return json.dumps(_redacted(record, needles.long(), needles))


def _redacted(value: Any, here: Needles, free: Needles) -> Any:
    if isinstance(value, str):
        return here.redacted(value)
    if isinstance(value, list):
        return [_redacted(each, here, free) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name if name.isidentifier() else here.redacted(name): (
            each
            if name in _KINDS or name.startswith("dagster/")
            else _redacted(each, free if name in _FREE_FIELDS else here, free)
        )
        for name, each in value.items()
    }


def _scrub_text(path: Path, needles: Needles) -> None:
    if path.suffix in _SETTINGS:
        needles = needles.long()
    content = path.read_bytes()
    try:
        after = needles.redacted(content.decode()).encode()
        if path.suffix == ".json":
            json.loads(after)
    except ValueError:
        after = b""
    if needles.of(after):
        after = MARK.encode()
    path.write_bytes(after)
