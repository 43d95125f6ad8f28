"""What the server lets be asked of it: requests of a caller, and searches at once.

Belongs here: counting both, and refusing what is too much.
Does not belong here: the bounds (`settings/serving.py`), the size of a request (`middleware.py`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from rag_pipeline.errors import ServerBusy, TooManyRequests

T = TypeVar("T")


class RequestRate:
    """Counts the requests of each caller in this process."""

    def __init__(self, per_minute: int) -> None:
        self._limit = RateLimitItemPerMinute(per_minute)
        self._counts = SlidingWindowCounterRateLimiter(MemoryStorage())

    def count(self, *who: str) -> None:
        """Count one request.

        Raises:
            TooManyRequests: It is one too many; the error says when to try again.
        """
        if self._counts.hit(self._limit, *who):
            return
        wait = self._counts.get_window_stats(self._limit, *who).reset_time - time.time()
        seconds = max(1, math.ceil(wait))
        raise TooManyRequests(
            f"more than {self._limit.amount:,} requests in a minute; try again in {seconds} s", retry_seconds=seconds
        )


class Turnstile:
    """Lets so many pieces of work run in threads of their own at once, and so many wait; needs a running loop.

    Those that wait hold no thread, so that questions for the server's health are answered meanwhile.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._limiter = CapacityLimiter(at_once)
        self._most_waiting = waiting

    @property
    def running(self) -> int:
        return self._limiter.statistics().borrowed_tokens

    @property
    def waiting(self) -> int:
        return self._limiter.statistics().tasks_waiting

    async def run(self, work: Callable[[], T]) -> T:
        """The result of work that blocks.

        Raises:
            ServerBusy: As many wait as may.
        """
        if self._limiter.available_tokens <= 0 and self.waiting >= self._most_waiting:
            raise ServerBusy(f"{self.waiting:,} searches wait already; try again in a moment")
        return await to_thread.run_sync(work, limiter=self._limiter)
