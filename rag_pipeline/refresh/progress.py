"""Progress of long work, for whoever wants to show it.

Belongs here: the protocol, and the sink that shows nothing.
Does not belong here: drawing (the command line) or logging (`defs/`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Progress(Protocol):
    """Where progress is shown. `start` opens one piece of work, `advance` counts it, `finish` closes it."""

    def start(self, label: str, total: int) -> None: ...

    def advance(self, count: int) -> None: ...

    def finish(self) -> None: ...


class NoProgress:
    """Shows nothing."""

    def start(self, label: str, total: int) -> None: ...

    def advance(self, count: int) -> None: ...

    def finish(self) -> None: ...


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
