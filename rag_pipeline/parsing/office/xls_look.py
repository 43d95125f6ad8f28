"""How the sheets of an old Excel workbook (XLS) are shown: number formats, hidden rows and columns, merged ranges.

Belongs here: the records of [MS-XLS] that say so. Does not belong here: values (a library reads those), bounds
(`xls_stream`), the look itself (`sheet_view`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from rag_pipeline.parsing.legacy.ole import OleFile
from rag_pipeline.parsing.office.number_formats import BUILTIN
from rag_pipeline.parsing.office.sheet_view import ERRORS, MAX_MERGES, STRUCK, View

_BOF, _SHEET, _FORMAT, _XF = 0x0809, 0x0085, 0x041E, 0x00E0
_FONT, _IS_STRUCK = 0x0031, 0x0008
# Fonts are numbered without a fourth.
_NO_FONT = 4
_ROW, _COLUMNS, _MERGED, _RUN = 0x0208, 0x007D, 0x00E5, 0x00BD
# Cells that hold a number: they begin with row, column and style.
_NUMBERS = frozenset({0x0006, 0x0203, 0x027E})
# Cells that hold words or no number, as their look counts where some font strikes text through.
_WORDS = frozenset({0x00FD, 0x0204, 0x00D6, 0x0205})
# A cell that holds a truth or an error, and a formula, whose result may be one.
_TRUTH_OR_ERROR, _FORMULA = 0x0205, 0x0006
# What Excel 97 and later write.
_VERSION_8 = 0x0600
_PLAIN = frozenset({"general", "", "@"})


@dataclass(slots=True)
class _Book:
    """What the workbook's own records say, and the views of its sheets by the place they begin at.

    Attributes:
        styles: Number of the font and of the format of each style.
        fonts: Whether each strikes text through.
        worded: Cells of words, where some font does.
    """

    names: dict[int, str] = field(default_factory=dict)
    formats: dict[int, str] = field(default_factory=dict)
    styles: list[tuple[int, int]] = field(default_factory=list)
    fonts: list[bool] = field(default_factory=list)
    views: dict[int, View] = field(default_factory=dict)
    styled: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)
    worded: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)


def workbook_stream(raw: bytes, address: str) -> bytes:
    """The records of a workbook; none for workbooks older than Excel 97.

    Raises:
        UnparsableDocument: The container is damaged.
    """
    container = OleFile(raw, address)
    name = next((name for name in ("Workbook", "WORKBOOK") if name in container.streams), "")
    stream = container.read(name) if name else b""
    is_read = len(stream) >= 8 and struct.unpack_from("<H", stream, 4)[0] == _VERSION_8
    return stream if is_read else b""


def xls_views(stream: bytes) -> dict[str, View]:
    """The view of each sheet of a workbook's records, by its name."""
    book = _Book()
    position = sheet = 0
    while position + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, position)
        content = stream[position + 4 : position + 4 + size]
        if kind == _BOF:
            sheet = position
        elif error := _error_of(kind, content):
            book.views.setdefault(sheet, View()).errors[struct.unpack_from("<HH", content)] = error
        if kind in _READERS and len(content) == size:
            _take(book, sheet, kind, content)
        elif kind in _WORDS and len(content) >= 6 and any(book.fonts):
            book.worded.setdefault(sheet, []).append(struct.unpack_from("<HHH", content))
        position += 4 + size
    return _by_name(book)


def sheet_names(stream: bytes) -> dict[int, str]:
    """Names of the sheets of a workbook stream by the place they begin at."""
    book = _Book()
    position = 0
    while position + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, position)
        if kind == _SHEET and position + 4 + size <= len(stream):
            _take(book, 0, kind, stream[position + 4 : position + 4 + size])
        position += 4 + size
    return book.names


_READERS = frozenset({_SHEET, _FONT, _FORMAT, _XF, _ROW, _COLUMNS, _MERGED, _RUN, *_NUMBERS})


def _take(book: _Book, sheet: int, kind: int, content: bytes) -> None:
    try:
        if kind in (_SHEET, _FONT, _FORMAT, _XF):
            _take_global(book, kind, content)
            return
        view = book.views.setdefault(sheet, View())
        if kind in _NUMBERS or kind == _RUN:
            book.styled.setdefault(sheet, []).extend(_styled(kind, content))
        elif kind == _MERGED:
            _take_merged(view, content)
        else:
            _take_hidden(view, kind, content)
    except struct.error:
        # A record cut short says nothing about the look; the values do not depend on it.
        return


def _error_of(kind: int, content: bytes) -> str:
    """What a cell says in the place of a value; nothing where it has one."""
    if kind == _TRUTH_OR_ERROR and len(content) >= 8 and content[7] == 1:
        return ERRORS.get(content[6], "")
    if kind == _FORMULA and len(content) >= 14 and content[6] == 2 and content[12:14] == b"\xff\xff":
        return ERRORS.get(content[8], "")
    return ""


def _styled(kind: int, content: bytes) -> list[tuple[int, int, int]]:
    if kind != _RUN:
        row, column, style = struct.unpack_from("<HHH", content)
        return [(row, column, style)]
    row, first = struct.unpack_from("<HH", content)
    count = (len(content) - 6) // 6
    return [(row, first + number, struct.unpack_from("<H", content, 4 + 6 * number)[0]) for number in range(count)]


def _take_merged(view: View, content: bytes) -> None:
    for number in range(struct.unpack_from("<H", content)[0]):
        top, bottom, left, right = struct.unpack_from("<HHHH", content, 2 + 8 * number)
        if len(view.merged) < MAX_MERGES:
            view.merged.append((top, left, bottom, right))


def _take_hidden(view: View, kind: int, content: bytes) -> None:
    if kind == _ROW:
        row, height, options = (struct.unpack_from("<H", content, offset)[0] for offset in (0, 6, 12))
        if options & 0x20 or height == 0:
            view.hidden_rows.add(row)
        return
    first, last, width, _, options = struct.unpack_from("<HHHHH", content)
    if (options & 0x1 or width == 0) and first <= last:
        view.hidden_columns |= set(range(first, min(last, 0xFF) + 1))


def _take_global(book: _Book, kind: int, content: bytes) -> None:
    if kind == _XF:
        book.styles.append(struct.unpack_from("<HH", content))
    elif kind == _FONT:
        book.fonts.append(bool(struct.unpack_from("<H", content, 2)[0] & _IS_STRUCK))
    elif kind == _FORMAT:
        number, count, flags = struct.unpack_from("<HHB", content)
        book.formats[number] = _text(content[5:], count, flags)
    else:
        offset, _, _, count, flags = struct.unpack_from("<IBBBB", content)
        book.names[offset] = _text(content[8:], count, flags)


def _text(data: bytes, count: int, flags: int) -> str:
    return data[: 2 * count].decode("utf-16-le", "replace") if flags & 1 else data[:count].decode("latin-1")


def _by_name(book: _Book) -> dict[str, View]:
    codes: dict[int, str] = {}
    struck: set[int] = set()
    for number, (font, key) in enumerate(book.styles):
        place = font - (font > _NO_FONT)
        if place < len(book.fonts) and book.fonts[place]:
            struck.add(number)
            codes[number] = STRUCK
            continue
        code = book.formats.get(key) or BUILTIN.get(key, "")
        if code.casefold() not in _PLAIN:
            codes[number] = code
    for sheet, places in book.styled.items():
        places = [*places, *(place for place in book.worded.pop(sheet, ()) if place[2] in struck)]
        book.views[sheet].codes = {(row, column): codes[style] for row, column, style in places if style in codes}
    for sheet, places in book.worded.items():
        book.views.setdefault(sheet, View()).codes = {
            (row, column): STRUCK for row, column, style in places if style in struck
        }
    return {name: book.views[offset] for offset, name in book.names.items() if offset in book.views}
