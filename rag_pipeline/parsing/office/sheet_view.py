"""How a sheet is shown: number formats of cells, merged ranges, and the rows and columns that are hidden.

Belongs here: what a sheet of XLSX says about its look, and a grid of values made as a person sees it.
Does not belong here: values themselves (`xlsx`), format codes (`number_formats`), old workbooks (`xls_stream`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import unescape
from typing import Any

from rag_pipeline.parsing.containers.archives import Archive
from rag_pipeline.parsing.office.number_formats import BUILTIN, shown

# Each is looked up at its cells; a report has hundreds.
MAX_MERGES = 20_000
# A merged note of several lines stands once; a merged name stands beside each of its rows.
MAX_FILLED_CHARS = 200
MAX_FILLED_CELLS = 200_000
MAX_HIDDEN_COLUMNS = 16_384

_PLAIN = frozenset({"general", "", "@"})
_FORMAT = re.compile(rb"<(?:\w+:)?numFmt(\s(?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>")
_STYLE = re.compile(rb"<(?:\w+:)?xf(\s[^<>]*)>")
_ROW = re.compile(rb"<(?:\w+:)?row\s[^<>]*>")
_HIDES = re.compile(rb"""\s(?:hidden=["'](?:1|true)["']|ht=["']0(?:\.0+)?["'])""")
# Whether it is worth looking at each row and column.
_HIDING = (b" hidden=", b' ht="0', b" ht='0", b' width="0', b" width='0")
_ROW_NUMBER = re.compile(rb"""\sr=["'](\d{1,7})["']""")
_COLUMN = re.compile(rb"<(?:\w+:)?col\s[^<>]*>")
_COLUMN_HIDES = re.compile(rb"""\s(?:hidden=["'](?:1|true)["']|width=["']0(?:\.0+)?["'])""")
_BOUND = rb"""\s%b=["'](\d{1,5})["']"""
_MERGE = re.compile(rb"""<(?:\w+:)?mergeCell\s[^<>]*?\bref=["']([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})["']""")
_STYLED = rb"""<(?:\w+:)?c(?=\s[^<>]*?\ss=["'](%b)["'])\s[^<>]*?\br=["']([A-Z]{1,3})(\d{1,7})["']"""

# The format that shows neither numbers nor text; a colour that hides does the same.
UNSEEN = ";;;"
# Before the format of a cell whose colours hide it, which counts where something else may colour the cell.
_COVERED = "\0"
STRUCK = "\1"
"""Before what is left of a cell whose text is struck through, in the place of its format."""
# What gives cells a colour that their style does not say: conditions, and the looks of tables.
_COLOURING = (b"conditionalFormatting", b"tablePart", b"<picture")
_ELEMENT = rb"<(?:\w+:)?%b(?:\s[^<>]*?)?(?:/>|>((?>(?:[^<]++|<(?!/?(?:\w+:)?%b[\s/>]))*))</(?:\w+:)?%b>)"
_FONT, _FILL = (re.compile(_ELEMENT % (name, name, name)) for name in (b"font", b"fill"))
_STRIKE = re.compile(rb"<(?:\w+:)?strike(\s[^<>]*)?/?>")
_COLOUR = re.compile(rb"<(?:\w+:)?color(\s[^<>]*)>")
_BACKGROUND = re.compile(rb"<(?:\w+:)?fgColor(\s[^<>]*)>")
_WHITE = "FFFFFF"
# A whole cell, so that its facts are there without a look back.
_UNCOMPUTED = re.compile(
    rb"<(?:\w+:)?c(\s[^<>]*)?>\s*<(?:\w+:)?f(?:\s[^<>]*/>|(?:\s[^<>]*)?>[^<]*</(?:\w+:)?f>)"
    rb"\s*(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
# What a cell shows in the place of a value, which libraries give as nothing.
_ERROR_CELL = re.compile(
    rb"<(?:\w+:)?c(\s[^<>]*)>\s*(?:<(?:\w+:)?f(?:\s[^<>]*/>|(?:\s[^<>]*)?>[^<]*</(?:\w+:)?f>)\s*)?"
    rb"<(?:\w+:)?v>\s*(#[^<\s]{1,30})\s*<"
)
_IS_ERROR = re.compile(rb"""\st=["']e["']""")
_PLACE = re.compile(rb"""\sr=["']([A-Z]{1,3})(\d{1,7})["']""")
# By the number that binary workbooks have for them.
ERRORS = {0: "#NULL!", 7: "#DIV/0!", 15: "#VALUE!", 23: "#REF!", 29: "#NAME?", 36: "#NUM!", 42: "#N/A"}
_EMPTY_TEXT = re.compile(rb"""\st=["']str["']""")

Place = tuple[int, int]
Range = tuple[int, int, int, int]
"""First row, first column, last row, last column, from 0, all of them within the range."""


@dataclass(slots=True)
class View:
    """How one sheet is shown; rows and columns are numbered from 0.

    Attributes:
        codes: Number formats by (row, column), of cells whose format shows other than the plain value.
        merged: Ranges shown as one cell.
        errors: What cells say whose formula has no value, such as `#N/A`.
    """

    codes: dict[Place, str] = field(default_factory=dict)
    errors: dict[Place, str] = field(default_factory=dict)
    merged: list[Range] = field(default_factory=list)
    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)


@dataclass(slots=True)
class LeftOut:
    """Rows and columns with content that a sheet hides, sheets that no menu brings back, and cells that show nothing.

    Attributes:
        cells: Those whose format or colours show nothing of what they hold.
        struck: Those struck through, as a whole or in part.
        formulas: Cells whose formula was saved without its value.
    """

    rows: int = 0
    columns: int = 0
    sheets: int = 0
    cells: int = 0
    formulas: int = 0
    struck: int = 0

    def metadata(self) -> dict[str, str]:
        """The counts that are not zero, as facts of the document."""
        counts = {
            "hidden_row_count": self.rows,
            "hidden_column_count": self.columns,
            "hidden_sheet_count": self.sheets,
            "hidden_cell_count": self.cells,
            "hidden_deletion_count": self.struck,
            "unread_formula_count": self.formulas,
        }
        return {name: str(count) for name, count in counts.items() if count}


def style_codes(archive: Archive) -> dict[str, str]:
    """Number format by the number that cells name their style with, where it may show other than the value."""
    styles = archive.read_if_there("xl/styles.xml") or b""
    own = {_fact(tag, b"numFmtId"): unescape(_fact(tag, b"formatCode")) for tag in _FORMAT.findall(styles)}
    found: dict[str, str] = {}
    is_unseen = _unseen_looks(styles)
    struck = _struck_fonts(styles)
    for number, tag in enumerate(_STYLE.findall(_section(styles, b"cellXfs"))):
        key = _fact(tag, b"numFmtId") or "0"
        code = own.get(key) or (BUILTIN.get(int(key), "") if key.isdecimal() else "")
        code = code if code.casefold() not in _PLAIN else ""
        if is_unseen(_fact(tag, b"fontId"), _fact(tag, b"fillId")):
            code = _COVERED + code
        code = STRUCK if _fact(tag, b"fontId") in struck else code
        if code:
            found[str(number)] = code
    return found


def _struck_fonts(styles: bytes) -> set[str]:
    """Numbers of the fonts that strike text through."""
    if b"strike" not in styles:
        return set()
    fonts = _FONT.findall(_section(styles, b"fonts"))
    return {str(number) for number, inner in enumerate(fonts) if is_struck_run(inner)}


def is_struck_run(properties: bytes) -> bool:
    """Whether the properties of a font or run strike its text through."""
    return any(_fact(said, b"val") not in ("0", "false") for said in _STRIKE.findall(properties))


def _unseen_looks(styles: bytes) -> Callable[[str, str], bool]:
    """Whether the numbers of a font and a fill are of one colour, or of a white font where nothing is filled.

    A colour of the theme is only equal to itself; which of them is white, the theme says.
    """
    colours = [_colour(_COLOUR, inner) for inner in _FONT.findall(_section(styles, b"fonts"))]
    behind = [
        _colour(_BACKGROUND, inner)
        if b"solid" in inner
        else ""
        if b"gradientFill" in inner or (b"patternType" in inner and b"none" not in inner)
        else _WHITE
        for inner in _FILL.findall(_section(styles, b"fills"))
    ]
    fonts, fills = ({str(number): each for number, each in enumerate(listed)} for listed in (colours, behind))
    return lambda font, fill: bool(fonts.get(font)) and fonts[font] == fills.get(fill)


def _section(styles: bytes, name: bytes) -> bytes:
    """What stands in the first element of a name; nothing in one that is not closed."""
    start = re.search(rb"<(?:\w+:)?%b[\s>]" % name, styles)
    end = re.compile(rb"</(?:\w+:)?%b>" % name).search(styles, start.end()) if start else None
    return styles[start.end() : end.start()] if start and end else b""


def _colour(pattern: re.Pattern[bytes], inner: bytes) -> str:
    """A colour as it can be compared; empty for one that the program chooses."""
    found = pattern.search(inner)
    if found is None or _fact(found[1], b"tint"):
        return ""
    # The first two of eight digits are no colour.
    return _fact(found[1], b"rgb")[-6:].upper() or (f"theme {theme}" if (theme := _fact(found[1], b"theme")) else "")


def uncomputed_formulas(sheet: bytes) -> int:
    """Cells of a worksheet's XML whose formula was saved without a value, as programs do that do not compute."""
    # Most sheets hold none, and a look at each cell takes a fifth of what a sheet takes.
    if b"<f" not in sheet and b":f" not in sheet:
        return 0
    return sum(_EMPTY_TEXT.search(match[1] or b"") is None for match in _UNCOMPUTED.finditer(sheet))


def _fact(tag: bytes, name: bytes) -> str:
    match = re.search(rb"""\s%b=(?:"([^"]*)"|'([^']*)')""" % name, tag)
    return ((match[1] if match[1] is not None else match[2]) if match else b"").decode("utf-8", "replace")


def sheet_view(sheet: bytes, codes: Mapping[str, str]) -> View:
    """What the XML of a worksheet says about its look.

    Args:
        codes: As `style_codes` gives them.
    """
    view = View()
    if any(code == UNSEEN or code.startswith(_COVERED) for code in codes.values()):
        is_coloured = any(mark in sheet for mark in _COLOURING)
        codes = {number: shows for number, code in codes.items() if (shows := _shows(code, is_coloured))}
    if codes:
        styled = re.compile(_STYLED % b"|".join(number.encode() for number in codes))
        column_of = cache(column_number)
        view.codes = {
            (int(row) - 1, column_of(column)): codes[style.decode()] for style, column, row in styled.findall(sheet)
        }
    view.errors = _errors(sheet)
    for match in _MERGE.findall(sheet) if b"mergeCell" in sheet else ():
        if len(view.merged) < MAX_MERGES:
            first, top, last, bottom = match
            view.merged.append((int(top) - 1, column_number(first), int(bottom) - 1, column_number(last)))
    if any(mark in sheet for mark in _HIDING):
        rows = (row for row in _ROW.findall(sheet) if _HIDES.search(row))
        view.hidden_rows = {int(found[1]) - 1 for row in rows if (found := _ROW_NUMBER.search(row))}
        for column in _COLUMN.findall(sheet):
            if _COLUMN_HIDES.search(column):
                bounds = [re.search(_BOUND % name, column) for name in (b"min", b"max")]
                first_column, last_column = (int(bound[1]) if bound else 0 for bound in bounds)
                if 0 < first_column <= last_column <= MAX_HIDDEN_COLUMNS:
                    view.hidden_columns |= set(range(first_column - 1, last_column))
    return view


def _errors(sheet: bytes) -> dict[Place, str]:
    if b't="e"' not in sheet and b"t='e'" not in sheet:
        return {}
    cells = (cell for cell in _ERROR_CELL.finditer(sheet) if _IS_ERROR.search(cell[1]))
    return {
        (int(place[2]) - 1, column_number(place[1])): cell[2].decode("utf-8", "replace")
        for cell in cells
        if (place := _PLACE.search(cell[1]))
    }


def _shows(code: str, is_coloured: bool) -> str:
    """The format that counts in a sheet, which may give its cells colours beside those of their styles."""
    if code == STRUCK:
        return code
    if is_coloured:
        return "" if code == UNSEEN else code.removeprefix(_COVERED)
    return UNSEEN if code.startswith(_COVERED) else code


def column_number(letters: bytes) -> int:
    """Number, from 0, of a column named by letters."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1


def cell_name(row: int, column: int) -> str:
    """Name of a cell, as `B3`: the row from 1, the column from 0."""
    letters = ""
    column += 1
    while column > 0:
        column, letter = divmod(column - 1, 26)
        letters = chr(65 + letter) + letters
    return f"{letters}{row}"


def seen_rows(
    rows: Iterable[Sequence[Any]], start: Place, view: View, written: Callable[[Any], str], left_out: LeftOut
) -> list[list[str]]:
    """The cells as a person sees them: formatted, merged ranges filled, hidden rows and columns left out.

    Args:
        rows: Values of the cells.
        start: Row and column of the first of them, from 0.
        written: A value without a format, as text.
        left_out: Counts of what is left out are added here.
    """
    top, left = start
    cells = [[written(value) for value in row] for row in rows] if not view.codes else []
    if view.codes:
        codes = view.codes
        for number, row in enumerate(rows, top):
            line = []
            for column, value in enumerate(row, left):
                code = codes.get((number, column))
                if code is not None and code.startswith(STRUCK):
                    left_out.struck += bool(str(value).strip())
                    line.append(code[len(STRUCK) :])
                    continue
                text = shown(value, code) if code is not None and value != "" else None
                if text == "" and str(value).strip():
                    left_out.cells += 1
                line.append(written(value) if text is None else text)
            cells.append(line)
    for (at_row, at_column), error in view.errors.items():
        place, within = at_row - top, at_column - left
        if 0 <= place < len(cells) and 0 <= within < len(cells[place]) and not cells[place][within]:
            is_struck = view.codes.get((at_row, at_column), "").startswith(STRUCK)
            left_out.struck += is_struck
            cells[place][within] = "" if is_struck else error
    _fill(cells, view.merged, top, left)
    return _visible(cells, view, top, left, left_out)


def seen_numbers(numbers: Iterable[int], top: int, view: View) -> list[int]:
    """Those of the rows that `seen_rows` gives, of the numbers of all rows, the first of which is row `top`, from 0."""
    return [number for place, number in enumerate(numbers, top) if place not in view.hidden_rows]


def _fill(cells: list[list[str]], merged: Iterable[Range], top: int, left: int) -> None:
    """Writes a merged cell into each row and column of its range, where the row holds something else."""
    budget = MAX_FILLED_CELLS
    changes: list[tuple[int, int, str]] = []
    for first_row, first_column, last_row, last_column in merged:
        row, column = first_row - top, first_column - left
        if not (0 <= row < len(cells) and 0 <= column < len(cells[row])):
            continue
        text = cells[row][column]
        if not text.strip() or len(text) > MAX_FILLED_CHARS:
            continue
        for number in range(row, min(last_row - top, len(cells) - 1) + 1):
            line = cells[number]
            stop = min(last_column - left + 1, len(line))
            budget -= max(1, stop - column)
            if budget < 0:
                return
            if any(map(str.strip, line[:column])) or any(map(str.strip, line[stop:])):
                changes += [(number, place, text) for place in range(column, stop)]
    for number, place, text in changes:
        cells[number][place] = text


def _visible(cells: list[list[str]], view: View, top: int, left: int, left_out: LeftOut) -> list[list[str]]:
    if not view.hidden_rows and not view.hidden_columns:
        return cells
    kept = [row for number, row in enumerate(cells, top) if number not in view.hidden_rows]
    gone = [row for number, row in enumerate(cells, top) if number in view.hidden_rows]
    left_out.rows += sum(any(map(str.strip, row)) for row in gone)
    width = max(map(len, kept), default=0)
    hidden = [column - left for column in view.hidden_columns if 0 <= column - left < width]
    left_out.columns += sum(any(column < len(row) and row[column].strip() for row in kept) for column in hidden)
    columns = set(hidden)
    return [[cell for column, cell in enumerate(row) if column not in columns] for row in kept] if columns else kept
