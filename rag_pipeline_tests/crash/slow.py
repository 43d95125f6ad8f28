"""The command line with one place that takes for ever: `python -m rag_pipeline_tests.crash.slow PLACE MARK ARGUMENTS`.

The place is inside a call of a native library, where a Python program notices no signal by itself. It writes a line to
the file MARK each time it is reached.
"""

from __future__ import annotations

import hashlib
import signal
import sys
from pathlib import Path
from typing import Any

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.embedding.hashing_backend import HashingBackend
from rag_pipeline.refresh import parsing
from rag_pipeline.stores import lock
from rag_pipeline.transforms.worker_tasks import ParseRecipe


def stand_still(mark: str) -> None:
    """Say so, then compute in C for hours."""
    with Path(mark).open("a", encoding="utf-8") as file:
        file.write("reached\n")
    hashlib.pbkdf2_hmac("sha256", b"slow", b"salt", 2**31 - 1)


def parse_slowly(item: tuple[bytes, str, str], recipe: ParseRecipe) -> list[ParsedDocument]:
    """Stands for a parser; the document says where the mark is, since a worker process is told nothing else."""
    stand_still(item[0].decode().split("mark: ")[1].strip())
    raise AssertionError(recipe)


def slow_down(place: str, mark: str) -> None:
    """Make one place of this process slow."""

    def slow(*_: Any, **__: Any) -> Any:
        stand_still(mark)

    if place == "parse":
        parsing.parse_object = parse_slowly
    elif place == "embed":
        HashingBackend.compute = slow  # type: ignore[method-assign]
    elif place == "lock":
        acquire = lock.FileLock.acquire

        def told(*arguments: Any, **named: Any) -> Any:
            Path(mark).write_text("reached\n", "utf-8")
            return acquire(*arguments, **named)

        lock.FileLock.acquire = told  # type: ignore[method-assign]


if __name__ == "__main__":
    # Worker processes import the function by its name, and know no `__main__`.
    from rag_pipeline_tests.crash import slow as named

    # A shell that starts the tests in the background has them ignore Ctrl-C, and so would this.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    named.slow_down(*sys.argv[1:3])
    sys.argv[1:] = sys.argv[3:]
    from rag_pipeline.cli import main

    main()
