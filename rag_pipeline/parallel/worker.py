"""The inside of a worker process: read a group of items, run the function on each, send the outcomes.

Belongs here: what happens in the child. Only the standard library is imported before the function
arrives, so that a replacement starts in a few hundredths of a second.
Does not belong here: retries and verdicts (`supervisor.py`).

The pool starts it as `python -c <BOOTSTRAP> <sys.path as JSON>`. It contains accidents, not attackers:
a parser that is taken over by its input runs as the same user. But what it sends back is only data to the pool.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from rag_pipeline.parallel.frames import (
    FUNCTION,
    HEADER,
    OUT_OF_MEMORY_EXIT,
    OUTCOMES,
    READY,
    REFUSED,
    SETUP,
    Outcome,
    OutcomeBatch,
    Status,
    frame,
    pack_batch,
)
from rag_pipeline.parallel.limits import WorkerLimits, allow_cpu, apply_limits

# The parent's import path comes as an argument: the worker starts in an empty folder with an almost
# empty environment and must still find exactly the modules that the parent finds.
BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from rag_pipeline.parallel.worker import main; main()"
)

# Outcomes are sent together, but none waits longer than this for the next item to finish: so the pool
# knows which item a silent worker hangs on, and measures the wall clock per item.
FLUSH_AFTER_SECONDS = 0.05
FLUSH_ABOVE_BYTES = 2**20

# From <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1


def main() -> NoReturn:
    """Serve until the pool closes the pipe."""
    with suppress(BrokenPipeError):
        try:
            _serve(*_claim_pipes())
        except MemoryError:
            os._exit(OUT_OF_MEMORY_EXIT)
    # Threads left behind by a parser must not hold the process.
    os._exit(0)


def _serve(tasks: BinaryIO, replies: BinaryIO) -> None:
    limits = WorkerLimits()
    function: Callable[[Any], Any] | None = None
    while (received := _receive(tasks)) is not None:
        kind, payload = received
        if kind == SETUP:
            limits, parent_id, initializer = pickle.loads(payload)
            _settle(limits, parent_id)
            _answer(replies, _initialize, initializer)
            _silence()
        elif kind == FUNCTION:
            function = _answer(replies, pickle.loads, payload)
        elif function is not None:
            _run_group(function, pickle.loads(payload), limits, replies)


def _claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    # Parsers print. Standard output must not be the pipe any more when one does.
    tasks = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    return tasks, replies


def _silence() -> None:
    # Until now standard error went to a file that the pool quotes when a worker cannot start.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


def _settle(limits: WorkerLimits, parent_id: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with suppress(OSError):
            # When the machine runs out of memory, a worker goes before the run that owns it.
            Path("/proc/self/oom_score_adj").write_text("500")
    if os.getppid() != parent_id:
        os._exit(0)
    apply_limits(limits)


def _initialize(name: str | None) -> None:
    if name is not None:
        module, _, attribute = name.partition(":")
        getattr(importlib.import_module(module), attribute)()


def _answer(replies: BinaryIO, action: Callable[[Any], Any], argument: Any) -> Any:
    """Do something on which everything after it depends; tell the pool whether it worked."""
    result = None
    try:
        result = action(argument)
    except Exception as error:
        reply = frame(REFUSED, f"{type(error).__name__}: {error}".encode("utf-8", "replace"))
    else:
        reply = frame(READY, b"")
    replies.write(reply)
    replies.flush()
    return result


def _receive(tasks: BinaryIO) -> tuple[bytes, bytes] | None:
    header = tasks.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    kind, length = HEADER.unpack(header)
    payload = tasks.read(length)
    return (kind, payload) if len(payload) == length else None


def _run_group(function: Callable[[Any], Any], items: list[Any], limits: WorkerLimits, replies: BinaryIO) -> None:
    outcomes: list[Outcome] = []
    held_bytes = 0
    flushed_at = time.monotonic()
    out_of_memory = False
    for position, item in enumerate(items):
        allow_cpu(limits.cpu_seconds)
        try:
            status, payload = _run_item(function, item)
        except MemoryError:
            out_of_memory = True
            break
        outcomes.append((position, status, payload))
        held_bytes += len(payload)
        if held_bytes > FLUSH_ABOVE_BYTES or time.monotonic() - flushed_at > FLUSH_AFTER_SECONDS:
            _send(replies, (outcomes, 0, False))
            outcomes, held_bytes, flushed_at = [], 0, time.monotonic()
    # Past the `except`, the frames that held the memory are gone and there is room to send.
    _send(replies, (outcomes, _resident_bytes(), not out_of_memory))
    if out_of_memory:
        os._exit(OUT_OF_MEMORY_EXIT)


def _run_item(function: Callable[[Any], Any], item: Any) -> tuple[Status, bytes]:
    from rag_pipeline.errors import DocumentError
    from rag_pipeline.parallel import wire

    try:
        try:
            value = function(item)
        except DocumentError as error:
            value = error
        return "value", wire.dump(value)
    except MemoryError:
        raise
    # This is the worker's edge, and a panic of a Rust library is no Exception.
    except BaseException as error:
        return "unexpected", type(error).__name__.encode("utf-8", "replace")


def _send(replies: BinaryIO, batch: OutcomeBatch) -> None:
    payload = pack_batch(batch)
    replies.write(HEADER.pack(OUTCOMES, len(payload)))
    replies.write(payload)
    replies.flush()


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()
    except OSError:
        # Elsewhere only the peak is told, in bytes on macOS.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
