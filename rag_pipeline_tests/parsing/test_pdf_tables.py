"""Tables of a PDF that go on over the page keep the names of their columns, and no row of data becomes one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rag_pipeline.contracts.documents import Chunk, ParsedDocument
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline.transforms.chunk import ChunkParams, chunk_document
from rag_pipeline_tests.parsing.office_files import Line, placed_pdf
from rag_pipeline_tests.transforms.chunk.counters import WordCounter

PLACES = (72, 170, 250, 330, 430)
NAMES = ["Berth", "Depth", "Due", "Shore power", "Location"]
GROUPS = ["", "Water", "Money", "", "Place"]
CREW = ["Ada", "Bert", "Cleo", "Dora", "Emil", "Fritz", "Gerd"]


def berth(number: int) -> list[str]:
    return [
        f"Berth {number}",
        f"{3 * number} m",
        f"{7 * number} EUR",
        f"{11 * number} amps",
        f"quay {number % 9}",
    ]


def sailor(number: int) -> list[str]:
    words = [("pilot", "cook", "mate"), ("quay", "pier"), ("Wren", "Gull", "Tern"), ("spring", "summer")]
    return [CREW[number % 7], *(choices[number % len(choices)] for choices in words)]


def harbour(number: int) -> list[str]:
    return [CREW[number % 7], *(str(number * factor) for factor in (7, 5, 3, 1))]


ROWS: dict[str, Callable[[int], list[str]]] = {"berth": berth, "sailor": sailor, "harbour": harbour}


def line_of(top: int, cells: Sequence[str]) -> list[Line]:
    return [(9, left, top, cell) for left, cell in zip(PLACES, cells, strict=False) if cell]


def table(
    header: list[list[str]],
    rows: str = "berth",
    counts: tuple[int, ...] = (36, 14),
    repeated: int = 0,
    lead: str = "",
    foot: str = "",
) -> bytes:
    """A table over pages of `counts` rows; further pages begin with the last `repeated` rows of the header."""
    pages: list[list[Line]] = []
    number = 0
    for count in counts:
        page: list[Line] = [] if pages else [(16, 72, 60, "Dues by berth")]
        names = header[len(header) - repeated :] if pages else header
        top = 90
        if pages and lead:
            page.append((10, 72, top, lead))
            top += 25
        for cells in names:
            page += line_of(top, cells)
            top += 15
        for _ in range(count):
            number += 1
            page += line_of(top, ROWS[rows](number))
            top += 15
        page += [(8, 72, 770, foot)] if foot else []
        pages.append(page)
    return placed_pdf(pages)


def parsed(raw: bytes) -> ParsedDocument:
    return parse(raw, "application/pdf", "a.pdf", ParseLimits())[0]


def chunks(raw: bytes) -> list[tuple[Chunk, str]]:
    document = parsed(raw)
    found = chunk_document(document, ChunkParams(100, header_max_tokens=30), WordCounter())
    return [(chunk, document.text[chunk.start_char : chunk.end_char]) for chunk in found if chunk.kind == "table"]


@pytest.mark.parametrize(
    ("header", "options"),
    [
        ([NAMES], {}),
        ([NAMES], {"counts": (36, 40, 9)}),
        ([NAMES], {"counts": (36, 1)}),
        ([NAMES], {"repeated": 1}),
        ([NAMES], {"lead": "Dues by berth (continued)"}),
        ([NAMES], {"lead": "Dues by berth"}),
        ([NAMES], {"foot": "Acme Ltd, Harbour street 5, Oslo"}),
        ([NAMES], {"rows": "sailor"}),
        ([NAMES], {"rows": "sailor", "repeated": 1}),
        ([["Berth", "2021", "2022", "2023", "2024"]], {"rows": "harbour"}),
        ([GROUPS, NAMES], {}),
        ([GROUPS, NAMES], {"repeated": 2}),
        ([GROUPS, NAMES], {"repeated": 1}),
        ([NAMES[:2]], {"counts": (30, 12)}),
    ],
    ids=str,
)
def test_each_part_names_the_columns_once(header: list[list[str]], options: dict[str, Any]) -> None:
    found = chunks(table(header, **options))
    assert {chunk.page for chunk, _ in found} == set(range(1, 1 + len(options.get("counts", (1, 2)))))
    for chunk, text in found:
        said = " ".join(f"{chunk.header}\n{text}".split())
        assert [said.count(" ".join(filter(None, row))) for row in header] == [1] * len(header)
        assert not any(f"{name} " in chunk.header for name in (*CREW, "Berth 4"))


def test_a_table_without_names_gets_none() -> None:
    found = chunks(table([berth(0)]))
    assert len(found) > 2
    assert {chunk.header for chunk, _ in found} <= {"", "Dues by berth"}


def test_another_table_on_the_next_page_keeps_its_own_names() -> None:
    first = [*line_of(90, NAMES), *(cell for row in range(40) for cell in line_of(105 + 15 * row, berth(row)))]
    other = ["Sailor", "Wage", "Weeks", "Cabin", "Watch"]
    second = [*line_of(90, other), *(cell for row in range(9) for cell in line_of(105 + 15 * row, berth(row)))]
    text = parsed(placed_pdf([first, second])).text
    assert text.count("Berth\tDepth") == 1
    assert "Sailor\tWage" in text


def test_a_list_of_terms_has_no_header_to_lend() -> None:
    terms = [("Keel", "the spine of a boat"), ("Boom", "the spar along the foot of a sail"), ("Luff", "a leading edge")]
    pages = [
        [cell for row in range(30) for cell in line_of(90 + 15 * row, (f"{terms[row % 3][0]}{row}", terms[row % 3][1]))]
        for _ in range(2)
    ]
    assert parsed(placed_pdf(pages)).text.count("Keel0") == 2


ABOVE = [(11, 72, 100, "The harbour has two berths, and their depth at low water is given below in metres.")]
BELOW = [(11, 72, 330, "After the table the text goes on for another line, which is a full sentence.")]


def side_by_side(rows: list[list[str]]) -> str:
    """A page on which these short lines stand row by row between two sentences."""
    lines = [
        (11, 72 + 130 * column, 200 + 16 * row, text)
        for row, cells in enumerate(rows)
        for column, text in enumerate(cells)
    ]
    raw = placed_pdf([ABOVE + lines + BELOW])
    document = parse(raw, "application/pdf", "a.pdf", ParseLimits())[0]
    return "\n".join(
        document.text[block.start_char : block.end_char] for block in document.blocks if block.kind == "table"
    )


@pytest.mark.parametrize(
    "rows",
    [
        [["Berth", "Depth"], ["North", "7"], ["South", "9"]],
        [["Berth", "Depth"], ["North", "7 m"], ["South", "9 m"], ["West", "12 m"]],
        [["Role", "Name"], ["Master", "Ada Lind"], ["Pilot", "Bo Moss"]],
        [["Adult", "12", "14"], ["Child", "6", "7"], ["Dog", "1", "2"]],
        [["From", "To"], ["1.5.2026", "3.5.2026"], ["4.5.2026", "9.5.2026"]],
        [["Berth", "Due", "Paid"], ["North", "$1,200.50", "(3%)"], ["South", "$900.00", "(12%)"]],
    ],
)
def test_a_small_grid_keeps_its_rows(rows: list[list[str]]) -> None:
    assert side_by_side(rows) == "\n".join("\t".join(row) for row in rows)


def test_a_title_close_above_a_small_grid_keeps_its_rows() -> None:
    lines = [(11, 72, 184, "Prices"), (11, 72, 200, "Adult"), (11, 202, 200, "12 EUR")]
    raw = placed_pdf([[*ABOVE, *lines, (11, 72, 216, "Child"), (11, 202, 216, "6 EUR"), *BELOW]])
    assert "\n\nPrices\n\nAdult\t12 EUR\nChild\t6 EUR\n\n" in parse(raw, "application/pdf", "a", ParseLimits())[0].text


@pytest.mark.parametrize(
    "rows",
    [
        [["Ada Lind", "Bo Moss"], ["Quay 5", "Ropewalk 7"], ["1234 Port", "9999 Town"]],
        [["Fast and safe", "Easy to use"], ["No cables", "Works at sea"], ["Cheap", "Light"]],
    ],
    ids=["addresses", "points"],
)
def test_columns_of_words_are_no_grid(rows: list[list[str]]) -> None:
    assert side_by_side(rows) == ""
