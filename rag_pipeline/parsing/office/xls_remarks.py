"""What stands beside the cells of an old Excel workbook (XLS): comments, and words of drawn shapes.

Belongs here: the records of [MS-XLS] that hold them (objects, their words, and the cells of comments).
Does not belong here: values and looks of cells.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.office.sheet_cells import remark_line
from rag_pipeline.parsing.office.sheet_view import cell_name
from rag_pipeline.parsing.office.xls_look import sheet_names

_BOF, _END = 0x0809, 0x000A
_OBJECT, _WORDS, _NEXT, _NOTE = 0x005D, 0x01B6, 0x003C, 0x001C
_WORDS_MARK = struct.pack("<H", _WORDS)


def xls_remarks(stream: bytes) -> dict[str, list[str]]:
    """Comments with their cells, and words of shapes, of a workbook's records, by name of the sheet."""
    if _WORDS_MARK not in stream:
        return {}
    names = sheet_names(stream)
    found: dict[str, list[str]] = {}
    for start, records in _sheets(stream):
        lines = list(dict.fromkeys(_remarks(records)))
        if lines and start in names:
            found[names[start]] = lines
    return found


def _sheets(stream: bytes) -> Iterator[tuple[int, list[tuple[int, bytes]]]]:
    """Where each sheet begins, and the records of it that matter here."""
    kept: list[tuple[int, bytes]] = []
    start = position = depth = 0
    while position + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, position)
        content = stream[position + 4 : position + 4 + size]
        if kind == _BOF:
            # A chart lies within its sheet.
            if not depth:
                start, kept = position, []
            depth += 1
        elif kind == _END:
            depth = max(0, depth - 1)
            if not depth and kept:
                yield start, kept
        elif kind in (_OBJECT, _WORDS, _NEXT, _NOTE):
            kept.append((kind, content))
        position += 4 + size
    if depth and kept:
        yield start, kept


def _remarks(records: list[tuple[int, bytes]]) -> Iterator[str]:
    """Shapes first, then comments; a comment names its object, whose words stand elsewhere."""
    said = _said(records)
    notes: list[str] = []
    of_notes: set[int] = set()
    for kind, content in records:
        if kind == _NOTE and len(content) >= 8:
            row, column, _, number = struct.unpack_from("<HHHH", content)
            of_notes.add(number)
            if words := said.get(number, "").strip():
                notes.append(remark_line(cell_name(row + 1, column), _author(content[8:]), words))
    for number, words in said.items():
        if number not in of_notes and words.strip():
            yield clean_text(" ".join(words.split()))
    yield from notes


def _said(records: list[tuple[int, bytes]]) -> dict[int, str]:
    """Words of each object, which follow it in parts."""
    said: dict[int, str] = {}
    number, left = -1, 0
    for kind, content in records:
        if kind == _OBJECT and len(content) >= 8:
            number = struct.unpack_from("<H", content, 6)[0]
        elif kind == _WORDS and len(content) >= 12:
            left = struct.unpack_from("<H", content, 10)[0]
        elif kind == _NEXT and left > 0 and content:
            words = content[1:].decode("utf-16-le" if content[0] & 1 else "latin-1", "replace")[:left]
            said[number] = said.get(number, "") + words
            left -= len(words)
    return said


def _author(data: bytes) -> str:
    if len(data) < 3:
        return ""
    count, flags = struct.unpack_from("<HB", data)
    return (
        data[3 : 3 + 2 * count].decode("utf-16-le", "replace") if flags & 1 else data[3 : 3 + count].decode("latin-1")
    )[:100]
