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
