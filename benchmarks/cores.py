"""How many cores the worker processes of this one would keep busy on an idle machine. Linux only.

CPU-seconds by seconds tell little while others use the machine. The kernel also says for how long each thread was
ready to run and waited for a core: what computed and what waited, by seconds, is what was asked for.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

SAMPLE_SECONDS = 0.05
NANOSECOND = 1e-9


class Demand:
    """A context manager; `cores` afterwards is what the workers asked for on average, 0 where it cannot be known.

    Workers come and go, so they are looked at again and again; what the last moment of one took is lost.
    """

    def __init__(self) -> None:
        self.cores = 0.0
        self._last: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._began = 0.0

    def __enter__(self) -> Self:
        self._look()
        self._before = dict(self._last)
        self._began = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        seconds = time.perf_counter() - self._began
        asked = sum(value - self._before.get(thread, 0) for thread, value in self._last.items())
        self.cores = asked * NANOSECOND / seconds

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            # Processes end while they are looked at.
            with suppress(OSError, ValueError):
                if int(stat.read_text().rpartition(")")[2].split()[1]) != os.getpid():
                    continue
                for thread in (stat.parent / "task").iterdir():
                    running, waiting, _ = (thread / "schedstat").read_text().split()
                    self._last[str(thread)] = int(running) + int(waiting)
