"""How text of Word files of 1997 to 2003 looks: hidden, struck out, raised or lowered.

Belongs here: the character properties of [MS-DOC], and text as a reader sees it, every character in its place.
Does not belong here: paragraphs (`word_ppt97`).
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rag_pipeline.parsing.raised import shifted

# Size of a formatted disk page ([MS-DOC]).
PAGE_BYTES = 512
# What is left out becomes this mark, which ends in no text; marks of paragraphs and cells stay.
GONE = "\x01"
_KEPT = re.compile(r"[^\r\x07\x0b\x0c\x13-\x15]")
# Raised and lowered ASCII, until the words before it are known.
_RAISED, _LOWERED = 0xE000, 0xE100
_SHIFTED = re.compile("[\ue020-\ue07e]+|[\ue120-\ue17e]+")
_HIDDEN, _DELETED, _STRUCK, _STRUCK_TWICE, _PLACE = 0x083C, 0x0800, 0x0837, 0x2A53, 0x2A48
_CAUSES = {_HIDDEN: "run", _DELETED: "deletion", _STRUCK: "deletion", _STRUCK_TWICE: "deletion"}
# One of these, as they are written.
_TELLING = re.compile(b"[\x3c\x00\x37]\x08|[\x53\x48]\x2a")
# Bytes that an operation's operand takes, by the upper three bits of its number; 6 says its length itself.
_OPERANDS = {0: 1, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2, 7: 3}


@dataclass(frozen=True, slots=True)
class _Look:
    cause: str = ""
    shift: int = 0


_PLAIN = _Look()


class CharacterLooks:
    """Looks by file offset; those that styles bring are not known.

    Attributes:
        hidden: Runs with words that were left out, by the way of hiding.
    """

    def __init__(self, main: bytes, table: bytes) -> None:
        self.hidden: Counter[str] = Counter()
        self._ends: list[int] = []
        self._looks: list[_Look] = []
        self._has_looks = False
        self._known: dict[bytes, _Look] = {b"": _PLAIN}
        start, size = struct.unpack_from("<II", main, 0x00FA)
        count = max(0, (size - 4) // 8)
        if not size or start + 4 * (2 * count + 1) > len(table):
            return
        for number in struct.unpack_from(f"<{count}I", table, start + 4 * (count + 1)):
            page = main[(number & 0x3FFFFF) * PAGE_BYTES :][:PAGE_BYTES]
            if len(page) == PAGE_BYTES:
                self._read_page(page)

    def seen(self, text: str, offset: int, width: int) -> str:
        """A piece of text that stands at `offset` of the file, as a reader sees it; as long as it was.

        Args:
            width: Bytes of each character.
        """
        if not self._has_looks:
            return text
        parts: list[str] = []
        position = 0
        while position < len(text):
            index = bisect_right(self._ends, offset + position * width)
            if index >= len(self._ends):
                parts.append(text[position:])
                break
            end = min(len(text), max(position + 1, (self._ends[index] - offset) // width))
            parts.append(self._shown(text[position:end], self._looks[index]))
            position = end
        return "".join(parts)

    def _shown(self, text: str, look: _Look) -> str:
        if look.cause:
            self.hidden[look.cause] += any(map(str.isalnum, text))
            return _KEPT.sub(GONE, text)
        if look.shift:
            return "".join(chr(look.shift + ord(sign)) if " " <= sign <= "~" else sign for sign in text)
        return text

    def _read_page(self, page: bytes) -> None:
        runs = page[-1]
        if 4 * (runs + 1) + runs > PAGE_BYTES:
            return
        ends = struct.unpack_from(f"<{runs}I", page, 4)
        if not _TELLING.search(page):
            # Most pages have only fonts and sizes.
            if runs and (not self._ends or ends[-1] > self._ends[-1]):
                self._ends.append(ends[-1])
                self._looks.append(_PLAIN)
            return
        # Runs have the same few looks again and again.
        known = self._known
        for index in range(runs):
            at = 2 * page[4 * (runs + 1) + index]
            properties = page[at + 1 : at + 1 + page[at]] if at else b""
            if properties not in known:
                known[properties] = _look(properties)
            look = known[properties]
            if not self._ends or ends[index] > self._ends[-1]:
                self._ends.append(ends[index])
                self._looks.append(look)
                self._has_looks |= look is not _PLAIN


def readable(text: str) -> str:
    """Text in which raised and lowered figures do not run into those before them."""
    return _SHIFTED.sub(_written, text)


def _written(match: re.Match[str]) -> str:
    is_raised = match.group() < chr(_LOWERED)
    base = _RAISED if is_raised else _LOWERED
    words = "".join(chr(ord(sign) - base) for sign in match.group())
    return shifted(words, "sup" if is_raised else "sub", match.string[: match.start()][-1:])


def _look(properties: bytes) -> _Look:
    cause, shift = "", 0
    for operation, operand in _operations(properties):
        if operation in _CAUSES and operand == 1:
            cause = cause or _CAUSES[operation]
        elif operation == _PLACE:
            shift = {1: _RAISED, 2: _LOWERED}.get(operand, 0)
    return _Look(cause, shift) if cause or shift else _PLAIN


def _operations(properties: bytes) -> Iterator[tuple[int, int]]:
    """(operation, first byte of its operand)."""
    position = 0
    while position + 3 <= len(properties):
        operation = struct.unpack_from("<H", properties, position)[0]
        position += 2
        yield operation, properties[position]
        position += _OPERANDS.get(operation >> 13, 1 + properties[position])
