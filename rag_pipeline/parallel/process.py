"""One worker process as the pool sees it: start it, hand it frames, wait with a deadline, end it.

Belongs here: pipes, environment, clocks and signals.
Does not belong here: what to do when it dies (`supervisor.py`).
"""

from __future__ import annotations

import json
import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rag_pipeline.errors import ContractViolation, DocumentError
from rag_pipeline.parallel import wire
from rag_pipeline.parallel.frames import (
    FUNCTION,
    GROUP,
    HEADER,
    OUTCOMES,
    READY,
    REFUSED,
    SETUP,
    unpack_batch,
)
from rag_pipeline.parallel.limits import WorkerLimits
from rag_pipeline.parallel.verdicts import Death, death_of, unexpected
from rag_pipeline.parallel.worker import BOOTSTRAP

# A group of small files at once; Linux allows a megabyte.
_PIPE_BYTES = 2**18
# Of an exception's class, in bytes; it stands in messages.
_LONGEST_NAME = 200
# A short limit per item must not make a busy machine unable to start workers at all.
_START_SECONDS = 30.0
_KEPT_VARIABLES = ("PATH", "TZ", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_SET_VARIABLES = {
    "LANG": "C.UTF-8",
    "PYTHONUTF8": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # One worker per core is all the parallelism there is; threads inside would only compete.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    # Arenas reserve address space, which RLIMIT_AS counts.
    "MALLOC_ARENA_MAX": "2",
}


# Status and bytes of an outcome; what it cannot read it raises ValueError for.
Answer = Callable[[str, bytes], Any]

_LIVING: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()


def end_all_workers() -> None:
    """End every worker of this process and remove their folders: the last thing before the process itself ends.

    Not earlier: whoever waits for a worker takes its death for the document's fault.
    """
    for worker in list(_LIVING):
        worker.kill()
    for worker in list(_LIVING):
        worker.remove_folder()


class WorkerDied(Exception):
    """The process ended, or was stopped for being silent too long."""

    def __init__(self, death: Death) -> None:
        super().__init__(death.kind)
        self.death = death


class WorkerProcess:
    """A started worker. Not thread-safe, except `kill`, which any thread may call."""

    def __init__(self, limits: WorkerLimits, initializer: str | None, answer: Answer | None = None) -> None:
        """Start it.

        Args:
            answer: Makes a value of what came back; None: the value itself.

        Raises:
            OSError: The machine has no room for another process or its folder.
        """
        self.limits = limits
        self._answer = answer or value_of
        self.served_items = 0
        self.resident_bytes = 0
        self.function_id: int | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="rag-pipeline-worker-"))
        try:
            self._process = _started_in(self._folder)
        except OSError:
            self.remove_folder()
            raise
        _LIVING.add(self)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._tasks = self._process.stdin.fileno()
        self._replies = self._process.stdout.fileno()
        os.set_blocking(self._tasks, False)
        os.set_blocking(self._replies, False)
        self._patience_seconds = _START_SECONDS
        self._setup = pickle.dumps((limits, os.getpid(), initializer), protocol=5)

    def settle(self) -> None:
        """Set limits and run the initializer in the child.

        Raises:
            WorkerDied: It ended or fell silent first; `startup_log` may say why.
            ContractViolation: The initializer failed.
        """
        self._request(SETUP, self._setup, "its initializer")

    def load(self, function_id: int, pickled_function: bytes) -> None:
        """Hand over the function that the next groups are for.

        Raises:
            WorkerDied: See `settle`.
            ContractViolation: It cannot be unpickled there.
        """
        self._request(FUNCTION, pickled_function, "the function")
        self.function_id = function_id

    def run(self, items: list[Any], deliver: Callable[[list[tuple[int, Any | DocumentError]]], None]) -> None:
        """Run one group; `deliver` gets positions and what became of each, in order, in batches, as they arrive.

        Raises:
            WorkerDied: Before the whole group was answered, or what it answered makes no sense.
        """
        self._patience_seconds = self.limits.wall_seconds
        self._send(GROUP, pickle.dumps(items, protocol=5))
        answered = 0
        is_finished = False
        while not is_finished:
            kind, payload = self._receive()
            try:
                outcomes, self.resident_bytes, is_finished = unpack_batch(payload)
                values = [(position, self._answer(status, raw)) for position, status, raw in outcomes]
            except ValueError:
                raise self._mistrusted() from None
            expected = list(range(answered, answered + len(values)))
            answered += len(values)
            is_short = is_finished and answered != len(items)
            if (
                kind != OUTCOMES
                or [position for position, _ in values] != expected
                or answered > len(items)
                or is_short
            ):
                raise self._mistrusted()
            self.served_items += len(values)
            deliver(values)

    @property
    def is_fresh(self) -> bool:
        return self.served_items == 0

    @property
    def is_spent(self) -> bool:
        """It has served long enough, or kept so much memory, that a new one should take its place."""
        return (
            self.served_items >= self.limits.recycle_after_items
            or self.resident_bytes > self.limits.recycle_above_bytes
        )

    def startup_log(self) -> str:
        """The end of what it wrote to standard error before its function was there."""
        try:
            return (self._folder / "startup.log").read_text(errors="replace")[-2000:].strip()
        except OSError:
            return ""

    def kill(self) -> None:
        """End it now, with every process it may have started."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it and leave nothing behind."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self.remove_folder()
        _LIVING.discard(self)

    def remove_folder(self) -> None:
        """Remove the folder it works in."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _request(self, kind: bytes, payload: bytes, what: str) -> None:
        self._patience_seconds = max(self.limits.wall_seconds, _START_SECONDS)
        self._send(kind, payload)
        answer, text = self._receive()
        if answer == REFUSED:
            raise ContractViolation(
                f"A worker process could not load {what}: {text.decode(errors='replace')}. It must be "
                "importable by name from a fresh interpreter, so it cannot be a lambda, a nested "
                "function or part of __main__.",
            )
        if answer != READY:
            raise ContractViolation(f"A worker process answered {answer!r} instead of being ready.")

    def _send(self, kind: bytes, payload: bytes) -> None:
        self._write(HEADER.pack(kind, len(payload)))
        self._write(payload)

    def _write(self, raw: bytes) -> None:
        data = memoryview(raw)
        while data:
            self._wait(self._tasks, select.POLLOUT)
            try:
                written = os.write(self._tasks, data)
            except BrokenPipeError:
                raise self._ended() from None
            except BlockingIOError:
                continue
            data = data[written:]

    def _receive(self) -> tuple[bytes, bytearray]:
        kind, length = HEADER.unpack(self._read_exactly(HEADER.size))
        if length > self.limits.memory_bytes:
            raise self._mistrusted()
        return kind, self._read_exactly(length)

    def _read_exactly(self, length: int) -> bytearray:
        data = bytearray()
        while len(data) < length:
            self._wait(self._replies, select.POLLIN)
            try:
                part = os.read(self._replies, min(length - len(data), 2**20))
            except BlockingIOError:
                continue
            if not part:
                raise self._ended()
            data += part
        return data

    def _wait(self, descriptor: int, event: int) -> None:
        # Any byte that moves is a sign of life; the worker itself is never silent across two items.
        poller = select.poll()
        poller.register(descriptor, event)
        if poller.poll(self._patience_seconds * 1000):
            return
        if self._process.poll() is not None:
            raise self._ended()
        self.kill()
        self._process.wait()
        raise WorkerDied(Death("timeout"))

    def _mistrusted(self) -> WorkerDied:
        # What sends anything else than outcomes is broken, or no longer does what it was made for.
        self.kill()
        self._process.wait()
        return WorkerDied(Death("crash"))

    def _ended(self) -> WorkerDied:
        # The pipe closes a moment before the process is gone, and its exit code tells what happened.
        deadline = time.monotonic() + 2
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        self.kill()
        return WorkerDied(death_of(self._process.wait()))


def value_of(status: str, raw: bytes) -> Any | DocumentError:
    return wire.load(raw) if status == "value" else unexpected(raw[:_LONGEST_NAME].decode(errors="replace"))


def _started_in(folder: Path) -> subprocess.Popen[bytes]:
    search_path = json.dumps([str(Path(entry).absolute()) for entry in sys.path])
    with (folder / "startup.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-c", BOOTSTRAP, search_path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            pipesize=_PIPE_BYTES,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
        )


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, **_SET_VARIABLES, "HOME": str(folder), "TMPDIR": str(folder)}
