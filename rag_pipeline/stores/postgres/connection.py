"""How PostgreSQL is reached, and given up where it does not answer.

Belongs here: what a connection is made with, and its end. Does not belong here: what is said over it (`delivery.py`).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import dup
from typing import Any

import psycopg
from psycopg import Cursor
from psycopg.conninfo import conninfo_to_dict

from rag_pipeline.errors import DeliveryFailed

# A server that does not answer within this holds the rest of a run up no longer.
CONNECT_SECONDS = 10
CONNECTION = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "rag_pipeline",
    "client_encoding": "utf8",
    # A machine that is gone is noticed within a minute.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

_SESSION = {
    # Names of ours are written out; what others put into schemas of theirs is not found.
    "search_path": "pg_catalog",
    "timezone": "UTC",
    "datestyle": "ISO",
    # Fail rather than compare with less than there is.
    "row_security": "off",
    "rag.delivering": "on",
    "synchronous_commit": "on",
    # A delivery whose machine was lost lets the next one in after this.
    "idle_in_transaction_session_timeout": "10min",
    "lock_timeout": "2min",
}


def begin(cursor: Cursor[Any], schema: str) -> None:
    """Begin a transaction that writes there; it waits until every other one has ended."""
    for name, value in _SESSION.items():
        cursor.execute("SELECT pg_catalog.set_config(%s, %s, true)", (name, value))
    # One at a time, whoever holds the lake.
    cursor.execute("SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(%s, 0))", (schema,))


def options_of(dsn: str) -> dict[str, Any]:
    """What an address says, by name.

    Raises:
        DeliveryFailed: It is none, or its password has a sign that ends it: its rest would be shown as a host.
    """
    said = "publish_to.postgres.dsn is no address of PostgreSQL; want one like postgresql://writer@host/search"
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.Error:
        # What the driver says of it may hold the password.
        raise DeliveryFailed(said) from None
    places = f"{given.get('host', '')}{given.get('dbname', '')}"
    ports = str(given.get("port", "")).replace(",", "")
    if "@" in places or not (ports.isdigit() or not ports):
        raise DeliveryFailed(f"{said}. In a password @ is written %40, / is %2F and : is %3A")
    return given


@contextmanager
def broken_off_after(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """A server that stopped answering in the middle must not hold a run for ever: its socket is shut down."""

    def break_off() -> None:
        with suppress(OSError, psycopg.Error), socket.socket(fileno=dup(connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)

    clock = threading.Timer(seconds, break_off)
    clock.daemon = True
    clock.start()
    try:
        yield
    finally:
        clock.cancel()
