"""An even pace of requests, shared by threads.

Belongs here: when the next request may start. Does not belong here: what is requested.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Lets requests through at an even pace, from any number of threads."""

    def __init__(self, requests_per_minute: int | None) -> None:
        self._seconds_between = 60 / requests_per_minute if requests_per_minute else 0.0
        self._lock = threading.Lock()
        self._next_at = 0.0

    def wait(self, sleep: Callable[[float], None] | None = None) -> None:
        """Return when the next request may start.

        Args:
            sleep: How to wait; None: as long as it takes.
        """
        with self._lock:
            now = time.monotonic()
            start_at = max(now, self._next_at)
            self._next_at = start_at + self._seconds_between
        (sleep or time.sleep)(start_at - now)
