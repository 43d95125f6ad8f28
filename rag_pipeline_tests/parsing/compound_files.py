"""Compound files (OLE) made in code, for old Excel workbooks and Outlook messages."""

from __future__ import annotations

import struct

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
FREE, END = 0xFFFFFFFF, 0xFFFFFFFE
SECTOR = 512


def compound(streams: dict[str, bytes]) -> bytes:
    """A container of streams by path; each stream takes at least 4096 bytes, so that none is a small one."""
    names = sorted({path.rsplit("/", 1)[0] for path in streams if "/" in path}) + list(streams)
    parents = [name.rpartition("/")[0] for name in names]
    chain: list[int] = []
    data = b""
    places: dict[str, tuple[int, int]] = {}
    for name, content in streams.items():
        padded = content.ljust(4096, b"\0")
        padded += bytes(-len(padded) % SECTOR)
        first, count = len(chain), len(padded) // SECTOR
        chain += [*range(first + 1, first + count), END]
        places[name] = (first, max(len(content), 4096))
        data += padded
    directory = [entry("Root Entry", 5, below=first_of(parents, ""))]
    for number, name in enumerate(names):
        following = next((later for later in range(number + 1, len(names)) if parents[later] == parents[number]), None)
        right = FREE if following is None else following + 1
        if name in streams:
            first, size = places[name]
            directory.append(entry(name.rpartition("/")[2], 2, right=right, first=first, size=size))
        else:
            directory.append(entry(name.rpartition("/")[2], 1, right=right, below=first_of(parents, name)))
    folder = b"".join(directory)
    folder += bytes(-len(folder) % SECTOR)
    first_folder = len(chain)
    count = len(folder) // SECTOR
    chain += [*range(first_folder + 1, first_folder + count), END]
    table_sector = len(chain)
    chain += [0xFFFFFFFD] + [FREE] * (127 - len(chain))
    assert len(chain) == 128, "one table sector holds a file of 64 KB"
    counts = struct.pack("<IIIIIIIII", 0, 1, first_folder, 0, 4096, END, 0, END, 0)
    header = MAGIC + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6) + counts
    header += struct.pack("<109I", table_sector, *[FREE] * 108)
    return header + data + folder + struct.pack("<128I", *chain)


def first_of(parents: list[str], name: str) -> int:
    return next((number + 1 for number, parent in enumerate(parents) if parent == name), FREE)


def entry(name: str, kind: int, right: int = FREE, below: int = FREE, first: int = 0, size: int = 0) -> bytes:
    spelled = name.encode("utf-16-le") + b"\0\0"
    links = struct.pack("<HBBIII36xIQ", len(spelled), kind, 1, FREE, right, below, first, size)
    return spelled.ljust(64, b"\0") + links


def record(kind: int, content: bytes) -> bytes:
    """One record of a workbook stream."""
    return struct.pack("<HH", kind, len(content)) + content


def workbook(*cells: bytes, in_globals: bytes = b"") -> bytes:
    """A workbook stream of one sheet, named Sums, that holds the given records."""
    begin = record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0005, 0, 0, 0, 0)) + in_globals
    name = struct.pack("<BB", 0, 0) + struct.pack("<BB", 4, 0) + b"Sums"
    offset = len(begin) + 4 + 4 + len(name) + 4
    globals_ = begin + record(0x0085, struct.pack("<I", offset) + name) + record(0x000A, b"")
    sheet = record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0, 0, 0, 0)) + b"".join(cells)
    return globals_ + sheet + record(0x000A, b"")


def label(row: int, column: int, text: str) -> bytes:
    """A cell of text."""
    return record(0x0204, struct.pack("<HHHHB", row, column, 0, len(text), 0) + text.encode("latin-1"))
