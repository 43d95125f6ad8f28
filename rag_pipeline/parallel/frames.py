"""How pool and worker talk: frames of one kind byte, eight length bytes and a pickled payload.

Belongs here: frame kinds, their layout, and the shape of an outcome. Standard library only.
Does not belong here: who reads or writes when.
"""

from __future__ import annotations

import struct
from typing import Literal

HEADER = struct.Struct("!cQ")

# Pool to worker.
SETUP = b"S"
FUNCTION = b"F"
GROUP = b"G"

# Worker to pool.
READY = b"R"
REFUSED = b"X"
OUTCOMES = b"O"

OUT_OF_MEMORY_EXIT = 77
"""Exit code of a worker in which an item raised MemoryError: its state is not to be trusted after that."""

Status = Literal["value", "unexpected"]
Outcome = tuple[int, Status, bytes]
"""Position in the group, then either a pickled value or the name of an exception's class in UTF-8."""

OutcomeBatch = tuple[list[Outcome], int, bool]
"""Outcomes since the last batch, the worker's resident bytes, and whether the group is finished."""


def frame(kind: bytes, payload: bytes) -> bytes:
    """One complete frame."""
    return HEADER.pack(kind, len(payload)) + payload
