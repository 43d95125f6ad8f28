"""The write lock of a lake in an object store: held and waited for like that of a folder.

Belongs here: waiting for the lease, re-entrance, and the words to those who wait.
Does not belong here: the lease itself (`lease.py`).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rag_pipeline.contracts.notices import say
from rag_pipeline.errors import LakeBusy
from rag_pipeline.stores.conditional import settle_store
from rag_pipeline.stores.lease import Lease, Row, now_seconds, read_holder
from rag_pipeline.stores.objects import Objects

# Between two looks at a lease that another holds: soon at first, then at most one request a second.
FIRST_WAIT_SECONDS = 0.05
MOST_WAIT_SECONDS = 1.0


class LeaseLock:
    """Held by one process at a time, re-entrant in one thread, and set free by its expiry when its process dies.

    Args:
        run_id: Shown to those who wait.
        is_restore: It is taken to replace the lake, whole or not.
    """

    def __init__(self, objects: Objects, run_id: str, timeout_seconds: float, *, is_restore: bool = False) -> None:
        self._objects = objects
        self._is_restore = is_restore
        self._timeout_seconds = timeout_seconds
        self.lease = Lease(objects, run_id)
        # Other threads of this process wait here, and do not find it held.
        self._thread = threading.RLock()
        self._depth = 0
        self._is_settled = False

    @property
    def is_held(self) -> bool:
        """Whether this process holds it."""
        return self.lease.is_held

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease while the block runs; who has to wait for it says so before waiting.

        Raises:
            LakeBusy: Another process held it for longer than the timeout.
            StoreUnfit: The store does not keep what a lease needs.
            StoreError: The store did not answer, or refused.
        """
        if not self._thread.acquire(timeout=self._timeout_seconds):
            raise self._busy("another thread of this process")
        try:
            if self._depth == 0:
                self._take()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.lease.give_back()
        finally:
            self._thread.release()

    def _take(self) -> None:
        if not self._is_settled:
            settle_store(self._objects, is_restore=self._is_restore)
            self._is_settled = True
        deadline = now_seconds() + self._timeout_seconds
        wait, has_said = FIRST_WAIT_SECONDS, False
        while (row := self.lease.take()) is not None:
            if now_seconds() >= deadline:
                raise self._busy(row.words())
            # Of two who were equally fast, the other's name shows at the next look.
            if row.owner and not has_said:
                self._say(row)
                has_said = True
            # A random part, so that many who wait do not all look at once.
            time.sleep(min(wait * random.uniform(0.5, 1), max(0.0, deadline - now_seconds())))
            wait = min(2 * wait, MOST_WAIT_SECONDS)

    def _say(self, row: Row) -> None:
        say(
            f"Waiting for the lease of the lake {self._objects.root}, which {row.words()} holds; it goes on as soon as "
            f"that one is done or has not renewed it for {row.ttl_seconds:.0f} s, and gives up after "
            f"{self._timeout_seconds:.0f} s."
        )

    def _busy(self, holder: str) -> LakeBusy:
        return LakeBusy(
            f"another process has been writing to the lake {self._objects.root} for over "
            f"{self._timeout_seconds:.0f} s: {holder}; nothing was changed. Wait for it to end, then run again.",
            lake=self._objects.root,
        )

    def holder(self) -> str:
        """Who holds the lease, in words; empty: nobody."""
        return read_holder(self._objects)
