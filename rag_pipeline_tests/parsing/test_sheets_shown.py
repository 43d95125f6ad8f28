"""Spreadsheets as a person sees them: formats, merged ranges, hidden parts, two rows of names."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline.parsing.media_type import ODS, XLS, XLSX
from rag_pipeline.parsing.office.number_formats import shown
from rag_pipeline.transforms.chunk import ChunkParams, chunk_document
from rag_pipeline_tests.parsing.compound_files import compound, label, record, workbook
from rag_pipeline_tests.parsing.office_files import container
from rag_pipeline_tests.transforms.chunk.counters import WordCounter


def parsed(raw: bytes, media_type: str = XLSX) -> ParsedDocument:
    return parse(raw, media_type, "a", ParseLimits())[0]


def book(fill: Callable[[Worksheet], None], other: Callable[[Worksheet], None] | None = None) -> bytes:
    """A workbook of the sheet Dues and, if wanted, Other."""
    file = openpyxl.Workbook()
    sheet = file.active
    assert isinstance(sheet, Worksheet)
    sheet.title = "Dues"
    fill(sheet)
    if other is not None:
        other(file.create_sheet("Other"))
    buffer = io.BytesIO()
    file.save(buffer)
    return buffer.getvalue()


MAY = datetime(2026, 5, 3, 14, 7, 9)  # noqa: DTZ001 - cells have no zone


@pytest.mark.parametrize(
    ("value", "code", "expected"),
    [
        (0.125, "0.0%", "12.5%"),
        (0.125, "0%", "13%"),
        (1001, "00000", "01001"),
        (123456789, "000-00-0000", "123-45-6789"),
        (1234567.5, "#,##0.00", "1,234,567.50"),
        (12, "#,##0", "12"),
        (-1234.5, "#,##0.00;(#,##0.00)", "(1,234.50)"),
        (-1234.5, '#,##0.00 "EUR"', "-1,234.50 EUR"),
        (1234.5, "[$€-407]#,##0.00", "€1,234.50"),
        (1234.5, '"$"#,##0.00_);[Red]("$"#,##0.00)', "$1,234.50"),
        (0, '_-* #,##0.00_-;-* #,##0.00_-;_-* "-"??_-;_-@_-', "-"),
        (12345, "0.00E+00", "1.23E+04"),
        (0.00012, "0.0E+00", "1.2E-04"),
        (1.5, "# ?/?", "1 1/2"),
        (12_500_000, '0.0,,"M"', "12.5M"),
        (150, '[>=100]"many";0', "many"),
        (42, '"No. "000', "No. 042"),
        (0.001, "0.0", "0.0"),
        (-0.001, "0.0", "0.0"),
        (99.995, "0.00", "100.00"),
        (3, "0.##", "3"),
        (7, ";;;", ""),
        (date(2026, 5, 3), "dd.mm.yyyy", "03.05.2026"),
        (MAY, "d mmm yyyy h:mm", "3 May 2026 14:07"),
        (MAY, "dddd, mmmm d, yyyy", "Sunday, May 3, 2026"),
        (MAY, "h:mm AM/PM", "2:07 PM"),
        (MAY, "mm:ss", "07:09"),
        (time(9, 5), "hh:mm", "09:05"),
        (timedelta(hours=26, minutes=3), "[h]:mm", "26:03"),
        ("harbour", '"to "@', "to harbour"),
    ],
)
def test_a_value_is_written_as_its_format_shows_it(value: float | str, code: str, expected: str) -> None:
    assert shown(value, code) == expected

    def fill(sheet: Worksheet) -> None:
        sheet.append(["Name", "Value"])
        sheet.append(["x", value])
        sheet["B2"].number_format = code

    row = parsed(book(fill)).text.split("\n")[-1]
    assert row == f"x\t{expected}".rstrip("\t")


@pytest.mark.parametrize(("value", "code"), [(1.5, "General"), (True, "0.0%"), (1e300, "#,##0"), ("x", "0.0%")])
def test_a_value_without_a_format_of_its_own_stays_plain(value: float | str, code: str) -> None:
    assert shown(value, code) is None


def test_formats_find_their_cell_where_a_sheet_does_not_begin_at_its_corner() -> None:
    def fill(sheet: Worksheet) -> None:
        sheet["C4"], sheet["D4"], sheet["C5"], sheet["D5"] = "Code", "Share", 7, 0.5
        sheet["C5"].number_format, sheet["D5"].number_format = "000", "0%"

    assert parsed(book(fill)).text == "Dues\n\nCode\tShare\n007\t50%"


def test_merged_ranges_are_filled_beside_other_cells_and_titles_stand_once() -> None:
    def fill(sheet: Worksheet) -> None:
        rows = [
            ["Dues of 2026", None, None], ["Harbour", "Money", None], [None, "Due", "Paid"],
            ["North", 7, 1], [None, 14, 2], ["South", 21, 3],
        ]  # fmt: skip
        for row in rows:
            sheet.append(row)
        for merged in ("A1:C1", "A2:A3", "B2:C2", "A4:A5"):
            sheet.merge_cells(merged)

    document = parsed(book(fill))
    assert document.text == (
        "Dues\n\nDues of 2026\n\nHarbour\tMoney\tMoney\nHarbour\tDue\tPaid\nNorth\t7\t1\nNorth\t14\t2\nSouth\t21\t3"
    )


@pytest.mark.parametrize("cells", [[7, 1], ["due", "paid"]])
def test_two_rows_of_names_go_with_each_part_of_a_sheet(cells: list[object]) -> None:
    def fill(sheet: Worksheet) -> None:
        sheet.append(["Harbour", "Money", None])
        sheet.append([None, "Due", "Paid"])
        for number in range(60):
            sheet.append([f"Harbour {number}", *cells])
        sheet.merge_cells("B1:C1")
        sheet.merge_cells("A1:A2")

    document = parsed(book(fill))
    chunks = chunk_document(document, ChunkParams(60, header_max_tokens=16), WordCounter())
    assert len(chunks) > 3
    assert {chunk.header for chunk in chunks[1:]} == {"Dues\nHarbour\tMoney Due\tMoney Paid"}


def test_hidden_sheets_are_said_and_hidden_rows_and_columns_left_out_and_counted() -> None:
    def fill(sheet: Worksheet) -> None:
        for number in range(4):
            sheet.append([f"a{number}", f"b{number}", f"c{number}"])
        sheet.row_dimensions[3].hidden = True
        sheet.column_dimensions["B"].hidden = True

    def salaries(sheet: Worksheet) -> None:
        sheet.append(["Name", "Salary"])
        sheet.append(["Jo", 99])
        sheet.sheet_state = "hidden"

    document = parsed(book(fill, salaries))
    assert document.text == "Dues\n\na0\tc0\na1\tc1\n\na3\tc3\n\nOther (hidden sheet)\n\nName\tSalary\nJo\t99"
    assert document.metadata == {"sheets": "2", "hidden_row_count": "1", "hidden_column_count": "1"}


def test_a_sheet_that_no_menu_brings_back_is_left_out_and_counted() -> None:
    def secret(sheet: Worksheet) -> None:
        sheet.append(["key"])
        sheet.sheet_state = "veryHidden"

    document = parsed(book(lambda sheet: sheet.append(["Berth", "Due"]), secret))
    assert "key" not in document.text
    assert document.metadata["hidden_sheet_count"] == "1"


def number(row: int, column: int, style: int, value: float) -> bytes:
    return record(0x0203, struct.pack("<HHHd", row, column, style, value))


def test_an_old_workbook_is_read_as_it_is_shown() -> None:
    def style(code: int) -> bytes:
        return record(0x00E0, struct.pack("<HHHHHHIIH", 0, code, 0, 0, 0, 0, 0, 0, 0))

    code = b"00000"
    formats = record(0x041E, struct.pack("<HHB", 164, len(code), 0) + code) + style(0) + style(10) + style(164)
    hidden_row = record(0x0208, struct.pack("<HHHHHHHH", 3, 0, 4, 255, 0, 0, 0x20, 0))
    hidden_column = record(0x007D, struct.pack("<HHHHHH", 2, 2, 100, 0, 1, 0))
    merged = record(0x00E5, struct.pack("<HHHHH", 1, 1, 2, 0, 0))
    cells = [
        *(label(0, column, name) for column, name in enumerate(["Harbour", "Share", "Secret", "Zip"])),
        label(1, 0, "North"), number(1, 1, 1, 0.125), number(1, 2, 0, 1), number(1, 3, 2, 1001),
        number(2, 1, 1, 0.5), number(2, 3, 2, 1002), label(3, 0, "gone"),
    ]  # fmt: skip
    raw = compound({"Workbook": workbook(hidden_row, hidden_column, *cells, merged, in_globals=formats)})
    document = parsed(raw, XLS)
    assert document.text == "Sums\n\nHarbour\tShare\tZip\nNorth\t12.50%\t01001\nNorth\t50.00%\t01002"
    assert document.metadata == {"sheets": "1", "hidden_row_count": "1", "hidden_column_count": "1"}


def test_an_open_document_sheet_is_read_as_it_is_shown() -> None:
    def row(*cells: str, facts: str = "") -> str:
        return f"<t:table-row {facts}>{''.join(cells)}</t:table-row>"

    def cell(text: str, facts: str = "") -> str:
        return f"<t:table-cell {facts}><x:p>{text}</x:p></t:table-cell>"

    covered = "<t:covered-table-cell/>"
    rows = [
        row(cell("Harbour"), cell("Secret"), cell("Share")),
        row(cell("North", 't:number-rows-spanned="2"'), cell("s"), cell("12.5%")),
        row(covered, cell("s"), cell("25%")),
        row(cell("gone"), cell("s"), cell("1%"), facts='t:visibility="collapse"'),
    ]
    columns = '<t:table-column/><t:table-column t:visibility="collapse"/><t:table-column/>'
    styles = '<s:style s:name="h"><s:table-properties t:display="false"/></s:style>'
    tables = f'<t:table t:name="Dues">{columns}{"".join(rows)}</t:table>'
    tables += f'<t:table t:name="Other" t:style-name="h">{row(cell("a"), cell("b"))}</t:table>'
    content = f'<o:d xmlns:o="urn:o" xmlns:t="urn:t" xmlns:x="urn:x" xmlns:s="urn:s">{styles}{tables}</o:d>'
    raw = container({"mimetype": ODS, "content.xml": content}, stored_first=True)
    document = parsed(raw, ODS)
    assert document.text == ("Dues\n\nHarbour\tShare\nNorth\t12.5%\nNorth\t25%\n\nOther (hidden sheet)\n\na\tb")
    assert document.metadata == {"sheets": "2", "hidden_row_count": "1", "hidden_column_count": "1"}


def test_rows_below_a_blank_row_that_go_on_with_the_table_keep_the_names_of_their_columns() -> None:
    def fill(sheet: Worksheet) -> None:
        rows = [["Berth", "Depth", "Due"], ["B1", 3, 7.5], ["B2", 4, 8.5], [], ["B3", 5, 9.5], ["B4", 6, 1.5], [], []]
        for row in [*rows, ["Crane", "Owner"], ["C1", "North"], [], ["Total", None, 27]]:
            sheet.append(row)

    document = parsed(book(fill))
    tables = [block for block in document.blocks if block.kind == "table"]
    assert [(table.line, document.text[table.start_char : table.end_char]) for table in tables[:3]] == [
        (1, "Berth\tDepth\tDue\nB1\t3\t7.5\nB2\t4\t8.5"),
        (4, "Berth\tDepth\tDue\nB3\t5\t9.5\nB4\t6\t1.5"),
        (9, "Crane\tOwner\nC1\tNorth"),
    ]


def test_a_long_number_keeps_its_digits() -> None:
    assert "1000000000000000" in parsed(book(lambda sheet: sheet.append(["Id", 1e15]))).text.split("\t")
