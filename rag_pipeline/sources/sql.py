"""The `sql` kind: rows of a database as documents, through SQLAlchemy.

Belongs here: listing rows by key, fetching one, and what a database says when it does not answer.
Does not belong here: what a row says as a document (`rows.py`).

A listing is one statement, so it is of one moment. It ends before anything is returned, since a server that breaks off
may say so at the end only. With a column `revision` a listing reads no bodies.
"""

from __future__ import annotations

import re
import sqlite3
import time
import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from rag_pipeline.contracts.groups import Memberships
from rag_pipeline.contracts.listings import PackedListing
from rag_pipeline.contracts.sources import Capabilities, FetchedObject, Idle, SourceObject, SourceSpec
from rag_pipeline.errors import DocumentError, SourceUnavailable
from rag_pipeline.shown import without_secrets
from rag_pipeline.sources import reading
from rag_pipeline.sources.rows import Key, RowShape, Unusable
from rag_pipeline.sources.sql_groups import memberships_in, wanted_columns
from rag_pipeline.sources.watched import Watched

# Rows that the client holds at once; a driver without server-side cursors ignores it.
_BUFFERED_ROWS = 5_000
_DOWN = "the database does not answer"
# What `sa.text` would take for a parameter; there are none, and a query may say `:name` within a text.
_PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w)")


class SqlRows:
    """Rows of a query, each a document whose address is its key."""

    # A connection answers one question at a time, and every thread has its own.
    fetch_threads = 4
    capabilities = Capabilities(gives_permissions=True, gives_media_types=True, knows_groups=True)

    def __init__(self, spec: SourceSpec) -> None:
        self.name = spec.name
        self._spec = spec
        self._shape = RowShape(spec)
        self._query = _inner(spec.fields["query"])
        self._engine: Engine | None = None
        self._watched = Watched(spec)
        self._columns: tuple[str, ...] = ()
        self._key_types: tuple[type, ...] = ()
        self._down_until = 0.0

    def list(self) -> Sequence[SourceObject]:
        """See `Source.list`."""
        self._down_until = 0.0
        found = PackedListing.packed(self._objects())
        if found.doubled is not None:
            raise self._unavailable(f"the key {found.doubled} names more than one row. Correct `query` or `key`")
        self._watched.start()
        for item in found if self._spec.permission_rules else ():
            self._watched.saw(item.address, "permission_rules")
        return found

    def _objects(self) -> Iterator[SourceObject]:
        """The rows as they come."""
        with self._connected() as connection:
            wanted = self._shape.listed_columns(self._known_columns(connection))
            for row in self._rows(connection, wanted):
                try:
                    yield self._shape.listed(row)
                    self._key_types = self._shape.key_types(row, self._key_types)
                except Unusable as error:
                    raise self._unavailable(f"{error} Correct `query` or `key`") from error

    def idle(self) -> Sequence[Idle]:
        """See `Source.idle`."""
        return self._watched.idle()

    def memberships(self) -> Memberships:
        """See `KnowsGroups.memberships`; one statement, so it is of one moment."""
        fields = {} if self._spec.groups is None else self._spec.groups.fields
        statement = sa.text(f"SELECT * FROM {_inner(fields['query'])} AS given")
        with self._connected() as connection, connection.execute(statement) as result:
            missing = [name for name in wanted_columns(fields) if name not in result.keys()]  # noqa: SIM118
            if missing:
                raise self._unavailable(f"`groups.query` gives no column {missing[0]}. Correct it, or the setting")
            try:
                return memberships_in(map(dict, result.mappings()), fields)
            except Unusable as error:
                raise self._unavailable(f"{error} Correct `groups.query`") from error

    def fetch(self, item: SourceObject) -> FetchedObject:
        """See `Source.fetch`."""
        [answer] = self.fetch_together([item])
        if isinstance(answer, DocumentError):
            raise answer
        return answer

    def fetch_together(self, items: Sequence[SourceObject]) -> Sequence[FetchedObject | DocumentError]:
        """See `FetchesTogether.fetch_together`; all of them in one question."""
        # What was listed and cannot be read is held by the deletion guard, and readers keep what they see.
        if time.monotonic() < self._down_until:
            return [reading.unavailable(_DOWN)] * len(items)
        try:
            rows = self._rows_at([item.address for item in items])
        except SourceUnavailable as error:
            if len(items) > 1:
                # One row may be what it fails at, and the others can be read.
                return [answer for item in items for answer in self.fetch_together([item])]
            if isinstance(error.__cause__, DataError):
                return [reading.unreadable("the query fails at this row")]
            self._down_until = time.monotonic() + reading.DOWN_SECONDS
            return [reading.unavailable(_DOWN)]
        return [self._answer(rows.get(item.address, [])) for item in items]

    def _answer(self, rows: Sequence[dict[str, Any]]) -> FetchedObject | DocumentError:
        if not rows:
            return reading.vanished()
        if len(rows) > 1:
            return reading.unreadable("its key names more than one row")
        try:
            raw = self._shape.raw_of(rows[0])
            declared = self._shape.declared(rows[0])
        except Unusable as error:
            return reading.unreadable(str(error))
        if len(raw) > self._spec.max_document_bytes:
            return reading.too_large(len(raw), self._spec.max_document_bytes)
        return FetchedObject(raw, declared)

    def _rows_at(self, addresses: Sequence[str]) -> Mapping[str, Sequence[dict[str, Any]]]:
        """Rows by address; one that the database takes for equal and that has another address is left out."""
        found: dict[str, list[dict[str, Any]]] = {}
        with self._connected() as connection:
            columns = self._known_columns(connection)
            types = self._types_of_key(connection)
            keys = [key for key in (self._shape.key_of(address, types) for address in addresses) if key is not None]
            if keys:
                for row in self._rows(connection, columns, keys):
                    found.setdefault(self._shape.address(row), []).append(row)
        return found

    def _rows(
        self, connection: Connection, columns: Sequence[str], keys: Sequence[Mapping[str, Key]] = ()
    ) -> Generator[dict[str, Any], None, None]:
        rows = (
            sa.text(f"SELECT * FROM {self._query} AS given").columns(*map(sa.column, self._columns)).subquery("given")
        )
        statement = sa.select(*(rows.c[name] for name in columns))
        if len(self._shape.key) == 1 and keys:
            [name] = self._shape.key
            statement = statement.where(rows.c[name].in_([key[name] for key in keys]))
        elif keys:
            statement = statement.where(
                sa.or_(*(sa.and_(*(rows.c[name] == value for name, value in key.items())) for key in keys))
            )
        with connection.execute(statement) as result:
            names = list(result.keys())
            for row in result:
                yield dict(zip(names, row, strict=True))

    def _known_columns(self, connection: Connection) -> tuple[str, ...]:
        if not self._columns:
            with connection.execute(sa.text(f"SELECT * FROM {self._query} AS given WHERE 1 = 0")) as result:
                columns = tuple(result.keys())
            missing = sorted(self._shape.named - set(columns))
            if missing:
                raise self._unavailable(
                    f"the query gives no column {missing[0]}, only {', '.join(columns)}. Correct `query` or the setting"
                )
            if len(set(columns)) < len(columns):
                raise self._unavailable("the query gives two columns of one name. Rename one in `query` (AS)")
            self._columns = columns
        return self._columns

    def _types_of_key(self, connection: Connection) -> tuple[type, ...]:
        """Types of the key's columns: an address is text, and a column may hold numbers."""
        if not self._key_types:
            with closing(self._rows(connection, self._shape.key)) as rows:
                row = next(rows, None)
            self._key_types = self._shape.key_types(row) if row is not None else ()
        return self._key_types

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            if self._engine is None:
                self._engine = _engine_of(self._spec.location)
                # Whoever is done with the source need not say so.
                weakref.finalize(self, self._engine.dispose)
            with self._engine.connect() as connection:
                yield _read_only(connection)
        except NoSuchModuleError as error:
            raise self._unavailable(f"there is no driver for it: {error}. Correct `location`, or install it") from error
        except ModuleNotFoundError as error:
            raise self._unavailable(f"its driver {error.name} is not installed. Install it with pip") from error
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise self._unavailable(f"{self._said_by(error)}. Correct `location` or `query`, or try again") from error

    def _said_by(self, error: Exception) -> str:
        if isinstance(error, ArgumentError):
            return "`location` is not an address of a database"
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        first = next(iter(str(cause).splitlines()), "") or type(cause).__name__
        password = _url_of(self._spec.location).password
        return without_secrets(first.replace(str(password), "***") if password else first)

    def _unavailable(self, reason: str) -> SourceUnavailable:
        return SourceUnavailable(
            f"The database of source {self.name} does not give its rows: {reason}. Nothing of the source was changed.",
            source=self.name,
        )


def _inner(query: str) -> str:
    """A query of the settings within another one."""
    query = query.strip().rstrip(";").rstrip()
    # A closing comment would swallow the bracket, were it in the same line.
    return f"({_PARAMETER.sub(chr(92) + ':', query)}\n)"


def _url_of(location: str) -> URL:
    if "://" in location:
        return make_url(location)
    # Files in a folder are what DuckDB reads; no file of SQLite has one of its endings.
    is_duckdb = location.lower().endswith((".duckdb", ".ddb")) or Path(location).is_dir()
    return URL.create("duckdb" if is_duckdb else "sqlite", database=location)


def _engine_of(location: str) -> Engine:
    url = _url_of(location)
    if url.get_backend_name() == "duckdb":
        # Whoever reads no such source need not wait until it is loaded.
        from rag_pipeline.sources.duckdb import let_sqlalchemy_know

        let_sqlalchemy_know()
    if url.get_backend_name() != "sqlite" or not url.database:
        engine = sa.create_engine(url)
        if url.get_backend_name() == "postgresql":
            sa.event.listen(engine, "connect", _alike_everywhere)
        return engine
    # Any other mode makes an empty database where there is none, which lists nothing.
    address = f"file:{quote(str(Path(url.database).absolute()))}?mode=ro"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(address, uri=True, check_same_thread=False)
        # Bytes that are no text in one row must not end the listing of all.
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        return connection

    return sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)


def _alike_everywhere(connection: Any, _record: object) -> None:
    """Have a query that turns values into text give the same whatever the server and its user are set to."""
    cursor = connection.cursor()
    for setting in ("TIME ZONE 'UTC'", "datestyle = 'ISO'", "bytea_output = 'hex'", "extra_float_digits = 1"):
        cursor.execute(f"SET {setting}")
    cursor.close()
    connection.commit()


def _read_only(connection: Connection) -> Connection:
    """One snapshot that writes nothing, where the database has such a thing, and rows as they come."""
    options: dict[str, Any] = {"stream_results": True, "max_row_buffer": _BUFFERED_ROWS}
    if connection.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return connection.execution_options(**options)
