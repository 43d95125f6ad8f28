"""Connections that answers are read over: one transaction for each answer, and what became of the server.

Belongs here: keeping connections, trying once more over a new one, and every fault as an error of ours.
Does not belong here: what is read (`served.py`), delivering (`delivery.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore, Lock
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo

from rag_pipeline.errors import NothingPublished, StoreError, StoreUnavailable
from rag_pipeline.shown import keep_secret
from rag_pipeline.stores.postgres.connection import CONNECTION, options_of
from rag_pipeline.stores.postgres.served import ServedRows, outdated

T = TypeVar("T")
# A statement that takes longer is given up; whoever asked has gone by then.
STATEMENT_SECONDS = 60.0
# As many as vectors are searched for at the same time in the lake; beyond that callers wait.
MOST_CONNECTIONS = 16


class PostgresReader:
    """Reads what was delivered to one schema; many threads may ask. Close it at the end."""

    def __init__(self, dsn: str, schema: str, statement_seconds: float = STATEMENT_SECONDS) -> None:
        given = options_of(dsn)
        keep_secret(filter(None, (str(given.get(name) or "") for name in ("password", "sslpassword"))))
        self._schema = schema
        self._seconds = statement_seconds
        self._place = f"{given.get('dbname', '')} on {given.get('host', 'this machine')}"
        self._conninfo = make_conninfo(**{**CONNECTION, **given})
        self._idle: list[psycopg.Connection[Any]] = []
        self._lock = Lock()
        self._room = BoundedSemaphore(MOST_CONNECTIONS)

    def close(self) -> None:
        """Let go of the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def answered(self, own: Collection[str], action: Callable[[ServedRows], T]) -> T:
        """The result of an action on what is delivered, for who asks, in one snapshot.

        It is tried once more over a new connection, since in its middle the server may have been started again, or
        tables made again.

        Raises:
            NothingPublished: Nothing is delivered.
            TableOutdated: Another version of this program delivered.
            StoreUnavailable: The server does not answer.
            StoreError: The role may not read there.
        """
        with self._room:
            try:
                return self._tried(own, action, is_new=False)
            except psycopg.errors.QueryCanceled as error:
                raise self._fault(error) from error
            except psycopg.Error:
                # The other ones are as old.
                self.close()
            try:
                return self._tried(own, action, is_new=True)
            except psycopg.Error as error:
                raise self._fault(error) from error

    def _tried(self, own: Collection[str], action: Callable[[ServedRows], T], *, is_new: bool) -> T:
        with self._connected(is_new=is_new) as connection, connection.transaction():
            return action(ServedRows(connection, self._schema, own, self._seconds))

    @contextmanager
    def _connected(self, *, is_new: bool) -> Iterator[psycopg.Connection[Any]]:
        with self._lock:
            connection = None if is_new or not self._idle else self._idle.pop()
        if connection is None:
            try:
                connection = psycopg.connect(self._conninfo, autocommit=True)
            except psycopg.Error as error:
                raise self._fault(error) from error
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            # Statements hold who asks and what for, so that none comes a second time.
            connection.prepare_threshold = None
        try:
            yield connection
        except BaseException:
            # What is half read or broken is not asked again; a fault that is none of it costs a connection.
            with suppress(psycopg.Error):
                connection.close()
            raise
        with self._lock:
            self._idle.append(connection)

    def _fault(self, error: psycopg.Error) -> StoreError | NothingPublished:
        said = " ".join((error.diag.message_primary or str(error)).split()).rstrip(".?") or type(error).__name__
        where = f"PostgreSQL ({self._place}, schema {self._schema})"
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            return StoreError(
                f"the role of publish_to.postgres.dsn may not read what is delivered to {where}: {said}. Name it in "
                f"publish_to.postgres.readers, and put it into {self._schema}.gateways"
            )
        if isinstance(error, psycopg.errors.UndefinedColumn):
            return outdated(self._schema)
        if isinstance(error, (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)):
            return NothingPublished(f"nothing was delivered to {where} yet; run: rag-pipeline run")
        return StoreUnavailable(f"{where} did not answer: {said}. Try again; if it stays so, look at the server")
