"""Archives of 7-Zip made for tests: any packers, any list of members, and lies in it.

Belongs here: bytes, byte by byte as the format describes them. Does not belong here: what is expected of them.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Coder = tuple[bytes, bytes]
LZMA2: Sequence[Coder] = ((b"\x21", b"\x18"),)


def number(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else b"\xff" + struct.pack("<Q", value)


def raw_lzma(*filters: dict[str, Any]) -> Callable[[bytes], bytes]:
    return lambda data: lzma.compress(data, lzma.FORMAT_RAW, filters=list(filters))


def packed_by_lzma2(data: bytes) -> bytes:
    # Packed with less than it says: to lay out sixteen megabytes takes a second each time.
    return raw_lzma({"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16})(data)


def seven_zip(
    members: Mapping[str, bytes | None],
    coders: Sequence[Coder] = LZMA2,
    pack: Callable[[bytes], bytes] = packed_by_lzma2,
    attributes: Mapping[str, int] | None = None,
    size: int | None = None,
    count: int | None = None,
) -> bytes:
    """An archive in which all members are packed together; folders are None.

    Args:
        size, count: What it says that it unpacks to, and how many files it has.
    """
    full = [content for content in members.values() if content]
    data = b"".join(full)
    packed = pack(data)
    size = len(data) if size is None else size
    coded = b"".join(
        bytes([len(method) | (0x20 if facts else 0)]) + method + (number(len(facts)) + facts if facts else b"")
        for method, facts in coders
    )
    bound = b"".join(number(place) + number(place + 1) for place in range(len(coders) - 1))
    sums = b"".join(struct.pack("<I", zlib.crc32(content)) for content in full)
    streams = (
        b"\x06" + number(0) + number(1) + b"\x09" + number(len(packed)) + b"\0"
        b"\x07\x0b" + number(1) + b"\0" + number(len(coders)) + coded + bound
        + b"\x0c" + number(size) * len(coders) + b"\0"
        b"\x08\x0d" + number(len(full)) + b"\x09" + b"".join(number(len(content)) for content in full[:-1])
        + b"\x0a\x01" + sums + b"\0\0"
    )  # fmt: skip
    header = b"\x01" + (b"\x04" + streams if full else b"") + b"\x05" + _files(members, attributes or {}, count) + b"\0"
    return started(packed if full else b"", header)


def _files(members: Mapping[str, bytes | None], attributes: Mapping[str, int], count: int | None) -> bytes:
    empty = [not content for content in members.values()]
    empty_files = [content is not None for content in members.values() if not content]
    names = b"\0" + b"".join(name.encode("utf-16-le") + b"\0\0" for name in members)
    looks = b"\x01\0" + b"".join(struct.pack("<I", attributes.get(name, 0x20)) for name in members)
    fields = [(14, _bits(empty)), (15, _bits(empty_files))] if any(empty) else []
    fields += [(17, names), (21, looks), (25, b"\0\0")]
    said = number(len(members) if count is None else count)
    return said + b"".join(bytes([kind]) + number(len(content)) + content for kind, content in fields) + b"\0"


def _bits(values: Sequence[bool]) -> bytes:
    found = bytearray((len(values) + 7) // 8)
    for place, value in enumerate(values):
        found[place // 8] |= 0x80 >> place % 8 if value else 0
    return bytes(found)


def started(packed: bytes, header: bytes) -> bytes:
    start = struct.pack("<QQI", len(packed), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\x04" + struct.pack("<I", zlib.crc32(start)) + start + packed + header
