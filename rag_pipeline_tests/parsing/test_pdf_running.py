"""Running heads of a PDF: what is equal or counts the pages goes, what differs by its number stays."""

from __future__ import annotations

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline.transforms.left_out import left_out
from rag_pipeline_tests.parsing.office_files import Line, placed_pdf, text_pdf

BODY = "The boat was hauled out in spring and her planks were scraped and painted once again."
WORDS = ("rudder", "anchor", "mast", "keel", "tiller", "boom")


def parsed(raw: bytes) -> ParsedDocument:
    return parse(raw, "application/pdf", "a.pdf", ParseLimits())[0]


def page(number: int, *extra: Line, lines: int = 6) -> list[Line]:
    body = [(11, 72, 150 + 14 * line, f"{WORDS[number % 6]} {line}: {BODY}") for line in range(lines)]
    return [*extra, *body]


@pytest.mark.parametrize("size", [20, 11])
@pytest.mark.parametrize(
    "name", ["Invoice 4{:03}", "Chapter {}", "Case No {}", "Exhibit No. 12-{}", "Week {} of 2026", "Report of {} May"]
)
def test_headings_that_differ_by_their_number_stay(name: str, size: int) -> None:
    names = [name.format(number) for number in range(1, 7)]
    raw = text_pdf([[(size, 40, title), (11, 150, BODY)] for title in names])
    text = parsed(raw).text
    assert [title for title in names if title not in text] == []


def test_a_number_that_stands_far_from_its_label_is_no_page_number() -> None:
    raw = placed_pdf([page(number, (11, 72, 40, "Invoice no."), (11, 500, 40, f"{number}")) for number in range(1, 6)])
    text = parsed(raw).text
    assert [number for number in range(1, 6) if f"Invoice no. {number}" not in text] == []


def test_a_number_heading_on_each_page_of_its_part_stays_once() -> None:
    raw = text_pdf([[(9, 40, f"Case 12-{number // 3}"), (11, 150, BODY)] for number in range(9)])
    text = parsed(raw).text
    assert [text.count(f"Case 12-{number}") for number in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    "foot",
    [
        [(9, 72, "Page {}")],
        [(9, 72, "Page {} of 6")],
        [(9, 300, "{}")],
        [(9, 300, "- {} -")],
        [(9, 72, "Harbour handbook, page {}")],
        [(9, 72, "Harbour handbook | {}")],
        [(9, 72, "Harbour handbook"), (9, 500, "{}")],
        [(9, 72, "{}"), (9, 400, "Harbour handbook")],
        [(9, 72, "Harbour handbook {}")],
        [(9, 72, "Harbour handbook, quay 1"), (9, 300, "{} / 20")],
    ],
    ids=lambda foot: " … ".join(text for _, _, text in foot),
)
@pytest.mark.parametrize("top", [40, 765])
def test_what_counts_the_pages_goes(foot: list[tuple[int, int, str]], top: int) -> None:
    if top == 40 and foot == [(9, 72, "Harbour handbook {}")]:
        pytest.skip("at the head this is a heading with a number")
    pages = [
        page(number, *((size, left, top, text.format(number + 11)) for size, left, text in foot))
        for number in range(1, 7)
    ]
    document = parsed(placed_pdf(pages))
    text = document.text
    # A number alone the reader of the layout leaves out by itself.
    if any(form != "{}" for _, _, form in foot):
        assert left_out(document.metadata)["running_line"] >= len(pages)
    assert text.startswith("anchor 0")
    assert "handbook" not in text
    assert "Page" not in text
    assert text.rstrip(".").endswith("again")


@pytest.mark.parametrize("step", [1, 7])
def test_a_long_foot_whose_number_rises_goes(step: int) -> None:
    foot = "{} The register of boats and owners of the northern harbours, volume 12"
    text = parsed(placed_pdf([page(n, (9, 72, 765, foot.format(4700 + step * n))) for n in range(1, 7)])).text
    assert "register" not in text


def test_years_do_not_count_pages() -> None:
    title = "Report of the office of the northern harbours about the fishing season"
    raw = placed_pdf([page(n, (9, 72, 40, title), (9, 500, 40, f"{2019 + n}")) for n in range(1, 6)])
    text = parsed(raw).text
    assert [year for year in range(2020, 2025) if str(year) not in text] == []


def test_numbers_in_the_margin_that_count_nothing_stay() -> None:
    codes = ["731", "12", "555", "48"]
    text = parsed(text_pdf([[(11, 40, code), (11, 150, BODY)] for code in codes])).text
    assert [code for code in codes if code not in text] == []


def test_a_word_of_roman_letters_in_the_margin_stays() -> None:
    assert "Civil" in parsed(text_pdf([[(11, 40, "Civil"), (11, 150, BODY)]])).text


def test_the_first_of_many_numbered_headings_is_no_title() -> None:
    raw = text_pdf([[(20, 40, f"Invoice {number}"), (11, 150, BODY)] for number in range(4710, 4715)])
    assert parsed(raw).title is None
