"""Spreadsheets (XLSX, XLSB, XLS, ODS): one section a sheet, its tables as rows of tab-parted cells.

Comments and text boxes follow the cells of their sheet.

Belongs here: turning rows into blocks, and choosing a reader. Does not belong here: reading the XML of
cells (`sheet_cells`, `ods_cells`), containers (`containers/archives`).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import compress, pairwise
from typing import Any

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import EncryptedDocument, UnparsableDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.containers.archives import Archive, core_properties, refuse_pictures_only, refuse_protected
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.limits import ParseLimits, check_count
from rag_pipeline.parsing.office.embedded import Embedded, embedded_files, with_embedded
from rag_pipeline.parsing.office.ods_cells import OdsTable, ods_sheets
from rag_pipeline.parsing.office.sheet_cells import (
    area_cells,
    shared_chars,
    sheet_parts,
    sheet_remarks,
    sparse_sheets,
    struck_cells,
    struck_strings,
)
from rag_pipeline.parsing.office.sheet_view import (
    LeftOut,
    View,
    seen_numbers,
    seen_rows,
    sheet_view,
    style_codes,
    uncomputed_formulas,
)
from rag_pipeline.parsing.office.xls_look import workbook_stream, xls_views
from rag_pipeline.parsing.office.xls_remarks import xls_remarks
from rag_pipeline.parsing.office.xls_stream import sound_xls
from rag_pipeline.parsing.office.xlsb_look import WORKBOOK, xlsb_parts, xlsb_views
from rag_pipeline.parsing.table_heads import MAX_HEADER_ROWS, SAMPLE_ROWS, header_count, joined_names, row_look
from rag_pipeline.parsing.tabular import table_lines

VERSION = "13"

Row = list[str]
# Each hidden row within a table is a blank line, as its place is counted by lines. Blank lines say nothing to a
# model, but more of them than this are no fair text: there the number of the table's first row stands for all.
MAX_GAP_ROWS = 1_000
# Longer than any number that a person reads digit by digit.
MAX_PLAIN = 1e21
HIDDEN_MARK = " (hidden sheet)"


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A sheet as it is shown.

    Attributes:
        name: As its tab says, which remarks are found by.
        numbers: Number of each row in the sheet, from 1.
        is_hidden: The tab is not shown, but a person can bring it back from a menu.
        remarks: Comments on its cells, as far as they are known by the sheet itself.
    """

    name: str
    rows: Iterable[Row]
    numbers: Sequence[int]
    is_hidden: bool = False
    remarks: Sequence[str] = ()


def parse_xlsx(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """The workbook; every block carries its sheet's number, from 1, as page.

    Raises:
        EncryptedDocument, LimitExceeded, UnparsableDocument: From the container or its reader.
    """
    facts: dict[str, str] = {}
    archive: Archive | None = None
    parts: list[tuple[str, str]] = []
    stream = b""
    left_out = LeftOut()
    if raw.startswith(b"PK"):
        archive = Archive(raw, context.address, context.limits)
        if "content.xml" in archive.names:
            refuse_protected(archive)
            tables = ods_sheets(archive, context.limits.max_cells, context.limits.max_text_chars)
            sheets: Iterable[_Sheet] = (_ods_sheet(table, left_out) for table in tables)
        else:
            archive.check_all()
            parts = xlsb_parts(archive) if WORKBOOK in archive.names else sheet_parts(archive)
            sheets = _xlsx_sheets(raw, archive, parts, context.limits, left_out)
            facts = core_properties(archive)
    else:
        stream = workbook_stream(raw, context.address)
        views = xls_views(stream)
        sheets = _calamine_sheets(
            sound_xls(raw, context.address, context.limits.max_cells), context.address, views, left_out
        )
    remarks = sheet_remarks(archive, parts) if archive is not None else xls_remarks(stream)
    builder = TextBuilder()
    count = 0
    for count, sheet in enumerate(sheets, 1):
        check_count(count, context.limits.max_pages, "sheets", context.address)
        _add_sheet(builder, sheet, count, [*sheet.remarks, *remarks.get(sheet.name, ())])
        check_count(builder.length_chars, context.limits.max_text_chars, "characters of text", context.address)
    files = Embedded()
    if archive is not None:
        files = embedded_files(archive, [part for _, part in parts], context.limits.max_attachments)
        refuse_pictures_only(archive, not builder.is_empty or bool(files.found))
    document = builder.build(
        title=clean_text(facts.get("title", "")) or None,
        author=clean_text(facts.get("creator", "")) or None,
        metadata={
            "sheets": str(count),
            **left_out.metadata(),
            **(archive.unread_facts() if archive is not None else {}),
        },
    )
    return with_embedded(document, files, context)


def _xlsx_sheets(
    raw: bytes, archive: Archive, parts: list[tuple[str, str]], limits: ParseLimits, left_out: LeftOut
) -> Iterable[_Sheet]:
    address = archive.address
    if WORKBOOK in archive.names:
        return list(_calamine_sheets(raw, address, xlsb_views(archive, limits.max_cells), left_out))
    if not parts:
        raise UnparsableDocument(f"{address}: the container holds no worksheet.", address=address)
    # calamine allocates the whole rectangle between the first and last cell, however few cells there are.
    members = [archive.read(part) for _, part in parts]
    check_count(shared_chars(archive, members), limits.max_text_chars, "characters of text", address)
    left_out.formulas = sum(map(uncomputed_formulas, members))
    if max(area_cells(member, address) for member in members) <= limits.max_cells:
        codes = style_codes(archive)
        views = {name: sheet_view(member, codes) for (name, _), member in zip(parts, members, strict=True)}
        strings = struck_strings(archive)
        for (name, _), member in zip(parts, members, strict=True):
            if strings or b"strike" in member:
                # What the whole cell says goes before what its runs say.
                views[name].codes = struck_cells(member, strings, address) | views[name].codes
        try:
            return list(_calamine_sheets(raw, address, views, left_out))
        except UnparsableDocument:
            left_out.rows = left_out.columns = left_out.sheets = left_out.cells = left_out.struck = 0
    return _scattered_sheets(archive, parts, left_out)


def _scattered_sheets(archive: Archive, parts: list[tuple[str, str]], left_out: LeftOut) -> Iterator[_Sheet]:
    """Sheets whose cells lie too far apart for the library, without their hidden rows."""
    for (_, part), (name, rows, numbers) in zip(parts, sparse_sheets(archive, parts), strict=True):
        hidden = sheet_view(archive.read(part), {}).hidden_rows
        is_seen = [number - 1 not in hidden for number in numbers]
        left_out.rows += sum(bool(row) and not seen for row, seen in zip(rows, is_seen, strict=True))
        yield _Sheet(name, list(compress(rows, is_seen)), list(compress(numbers, is_seen)))


def _ods_sheet(table: OdsTable, left_out: LeftOut) -> _Sheet:
    left_out.formulas += table.formulas
    left_out.cells += table.unseen
    left_out.struck += table.struck
    rows = seen_rows(table.rows, (0, 0), table.view, str, left_out)
    numbers = seen_numbers(table.numbers, 0, table.view)
    return _Sheet(table.name, rows, numbers, table.is_hidden, table.remarks)


def _calamine_sheets(raw: bytes, address: str, views: Mapping[str, View], left_out: LeftOut) -> Iterator[_Sheet]:
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum, SheetVisibleEnum

    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(raw))
        for index, sheet in enumerate(workbook.sheets_metadata):
            if sheet.typ != SheetTypeEnum.WorkSheet:
                continue
            if sheet.visible == SheetVisibleEnum.VeryHidden:
                left_out.sheets += 1
                continue
            found = workbook.get_sheet_by_index(index)
            view = views.get(sheet.name) or View()
            start = found.start or (0, 0)
            values = found.to_python()
            rows = seen_rows(values, start, view, _written, left_out)
            numbers = seen_numbers(range(start[0] + 1, start[0] + 1 + len(values)), start[0], view)
            yield _Sheet(sheet.name, rows, numbers, sheet.visible == SheetVisibleEnum.Hidden)
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
        return str(int(value)) if value.is_integer() and abs(value) < MAX_PLAIN else repr(round(value, 10))
    if isinstance(value, datetime):
        has_time = value.time() != time(0)
        return value.isoformat(sep=" ", timespec="seconds") if has_time else value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return "" if value is None else str(value)


def _add_sheet(builder: TextBuilder, sheet: _Sheet, page: int, remarks: list[str]) -> None:
    """Blank rows part tables; a row with a single cell before a table is text about it; remarks come last."""
    heading = (clean_text(sheet.name).strip() or str(page)) + (HIDDEN_MARK if sheet.is_hidden else "")
    has_heading = False
    # The table above, and the number of its last row.
    above: list[Row] = []
    above_end = 0
    for numbers, group in _groups(sheet.rows, sheet.numbers):
        if not has_heading:
            builder.add("heading", heading, level=1, page=page, line=numbers[0])
            has_heading = True
        first = 0
        while first < len(group) and sum(bool(cell) for cell in group[first]) == 1:
            if _is_column(group[first:]):
                break
            builder.add("paragraph", clean_text(next(filter(None, group[first]))), page=page, line=numbers[first])
            first += 1
        rows, numbers = group[first:], numbers[first:]
        header = _header_from(above, rows) if not first and numbers[0] - above_end > 1 else []
        above, above_end = (above if header else rows), numbers[-1] if numbers else 0
        if header:
            # In the place of the blank row.
            rows, numbers = [header, *rows], [numbers[0] - 1, *numbers]
        _add_table(builder, rows, numbers, page)
    if remarks and not has_heading:
        builder.add("heading", heading, level=1, page=page)
    for remark in remarks:
        builder.add("paragraph", remark, page=page)


def _header_from(above: Sequence[Row], rows: Sequence[Row]) -> Row:
    """The names of the columns of the table above, where these rows go on with it below a blank row."""
    count = header_count(above[: SAMPLE_ROWS + MAX_HEADER_ROWS]) if above else 0
    # Words alone could be a table of other columns.
    if not count or row_look(above[0], above[count:]) != "header" or row_look(rows[0], above[count:]) != "data":
        return []
    names = joined_names(above[:count])
    is_within = all(column < len(names) and names[column] for row in rows for column, cell in enumerate(row) if cell)
    return names if is_within else []


def _add_table(builder: TextBuilder, rows: list[Row], numbers: list[int], page: int) -> None:
    """A table in which each row stands in the line of its number, hidden rows being blank lines."""
    lines = clean_text("\n".join(table_lines(rows))).split("\n")
    if len(lines) != len(numbers) or numbers[-1] - numbers[0] - len(numbers) >= MAX_GAP_ROWS:
        builder.add("table", "\n".join(lines), page=page, line=numbers[0] if numbers else None)
        return
    text = lines[0] + "".join(
        "\n" * (number - before) + line for (before, number), line in zip(pairwise(numbers), lines[1:], strict=True)
    )
    builder.add("table", text, page=page, line=numbers[0], holds_lines=True)


def _groups(rows: Iterable[Row], numbers: Sequence[int]) -> Iterator[tuple[list[int], list[Row]]]:
    """Rows up to the next blank one, with their numbers."""
    group: list[Row] = []
    of_group: list[int] = []
    for row, number in zip(rows, numbers, strict=True):
        cells = [cell.strip() for cell in row]
        if any(cells):
            group.append(cells)
            of_group.append(number)
        elif group:
            yield of_group, group
            of_group, group = [], []
    if group:
        yield of_group, group


def _is_column(rows: Sequence[Row]) -> bool:
    """Whether the rows are a table of one column rather than lines of text above a table."""
    return len(rows) > 1 and all(sum(bool(cell) for cell in row) <= 1 for row in rows)
