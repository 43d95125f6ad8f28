"""Spreadsheets (XLSX, XLS, ODS): one section a sheet, its tables as rows of tab-parted cells.

Belongs here: turning rows into blocks, and choosing a reader. Does not belong here: reading the XML of
cells (`sheet_cells`), containers (`archives`).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import EncryptedDocument, UnparsableDocument
from rag_pipeline.transforms.parse.archives import Archive, core_properties
from rag_pipeline.transforms.parse.builder import TextBuilder
from rag_pipeline.transforms.parse.decode import clean_text
from rag_pipeline.transforms.parse.limits import ParseLimits, check_count
from rag_pipeline.transforms.parse.ole import OleFile
from rag_pipeline.transforms.parse.sheet_cells import area_cells, ods_sheets, sheet_parts, sparse_sheets
from rag_pipeline.transforms.parse.tabular import table_lines

VERSION = "1"

Row = list[str]


def parse_xlsx(raw: bytes, address: str, limits: ParseLimits) -> list[ParsedDocument]:
    """The workbook; every block carries its sheet's number, from 1, as page.

    Raises:
        EncryptedDocument, LimitExceeded, UnparsableDocument: From the container or its reader.
    """
    facts: dict[str, str] = {}
    if raw.startswith(b"PK"):
        archive = Archive(raw, address, limits)
        if "content.xml" in archive.names:
            sheets: Iterable[tuple[str, Iterable[Row]]] = ods_sheets(archive, limits.max_cells)
        else:
            sheets = _xlsx_sheets(raw, archive, address, limits)
            facts = core_properties(archive)
    else:
        OleFile(raw, address)
        sheets = _calamine_sheets(raw, address)
    builder = TextBuilder()
    count = 0
    for count, (name, rows) in enumerate(sheets, 1):
        check_count(count, limits.max_pages, "sheets", address)
        _add_sheet(builder, name, rows, count)
        check_count(builder.length_chars, limits.max_text_chars, "characters of text", address)
    return [
        builder.build(
            title=clean_text(facts.get("title", "")) or None,
            author=clean_text(facts.get("creator", "")) or None,
            metadata={"sheets": str(count)},
        )
    ]


def _xlsx_sheets(
    raw: bytes, archive: Archive, address: str, limits: ParseLimits
) -> Iterable[tuple[str, Iterable[Row]]]:
    archive.check_all()
    parts = sheet_parts(archive)
    if not parts:
        raise UnparsableDocument(f"{address}: the container holds no worksheet.", address=address)
    # calamine allocates the whole rectangle between the first and last cell, however few cells there are.
    if max(area_cells(archive.read(part)) for _, part in parts) > limits.max_cells:
        return sparse_sheets(archive, parts)
    try:
        return list(_calamine_sheets(raw, address))
    except UnparsableDocument:
        return sparse_sheets(archive, parts)


def _calamine_sheets(raw: bytes, address: str) -> Iterator[tuple[str, Iterable[Row]]]:
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum, SheetVisibleEnum

    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(raw))
        for index, sheet in enumerate(workbook.sheets_metadata):
            if sheet.visible == SheetVisibleEnum.VeryHidden or sheet.typ != SheetTypeEnum.WorkSheet:
                continue
            rows = workbook.get_sheet_by_index(index).to_python()
            yield sheet.name, ([_written(value) for value in row] for row in rows)
    except PasswordError:
        raise EncryptedDocument(
            f"{address}: the workbook is protected by a password. Remove the password or exclude it.",
            address=address,
        ) from None
    except (CalamineError, ValueError, OSError) as error:
        raise UnparsableDocument(
            f"{address}: the workbook could not be read ({type(error).__name__}). Open it and save it again.",
            address=address,
        ) from None


def _written(value: Any) -> str:
    """A cell's value as a person would write it."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(round(value, 10))
    if isinstance(value, datetime):
        has_time = value.time() != time(0)
        return value.isoformat(sep=" ", timespec="seconds") if has_time else value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return "" if value is None else str(value)


def _add_sheet(builder: TextBuilder, name: str, rows: Iterable[Row], page: int) -> None:
    """Blank rows part tables; a row with a single cell before a table is text about it."""
    heading = clean_text(name).strip() or str(page)
    has_heading = False
    for group in _groups(rows):
        if not has_heading:
            builder.add("heading", heading, level=1, page=page)
            has_heading = True
        first = 0
        while first < len(group) and sum(bool(cell) for cell in group[first]) == 1:
            if _is_column(group[first:]):
                break
            builder.add("paragraph", clean_text(next(filter(None, group[first]))), page=page)
            first += 1
        builder.add("table", clean_text("\n".join(table_lines(group[first:]))), page=page)


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        cells = [cell.strip() for cell in row]
        if any(cells):
            group.append(cells)
        elif group:
            yield group
            group = []
    if group:
        yield group


def _is_column(rows: Sequence[Row]) -> bool:
    """Whether the rows are a table of one column rather than lines of text above a table."""
    return len(rows) > 1 and all(sum(bool(cell) for cell in row) <= 1 for row in rows)
