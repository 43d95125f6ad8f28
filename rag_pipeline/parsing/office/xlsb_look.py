"""How the sheets of a binary workbook (XLSB) are shown: number formats, hidden rows and columns, merged ranges.

Belongs here: the records of [MS-XLSB] that say so, and how far a sheet reaches.
Does not belong here: values (a library reads those), the look itself (`sheet_view`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from rag_pipeline.parsing.containers.archives import Archive, relations
from rag_pipeline.parsing.limits import check_count
from rag_pipeline.parsing.office.number_formats import BUILTIN
from rag_pipeline.parsing.office.sheet_view import ERRORS, MAX_HIDDEN_COLUMNS, MAX_MERGES, STRUCK, View, cell_name

WORKBOOK = "xl/workbook.bin"
_ROW, _COLUMNS, _MERGED, _SHEET = 0, 60, 176, 156
_FORMAT, _STYLE, _BEGIN_STYLES, _END_STYLES = 44, 47, 617, 618
_FONT, _IS_STRUCK = 43, 0x8
# Cells begin with column and style; those that hold a number may be shown by a format.
_CELLS = frozenset({*range(1, 12), 62})
_NUMBERS = frozenset({2, 5, 9})
# An error, and a formula that gives one.
_ERROR_CELLS = frozenset({3, 11})
_PLAIN = frozenset({"general", "", "@"})
_IS_HIDDEN_ROW = 0x10
_AUTHOR, _COMMENT, _COMMENT_TEXT = 632, 635, 637
# Sizes of records are written in at most four bytes of seven bits.
_SIZE_BYTES = 4


def xlsb_views(archive: Archive, max_cells: int) -> dict[str, View]:
    """The view of each sheet by its name.

    Raises:
        LimitExceeded: The rectangle between a sheet's first and last cell has too many cells, however few are filled.
    """
    codes = _codes(archive.read_if_there("xl/styles.bin") or b"")
    return {
        name: _view(archive.read_if_there(part) or b"", codes, archive.address, max_cells)
        for name, part in xlsb_parts(archive)
    }


def xlsb_parts(archive: Archive) -> list[tuple[str, str]]:
    """(name, member) of the sheets, in the workbook's order; a member may not be there."""
    parts = {key: name for key, (_, name) in relations(archive, WORKBOOK).items()}
    found: list[tuple[str, str]] = []
    for kind, content in _records(archive.read(WORKBOOK)):
        if kind == _SHEET:
            key, end = _text(content, 8)
            found.append((_text(content, end)[0], parts.get(key, "")))
    return found


def binary_comments(stream: bytes) -> Iterator[tuple[str, str, str]]:
    """Name of the cell, author and text of each comment of a sheet."""
    authors: list[str] = []
    place, author = "a cell", ""
    for kind, content in _records(stream):
        if kind == _AUTHOR:
            authors.append(_text(content, 0)[0])
        elif kind == _COMMENT and len(content) >= 20:
            number, row, _, column = struct.unpack_from("<IIII", content)
            place, author = cell_name(row + 1, column), authors[number] if number < len(authors) else ""
        elif kind == _COMMENT_TEXT and (said := _text(content, 1)[0].strip()):
            yield place, author, said


def _records(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each whole record."""
    position = 0
    while position + 2 <= len(stream):
        kind = stream[position]
        position += 1
        if kind & 0x80:
            kind = (kind & 0x7F) | (stream[position] & 0x7F) << 7
            position += 1
        size = 0
        for number, byte in enumerate(stream[position : position + _SIZE_BYTES]):
            size |= (byte & 0x7F) << 7 * number
            position += 1
            if not byte & 0x80:
                break
        if position + size > len(stream):
            return
        yield kind, stream[position : position + size]
        position += size


def _text(content: bytes, place: int) -> tuple[str, int]:
    """A text that begins with the number of its letters, and where it ends; empty for one that is cut short."""
    if place + 4 > len(content):
        return "", len(content)
    count = struct.unpack_from("<I", content, place)[0]
    end = place + 4 + 2 * count
    return (content[place + 4 : end].decode("utf-16-le", "replace"), end) if end <= len(content) else ("", place + 4)


def _codes(styles: bytes) -> dict[int, str]:
    """Number format by the number of a cell's style, where it may show other than the value."""
    own: dict[int, str] = {}
    found: dict[int, str] = {}
    fonts: list[bool] = []
    is_cell_style = False
    number = 0
    for kind, content in _records(styles):
        if kind in (_BEGIN_STYLES, _END_STYLES):
            is_cell_style = kind == _BEGIN_STYLES
        elif kind == _FORMAT and len(content) >= 2:
            own[struct.unpack_from("<H", content)[0]] = _text(content, 2)[0]
        elif kind == _FONT and len(content) >= 4:
            fonts.append(bool(struct.unpack_from("<H", content, 2)[0] & _IS_STRUCK))
        elif kind == _STYLE and is_cell_style and len(content) >= 6:
            key, font = struct.unpack_from("<HH", content, 2)
            code = own.get(key) or BUILTIN.get(key, "")
            if font < len(fonts) and fonts[font]:
                found[number] = STRUCK
            elif code.casefold() not in _PLAIN:
                found[number] = code
            number += 1
    return found


def _view(sheet: bytes, codes: Mapping[int, str], address: str, max_cells: int) -> View:
    view = View()
    row = 0
    rows: list[int] = []
    columns: list[int] = []
    for kind, content in _records(sheet):
        if kind == _ROW and len(content) >= 12:
            row = struct.unpack_from("<I", content)[0]
            if content[11] & _IS_HIDDEN_ROW:
                view.hidden_rows.add(row)
        elif kind in _CELLS and len(content) >= 8:
            column, style = struct.unpack_from("<II", content)
            rows.append(row)
            columns.append(column)
            if kind in _ERROR_CELLS and len(content) >= 9 and content[8] in ERRORS:
                view.errors[row, column] = ERRORS[content[8]]
            code = codes.get(style & 0xFFFFFF)
            if code is not None and (kind in _NUMBERS or code == STRUCK):
                view.codes[row, column] = code
        elif kind in (_COLUMNS, _MERGED) and len(content) >= 16:
            _take_ranges(view, kind, content)
    if rows:
        area = (max(rows) - min(rows) + 1) * (max(columns) - min(columns) + 1)
        check_count(area, max_cells, "cells between the first and the last of a sheet", address)
    return view


def _take_ranges(view: View, kind: int, content: bytes) -> None:
    one, two, three, four = struct.unpack_from("<IIII", content)
    if kind == _MERGED and len(view.merged) < MAX_MERGES:
        view.merged.append((one, three, two, four))
    elif kind == _COLUMNS and len(content) >= 18 and (content[16] & 0x1 or three == 0):
        view.hidden_columns |= set(range(one, min(two, MAX_HIDDEN_COLUMNS) + 1))
