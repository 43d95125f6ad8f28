"""What an item becomes whose function did not return: one DocumentError, safe to show and to store.

Belongs here: the wording and the facts. Never a path, an argument or a piece of the document.
Does not belong here: deciding that an item is guilty (`supervisor.py`).
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal

from rag_pipeline.errors import (
    DocumentError,
    LimitExceeded,
    ParserCrashed,
    ParserTimeout,
    UnparsableDocument,
)
from rag_pipeline.parallel.frames import OUT_OF_MEMORY_EXIT
from rag_pipeline.parallel.limits import WorkerLimits


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker process ended before it had answered."""

    kind: Literal["timeout", "cpu", "memory", "crash"]
    exit_code: int | None = None

    @property
    def is_timeout(self) -> bool:
        return self.kind in ("timeout", "cpu")


def death_of(exit_code: int | None) -> Death:
    """The death of a worker that ended by itself; `exit_code` as `Popen.returncode` has it."""
    if exit_code == OUT_OF_MEMORY_EXIT:
        return Death("memory", exit_code)
    if exit_code == -signal.SIGXCPU:
        return Death("cpu", exit_code)
    return Death("crash", exit_code)


def verdict(death: Death, limits: WorkerLimits) -> DocumentError:
    """The error of the item that was alone in a worker when it died."""
    if death.kind == "timeout":
        return ParserTimeout(
            f"Parsing took longer than {limits.wall_seconds:g} s each time it was tried, and its worker "
            "was stopped. Shorten the document, exclude it, or raise "
            "`limits.parse_timeout_seconds`.",
            wall_seconds=limits.wall_seconds,
        )
    if death.kind == "cpu":
        return ParserTimeout(
            f"Parsing used more than {limits.cpu_seconds} s of processor time each time it was tried, and "
            "its worker was stopped. Shorten the document, exclude it, or raise "
            "`limits.parse_timeout_seconds`.",
            cpu_seconds=limits.cpu_seconds,
        )
    if death.kind == "memory":
        return out_of_memory(limits.memory_bytes)
    facts = _crash_facts(death.exit_code)
    how = " ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
    return ParserCrashed(
        f"The parser's worker process died ({how}) each time this document was tried. "
        "Convert the document to another format, or exclude it.",
        **facts,
    )


def out_of_memory(memory_bytes: int | None) -> LimitExceeded:
    """The error of an item for which memory did not suffice."""
    limit = f"{memory_bytes / 2**30:.1f} GiB" if memory_bytes is not None else "available"
    return LimitExceeded(
        f"Parsing needs more than the {limit} of memory that a worker may use. "
        "Split the document, exclude it, or raise `limits.memory_bytes`.",
        memory_bytes=memory_bytes,
    )


def unexpected(class_name: str) -> UnparsableDocument:
    """The error of an item on which the parser raised something it does not promise."""
    return UnparsableDocument(
        f"The parser failed with {class_name}. The document is broken, or the parser has a bug; "
        "`rag-pipeline quarantine retry` tries it again.",
        exception=class_name,
    )


def _crash_facts(exit_code: int | None) -> dict[str, str | int]:
    if exit_code is None or exit_code >= 0:
        return {"exit_code": -1 if exit_code is None else exit_code}
    try:
        return {"signal": signal.Signals(-exit_code).name}
    except ValueError:
        return {"signal": str(-exit_code)}
