"""Functions that the pool's tests run in worker processes: good ones, and every kind of bad one."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import stat
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rag_pipeline.errors import EmptyDocument, EncryptedDocument


def double(item: int) -> int:
    return item * 2


def echo(item: Any) -> Any:
    return item


def process_id(_item: Any) -> int:
    return os.getpid()


def act(item: str) -> str:
    """Do what the item says, then return it."""
    action = _ACTIONS.get(item)
    if action is not None:
        action()
    return item


def _spin() -> None:
    while True:
        pass


def _sleep_through_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(3600)


def _backtrack() -> None:
    # One call into C that holds the interpreter's lock and takes exponential time.
    re.match(r"(a+)+$", "a" * 60 + "b")


def _exhaust_memory() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(2**24))


def _segfault() -> None:
    ctypes.string_at(0)


def _print_noise() -> None:
    sys.stdout.write("noise on standard output\n" * 10_000)
    sys.stdout.flush()
    os.write(1, b"more noise\n" * 1000)
    os.write(2, b"and on standard error\n" * 1000)
    warnings.warn("deprecated", DeprecationWarning, stacklevel=1)


def _refuse() -> None:
    raise EncryptedDocument("The document needs a password.", page=3)


def _fail() -> None:
    raise KeyError("/etc/secret/path and a piece of the document")


def _panic() -> None:
    class PanicException(BaseException):
        pass

    raise PanicException


_ACTIONS = {
    "spin": _spin,
    "sleep": _sleep_through_signals,
    "backtrack": _backtrack,
    "exit 0": lambda: os._exit(0),
    "exit 3": lambda: os._exit(3),
    "sys.exit": lambda: sys.exit(2),
    "segfault": _segfault,
    "abort": os.abort,
    "memory": _exhaust_memory,
    "print": _print_noise,
    "refuse": _refuse,
    "fail": _fail,
    "panic": _panic,
}


def unpicklable(_item: Any) -> Any:
    return lambda: None


@dataclass(frozen=True)
class Forger:
    """Stands for a parser that its input took over: sends the pool bytes of its own making."""

    payload: bytes

    def __call__(self, _item: Any) -> None:
        for descriptor in range(3, 64):
            with suppress(OSError):
                if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                    os.write(descriptor, self.payload)
        time.sleep(30)


def inflate(size_bytes: int) -> bytes:
    return bytes(size_bytes)


def environment(_item: Any) -> dict[str, str]:
    return {**os.environ, "cwd": os.getcwd()}  # noqa: PTH109 - what the worker itself sees


def state(name: str) -> bool:
    return name in sys.modules


@dataclass
class Counting:
    """Holds state in the process: how often this very instance was called there."""

    start: int
    calls: int = 0

    def __call__(self, item: int) -> tuple[int, int, int]:
        self.calls += 1
        return item, self.start, self.calls


@dataclass(frozen=True)
class Unloadable:
    """Pickles here, and fails to unpickle there."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse_to_load, ()

    def __call__(self, item: Any) -> Any:
        return item


def _refuse_to_load() -> None:
    raise ImportError("no such library")


@dataclass(frozen=True)
class CrashOnceWith:
    """Dies on its first try of each item, and leaves a mark so that the second one works."""

    folder: str

    def __call__(self, item: str) -> str:
        mark = os.path.join(self.folder, item)  # noqa: PTH118 - the fewer imports the better
        if not os.path.exists(mark):  # noqa: PTH110
            with open(mark, "w"):  # noqa: PTH123
                pass
            os._exit(1)
        return item


@dataclass(frozen=True)
class Marking:
    """Writes down every item that it is called with, in a file of its process."""

    folder: str

    def __call__(self, item: int) -> int:
        with open(os.path.join(self.folder, str(os.getpid())), "a") as file:  # noqa: PTH118, PTH123
            file.write(f"{item}\n")
        return item


def initialize() -> None:
    os.environ["INITIALIZED"] = "yes"


def fail_to_initialize() -> None:
    raise EmptyDocument("nothing here")


def exit_in_initializer() -> None:
    os._exit(9)


def hang_and_tell(path: str) -> None:
    """Write this worker's process id, then hang in C with every polite signal ignored."""
    with open(path, "a") as file:  # noqa: PTH123
        file.write(f"{os.getpid()}\n")
    _backtrack()


def kill_parent(item: str) -> str:
    """End whatever started this worker, if the item says so."""
    if item == "kill":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(3600)
    return item
