"""What is remembered of a repository between runs: when files were touched, and what blobs declare.

Belongs here: what of it is kept.
Does not belong here: finding it out (`history.py`, `source.py`), the file it is kept in (`sources/kept.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rag_pipeline.sources.kept import read_kept, write_kept

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
    held = read_kept(path, f"{_VERSION} {recipe}")
    if held is None:
        return Memory()
    return Memory(
        held["head"],
        held["last"],
        {id_: (time, author) for id_, (time, author) in held["commits"].items()},
        {key: (size, declared) for key, (size, declared) in held["facts"].items()},
    )


def write_memory(path: Path | None, recipe: str, memory: Memory) -> None:
    """Keep it for the next run, if it can be kept."""
    write_kept(
        path,
        f"{_VERSION} {recipe}",
        {"head": memory.head, "last": memory.last, "commits": memory.commits, "facts": memory.facts},
    )
