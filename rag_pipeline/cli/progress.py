"""Progress of long work: a bar on a terminal, a plain line every few seconds elsewhere.

Belongs here: the two sinks of `refresh.progress.Progress`.
Does not belong here: what makes progress.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rag_pipeline.cli.rendering import clean, console, talk

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

LINE_SECONDS = 5.0


class Sink(Protocol):
    """The same as `refresh.progress.Progress`, which is not imported so that this module stays light."""

    def start(self, label: str, total: int) -> None: ...

    def advance(self, count: int) -> None: ...

    def finish(self) -> None: ...


class BarProgress:
    """One bar for each piece of work, on a terminal."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._open: list[TaskID] = []

    def start(self, label: str, total: int) -> None:
        self._open.append(self._bars.add_task(clean(label), total=total))

    def advance(self, count: int) -> None:
        if self._open:
            self._bars.advance(self._open[-1], count)

    def finish(self) -> None:
        if self._open:
            self._bars.stop_task(self._open.pop())


class LineProgress:
    """A line at the end of each piece of work, and every few seconds during a long one."""

    def __init__(self, seconds: float = LINE_SECONDS) -> None:
        self._seconds = seconds
        self._open: list[_Work] = []

    def start(self, label: str, total: int) -> None:
        self._open.append(_Work(label, total))

    def advance(self, count: int) -> None:
        if not self._open:
            return
        work = self._open[-1]
        work.done += count
        if time.monotonic() - work.told_at >= self._seconds:
            work.tell()

    def finish(self) -> None:
        if self._open:
            self._open.pop().tell()


class _Work:
    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done = label, total, 0
        self.started_at = self.told_at = time.monotonic()

    def tell(self) -> None:
        self.told_at = time.monotonic()
        talk(f"{self.label}: {self.done:,} of {self.total:,} ({self.told_at - self.started_at:.0f} s)")


@contextmanager
def showing_progress() -> Iterator[Sink]:
    """A sink that fits standard error."""
    output = console(stderr=True)
    if not output.is_terminal:
        yield LineProgress()
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=output, expand=True) as bars:
        yield BarProgress(bars)
