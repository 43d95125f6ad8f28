"""Cells whose formula has no value say so, as a person reads it, in every format of sheets."""

from __future__ import annotations

import io
import struct

import openpyxl
import pytest
from openpyxl.styles import Font
from openpyxl.worksheet.worksheet import Worksheet

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline.parsing.media_type import XLS, XLSX
from rag_pipeline.parsing.office.sheet_view import sheet_view
from rag_pipeline_tests.parsing.compound_files import compound, label, record, workbook
from rag_pipeline_tests.parsing.test_sheets_binary import binary_workbook
from rag_pipeline_tests.parsing.test_sheets_binary import parsed as binary_parsed
from rag_pipeline_tests.parsing.test_sheets_binary import record as binary_record
from rag_pipeline_tests.parsing.test_sheets_binary import row as binary_row
from rag_pipeline_tests.parsing.test_sheets_binary import sheet as binary_sheet
from rag_pipeline_tests.parsing.test_sheets_binary import words as binary_words


def _parsed(raw: bytes, media_type: str = XLSX) -> ParsedDocument:
    return parse(raw, media_type, "a", ParseLimits())[0]


def _shared(*, struck: bool = False, hidden: bool = False) -> ParsedDocument:
    file = openpyxl.Workbook()
    page = file.active
    assert isinstance(page, Worksheet)
    page.title = "Sums"
    for line in (["Berth", "Share"], ["B1", "#DIV/0!"], ["B2", 8], ["B3", "#N/A"]):
        page.append(line)
    page["B2"].font = Font(strike=struck)
    page.row_dimensions[4].hidden = hidden
    buffer = io.BytesIO()
    file.save(buffer)
    return _parsed(buffer.getvalue())


def test_a_workbook_shows_its_errors() -> None:
    assert _shared().text == "Sums\n\nBerth\tShare\nB1\t#DIV/0!\nB2\t8\nB3\t#N/A"


def test_an_error_that_is_struck_through_or_hidden_is_left_out() -> None:
    struck = _shared(struck=True)
    assert (struck.text.split("\n")[3], struck.metadata["hidden_deletion_count"]) == ("B1", "1")
    hidden = _shared(hidden=True)
    assert "#N/A" not in hidden.text
    assert hidden.metadata["hidden_row_count"] == "1"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ('<c r="B2" t="e"><v>#REF!</v></c>', "#REF!"),
        ("<x:c t='e' s='1' r='B2'> <x:f>A1/0</x:f> <x:v> #NAME? </x:v></x:c>", "#NAME?"),
        ('<c r="B2" t="e"><f t="shared" si="0"/><v>#GETTING_DATA</v></c>', "#GETTING_DATA"),
        ('<c r="B2" t="str"><v>#1</v></c><c r="C2" t="e"/>', None),
        ('<c t="e"><v>#REF!</v></c>', None),
    ],
)
def test_errors_are_found_however_they_are_written(cell: str, said: str | None) -> None:
    assert sheet_view(f"<row>{cell}</row>".encode(), {}).errors == ({(1, 1): said} if said else {})


def test_an_old_workbook_shows_its_errors() -> None:
    own = record(0x0205, struct.pack("<HHHBB", 1, 1, 0, 42, 1))
    truth = record(0x0205, struct.pack("<HHHBB", 2, 1, 0, 1, 0))
    result = struct.pack("<BBBBHH", 2, 0, 7, 0, 0, 0xFFFF)
    formula = record(0x0006, struct.pack("<HHH", 3, 1, 0) + result + struct.pack("<HIH", 0, 0, 0))
    cells = [label(0, 0, "Berth"), label(0, 1, "Share"), label(1, 0, "B1"), own, label(2, 0, "B2"), truth]
    document = _parsed(compound({"Workbook": workbook(*cells, label(3, 0, "B3"), formula)}), XLS)
    assert document.text == "Sums\n\nBerth\tShare\nB1\t#N/A\nB2\tTRUE\nB3\t#DIV/0!"


def test_a_binary_workbook_shows_its_errors() -> None:
    def error(kind: int, code: int) -> bytes:
        return binary_record(kind, struct.pack("<IIB", 1, 0, code) + b"\0" * (12 * (kind == 11)))

    page = binary_sheet(
        binary_row(0, binary_words(0, "Berth"), binary_words(1, "Share")),
        binary_row(1, binary_words(0, "B1"), error(3, 36)),
        binary_row(2, binary_words(0, "B2"), error(11, 15)),
    )
    document = binary_parsed(binary_workbook([("Sums", 0, page)]))
    assert document.text == "Sums\n\nBerth\tShare\nB1\t#NUM!\nB2\t#VALUE!"
