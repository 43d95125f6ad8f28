"""Progress of long work, for whoever wants to show it.

Belongs here: which sink is in use, one that shows nothing and one that logs.
Does not belong here: drawing (the command line) or logging (`defs/`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rag_pipeline.contracts.progress import Progress

# Often enough to see that it goes on, seldom enough to read.
LOG_SECONDS = 10


class NoProgress:
    """Shows nothing."""

    def start(self, label: str, total: int) -> None: ...

    def advance(self, count: int) -> None: ...

    def finish(self) -> None: ...


class LogProgress:
    """Says in a log how far long work is: every few seconds, and at its end.

    Args:
        write: Takes one line.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._label = ""
        self._total = self._done = 0
        self._started = self._said = 0.0

    def start(self, label: str, total: int) -> None:
        self._label, self._total, self._done = label, total, 0
        self._started = self._said = time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count
        if time.monotonic() - self._said >= LOG_SECONDS and self._done < self._total:
            self._said = time.monotonic()
            self._say()

    def finish(self) -> None:
        if time.monotonic() - self._started >= 1:
            self._say()

    def _say(self) -> None:
        seconds = max(time.monotonic() - self._started, 1e-9)
        rate = self._done / seconds
        left = f", about {(self._total - self._done) / rate:.0f} s left" if 0 < self._done < self._total else ""
        self._write(f"{self._label}: {self._done:,} of {self._total:,} in {seconds:.0f} s ({rate:,.0f}/s{left})")


# A context variable, since Dagster stands between the command line and the code that makes progress.
CURRENT: ContextVar[Progress] = ContextVar("progress", default=NoProgress())  # noqa: B039 - it has no state


@contextmanager
def progress(label: str, total: int) -> Iterator[Progress]:
    """Show one piece of work of `total` units while the block runs; nothing is shown for no work."""
    sink: Progress = CURRENT.get() if total else NoProgress()
    sink.start(label, total)
    try:
        yield sink
    finally:
        sink.finish()
