"""Cells straight from the XML of spreadsheets: for ODS, and for XLSX that no library could hold.

Belongs here: worksheet parts, their bounding box, sparse reading row by row, and remarks beside the cells.
Does not belong here: what rows become (`xlsx`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from rag_pipeline.errors import LimitExceeded
from rag_pipeline.parsing.containers.archives import (
    Archive,
    child,
    local_attribute,
    local_name,
    related,
    relations,
    xml_root,
)
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.limits import check_count
from rag_pipeline.parsing.office.drawings import drawn_paragraphs
from rag_pipeline.parsing.office.sheet_view import MAX_MERGES, View

if TYPE_CHECKING:
    from lxml.etree import _Element

# Columns of a sheet in Excel and LibreOffice.
MAX_COLUMNS = 16_384
# More rows than any sheet has (1,048,576).
MAX_POSITION = 10_000_000
# Below this bound strings need no counting.
SHARED_CHARS_UNSEEN = 200_000_000
MAX_REPEATED_ROWS = 1_000
# Trailing styled but empty cells are repeated to the sheet's edge; real repetitions are short.
MAX_REPEATED_COLUMNS = 256

_CELL = re.compile(rb"""<(?:\w+:)?c\s[^<>]*?\br=["']([A-Za-z]{1,3})(\d{1,7})["']""")
_ANY_CELL = re.compile(rb"<(?:\w+:)?c[\s/>]")
_REFERENCE = re.compile(r"([A-Za-z]{1,3})(\d{1,7})$")
_STRING_CELL = re.compile(rb"""<(?:\w+:)?c\s[^<>]*?\bt=["']s["'][^<>]*>\s*<(?:\w+:)?v>\s*(\d{1,9})""")


def sheet_parts(archive: Archive) -> list[tuple[str, str]]:
    """(name, member) of the worksheets, in the workbook's order."""
    mains = related(archive, "", "officeDocument") or [n for n in ("xl/workbook.xml",) if n in archive.names]
    if not mains or mains[0].endswith(".bin"):
        return []
    by_id = relations(archive, mains[0])
    parts: list[tuple[str, str]] = []
    for element in archive.xml(mains[0]).iter("{*}sheet"):
        for key, value in element.attrib.items():
            kind, member = by_id.get(str(value), ("", ""))
            if not str(key).endswith("}id") or kind != "worksheet":
                continue
            if member in archive.names:
                parts.append((element.get("name") or "", member))
            else:
                archive.note_unread(member)
    return parts


def area_cells(sheet: bytes, address: str) -> int:
    """Cells of the rectangle that spans all cells of a worksheet's XML."""
    found = _CELL.findall(sheet)
    if not found or len(found) != len(_ANY_CELL.findall(sheet)):
        # Cells without a reference or in an unusual spelling: slower, but it sees what any reader sees.
        return _area_of(_positions(xml_root(sheet, address)))
    rows = [int(row) for row in {row for _, row in found}]
    columns = [_column_number(column.decode("ascii")) for column in {column for column, _ in found}]
    return _area_of([(min(rows), min(columns)), (max(rows), max(columns))])


def _area_of(positions: Iterable[tuple[int, int]]) -> int:
    first_row = first_column = MAX_POSITION
    last_row = last_column = 0
    for row, column in positions:
        first_row, last_row = min(first_row, row), max(last_row, row)
        first_column, last_column = min(first_column, column), max(last_column, column)
    return (last_row - first_row + 1) * (last_column - first_column + 1) if last_row else 0


def _positions(sheet: _Element) -> Iterator[tuple[int, int]]:
    """(row, column), from 1, of each cell; one without a reference follows the one before it."""
    row = 0
    for element in sheet.iter("{*}row"):
        row = row_number(element, row)
        column = 0
        for cell in element.iterchildren("{*}c"):
            match = _REFERENCE.match(cell.get("r") or "")
            at, column = (int(match.group(2)), _column_number(match.group(1))) if match else (row, column + 1)
            yield at, column


def shared_chars(archive: Archive, sheets: list[bytes]) -> int:
    """Characters, at least, that the cells of worksheets draw from the table of shared strings.

    A long string that many cells share costs a file nothing, and a reader its memory.
    """
    lengths: list[int] = []
    for member in archive.names:
        if member.lower().endswith("sharedstrings.xml"):
            lengths = [len(item) for item in archive.read(member).split(b"</si>")]
    cells = sum(sheet.count(b'"s"') + sheet.count(b"'s'") for sheet in sheets)
    if max(lengths, default=0) * cells < SHARED_CHARS_UNSEEN:
        return 0
    counts = Counter(int(number) for sheet in sheets for number in _STRING_CELL.findall(sheet))
    return sum(lengths[index] * count for index, count in counts.items() if index < len(lengths))


def sparse_sheets(archive: Archive, parts: list[tuple[str, str]]) -> Iterator[tuple[str, list[list[str]], list[int]]]:
    """Name, rows and their numbers, from 1, of sheets with only the cells that hold something.

    Gaps between columns close, those between rows are one blank row, and dates stay numbers.
    """
    strings: list[str] = []
    for member in archive.names:
        if member.lower().endswith("sharedstrings.xml"):
            strings = [_string(item) for item in archive.xml(member)]
    for name, member in parts:
        rows: list[list[str]] = []
        numbers: list[int] = []
        for row in archive.xml(member).iter("{*}row"):
            before = numbers[-1] if numbers else 0
            # A number that is not above the one before it would put two rows into one line.
            number = max(row_number(row, before), before + 1)
            if number > before + 1:
                rows.append([])
                numbers.append(number - 1)
            rows.append([value for cell in row if (value := _cell_value(cell, strings))])
            numbers.append(number)
        yield name, rows, numbers


def row_number(row: _Element, before: int) -> int:
    """Number, from 1, of a row of XML; one that says none follows the one before it."""
    said = row.get("r") or ""
    return int(said) if said.isdecimal() and len(said) < 8 else before + 1


def sheet_remarks(archive: Archive, parts: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Comments and texts of drawn shapes, by name of the sheet they belong to.

    Args:
        parts: As `sheet_parts` gives them.
    """
    found: dict[str, list[str]] = {}
    for sheet, member in parts:
        lines: dict[str, None] = {}
        for kind, name in relations(archive, member).values():
            root = archive.spare_xml(name) if kind in ("comments", "threadedComment", "drawing") else None
            if root is None:
                continue
            if kind == "drawing":
                lines |= dict.fromkeys(_drawn(archive, name, root))
                continue
            for comment in root.iter("{*}comment", "{*}threadedComment"):
                said = " ".join("".join(item.text or "" for item in comment.iter("{*}t", "{*}text")).split())
                # Excel writes what a thread says a second time, after a notice for older programs.
                if said and not said.startswith("[Threaded comment]"):
                    lines[f"Comment on {comment.get('ref') or 'a cell'}: {clean_text(said)}"] = None
        if lines:
            found[sheet] = list(lines)
    return found


def _drawn(archive: Archive, name: str, drawing: _Element) -> Iterator[str]:
    """Texts of shapes and titles of charts; the numbers of charts stand in cells already."""
    texts = list(drawing.iter("{*}txBody"))
    for chart in related(archive, name, "chart"):
        root = archive.spare_xml(chart)
        texts += root.iter("{*}title") if root is not None else ()
    for body in texts:
        for _, text in drawn_paragraphs(body):
            yield text


def _cell_value(cell: _Element, strings: list[str]) -> str:
    if cell.get("t") == "inlineStr":
        return _string(cell)
    value = child(cell, "v")
    text = (value.text or "") if value is not None else ""
    if cell.get("t") == "s":
        return strings[int(text)] if text.isdecimal() and int(text) < len(strings) else ""
    return text


def _string(item: _Element) -> str:
    """Text of a string of several runs, without the readings that Japanese has beside it."""
    return "".join(text.text or "" for text in item.iter("{*}t") if local_name(text.getparent()) != "rPh")


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number


@dataclass(slots=True)
class OdsTable:
    """A sheet of an OpenDocument spreadsheet: its cells as it shows them itself, and how they are shown.

    Attributes:
        numbers: Number of each row in the sheet, from 1: many blank rows are kept as one.
        formulas: Cells whose formula was saved without its value.
        unseen: Cells whose format shows nothing of their value.
    """

    name: str
    rows: list[list[str]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    view: View = field(default_factory=View)
    is_hidden: bool = False
    formulas: int = 0
    unseen: int = 0


def ods_sheets(archive: Archive, max_cells: int, max_chars: int) -> Iterator[OdsTable]:
    """The sheets of an OpenDocument spreadsheet.

    Raises:
        LimitExceeded: More cells than `max_cells`, or more characters in them than `max_chars`.
    """
    budget, chars = max_cells, 0
    root = archive.xml("content.xml")
    hidden_styles = _hidden_styles(root)
    for element in root.iter("{*}table"):
        table = OdsTable(local_attribute(element, "name") or "")
        table.is_hidden = local_attribute(element, "style-name") in hidden_styles
        table.view.hidden_columns = _ods_hidden_columns(element)
        rows = table.rows
        number = 1
        for row in element.iter("{*}table-row"):
            cells = list(islice(_ods_cells(row, len(rows), table), MAX_COLUMNS))
            while cells and not cells[-1]:
                cells.pop()
            repeated = _count(row, "number-rows-repeated", MAX_REPEATED_ROWS) if cells else 1
            budget -= repeated * max(1, len(cells))
            chars += repeated * sum(map(len, cells))
            check_count(chars, max_chars, "characters of text", archive.address)
            if budget < 0:
                raise LimitExceeded(
                    f"{archive.address}: the sheets hold more than {max_cells:,} cells. Split the workbook, "
                    "or raise `limits.max_cells`.",
                    address=archive.address,
                    limit=max_cells,
                )
            if local_attribute(row, "visibility") in ("collapse", "filter"):
                table.view.hidden_rows |= set(range(len(rows), len(rows) + repeated))
            rows.extend([cells] * repeated if repeated == 1 else ([*cells] for _ in range(repeated)))
            table.numbers += range(number, number + repeated)
            number += _count(row, "number-rows-repeated", MAX_POSITION)
        width = max(map(len, rows), default=0)
        if table.view.merged:
            table.rows = [row + [""] * (width - len(row)) for row in rows]
        yield table


def _hidden_styles(root: _Element) -> set[str | None]:
    """Names of the styles of tables that are not displayed."""
    return {
        local_attribute(style, "name")
        for style in root.iter("{*}style")
        for properties in style.iterchildren("{*}table-properties")
        if local_attribute(properties, "display") == "false"
    }


def _ods_hidden_columns(table: _Element) -> set[int]:
    hidden: set[int] = set()
    column = 0
    for element in table.iter("{*}table-column"):
        count = _count(element, "number-columns-repeated", MAX_COLUMNS)
        if local_attribute(element, "visibility") in ("collapse", "filter") and column < MAX_COLUMNS:
            hidden |= set(range(column, min(column + count, MAX_COLUMNS)))
        column += count
    return hidden


def _ods_cells(row: _Element, number: int, table: OdsTable) -> Iterator[str]:
    """Texts of a row's cells; merged ranges that begin there are added to the table's view."""
    view = table.view
    column = 0
    for cell in row:
        if local_name(cell) not in ("table-cell", "covered-table-cell"):
            continue
        paragraphs = [
            " ".join("".join(paragraph.itertext()).split()) for paragraph in cell.iterchildren("{*}p", "{*}h")
        ]
        text = " ".join(filter(None, paragraphs))
        if not text and cell.keys():
            text = _ods_unshown(cell, bool(paragraphs), table)
        down, right = (_count(cell, f"number-{kind}-spanned", MAX_POSITION) for kind in ("rows", "columns"))
        if text and max(down, right) > 1 and len(view.merged) < MAX_MERGES:
            view.merged.append((number, column, number + down - 1, column + right - 1))
        for _ in range(_count(cell, "number-columns-repeated", MAX_REPEATED_COLUMNS if text else MAX_COLUMNS)):
            yield text
            column += 1


def _ods_unshown(cell: _Element, has_text: bool, table: OdsTable) -> str:
    """The value of a cell without text, as programs write it that show nothing themselves; what is lost is counted.

    Args:
        has_text: The program says what it shows: nothing.
    """
    kind = local_attribute(cell, "value-type")
    if kind is None:
        table.formulas += not has_text and local_attribute(cell, "formula") is not None
        return ""
    if has_text:
        table.unseen += kind != "string"
        return ""
    name = {"date": "date-value", "time": "time-value", "boolean": "boolean-value", "string": "string-value"}
    return " ".join((local_attribute(cell, name.get(kind, "value")) or "").split())


def _count(element: _Element, name: str, most: int) -> int:
    value = local_attribute(element, name) or "1"
    return max(1, min(int(value), most)) if value.isdecimal() and len(value) < 9 else 1
