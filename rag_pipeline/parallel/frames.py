"""How pool and worker talk: frames of one kind byte, eight length bytes and a payload.

What goes to a worker is pickled, since functions do; what comes back never is.

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
_BATCH = struct.Struct("!QI?")
_OUTCOME = struct.Struct("!I?Q")

Outcome = tuple[int, Status, bytes]
"""Position in the group, then either a value as `wire.py` writes it or the name of an exception's class in UTF-8."""

OutcomeBatch = tuple[list[Outcome], int, bool]
"""Outcomes since the last batch, the worker's resident bytes, and whether the group is finished."""


def frame(kind: bytes, payload: bytes) -> bytes:
    """One complete frame."""
    return HEADER.pack(kind, len(payload)) + payload


def pack_batch(batch: OutcomeBatch) -> bytes:
    """The payload of a frame of outcomes."""
    outcomes, resident_bytes, is_finished = batch
    parts = [_BATCH.pack(resident_bytes, len(outcomes), is_finished)]
    for position, status, payload in outcomes:
        parts += [_OUTCOME.pack(position, status == "value", len(payload)), payload]
    return b"".join(parts)


def unpack_batch(payload: bytes | bytearray) -> OutcomeBatch:
    """What `pack_batch` packed.

    Raises:
        ValueError: The bytes are not that.
    """
    try:
        resident_bytes, count, is_finished = _BATCH.unpack_from(payload)
        at = _BATCH.size
        outcomes: list[Outcome] = []
        for _ in range(count):
            position, is_value, length = _OUTCOME.unpack_from(payload, at)
            at += _OUTCOME.size
            outcomes.append((position, "value" if is_value else "unexpected", bytes(payload[at : at + length])))
            at += length
    except struct.error as error:
        raise ValueError(f"a batch of outcomes cannot be read: {error}") from error
    if at != len(payload):
        raise ValueError("a batch of outcomes has another length than it says")
    return outcomes, resident_bytes, is_finished
