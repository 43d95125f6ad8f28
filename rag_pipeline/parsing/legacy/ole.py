"""Reads OLE compound files, the containers of old Office and Outlook files.

Belongs here: sectors, streams and their names, as Microsoft's [MS-CFB] describes them.
Does not belong here: what streams hold (`word_ppt97`, `mail`).
"""

from __future__ import annotations

import struct
from array import array

from rag_pipeline.errors import UnparsableDocument
from rag_pipeline.parsing.media_type import OLE_MAGIC

_END = 0xFFFFFFFA  # this and above are marks, not sectors
# Size of a directory entry ([MS-CFB] 2.6.1).
_ENTRY_BYTES = 128
# A file that claims more is damaged or hostile.
MAX_ENTRIES = 100_000
# Storages within storages; a circle ends here.
MAX_DEPTH = 32


class OleFile:
    """The streams of a compound file, by path such as "__recip_version1.0_#00000000/__substg1.0_3001001F".

    Raises:
        UnparsableDocument: No compound file, or its tables are damaged.
    """

    def __init__(self, raw: bytes, address: str) -> None:
        self._raw = raw
        self._address = address
        if len(raw) < 512 or not raw.startswith(OLE_MAGIC):
            raise self._broken()
        sector_shift, mini_shift = struct.unpack_from("<HH", raw, 30)
        if sector_shift not in (9, 12) or mini_shift not in (6, 7, 8, 9):
            raise self._broken()
        # Other readers of these files allocate what the header claims, so a false claim ends here.
        counts = (struct.unpack_from("<I", raw, offset)[0] for offset in (40, 44, 64, 72))
        if any(count > len(raw) >> sector_shift for count in counts):
            raise self._broken()
        self._sector_bytes = 1 << sector_shift
        self._mini_bytes = 1 << mini_shift
        first_directory, _, self._cutoff, first_mini, _, first_table, _ = struct.unpack_from("<IIIIIII", raw, 48)
        self._next = self._allocation(first_table)
        self._entries = self._directory(first_directory)
        self._next_mini = array("I", self._whole_words(self._chain(first_mini)))
        root = self._entries[0]
        self._mini_stream = self._chain(root[2])[: root[3]]
        self.streams: dict[str, tuple[int, int]] = {}
        self.folders: list[str] = []
        self._walk(root[6], "", 0, set())

    def read(self, path: str) -> bytes:
        """Bytes of a stream; empty for a path that is not there."""
        if path not in self.streams:
            return b""
        start, size = self.streams[path]
        if size >= self._cutoff:
            return self._chain(start)[:size]
        parts: list[bytes] = []
        sector = start
        for _ in range(len(self._next_mini)):
            if sector >= _END or sector >= len(self._next_mini):
                break
            parts.append(self._mini_stream[sector * self._mini_bytes : (sector + 1) * self._mini_bytes])
            sector = self._next_mini[sector]
        return b"".join(parts)[:size]

    def _allocation(self, sector: int) -> array[int]:
        """The table that says, for each sector, which one follows it."""
        sectors = list(struct.unpack_from("<109I", self._raw, 76))
        seen: set[int] = set()
        while sector < _END and sector not in seen:
            seen.add(sector)
            words = array("I", self._whole_words(self._sector(sector)))
            sectors.extend(words[:-1])
            sector = words[-1] if words else _END
        table = array("I")
        for part in sectors:
            if part < _END:
                table.frombytes(self._whole_words(self._sector(part)))
        return table

    def _sector(self, number: int) -> bytes:
        start = (number + 1) * self._sector_bytes
        return self._raw[start : start + self._sector_bytes]

    def _chain(self, sector: int) -> bytes:
        parts: list[bytes] = []
        # No chain is longer than the file has sectors: that also ends one that runs in a circle.
        for _ in range(len(self._raw) // self._sector_bytes + 1):
            if sector >= _END or sector >= len(self._next):
                break
            parts.append(self._sector(sector))
            sector = self._next[sector]
        return b"".join(parts)

    def _directory(self, sector: int) -> list[tuple[str, int, int, int, int, int, int]]:
        """(name, type, first sector, size, left, right, child) of each entry."""
        data = self._chain(sector)
        entries = []
        for start in range(0, min(len(data), MAX_ENTRIES * _ENTRY_BYTES) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
            name_bytes, kind = struct.unpack_from("<HB", data, start + 64)
            name = data[start : start + max(0, min(name_bytes, 64) - 2)].decode("utf-16-le", "replace")
            left, right, below = struct.unpack_from("<III", data, start + 68)
            first, size = struct.unpack_from("<II", data, start + 116)
            entries.append((name, kind, first, size, left, right, below))
        if not entries:
            raise self._broken()
        return entries

    def _walk(self, top: int, prefix: str, depth: int, seen: set[int]) -> None:
        """Collects the streams of one folder; its entries hang in a binary tree."""
        waiting = [top]
        while waiting:
            number = waiting.pop()
            if number >= len(self._entries) or number in seen:
                continue
            seen.add(number)
            name, kind, first, size, left, right, below = self._entries[number]
            if kind == 2:
                self.streams[prefix + name] = (first, size)
            elif kind == 1 and depth < MAX_DEPTH:
                self.folders.append(prefix + name)
                self._walk(below, f"{prefix}{name}/", depth + 1, seen)
            waiting += (left, right)

    @staticmethod
    def _whole_words(data: bytes) -> bytes:
        return data[: len(data) // 4 * 4]

    def _broken(self) -> UnparsableDocument:
        return UnparsableDocument(
            f"{self._address}: the container of an old Office format is damaged. "
            "Open the file in its application and save it in the current format.",
            address=self._address,
        )
