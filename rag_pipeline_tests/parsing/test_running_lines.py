"""Heads and feet of office documents are read once, last, and without page numbers; so are tables within tables."""

from __future__ import annotations

import pytest

from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.parsing.office.running_lines import open_document_lines
from rag_pipeline_tests.parsing.office_files import docx, paragraph
from rag_pipeline_tests.parsing.old_office_files import Paragraph, old_word
from rag_pipeline_tests.parsing.test_seen_alike import open_text

PAGES = (
    '<a><style:header><text:p>Contract <text:span x="y">4711 &amp; more</text:span></text:p></style:header>'
    "<style:footer><text:p>Page <text:page-number>1</text:page-number> of <text:page-count>3</text:page-count></text:p>"
    "</style:footer><style:header-left><text:p>Contract 4711 &amp; more</text:p></style:header-left></a>"
)
WORD = old_word(
    [Paragraph([("Body words.", b"")])], asides=["", "Contract 4711 & more\rPage 1\rContract 4711 & more\r"]
)
RICH = (
    rb"{\rtf1 {\header\pard Contract 4711 & more\par}{\footer Page \chpgn\par}"
    rb"Body words.\par{\headerl Contract 4711 & more}}"
)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.odt", open_text("<text:p>Body words.</text:p>", more={"styles.xml": PAGES.encode()})),
        ("a.doc", WORD),
        ("a.rtf", RICH),
    ],
)
def test_heads_and_feet_come_once_at_the_end_without_page_numbers(name: str, raw: bytes) -> None:
    (document,) = parse(raw, media_type_of(name, raw), name, ParseLimits())
    assert document.text == "Body words.\n\nContract 4711 & more"


@pytest.mark.parametrize("written", [b"<style:header>" * 5_000, b"<style:header><text:p>" * 5_000 + b"</style:header>"])
def test_heads_that_never_end_say_nothing(written: bytes) -> None:
    assert not any(open_document_lines(written))


def test_a_table_of_data_keeps_its_columns_where_a_cell_holds_a_table() -> None:
    def row(*cells: str, facts: str = "") -> str:
        return f"<w:tr>{facts}{''.join(f'<w:tc>{cell}</w:tc>' for cell in cells)}</w:tr>"

    inner = f"<w:tbl>{row(paragraph('Key'), paragraph('7'))}</w:tbl>"
    names = row(paragraph("Berth"), paragraph("What is kept there"))
    data = row(paragraph("1"), paragraph("before") + inner + paragraph("after"))
    more = row(paragraph("2"), paragraph("words of the second row"))
    marked = row(paragraph("Berth"), paragraph("Kept"), facts="<w:trPr><w:tblHeader/></w:trPr>")
    short = row(paragraph("a"), paragraph("b"))
    for table, expected in (
        (names + data + more, "Berth\tWhat is kept there\n1\tbefore after\n2\twords of the second row\n\nKey\t7"),
        (marked + data, "Berth\tKept\n1\tbefore after\n\nKey\t7"),
        (row(paragraph("Menu"), inner), "Menu\n\nKey\t7"),
        (row(inner, inner) + row(inner, inner) + short, "Key\t7\n\n" * 4 + "a\n\nb"),
    ):
        raw = docx(f"<w:tbl>{table}</w:tbl>")
        assert parse(raw, media_type_of("a.docx", raw), "a.docx", ParseLimits())[0].text == expected
