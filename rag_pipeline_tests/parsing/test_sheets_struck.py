"""Struck-through cells are left out and counted, and comments name their cell, in every format of sheets."""

from __future__ import annotations

import io
import struct
import zipfile

import openpyxl
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.comments import Comment
from openpyxl.styles import Font
from openpyxl.worksheet.worksheet import Worksheet

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline.parsing.media_type import ODS, XLS, XLSX
from rag_pipeline.parsing.office.sheet_view import cell_name
from rag_pipeline.parsing.office.xlsb_look import binary_comments
from rag_pipeline_tests.parsing.compound_files import compound, label, record, workbook
from rag_pipeline_tests.parsing.office_files import container
from rag_pipeline_tests.parsing.test_sheets_binary import binary_workbook
from rag_pipeline_tests.parsing.test_sheets_binary import record as binary_record
from rag_pipeline_tests.parsing.test_sheets_binary import row as binary_row
from rag_pipeline_tests.parsing.test_sheets_binary import sheet as binary_sheet
from rag_pipeline_tests.parsing.test_sheets_binary import text as binary_text


def _parsed(raw: bytes, media_type: str = XLSX) -> ParsedDocument:
    return parse(raw, media_type, "a", ParseLimits())[0]


def _saved(file: openpyxl.Workbook) -> bytes:
    buffer = io.BytesIO()
    file.save(buffer)
    return buffer.getvalue()


def test_cells_of_a_workbook_struck_through_are_left_out_as_a_whole_and_in_part() -> None:
    file = openpyxl.Workbook()
    page = file.active
    assert isinstance(page, Worksheet)
    page.append(["Berth", "Due", "Note"])
    page.append(["B1", 7, CellRichText(["free ", TextBlock(InlineFont(strike=True), "taken"), " now"])])
    page.append(["B2", 8, "wet"])
    page["B2"].font = Font(strike=True)
    page["A3"].font = Font(strike=False)
    page["C3"].font = Font(strike=True)
    document = _parsed(_saved(file))
    assert document.text.split("\n\n")[1] == "Berth\tDue\tNote\nB1\t\tfree now\nB2\t8"
    assert document.metadata["hidden_deletion_count"] == "3"


def test_cells_of_an_old_workbook_struck_through_are_left_out() -> None:
    def font(is_struck: bool) -> bytes:
        return record(0x0031, struct.pack("<HHHHHBBBxBB", 200, 8 * is_struck, 0, 400, 0, 0, 0, 0, 0, 0))

    # The fifth font has the number 5.
    fonts = b"".join(map(font, (False, False, False, False, True)))
    styles = b"".join(record(0x00E0, struct.pack("<HHHHHHIIH", number, 0, *[0] * 7)) for number in (0, 5))
    words = record(0x0204, struct.pack("<HHHHB", 1, 1, 1, 4, 0) + b"gone")
    number = record(0x0203, struct.pack("<HHHd", 1, 2, 1, 9))
    cells = [label(0, 0, "Berth"), label(0, 1, "Owner"), label(0, 2, "Due"), label(1, 0, "B1"), words, number]
    cells.append(label(2, 0, "B2") + label(2, 1, "Ann") + record(0x0203, struct.pack("<HHHd", 2, 2, 0, 8)))
    document = _parsed(compound({"Workbook": workbook(*cells, in_globals=fonts + styles)}), XLS)
    assert document.text == "Sums\n\nBerth\tOwner\tDue\nB1\nB2\tAnn\t8"
    assert document.metadata["hidden_deletion_count"] == "2"


def test_comments_and_shapes_of_an_old_workbook_are_read_with_their_cell() -> None:
    def thing(kind: int, number: int, said: str) -> bytes:
        words = record(0x01B6, struct.pack("<HHHHHHHHH", 0, 0, 0, 0, 0, len(said), 0, 0, 0))
        half = len(said) // 2
        parts = record(0x003C, b"\0" + said[:half].encode()) + record(0x003C, b"\1" + said[half:].encode("utf-16-le"))
        return record(0x005D, struct.pack("<HHHH14x", 0x15, 0x12, kind, number)) + words + parts

    note = record(0x001C, struct.pack("<HHHHHB", 2, 1, 0, 7, 3, 0) + b"Ada\0")
    drawn = thing(0x19, 7, "twice as much") + thing(6, 8, "Mind the gap") + note
    document = _parsed(compound({"Workbook": workbook(label(0, 0, "Sum"), drawn)}), XLS)
    assert document.text == "Sums\n\nSum\n\nMind the gap\n\nComment on B3 by Ada: twice as much"


def test_cells_of_a_binary_workbook_struck_through_are_left_out_and_its_comments_read() -> None:
    fonts = b"".join(binary_record(43, struct.pack("<HH", 200, grbit)) for grbit in (0, 8))
    styles = b"".join(binary_record(47, struct.pack("<HHH10x", 0, 0, font)) for font in (0, 1))

    def words(column: int, style: int, said: str) -> bytes:
        return binary_record(6, struct.pack("<II", column, style) + binary_text(said))

    page = binary_sheet(
        binary_row(0, words(0, 0, "Berth"), words(1, 0, "Due")), binary_row(1, words(0, 1, "gone"), words(1, 0, "9"))
    )
    raw = binary_workbook([("Dues", 0, page)])
    members = {
        name: zipfile.ZipFile(io.BytesIO(raw)).read(name) for name in zipfile.ZipFile(io.BytesIO(raw)).namelist()
    }
    members["xl/styles.bin"] = fonts + binary_record(617, struct.pack("<I", 2)) + styles + binary_record(618)
    document = _parsed(container(members))
    assert document.text == "Dues\n\nBerth\tDue\n\t9"
    assert document.metadata["hidden_deletion_count"] == "1"


def test_comments_of_a_binary_workbook_name_their_cell() -> None:
    stream = (
        binary_record(632, binary_text("Ada"))
        + binary_record(635, struct.pack("<IIIII16x", 0, 4, 4, 27, 27))
        + binary_record(637, b"\0" + binary_text("twice as much"))
    )
    assert list(binary_comments(stream)) == [("AB5", "Ada", "twice as much")]
    assert list(binary_comments(stream[:-5])) == []


def test_an_open_sheet_leaves_out_what_is_struck_through_and_reads_comments() -> None:
    def style(name: str, line: str, parent: str = "") -> str:
        rests = f's:parent-style-name="{parent}"' if parent else ""
        says = f'<s:text-properties s:text-line-through-style="{line}"/>' if line else ""
        return f'<s:style s:name="{name}" {rests}>{says}</s:style>'

    def cell(inner: str, look: str = "") -> str:
        return f"<t:table-cell{f' t:style-name={look!r}' if look else ''}>{inner}</t:table-cell>"

    styles = style("gone", "solid") + style("below", "", "gone") + style("back", "none", "gone")
    remark = "<o:annotation><d:creator xmlns:d='urn:d'>Ada</d:creator><x:p>twice as</x:p><x:p>much</x:p></o:annotation>"
    cells = [
        cell("<x:p>Berth</x:p>") + cell("<x:p>Due</x:p>", "back"),
        cell("<x:p>B1</x:p>", "below") + cell(f"{remark}<x:p>7</x:p>", "back"),
        cell('<x:p>B<x:span x:style-name="gone">9</x:span>2</x:p>') + cell("<x:p>8</x:p>"),
    ]
    rows = "".join(f"<t:table-row>{row}</t:table-row>" for row in cells)
    columns = '<t:table-column/><t:table-column t:default-cell-style-name="gone"/>'
    content = (
        f'<o:d xmlns:o="urn:o" xmlns:t="urn:t" xmlns:x="urn:x" xmlns:s="urn:s">{styles}'
        f'<t:table t:name="Dues">{columns}{rows}</t:table></o:d>'
    )
    document = _parsed(container({"mimetype": ODS, "content.xml": content}, stored_first=True), ODS)
    assert document.text == "Dues\n\nBerth\tDue\n\t7\nB2\n\nComment on B2 by Ada: twice as much"
    assert document.metadata["hidden_deletion_count"] == "3"


def test_a_comment_that_begins_with_who_made_it_says_so_once() -> None:
    file = openpyxl.Workbook()
    page = file.active
    assert isinstance(page, Worksheet)
    page["B2"] = "Sum"
    page["B2"].comment = Comment("Ada:\ntwice as much", "Ada")
    assert _parsed(_saved(file)).text.endswith("Comment on B2: Ada: twice as much")


@pytest.mark.parametrize(("column", "name"), [(0, "A7"), (25, "Z7"), (26, "AA7"), (16_383, "XFD7")])
def test_cells_are_named_as_a_sheet_names_them(column: int, name: str) -> None:
    assert cell_name(7, column) == name
