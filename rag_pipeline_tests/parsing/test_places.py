"""Where a block stands in its file: each line of its text is the line of the file that it says."""

from __future__ import annotations

import io
from collections.abc import Callable

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from rag_pipeline.contracts.documents import place_named
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.transforms.chunk import ChunkParams, chunk_document
from rag_pipeline_tests.parsing.compound_files import compound, label, record, workbook
from rag_pipeline_tests.parsing.office_files import container
from rag_pipeline_tests.parsing.test_sheets_binary import binary_workbook, row, sheet, words
from rag_pipeline_tests.parsing.test_sheets_hostile import sheet as plain_sheet
from rag_pipeline_tests.transforms.chunk.counters import WordCounter


def lines_of(raw: str, media_type: str, address: str) -> dict[str, int]:
    """Line of the file that each line of the document's blocks claims to be."""
    (document,) = parse(raw.encode(), media_type, address, ParseLimits())
    found: dict[str, int] = {}
    for block in document.blocks:
        assert block.line is not None
        for offset, line in enumerate(document.text[block.start_char : block.end_char].split("\n")):
            found[line] = block.line + offset
    return found


def test_rows_of_a_csv_stand_in_their_own_lines() -> None:
    raw = 'sep=;\n\nberth;depth\nNorth;"4\nmetres"\n;\nSouth;7\n\nEast;9\n'
    found = lines_of(raw, "text/csv", "berths.csv")
    assert found["berth\tdepth"] == 3
    assert found["North\t4 metres"] == 4
    assert found["South\t7"] == 7
    assert found["East\t9"] == 9


def test_rows_below_a_caption_stand_in_their_own_lines() -> None:
    raw = "Dues of 2025,,\nberth,due,unit\nNorth,4,euro\n\nSouth,7,euro\n"
    found = lines_of(raw, "text/csv", "dues.csv")
    assert found == {
        "Dues of 2025": 1, "berth\tdue\tunit": 2, "North\t4\teuro": 3, "": 4, "South\t7\teuro": 5,
    }  # fmt: skip


# A note, two blank rows, and a table from row 4 on in which rows 8 and 9 are hidden.
NOTE_ROW, TABLE_ROW, LAST_ROW, HIDDEN_ROWS = 1, 4, 40, (8, 9)


def said(number: int) -> list[str]:
    if number == NOTE_ROW:
        return ["Dues of all berths"]
    if number < TABLE_ROW:
        return []
    return ["berth", "due"] if number == TABLE_ROW else [f"berth{number}", f"due{number}"]


ROWS = {number: said(number) for number in range(1, LAST_ROW + 1)}


def new_book() -> bytes:
    file = openpyxl.Workbook()
    page = file.active
    assert isinstance(page, Worksheet)
    for number, cells in ROWS.items():
        for column, text in enumerate(cells, 2):
            page.cell(number, column, text)
    for number in HIDDEN_ROWS:
        page.row_dimensions[number].hidden = True
    buffer = io.BytesIO()
    file.save(buffer)
    return buffer.getvalue()


def binary_book() -> bytes:
    rows = [
        row(number - 1, *(words(column, text) for column, text in enumerate(cells)), is_hidden=number in HIDDEN_ROWS)
        for number, cells in ROWS.items()
        if cells
    ]
    return binary_workbook([("Dues", 0, sheet(*rows))])


def old_book() -> bytes:
    hidden = [record(0x0208, (number - 1).to_bytes(2, "little") + bytes(10) + b"\x20\0\0\0") for number in HIDDEN_ROWS]
    cells = [label(number - 1, column, text) for number, cells in ROWS.items() for column, text in enumerate(cells)]
    return compound({"Workbook": workbook(*hidden, *cells)})


def open_book() -> bytes:
    rows = ""
    for number, cells in ROWS.items():
        facts = ' t:visibility="collapse"' if number in HIDDEN_ROWS else ""
        inner = "".join(f"<t:table-cell><x:p>{text}</x:p></t:table-cell>" for text in cells)
        if inner:
            rows += f"<t:table-row{facts}>{inner}</t:table-row>"
        elif number == NOTE_ROW + 1:
            blank = TABLE_ROW - NOTE_ROW - 1
            rows += f'<t:table-row t:number-rows-repeated="{blank}"><t:table-cell/></t:table-row>'
    content = f'<o:d xmlns:o="urn:o" xmlns:t="urn:t" xmlns:x="urn:x"><t:table t:name="Dues">{rows}</t:table></o:d>'
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    return container({"mimetype": kind, "content.xml": content}, stored_first=True)


def scattered_book() -> bytes:
    """A cell at the far corner makes the sheet one that no library is asked to hold."""
    cells = "".join(
        f'<row r="{number}" hidden="{int(number in HIDDEN_ROWS)}">'
        + "".join(
            f'<c r="{"BC"[at]}{number}" t="inlineStr"><is><t>{text}</t></is></c>' for at, text in enumerate(cells)
        )
        + "</row>"
        for number, cells in ROWS.items()
        if cells
    )
    far = '<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>far</t></is></c></row>'
    return plain_sheet(cells + far)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("a.xlsx", new_book),
        ("a.xlsb", binary_book),
        ("a.xls", old_book),
        ("a.ods", open_book),
        ("b.xlsx", scattered_book),
    ],
)
def test_a_chunk_far_down_in_a_sheet_cites_the_row_that_it_begins_in(name: str, made: Callable[[], bytes]) -> None:
    raw = made()
    (document,) = parse(raw, media_type_of(name, raw), name, ParseLimits())
    chunks = chunk_document(document, ChunkParams(24, min_tokens=4, header_max_tokens=8), WordCounter())
    assert len(chunks) > 3
    found = 0
    for chunk in chunks:
        first = document.text[chunk.start_char : chunk.end_char].split("\n", 1)[0].split("\t")
        if first in ROWS.values():
            (number,) = (number for number, cells in ROWS.items() if cells == first)
            assert (chunk.page, chunk.line) == (1, number)
            assert place_named(chunk.page, chunk.line) == f"sheet 1, row {number}"
            found += number > TABLE_ROW
    assert found > 1
    assert all(f"berth{number}" in document.text for number in ROWS if number > TABLE_ROW and number not in HIDDEN_ROWS)
    assert not any(f"berth{number}\t" in document.text for number in HIDDEN_ROWS)
    assert document.metadata["hidden_row_count"] == "2"


def test_a_place_says_what_it_is_for_a_person() -> None:
    assert [place_named(page, line) for page, line in ((3, None), (None, 12), (2, 57), (None, None))] == [
        "page 3", "line 12", "sheet 2, row 57", "",
    ]  # fmt: skip


def test_rows_out_of_order_in_a_sheet_stay_rows_of_their_own() -> None:
    far = '<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>far</t></is></c></row>'
    rows = "".join(
        f'<row r="{number}"><c r="A{number}" t="inlineStr"><is><t>w{number}</t></is></c>'
        f'<c r="B{number}" t="inlineStr"><is><t>v{number}</t></is></c></row>'
        for number in (5, 2, 9)
    )
    (document,) = parse(plain_sheet(rows + far), media_type_of("a.xlsx", plain_sheet(rows)), "a.xlsx", ParseLimits())
    assert {"w5\tv5", "w2\tv2", "w9\tv9"} <= set(document.text.split("\n"))


def test_more_hidden_rows_than_a_text_can_hold_leave_the_place_of_the_table() -> None:
    file = openpyxl.Workbook()
    page = file.active
    assert isinstance(page, Worksheet)
    for number in range(1, 1_500):
        page.append([f"a{number}", f"b{number}"])
        page.row_dimensions[number].hidden = 3 < number < 1_400
    buffer = io.BytesIO()
    file.save(buffer)
    (document,) = parse(buffer.getvalue(), media_type_of("a.xlsx", buffer.getvalue()), "a.xlsx", ParseLimits())
    block = document.blocks[-1]
    assert "\n\n" not in document.text[block.start_char :]
    assert (block.line, block.holds_lines) == (1, False)
