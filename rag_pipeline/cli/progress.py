"""Progress of long work: a bar on a terminal, a plain line every few seconds elsewhere.

Belongs here: the two ways to show `contracts.progress.Progress`.
Does not belong here: what makes progress.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.text import Text

from rag_pipeline.cli.rendering import clean, console, talk
from rag_pipeline.contracts.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

# Where no bar can be drawn, a line so often tells that it goes on and fills no log.
LINE_SECONDS = 5.0


class BarProgress:
    """One bar for the work under way, on a terminal; what is done becomes a line above it."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._open: list[tuple[TaskID, _Work]] = []

    def start(self, label: str, total: int) -> None:
        self._open.append((self._bars.add_task(clean(label), total=total), _Work(label, total)))

    def advance(self, count: int) -> None:
        if self._open:
            task, work = self._open[-1]
            work.done += count
            self._bars.advance(task, count)

    def finish(self) -> None:
        if self._open:
            task, work = self._open.pop()
            # Bars that stay would fill a terminal: a hundred sources are as many bars.
            self._bars.remove_task(task)
            self._bars.console.print(Text(work.line(), style="dim"))


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
        # The end is told when the work is closed.
        if work.done < work.total and time.monotonic() - work.told_at >= self._seconds:
            work.tell()

    def finish(self) -> None:
        if self._open:
            self._open.pop().tell()


class _Work:
    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done = label, total, 0
        self.started_at = self.told_at = time.monotonic()

    def line(self) -> str:
        seconds = time.monotonic() - self.started_at
        return clean(f"{self.label}: {self.done:,} of {self.total:,} ({seconds:.0f} s)")

    def tell(self) -> None:
        self.told_at = time.monotonic()
        talk(self.line())


@contextmanager
def showing_progress() -> Iterator[Progress]:
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
