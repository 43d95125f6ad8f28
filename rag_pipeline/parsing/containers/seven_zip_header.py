"""Headers of archives of 7-Zip: which members there are, how large, and what they are packed with.

Belongs here: the container's own fields (7zFormat.txt of the LZMA SDK), none of which is believed before it is checked.
Does not belong here: unpacking (`seven_zip`), and what members become (`folders`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from rag_pipeline.parsing.limits import ParseLimits, check_count

# Names of the parts of a header (7zFormat.txt of the LZMA SDK).
END, HEADER, STREAMS, FILES, _PACK, _UNPACK, _SUBSTREAMS, _SIZE, _CRC, _FOLDER = 0, 1, 4, 5, 6, 7, 8, 9, 10, 11
# Further parts, and those of the list of members.
_UNPACK_SIZE, _COUNT, _EMPTY_STREAM, _EMPTY_FILE, _ANTI, _NAMES, _ATTRIBUTES, ENCODED = 12, 13, 14, 15, 16, 17, 21, 23
# Facts about the whole archive, which no program writes.
ARCHIVE_PROPERTIES = 2
# Writers use one packer and a filter or two before it.
MAX_CODERS = 4
# Filters that part their input, which are not read, give four streams.
_MAX_STREAMS = 4
# Attributes of Windows: a link or the like; the upper half holds the mode of Unix.
_LEADS_ELSEWHERE, _HAS_UNIX_MODE = 0x400, 0x8000
# S_IFLNK of the mode.
_SYMBOLIC_LINK = 0o120000


class OddHeader(Exception):
    """The header says what cannot be."""


@dataclass(slots=True)
class Coder:
    method: bytes
    properties: bytes


@dataclass(slots=True)
class Folder:
    """A run of bytes that were packed together.

    Attributes:
        coders: From the one whose result the members are to the one that unpacks what is stored.
        is_simple: Each coder takes one stream and gives one.
        packed_streams: How many streams are stored for it.
        outputs, order: How many streams its coders give, and in which order they are wanted.
        sizes: How many bytes each gives.
        members: How many members lie in it.
    """

    coders: list[Coder]
    is_simple: bool
    packed_streams: int
    outputs: int
    order: list[int]
    sizes: list[int] = field(default_factory=list)
    crc: int | None = None
    members: int = 1

    @property
    def size(self) -> int:
        """What the members have together; of several streams that join, the largest is theirs."""
        return (self.sizes[0] if self.is_simple else max(self.sizes)) if self.sizes else 0


@dataclass(slots=True)
class Streams:
    start: int = 0
    packed: list[int] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    # Of each member with content: its size, and its checksum or None.
    sizes: list[int] = field(default_factory=list)
    crcs: list[int | None] = field(default_factory=list)


@dataclass(slots=True)
class SevenMember:
    """A member as the archive lists it.

    Attributes:
        is_link: It leads elsewhere.
        folder: Which run of bytes it lies in, from 0; -1 for one without content.
    """

    name: str
    is_folder: bool = False
    is_link: bool = False
    folder: int = -1
    size: int = 0
    crc: int | None = None


class Fields:
    """The values of a header, one after another."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._position

    def byte(self) -> int:
        self._position += 1
        return self._data[self._position - 1]

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise OddHeader
        self._position += count
        return self._data[self._position - count : self._position]

    def number(self) -> int:
        """A number of one to nine bytes: the high bits of the first say how many follow."""
        first = self.byte()
        value = 0
        for place in range(8):
            mask = 0x80 >> place
            if not first & mask:
                return value | (first & (mask - 1)) << 8 * place
            value |= self.byte() << 8 * place
        return value

    def count(self) -> int:
        """A number of things, each of which takes a byte at least."""
        found = self.number()
        if found > self.left:
            raise OddHeader
        return found

    def bits(self, count: int) -> list[bool]:
        data = self.take((count + 7) // 8)
        return [bool(data[place // 8] & 0x80 >> place % 8) for place in range(count)]

    def bits_or_all(self, count: int) -> list[bool]:
        return [True] * count if self.byte() else self.bits(count)

    def checksums(self, count: int) -> list[int | None]:
        return [self.fixed() if is_there else None for is_there in self.bits_or_all(count)]

    def fixed(self) -> int:
        return int(struct.unpack("<I", self.take(4))[0])


def packed_streams(header: Fields, limits: ParseLimits, address: str) -> Streams:
    streams = Streams()
    kind = header.byte()
    if kind == _PACK:
        _take_packed(streams, header, limits, address)
        kind = header.byte()
    if kind == _UNPACK:
        _take_folders(streams, header, limits, address)
        kind = header.byte()
    if kind == _SUBSTREAMS:
        _take_members(streams, header, limits, address)
        kind = header.byte()
    else:
        streams.sizes = [folder.size for folder in streams.folders]
        streams.crcs = [folder.crc for folder in streams.folders]
    if kind != END or sum(folder.packed_streams for folder in streams.folders) > len(streams.packed):
        raise OddHeader
    return streams


def _take_packed(streams: Streams, header: Fields, limits: ParseLimits, address: str) -> None:
    streams.start = header.number()
    count = header.count()
    check_count(count, _MAX_STREAMS * limits.max_archive_entries, "packed streams in the container", address)
    while (kind := header.byte()) != END:
        if kind == _SIZE:
            streams.packed = [header.number() for _ in range(count)]
        elif kind == _CRC:
            header.checksums(count)
        else:
            raise OddHeader


def _take_folders(streams: Streams, header: Fields, limits: ParseLimits, address: str) -> None:
    if header.byte() != _FOLDER:
        raise OddHeader
    count = header.count()
    # Each holds a member at least: none is made for those beyond.
    check_count(count, limits.max_archive_entries, "files in the container", address)
    if header.byte():
        raise OddHeader
    streams.folders = [_folder(header) for _ in range(count)]
    while (kind := header.byte()) != END:
        if kind == _UNPACK_SIZE:
            for folder in streams.folders:
                sizes = [header.number() for _ in range(folder.outputs)]
                folder.sizes = [sizes[place] for place in folder.order]
        elif kind == _CRC:
            for folder, crc in zip(streams.folders, header.checksums(count), strict=True):
                folder.crc = crc
        else:
            raise OddHeader


def _folder(header: Fields) -> Folder:
    coders: list[Coder] = []
    inputs = outputs = 0
    is_simple = True
    for _ in range(within(header.number(), 1, MAX_CODERS)):
        flags = header.byte()
        method = header.take(flags & 0xF)
        one_in, one_out = (header.number(), header.number()) if flags & 0x10 else (1, 1)
        is_simple = is_simple and one_in == one_out == 1
        inputs += within(one_in, 1, _MAX_STREAMS)
        outputs += within(one_out, 1, _MAX_STREAMS)
        coders.append(Coder(method, header.take(header.number()) if flags & 0x20 else b""))
    bound = dict((header.number(), header.number()) for _ in range(outputs - 1))
    packed = inputs - len(bound)
    for _ in range(packed if packed > 1 else 0):
        header.number()
    order = _order(bound, len(coders)) if is_simple else list(range(outputs))
    return Folder([coders[place] for place in order] if is_simple else coders, is_simple, packed, outputs, order)


def within(number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise OddHeader
    return number


def _order(bound: dict[int, int], count: int) -> list[int]:
    """The coders from the one whose result the members are to the one that unpacks what is stored.

    Args:
        bound: By each coder, the one that it reads from.
    """
    place = next((place for place in range(count) if place not in bound.values()), 0)
    order = [place]
    while place in bound and len(order) <= count:
        place = bound[place]
        order.append(place)
    if sorted(order) != list(range(count)):
        raise OddHeader
    return order


def _take_members(streams: Streams, header: Fields, limits: ParseLimits, address: str) -> None:
    """Sizes and checksums of members within each folder."""
    kind = header.byte()
    if kind == _COUNT:
        for folder in streams.folders:
            folder.members = header.number()
        kind = header.byte()
    check_count(
        sum(folder.members for folder in streams.folders), limits.max_archive_entries, "files in the container", address
    )
    for folder in streams.folders:
        sizes = [header.number() for _ in range(folder.members - 1)] if kind == _SIZE else []
        rest = folder.size - sum(sizes)
        if rest < 0 or (folder.members > 1 and kind != _SIZE):
            raise OddHeader
        streams.sizes += [*sizes, rest] if folder.members else []
    if kind == _SIZE:
        kind = header.byte()
    known = [folder.crc if folder.members == 1 else None for folder in streams.folders for _ in range(folder.members)]
    if kind == _CRC:
        missing = iter(header.checksums(known.count(None)))
        known = [next(missing) if crc is None else crc for crc in known]
        kind = header.byte()
    if kind != END:
        raise OddHeader
    streams.crcs = known


def listed_files(header: Fields, limits: ParseLimits, address: str) -> list[SevenMember]:
    """The members by name, still without their sizes."""
    count = header.number()
    check_count(count, limits.max_archive_entries, "files in the container", address)
    names = [""] * count
    attributes = [0] * count
    is_empty = [False] * count
    empty_files: list[bool] = []
    while (kind := header.byte()) != END:
        fields = Fields(header.take(header.number()))
        if kind == _EMPTY_STREAM:
            is_empty = fields.bits(count)
        elif kind == _EMPTY_FILE:
            empty_files = fields.bits(sum(is_empty))
        elif kind == _NAMES and not fields.byte():
            said = fields.take(fields.left).decode("utf-16-le", "replace").split("\0", count)
            names = said[:count] + [""] * (count - len(said))
        elif kind == _ATTRIBUTES:
            are_there = fields.bits_or_all(count)
            attributes = [fields.fixed() if there else 0 for there in are_there] if not fields.byte() else attributes
    return _listed(names, attributes, is_empty, empty_files)


def _listed(
    names: Sequence[str], attributes: Sequence[int], is_empty: Sequence[bool], empty_files: Sequence[bool]
) -> list[SevenMember]:
    of_empty = iter(empty_files)
    found: list[SevenMember] = []
    for name, attribute, empty in zip(names, attributes, is_empty, strict=True):
        is_folder = empty and not next(of_empty, False)
        mode = attribute >> 16 if attribute & _HAS_UNIX_MODE else 0
        is_link = mode & 0o170000 == _SYMBOLIC_LINK or bool(attribute & _LEADS_ELSEWHERE)
        found.append(SevenMember(name, is_folder, is_link, -1 if empty else 0))
    return found
