"""Reads archives of 7-Zip within limits: each member's bytes.

Belongs here: unpacking with what Python brings (LZMA, LZMA2, bzip2, Deflate, stored; filters for programs and Delta).
Does not belong here: the container's fields (`seven_zip_header`), and what members become (`folders`).

Several members are packed as one run of bytes, so each run is unpacked once, in the order that members stand in it.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise
from typing import Any, Protocol

from rag_pipeline.errors import EncryptedDocument, LimitExceeded, UnparsableDocument, UnsupportedMediaType
from rag_pipeline.parsing.containers.archives import RATIO_FLOOR_BYTES, STEP_BYTES
from rag_pipeline.parsing.containers.seven_zip_header import (
    ARCHIVE_PROPERTIES,
    ENCODED,
    END,
    FILES,
    HEADER,
    MAX_CODERS,
    STREAMS,
    Coder,
    Fields,
    Folder,
    OddHeader,
    SevenMember,
    Streams,
    listed_files,
    packed_streams,
    within,
)
from rag_pipeline.parsing.limits import ParseLimits

# What stands at the beginning of each archive: its mark, and where the header lies.
_START_BYTES = 32
_CIPHERS = b"\x06\xf1\x07"
_COPY, _DEFLATE, _BZIP2, _LZMA, _LZMA2, _DELTA = b"\0", b"\4\1\x08", b"\4\2\2", b"\3\1\1", b"\x21", b"\3"
_FILTERS = {
    _DELTA: lzma.FILTER_DELTA, b"\3\3\1\3": lzma.FILTER_X86, b"\4": lzma.FILTER_X86, b"\3\3\2\5": lzma.FILTER_POWERPC,
    b"\3\3\4\1": lzma.FILTER_IA64, b"\3\3\5\1": lzma.FILTER_ARM, b"\3\3\7\1": lzma.FILTER_ARMTHUMB,
    b"\3\3\x08\5": lzma.FILTER_SPARC,
}  # fmt: skip
# A header names members; a million names fit.
_MAX_HEADER_BYTES = 64 * 1024 * 1024
# The least that the library takes.
_LEAST_DICTIONARY_BYTES = 4096
# What fields that say what cannot be lead to.
_ODD = (OddHeader, struct.error, IndexError, OverflowError)


class SevenZip:
    """An archive of 7-Zip held in memory.

    Args:
        raw: The archive's bytes.
        address: Used in messages.
        limits: Bounds on entries, sizes and ratio.

    Attributes:
        members: What it lists, in its order.

    Raises:
        EncryptedDocument: Its list of members needs a password.
        LimitExceeded: Too many entries, or it says that it unpacks past a limit.
        UnparsableDocument: It is damaged.
        UnsupportedMediaType: Its list of members is packed in a way that is not read.
    """

    def __init__(self, raw: bytes, address: str, limits: ParseLimits) -> None:
        self._raw = raw
        self._address = address
        self._limits = limits
        self.members: list[SevenMember] = []
        self._run: _Run | None = None
        self._run_number = -1
        # Of each folder, where in the file it is stored.
        self._spans: list[tuple[int, int]] = []
        try:
            header = self._header()
            self._streams = Streams()
            if header is not None:
                self._take_header(header)
        except _ODD:
            raise damaged(address) from None

    def contents(self) -> Iterator[tuple[SevenMember, Callable[[], bytes]]]:
        """Each member with what reads it; to be read in this order, if at all."""
        places = [0] * len(self._streams.folders)
        for member in self.members:
            place = places[member.folder] if member.folder >= 0 else 0
            if member.folder >= 0:
                places[member.folder] += member.size
            yield member, lambda member=member, place=place: self._read(member, place)  # type: ignore[misc]

    def _read(self, member: SevenMember, place: int) -> bytes:
        if member.folder < 0:
            return b""
        try:
            if self._run is None or self._run_number != member.folder or self._run.position > place:
                self._run = _Run(*self._packed(member.folder), self._address)
                self._run_number = member.folder
            self._run.skip(place - self._run.position)
            content = self._run.read(member.size)
        # How it is packed is only understood here, so that what is odd in one run costs no member of the others.
        except (lzma.LZMAError, zlib.error, OSError, EOFError, ValueError, *_ODD):
            raise damaged(self._address) from None
        if len(content) < member.size or (member.crc is not None and zlib.crc32(content) != member.crc):
            raise damaged(self._address)
        return content

    def _packed(self, number: int) -> tuple[Folder, bytes]:
        return self._streams.folders[number], self._raw[slice(*self._spans[number])]

    def _header(self) -> Fields | None:
        """The list of members, unpacked; None where there is none."""
        raw = self._raw
        start_crc, offset, size, crc = struct.unpack_from("<IQQI", raw, 8)
        if zlib.crc32(raw[12:_START_BYTES]) != start_crc or size > _MAX_HEADER_BYTES:
            raise OddHeader
        if size == 0:
            return None
        data = raw[_START_BYTES + offset : _START_BYTES + offset + size]
        if len(data) < size or zlib.crc32(data) != crc:
            raise OddHeader
        header = Fields(data)
        # A packed list may be packed again; nobody does so twice.
        for _ in range(MAX_CODERS):
            kind = header.byte()
            if kind == HEADER:
                return header
            if kind != ENCODED:
                raise OddHeader
            self._streams = packed_streams(header, self._limits, self._address)
            if len(self._streams.folders) != 1 or self._streams.folders[0].size > _MAX_HEADER_BYTES:
                raise OddHeader
            self._check_sizes()
            folder = self._streams.folders[0]
            self._run = None
            header = Fields(self._read(SevenMember("", folder=0, size=folder.size, crc=folder.crc), 0))
        raise OddHeader

    def _take_header(self, header: Fields) -> None:
        self._run = None
        self._streams = Streams()
        kind = header.byte()
        if kind == ARCHIVE_PROPERTIES:
            while header.byte() != END:
                header.take(header.number())
            kind = header.byte()
        if kind == STREAMS:
            self._streams = packed_streams(header, self._limits, self._address)
            self._check_sizes()
            kind = header.byte()
        if kind == FILES:
            self.members = listed_files(header, self._limits, self._address)
        self._place_members()

    def _check_sizes(self) -> None:
        """What the archive says that it unpacks to; no more than that is ever unpacked."""
        limits = self._limits
        streams = self._streams
        ends = list(accumulate(streams.packed, initial=_START_BYTES + streams.start))
        firsts = accumulate((folder.packed_streams for folder in streams.folders), initial=0)
        self._spans = [(ends[first], ends[after]) for first, after in pairwise(firsts)]
        total = 0
        for (start, end), folder in zip(self._spans, streams.folders, strict=True):
            packed = min(end, len(self._raw)) - start
            size = max(folder.sizes, default=0)
            total += size
            too_dense = size > RATIO_FLOOR_BYTES and size > limits.max_archive_ratio * max(packed, 1)
            if total > limits.max_archive_bytes or too_dense:
                raise too_large(self._address, total, packed)
        if max(self._streams.sizes, default=0) > limits.max_member_bytes:
            raise too_large(self._address, max(self._streams.sizes), len(self._raw))

    def _place_members(self) -> None:
        streams = self._streams
        of_folder = [number for number, folder in enumerate(streams.folders) for _ in range(folder.members)]
        position = 0
        for member in self.members:
            if member.folder < 0:
                continue
            if position >= len(of_folder):
                raise OddHeader
            member.folder = of_folder[position]
            member.size, member.crc = streams.sizes[position], streams.crcs[position]
            position += 1


class _Run:
    """What a folder holds, unpacked from its beginning on."""

    def __init__(self, folder: Folder, packed: bytes, address: str) -> None:
        self.position = 0
        self._packed = packed
        self._taken = 0
        self._unpacker = _unpacker(folder, address)

    def skip(self, count: int) -> None:
        while count > 0 and (part := self.read(min(count, STEP_BYTES))):
            count -= len(part)

    def read(self, count: int) -> bytes:
        """So many bytes, or what there is."""
        parts: list[bytes] = []
        while count > 0 and (part := self._more(count)):
            parts.append(part)
            count -= len(part)
            self.position += len(part)
        return b"".join(parts)

    def _more(self, count: int) -> bytes:
        """Some bytes, at most so many; none at the end."""
        while not self._unpacker.eof:
            data = b""
            if self._unpacker.needs_input:
                data = self._packed[self._taken : self._taken + STEP_BYTES]
                self._taken += len(data)
                if not data:
                    break
            if part := self._unpacker.decompress(data, count):
                return bytes(part)
        return b""


class _Stored:
    """Gives what it takes, in the manner of the unpackers of Python."""

    eof = False

    def __init__(self) -> None:
        self._rest = b""

    @property
    def needs_input(self) -> bool:
        return not self._rest

    def decompress(self, data: bytes, most: int) -> bytes:
        data = self._rest + data
        self._rest = data[most:]
        return data[:most]


class _Deflated:
    """Deflate without a head, in the manner of the other unpackers of Python."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(-15)
        # It may have taken all and still hold back what was not asked for.
        self._is_held_back = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._is_held_back

    def decompress(self, data: bytes, most: int) -> bytes:
        found = self._inner.decompress(self._inner.unconsumed_tail + data, most)
        self._is_held_back = len(found) == most
        return found


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, most: int, /) -> bytes: ...


def _unpacker(folder: Folder, address: str) -> _Unpacker:
    """What unpacks a folder.

    Raises:
        EncryptedDocument: It needs a password.
        UnsupportedMediaType: It is packed in a way that Python does not unpack.
    """
    if any(coder.method.startswith(_CIPHERS) for coder in folder.coders):
        raise EncryptedDocument(
            f"{address}: the container is protected by a password. Remove it or exclude the file.", address=address
        )
    *filters, packer = folder.coders
    if folder.is_simple:
        if packer.method in (_LZMA, _LZMA2) and all(coder.method in _FILTERS for coder in filters):
            chain = [_filter(coder) for coder in filters]
            return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[*chain, _lzma(packer, folder.size)])
        if not filters and packer.method in _PLAIN:
            return _PLAIN[packer.method]()
    named = ", ".join(coder.method.hex() for coder in folder.coders)
    raise UnsupportedMediaType(
        f"{address}: packed in a way that is not read (method {named}; PPMd and BCJ2 are such). Pack it with LZMA2, "
        "which is the default of 7-Zip, or as ZIP.",
        address=address,
    )


_PLAIN: dict[bytes, Callable[[], _Unpacker]] = {
    _COPY: _Stored, _DEFLATE: _Deflated, _BZIP2: bz2.BZ2Decompressor,
}  # fmt: skip


def _filter(coder: Coder) -> dict[str, Any]:
    found: dict[str, Any] = {"id": _FILTERS[coder.method]}
    if coder.method == _DELTA:
        found["dist"] = coder.properties[0] + 1
    return found


def _lzma(coder: Coder, size: int) -> dict[str, Any]:
    """How an unpacker is set; it needs no larger dictionary than what it unpacks to, whatever the archive claims."""
    facts = coder.properties
    if coder.method == _LZMA2:
        power = within(facts[0], 0, 40)
        claimed = 0xFFFFFFFF if power == 40 else (2 | power & 1) << (power // 2 + 11)
        found: dict[str, Any] = {"id": lzma.FILTER_LZMA2}
    else:
        rest, claimed = struct.unpack("<BI", facts[:5])
        found = {"id": lzma.FILTER_LZMA1, "lc": rest % 9, "lp": rest // 9 % 5, "pb": rest // 45}
    return {**found, "dict_size": max(_LEAST_DICTIONARY_BYTES, min(claimed, size))}


def damaged(address: str) -> UnparsableDocument:
    """What is said of an archive that cannot be unpacked to its end."""
    return UnparsableDocument(
        f"{address}: the archive is damaged. Pack it again, or exclude the file.", address=address
    )


def too_large(address: str, unpacked: int, packed: int) -> LimitExceeded:
    """What is said of an archive that would unpack past a limit."""
    return LimitExceeded(
        f"{address}: the archive unpacks to more than {unpacked:,} bytes from {packed:,}. The file is hostile or far "
        "too large; exclude it, or raise `limits.max_archive_bytes`, `limits.max_member_bytes` or "
        "`limits.max_archive_ratio`.",
        address=address,
        unpacked_bytes=unpacked,
        packed_bytes=packed,
    )
