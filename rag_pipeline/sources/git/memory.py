"""What is remembered of a repository between runs: when files were touched, and what blobs declare.

Belongs here: keeping it in a file of the cache folder, and distrusting that file.
Does not belong here: finding it out (`history.py`, `source.py`). All of it can be found out again.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from rag_pipeline.contracts.ids import digest

log = logging.getLogger(__name__)

# Raised when what is kept, or what it is made from, changes.
_VERSION = 1
# What a file declares: its size in bytes, and `DeclaredMetadata` as JSON; empty where it was too large to be read.
Facts = tuple[int, str]


@dataclass(slots=True)
class Memory:
    """What is known of the files at one commit.

    Attributes:
        head: The commit; empty: nothing is known.
        last: Commit that touched each file last, by path.
        commits: Time in seconds since 1970 and author of each of these commits.
        facts: What blobs and their sidecars say, by their ids.
    """

    head: str = ""
    last: dict[str, str] = field(default_factory=dict)
    commits: dict[str, tuple[int, str]] = field(default_factory=dict)
    facts: dict[str, Facts] = field(default_factory=dict)


def read_memory(path: Path | None, recipe: str) -> Memory:
    """What the file holds, if it was written whole and by the same recipe; else nothing."""
    if path is None:
        return Memory()
    try:
        mark, _, text = path.read_text("utf-8").partition("\n")
        if mark != _mark(recipe, text):
            return Memory()
        held = json.loads(text)
    except FileNotFoundError:
        return Memory()
    except (OSError, ValueError) as error:
        log.info("what was known of a repository is found out again: %s", type(error).__name__)
        return Memory()
    return Memory(
        held["head"],
        held["last"],
        {id_: (time, author) for id_, (time, author) in held["commits"].items()},
        {key: (size, declared) for key, (size, declared) in held["facts"].items()},
    )


def write_memory(path: Path | None, recipe: str, memory: Memory) -> None:
    """Keep it for the next run, if it can be kept."""
    if path is None:
        return
    text = json.dumps(
        {"head": memory.head, "last": memory.last, "commits": memory.commits, "facts": memory.facts},
        separators=(",", ":"),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{_mark(recipe, text)}\n{text}")
        Path(name).replace(path)
    except OSError as error:
        # A full disk makes the next run slower and nothing wrong.
        log.warning("what is known of a repository cannot be kept: %s", error.strerror)


def _mark(recipe: str, text: str) -> str:
    return digest("memory", f"{_VERSION}", recipe, text)
