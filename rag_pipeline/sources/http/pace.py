"""How fast a host is asked: so many connections at once, so long between two requests.

Belongs here: turns, and how long a server asks to be left alone.
Does not belong here: what is asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class Pace:
    """Turns at each host, for any number of threads.

    Args:
        delay_seconds: Between the end of a request and the start of the next one at the same host.
        at_once: Requests at the same time to one host.
    """

    def __init__(
        self,
        delay_seconds: float = 0,
        at_once: int = 1,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.delay_seconds = delay_seconds
        self._at_once = at_once
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Semaphore] = {}
        self._next: dict[str, float] = {}

    @contextmanager
    def turn(self, host: str) -> Iterator[None]:
        """Wait for a turn, and have it."""
        with self._lock:
            turns = self._turns.setdefault(host, threading.Semaphore(self._at_once))
        with turns:
            with self._lock:
                now = self._clock()
                start = max(now, self._next.get(host, now))
                self._next[host] = start + self.delay_seconds
            if start > now:
                self._sleep(start - now)
            try:
                yield
            finally:
                self.rest(host, self.delay_seconds)

    def rest(self, host: str, seconds: float) -> None:
        """Leave a host alone for so long from now."""
        with self._lock:
            self._next[host] = max(self._next.get(host, 0.0), self._clock() + seconds)


def asked_wait(value: str | None, now: datetime) -> float | None:
    """Seconds that a header `Retry-After` asks for; None: it says nothing that can be read."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # More digits than a year has seconds would be no number of seconds either.
        return float(text[:10])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
