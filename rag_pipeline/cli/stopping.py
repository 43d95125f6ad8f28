"""Ctrl-C and SIGTERM: work that ends at once, wherever it is.

Belongs here: turning signals into `Stopped`, and waiting for work in a way that a signal always ends.
Does not belong here: what is said and set free after a stop (`run.py`, `defs/launch.py`).

Python runs a signal's handler in the main thread, between two of its own instructions. A main thread inside a long
call of a native library would not notice a signal for minutes. So the work runs in a thread of its own, and the main
thread does nothing but wait. Whatever is under way may be cut off anywhere, as by `kill -9`: each commit is atomic.
"""

from __future__ import annotations

import contextvars
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TypeVar

SIGNALS = {signal.SIGINT: "Ctrl-C (SIGINT)", signal.SIGTERM: "SIGTERM"}
# Parsing recurses; some systems give threads far less stack than the main thread has.
_STACK_BYTES = 16 * 2**20

T = TypeVar("T")


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end.

    Attributes:
        exit_code: 128 and the signal's number: 130 for SIGINT, 143 for SIGTERM.
    """

    def __init__(self, number: int) -> None:
        self.name = SIGNALS.get(signal.Signals(number), str(number))
        self.exit_code = 128 + number
        super().__init__(self.name)


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` in the main thread at the first signal while the block runs, and end the process at the second.

    A signal that the process was started to ignore stays ignored, as in a shell's background jobs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's signature
        seen.append(number)
        if len(seen) > 1:
            os._exit(128 + number)
        raise Stopped(number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def in_a_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread of its own and wait for it, so that a signal ends the waiting.

    Raises:
        BaseException: Whatever the function raised.
    """
    return begun(function)(None)


def begun(function: Callable[[], T]) -> Callable[[float | None], T]:
    """Begin a function in a thread of its own.

    Returns:
        Waits for it, no longer than so many seconds, and gives its result; the thread goes on until the process ends.
        Raises TimeoutError if it takes longer, or whatever the function raised.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def work() -> None:
        try:
            results.append(function())
        # A thread has no caller: whatever it is goes to the one who waits.
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    context = contextvars.copy_context()
    usual = threading.stack_size(_STACK_BYTES)
    try:
        threading.Thread(target=context.run, args=(work,), name="work", daemon=True).start()
    finally:
        threading.stack_size(usual)

    def waited(seconds: float | None) -> T:
        if not done.wait(seconds):
            raise TimeoutError(f"it took longer than {seconds:g} s")
        if errors:
            raise errors[0]
        return results[0]

    return waited


def leave(exit_code: int) -> NoReturn:
    """End the process now: what is under way in other threads is cut off, and nothing is waited for."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # Nobody reads any more; the exit code still tells.
            continue
    os._exit(exit_code)
