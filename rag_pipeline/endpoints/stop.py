"""Ending a call to a model server from outside, wherever it waits, once nobody waits for its answer.

Belongs here: the word to stop, and waking a thread that reads from a silent server.
Does not belong here: when to stop (`serving/`), what is asked (`chat.py`).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from rag_pipeline.errors import CallStopped

if TYPE_CHECKING:
    import httpx2


class Stop:
    """Of one call: set by any thread, looked at by the one that makes the call.

    A thread that reads from a socket wakes only when that is shut, so the connection of the call is its own: it is
    opened for it, noted here, and not used again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._sockets: list[socket.socket] = []

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """End the call at once; again is nothing more."""
        with self._lock:
            self._event.set()
            self._shut()

    def check(self) -> None:
        """Return while somebody waits.

        Raises:
            CallStopped: Nobody does.
        """
        if self.is_set:
            raise CallStopped("nobody waits for the answer any more")

    def wait(self, seconds: float) -> None:
        """Wait so long; raises what `check` does, as soon as it is so."""
        self._event.wait(seconds)
        self.check()

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Connections that this thread opens meanwhile are those of the call."""
        self.check()
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    def forget(self) -> None:
        """The connections were closed."""
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()

    def note(self, event: str, facts: Mapping[str, Any]) -> None:
        """Hears what the HTTP client does (its extension `trace`)."""
        if not event.endswith(("connect_tcp.complete", "connect_unix_socket.complete")):
            return
        opened = facts["return_value"].get_extra_info("socket")
        with self._lock:
            # A copy, since TLS takes the socket over; shutting one of the two shuts the connection.
            self._sockets.append(opened.dup())
            if self.is_set:
                self._shut()

    def _shut(self) -> None:
        while self._sockets:
            with self._sockets.pop() as copy, suppress(OSError):
                copy.shutdown(socket.SHUT_RDWR)


_CURRENT: ContextVar[Stop | None] = ContextVar("stop", default=None)


def watch(request: httpx2.Request) -> None:
    """Of a client, before each request: a call that may be stopped has a connection of its own, which is noted."""
    stop = _CURRENT.get()
    if stop is not None:
        request.headers["Connection"] = "close"
        request.extensions = {**request.extensions, "trace": stop.note}
