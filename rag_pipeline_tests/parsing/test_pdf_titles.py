"""Headings of a PDF: titles over two lines are one, phrases of forms and back-links name nothing; prose is not lost."""

from __future__ import annotations

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline.parsing.pdf.layout import Piece
from rag_pipeline.parsing.pdf.titles import mend_headings
from rag_pipeline.parsing.pdf.witness import compared
from rag_pipeline_tests.parsing.office_files import text_pdf

BODY = "The boat was hauled out in spring and her planks were scraped and painted once again."


def parsed(raw: bytes) -> ParsedDocument:
    return parse(raw, "application/pdf", "a.pdf", ParseLimits())[0]


def heading(text: str, top: float, height: float = 0.03, level: int = 1) -> Piece:
    return Piece("heading", text, 1, level, top, top + height, line_height=height)


def test_a_title_over_two_lines_is_one() -> None:
    lines = [(20, 120, "Handbook of the northern harbours and"), (20, 144, "their moorings in winter")]
    document = parsed(text_pdf([[*lines, *((11, 200 + 14 * line, BODY) for line in range(12))]]))
    assert document.title == "Handbook of the northern harbours and their moorings in winter"
    assert [block.label for block in document.blocks if block.kind == "heading"] == [document.title]


@pytest.mark.parametrize(
    "second",
    [
        heading("2 Anchors", 0.135),
        heading("Anchors", 0.2),
        heading("Anchors", 0.135, level=2),
        heading("Anchors", 0.135, height=0.02),
    ],
    ids=["numbered", "further below", "deeper", "smaller"],
)
def test_headings_that_are_two_stay_two(second: Piece) -> None:
    pages = [[heading("Ropes", 0.1), second]]
    mend_headings(pages)
    assert len(pages[0]) == 2


@pytest.mark.parametrize(
    "phrase",
    ["Table of Contents", "Contents", "Back to table of contents", "FORM 10-K", "Return to top", "For office use only"],
)
def test_a_phrase_is_neither_title_nor_heading_but_stays_in_the_text(phrase: str) -> None:
    page = [(20, 120, phrase), *((11, 160 + 14 * line, BODY) for line in range(12)), (16, 400, "Mooring in winter")]
    document = parsed(text_pdf([[*page, *((11, 440 + 14 * line, BODY) for line in range(12))]]))
    assert phrase in document.text
    assert phrase not in {block.label for block in document.blocks}
    assert document.title != phrase


@pytest.mark.parametrize("name", ["Contents of the hold", "Form and function", "Confidential talks", "Draft animals"])
def test_names_that_begin_like_a_phrase_stay_headings(name: str) -> None:
    pages = [[heading(name, 0.1)]]
    mend_headings(pages)
    assert pages[0][0].kind == "heading"


def test_lost_prose_is_seen_among_many_numbers() -> None:
    figures = " ".join(str(number) for number in range(400))
    prose = "The cargo was insured against fire but never against the ice of the river"
    assert not compared([Piece("table", figures, 1)], f"{figures}\n{prose}").has_most_words
    both = [Piece("table", figures, 1), Piece("paragraph", prose, 1)]
    assert compared(both, f"{figures}\n{prose}").has_most_words
