"""Cells straight from the XML of spreadsheets: for ODS, and for XLSX that no library could hold.

Belongs here: worksheet parts, their bounding box, and sparse reading row by row.
Does not belong here: what rows become (`xlsx`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from rag_pipeline.errors import LimitExceeded
from rag_pipeline.transforms.parse.archives import Archive, child, local_attribute, local_name, related, relations

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_COLUMNS = 16_384
MAX_REPEATED_ROWS = 1_000
# Trailing styled but empty cells are repeated to the sheet's edge; real repetitions are short.
MAX_REPEATED_COLUMNS = 256

_CELL = re.compile(rb"""<(?:\w+:)?c\s[^>]{0,200}?\br=["']([A-Za-z]{1,3})(\d{1,7})["']""")


def sheet_parts(archive: Archive) -> list[tuple[str, str]]:
    """(name, member) of the worksheets, in the workbook's order."""
    mains = related(archive, "", "officeDocument") or [n for n in ("xl/workbook.xml",) if n in archive.names]
    if not mains:
        return []
    by_id = relations(archive, mains[0])
    parts: list[tuple[str, str]] = []
    for element in archive.xml(mains[0]).iter("{*}sheet"):
        for key, value in element.attrib.items():
            kind, member = by_id.get(str(value), ("", ""))
            if str(key).endswith("}id") and kind == "worksheet" and member in archive.names:
                parts.append((element.get("name") or "", member))
    return parts


def area_cells(sheet: bytes) -> int:
    """Cells of the rectangle that spans all cells of a worksheet's XML."""
    columns: set[bytes] = set()
    first_row = last_row = 0
    for column, row in _CELL.findall(sheet):
        columns.add(column)
        number = int(row)
        first_row = min(first_row or number, number)
        last_row = max(last_row, number)
    numbers = [_column_number(column.decode("ascii")) for column in columns]
    return (last_row - first_row + 1) * (max(numbers) - min(numbers) + 1) if numbers else 0


def sparse_sheets(archive: Archive, parts: list[tuple[str, str]]) -> Iterator[tuple[str, list[list[str]]]]:
    """Sheets with only the cells that hold something; gaps between columns close, dates stay numbers."""
    strings: list[str] = []
    for member in archive.names:
        if member.lower().endswith("sharedstrings.xml"):
            strings = ["".join(text.text or "" for text in item.iter("{*}t")) for item in archive.xml(member)]
    for name, member in parts:
        rows: list[list[str]] = []
        for row in archive.xml(member).iter("{*}row"):
            rows.append([value for cell in row if (value := _cell_value(cell, strings))])
        yield name, rows


def _cell_value(cell: _Element, strings: list[str]) -> str:
    if cell.get("t") == "inlineStr":
        return "".join(text.text or "" for text in cell.iter("{*}t"))
    value = child(cell, "v")
    text = (value.text or "") if value is not None else ""
    if cell.get("t") == "s":
        return strings[int(text)] if text.isdecimal() and int(text) < len(strings) else ""
    return text


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number


def ods_sheets(archive: Archive, max_cells: int) -> Iterator[tuple[str, list[list[str]]]]:
    """The sheets of an OpenDocument spreadsheet.

    Raises:
        LimitExceeded: More cells than `max_cells`.
    """
    budget = max_cells
    for table in archive.xml("content.xml").iter("{*}table"):
        rows: list[list[str]] = []
        for row in table.iter("{*}table-row"):
            cells = list(islice(_ods_cells(row), MAX_COLUMNS))
            while cells and not cells[-1]:
                cells.pop()
            repeated = _count(row, "number-rows-repeated", MAX_REPEATED_ROWS) if cells else 1
            budget -= repeated * max(1, len(cells))
            if budget < 0:
                raise LimitExceeded(
                    f"{archive.address}: the sheets hold more than {max_cells:,} cells. Split the workbook.",
                    address=archive.address,
                    limit=max_cells,
                )
            rows.extend([cells] * repeated)
        yield local_attribute(table, "name") or "", rows


def _ods_cells(row: _Element) -> Iterator[str]:
    for cell in row:
        if local_name(cell) not in ("table-cell", "covered-table-cell"):
            continue
        paragraphs = [
            " ".join("".join(paragraph.itertext()).split()) for paragraph in cell.iterchildren("{*}p", "{*}h")
        ]
        text = " ".join(filter(None, paragraphs))
        for _ in range(_count(cell, "number-columns-repeated", MAX_REPEATED_COLUMNS if text else MAX_COLUMNS)):
            yield text


def _count(element: _Element, name: str, most: int) -> int:
    value = local_attribute(element, name) or "1"
    return max(1, min(int(value), most)) if value.isdecimal() and len(value) < 9 else 1
