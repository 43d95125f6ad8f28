"""Spreadsheets that claim more than they hold, and what stands beside their cells."""

from __future__ import annotations

import io
import struct

import openpyxl
import pytest
from openpyxl.comments import Comment

from rag_pipeline.errors import DocumentError, EncryptedDocument, LimitExceeded, UnsupportedMediaType
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline.parsing.legacy.ole import OleFile
from rag_pipeline.parsing.media_type import ODS, XLS, XLSX
from rag_pipeline.parsing.office.sheet_cells import area_cells
from rag_pipeline.parsing.office.xls_stream import wrapped
from rag_pipeline_tests.parsing.compound_files import compound, label, record, workbook
from rag_pipeline_tests.parsing.office_files import container, relations

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def text_of(raw: bytes, media_type: str) -> str:
    return parse(raw, media_type, "a", ParseLimits())[0].text


def refusal(raw: bytes, media_type: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(raw, media_type, "a", ParseLimits())
    return caught.value


def sheet(rows: str, strings: str = "", members: dict[str, str] | None = None) -> bytes:
    book = '<sheets><sheet name="S" sheetId="1" r:id="s"/></sheets>'
    return container(
        {
            "_rels/.rels": relations(("r", "officeDocument", "xl/workbook.xml")),
            "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}">{book}</workbook>',
            "xl/_rels/workbook.xml.rels": relations(
                ("s", "worksheet", "worksheets/s.xml"), ("t", "sharedStrings", "sharedStrings.xml")
            ),
            "xl/worksheets/s.xml": f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>',
            "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{strings}</sst>',
            **(members or {}),
        }
    )


def test_an_old_workbook_is_read() -> None:
    raw = compound({"Workbook": workbook(label(0, 0, "Berth"), label(0, 1, "Depth"))})
    assert text_of(raw, XLS) == "Sums\n\nBerth\tDepth"


def test_an_old_workbook_whose_chain_of_sectors_runs_in_a_circle_does_no_harm() -> None:
    raw = bytearray(compound({"Workbook": workbook(label(0, 0, "Berth"), label(0, 1, "Depth"))}))
    table = len(raw) - 512
    struct.pack_into("<I", raw, table, 0)
    # The library would follow this circle until memory runs out.
    assert text_of(bytes(raw), XLS) == "Sums\n\nBerth\tDepth"


def test_the_size_an_old_sheet_claims_is_not_believed() -> None:
    claim = record(0x0200, struct.pack("<IIHHH", 0, 0xFFFFFFF0, 0, 0xFFF0, 0))
    raw = compound({"Workbook": workbook(claim, label(0, 0, "Berth"), label(0, 1, "Depth"))})
    assert text_of(raw, XLS) == "Sums\n\nBerth\tDepth"


def test_an_old_sheet_with_cells_at_its_corners_stops_at_the_limit() -> None:
    raw = compound({"Workbook": workbook(label(0, 0, "a"), label(65_535, 255, "b"))})
    assert isinstance(refusal(raw, XLS), LimitExceeded)


def test_an_old_workbook_with_a_password_is_refused_as_encrypted() -> None:
    raw = compound({"Workbook": workbook(label(0, 0, "a"), in_globals=record(0x002F, bytes(6)))})
    assert isinstance(refusal(raw, XLS), EncryptedDocument)


def test_a_compound_file_without_a_workbook_is_no_spreadsheet() -> None:
    assert isinstance(refusal(compound({"Other": b"x"}), XLS), UnsupportedMediaType)


@pytest.mark.parametrize("size", [6, 6_000, 9_000_000])
def test_a_wrapped_workbook_stream_reads_back_the_same(size: int) -> None:
    stream = b"record" * (size // 6)
    assert OleFile(wrapped("Workbook", stream), "a").read("Workbook")[:size] == stream


@pytest.mark.parametrize(
    "rows",
    [
        '<row r="1"><c><v>1</v></c></row><row r="1048576"><c t="n" r="XFD1048576"><v>2</v></c></row>',
        f'<row r="1"><c r="A1"><v>1</v></c></row><row r="9"><c s="{"1" * 300}" r="XFD1048576"><v>2</v></c></row>',
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="9"><c r="&#88;FD1048576"><v>2</v></c></row>',
    ],
    ids=["no reference", "far attribute", "entity"],
)
def test_cells_at_the_corners_are_seen_however_they_are_written(rows: str) -> None:
    assert area_cells(f"<s>{rows}</s>".encode(), "a") == 1_048_576 * 16_384
    assert text_of(sheet(rows), XLSX) == "S\n\n1\n\n2"


def test_cells_without_references_follow_one_another() -> None:
    assert area_cells(b"<s><row><c/><c/><c/></row><row><c/></row></s>", "a") == 6


def test_a_long_string_that_many_cells_share_stops_at_the_limit() -> None:
    rows = "".join(f'<row r="{row}"><c r="A{row}" t="s"><v>0</v></c></row>' for row in range(1, 10_001))
    assert isinstance(refusal(sheet(rows, f"<si><t>{'z' * 30_000}</t></si>"), XLSX), LimitExceeded)


def test_repeated_cells_of_long_text_stop_at_the_limit() -> None:
    namespaces = 'xmlns:t="urn:t" xmlns:x="urn:x" xmlns:o="urn:o"'
    cell = f"<t:table-cell><x:p>{'w' * 60_000}</x:p></t:table-cell>"
    row = f'<t:table-row t:number-rows-repeated="1000">{cell}</t:table-row>'
    raw = container(
        {
            "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
            "content.xml": f"<o:document {namespaces}><t:table>{row}</t:table></o:document>",
        },
        stored_first=True,
    )
    assert isinstance(refusal(raw, ODS), LimitExceeded)


def test_an_encrypted_open_document_sheet_is_refused_as_encrypted() -> None:
    raw = container({"content.xml": b"\x93\x01", "META-INF/manifest.xml": "<m><encryption-data/></m>"})
    assert isinstance(refusal(raw, ODS), EncryptedDocument)


def test_comments_and_text_boxes_follow_the_cells_of_their_sheet() -> None:
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    page["A1"] = "Sum"
    page["A1"].comment = Comment("twice as much", "Ada")
    buffer = io.BytesIO()
    book.save(buffer)
    assert text_of(buffer.getvalue(), XLSX) == "Sheet\n\nSum\n\nComment on A1 by Ada: twice as much"
    drawing = '<d xmlns:a="urn:a"><sp><txBody><a:p><a:r><a:t>In a box</a:t></a:r></a:p></txBody></sp></d>'
    chart = '<c xmlns:a="urn:a"><title><a:p><a:r><a:t>Tides</a:t></a:r></a:p></title></c>'
    drawn = sheet(
        '<row r="1"><c r="A1"><v>1</v></c></row>',
        members={
            "xl/worksheets/_rels/s.xml.rels": relations(("d", "drawing", "../drawings/d.xml")),
            "xl/drawings/d.xml": drawing,
            "xl/drawings/_rels/d.xml.rels": relations(("c", "chart", "../charts/c.xml")),
            "xl/charts/c.xml": chart,
        },
    )
    assert text_of(drawn, XLSX) == "S\n\n1\n\nIn a box\n\nTides"
