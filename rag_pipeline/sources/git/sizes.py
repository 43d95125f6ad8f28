"""How large an object of a repository is, before any of it is unpacked: a few kilobytes may hold gigabytes.

Belongs here: the headers of loose and packed objects, as git documents them (gitformat-pack).
Does not belong here: reading objects (`repository.py`), what is too large (`listing.py`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

# Types of packed objects that are a difference to another one: at a distance in the same file, or by its id.
_BY_DISTANCE, _BY_ID = 6, 7
# Of SHA-1, by which repositories name objects.
_ID_BYTES = 20
# A header of an object, and of a difference, is two or three numbers.
_HEAD_BYTES = 64
# No program of note makes longer chains of differences.
_MOST_STEPS = 10_000


def largest_of(store: Any, id_: bytes) -> tuple[int, int] | None:
    """Bytes of an object, and of the largest that has to be unpacked for it; None: it is not there.

    Args:
        store: An object store of dulwich on disk.
        id_: Hexadecimal.
    """
    size = largest = 0
    asked: bytes | None = id_
    for step in range(_MOST_STEPS):
        assert asked is not None
        found = _packed(store, asked) or _loose(store, asked)
        if found is None:
            return None
        of_object, of_steps, asked = found
        size = of_object if step == 0 else size
        largest = max(largest, of_object, of_steps)
        if asked is None:
            return size, largest
    return size, largest


def _loose(store: Any, id_: bytes) -> tuple[int, int, None] | None:
    try:
        with Path(store._get_shafile_path(id_)).open("rb") as file:
            head = zlib.decompressobj().decompress(file.read(4 * _HEAD_BYTES), _HEAD_BYTES)
    except (FileNotFoundError, ValueError, zlib.error):
        # Whatever it is, reading it says so.
        return None
    kind, _, rest = head.partition(b" ")
    size, end, _ = rest.partition(b"\0")
    return (int(size), 0, None) if kind and end and size.isdigit() else None


def _packed(store: Any, id_: bytes) -> tuple[int, int, bytes | None] | None:
    """Bytes of the object, of the largest step to it within its file, and the id of what it differs from elsewhere."""
    for pack in store.packs:
        try:
            offset = pack.index.object_offset(id_)
        except KeyError:
            continue
        with Path(pack.data.path).open("rb") as file:
            return _walked(file, offset)
    return None


def _walked(file: IO[bytes], offset: int) -> tuple[int, int, bytes | None]:
    size: int | None = None
    largest = 0
    for _ in range(_MOST_STEPS):
        file.seek(offset)
        numbers = iter(file.read(4 * _HEAD_BYTES))
        kind, unpacked = _kind_and_size(numbers)
        largest = max(largest, unpacked)
        base: bytes | None = None
        if kind == _BY_DISTANCE:
            offset -= _distance(numbers)
        elif kind == _BY_ID:
            base = bytes(next(numbers) for _ in range(_ID_BYTES)).hex().encode()
        if kind in (_BY_DISTANCE, _BY_ID):
            # What it is unpacked to is the difference, which begins with the sizes of both sides.
            difference = iter(zlib.decompressobj().decompress(bytes(numbers), _HEAD_BYTES))
            before, after = _number(difference), _number(difference)
            largest = max(largest, before, after)
            unpacked = after
        size = unpacked if size is None else size
        if kind != _BY_DISTANCE:
            return size, largest, base
    return size or 0, largest, None


def _kind_and_size(numbers: Iterator[int]) -> tuple[int, int]:
    byte = next(numbers)
    return byte >> 4 & 0x07, _number(numbers, byte & 0x0F, 4) if byte & 0x80 else byte & 0x0F


def _number(numbers: Iterator[int], value: int = 0, shift: int = 0) -> int:
    """Seven bits of each byte, the lowest first, as long as the eighth says that more follow."""
    while True:
        byte = next(numbers)
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value


def _distance(numbers: Iterator[int]) -> int:
    """The highest bits first, and one more for each byte that follows."""
    byte = next(numbers)
    value = byte & 0x7F
    while byte & 0x80:
        byte = next(numbers)
        value = (value + 1) << 7 | byte & 0x7F
    return value
