"""The tags of a PDF name its headings, tables, items, pictures and running heads, unless they are nonsense."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import NeedsOcr
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline.transforms.left_out import left_out
from rag_pipeline_tests.parsing.pdf_files import Tag, marked, tagged_pdf

PROSE = ("The harbour master keeps a book of all boats that land at the quay,", "and reads it aloud on every Sunday.")
PAGINATION = b"<</Type/Pagination/Subtype/Header>>"


def parsed(content: bytes, *tags: Tag) -> ParsedDocument:
    (document,) = parse(tagged_pdf(content, tags), "application/pdf", "a.pdf", ParseLimits())
    return document


def headings(document: ParsedDocument) -> list[tuple[int, str]]:
    return [
        (block.level, document.text[block.start_char : block.end_char].lstrip("# "))
        for block in document.blocks
        if block.kind == "heading"
    ]


def prose(number: int, bottom: int, points: int = 11) -> bytes:
    return marked(number, *((points, 72, bottom - 14 * row, line) for row, line in enumerate(PROSE)))


def page(*heads: str, points: Sequence[int] = ()) -> bytes:
    """Each heading above two lines of prose; headings have even numbers, what is below them the next one."""
    sizes = points or [11] * len(heads)
    return b"".join(
        marked(2 * index, (sizes[index], 72, 720 - 100 * index, head)) + prose(2 * index + 1, 690 - 100 * index)
        for index, head in enumerate(heads)
    )


def test_headings_are_those_that_are_tagged_whatever_their_font() -> None:
    content = page("Landing", "Fees", "In winter we pay", points=[11, 11, 22])
    tags = [Tag("H1", [0]), Tag("P", [1]), Tag("H2", [Tag("Span", [2])]), Tag("P", [3]), Tag("P", [4]), Tag("P", [5])]
    document = parsed(content, Tag("Document", tags))
    assert headings(document) == [(1, "Landing"), (2, "Fees")]
    assert document.metadata["heading_source"] == "tags"
    assert "In winter we pay" in document.text


def test_a_heading_over_two_lines_and_one_that_runs_into_its_text_are_found() -> None:
    content = (
        marked(0, (11, 72, 720, "Of the landing of boats"), (11, 72, 706, "in bad weather and at night"))
        + prose(1, 680)
        + marked(2, (11, 72, 600, "Fees."))
        + marked(3, (11, 110, 600, "They are paid at once, in coins, to the harbour master in person."))
    )
    document = parsed(content, Tag("H2", [0]), Tag("P", [1]), Tag("H3", [2]), Tag("P", [3]))
    assert headings(document)[0] == (2, "Of the landing of boats in bad weather and at night")
    assert headings(document)[1][1].startswith("Fees")
    assert "They are paid at once" in document.text


@pytest.mark.parametrize(
    "tags",
    [
        [Tag("H1", [number]) for number in range(6)],
        [Tag("P", [0])],
        [Tag("H1", [number + 50]) for number in range(6)],
        [Tag("H1", []), Tag("Table", [Tag("TR", [])])],
    ],
    ids=["all are headings", "most has no tag", "numbers of nothing", "empty"],
)
def test_nonsense_changes_nothing(tags: list[Tag]) -> None:
    content = page("Landing", "Fees", "Winter", points=[22, 11, 11])
    document = parsed(content, *tags)
    untagged = parsed(content)
    assert document.text == untagged.text
    assert headings(document) in ([], [(1, "Landing")])
    assert document.metadata["heading_source"] != "tags"


def test_what_is_tagged_as_pagination_is_left_out_on_a_single_page() -> None:
    head = marked(None, (9, 72, 700, "Harbour handbook, third edition"), artifact=PAGINATION)
    ornament = marked(None, (9, 72, 770, "Printed at the quay"), artifact=b"<</Type/Layout>>")
    inner = marked(None, (9, 72, 400, "A note that a program took for an ornament"), artifact=b"<</Type/Layout>>")
    content = head + ornament + prose(0, 650) + prose(1, 600) + prose(2, 550) + inner
    document = parsed(content, *(Tag("P", [number]) for number in range(3)))
    assert "handbook" not in document.text
    assert "Printed" not in document.text
    assert "took for an ornament" in document.text
    # Without the tags both would be text, so that they went is counted.
    assert document.metadata["artifact_count"] == "2"
    assert left_out(document.metadata) == {"artifact": 2}


def test_a_page_of_artifacts_keeps_its_text() -> None:
    content = marked(None, *((11, 72, 700 - 14 * row, line) for row, line in enumerate(PROSE * 3)), artifact=PAGINATION)
    text = parsed(content + prose(0, 500), Tag("P", [0])).text
    assert text.count("reads it aloud") == 4


@pytest.mark.parametrize("has_heads", [True, False])
def test_a_tagged_table_has_its_rows(has_heads: bool) -> None:
    rows = [("Boat", "Where it lies in winter"), ("Alma", "Behind the old mill"), ("Bertha", "At the quay, berth two")]
    cells = [cell for row in rows for cell in row]
    content = prose(20, 740) + b"".join(
        marked(number, (11, 72 + 90 * (number % 2), 640 - 15 * (number // 2), cell))
        for number, cell in enumerate(cells)
    )
    table = [
        Tag("TR", [Tag("TH" if has_heads and row == 0 else "TD", [2 * row + column]) for column in range(2)])
        for row in range(3)
    ]
    document = parsed(content, Tag("P", [20]), Tag("Table", [Tag("TBody", table)]))
    assert "\n".join("\t".join(row) for row in rows) in document.text


def test_tagged_items_are_a_list() -> None:
    content = prose(0, 700) + b"".join(
        marked(number, (11, 72, 650 - 30 * number, f"{word} is paid to the harbour master in coins."))
        for number, word in enumerate(["Landing", "Water", "Power"], 1)
    )
    items = [Tag("LI", [Tag("LBody", [number])]) for number in (1, 2, 3)]
    document = parsed(content, Tag("P", [0]), Tag("L", items))
    (found,) = [block for block in document.blocks if block.kind == "list"]
    assert document.text[found.start_char : found.end_char].split("\n")[1] == (
        "- Water is paid to the harbour master in coins."
    )


def picture(number: int) -> bytes:
    return b"/Figure <</MCID %d>> BDC 72 560 100 50 re f EMC\n" % number


def test_what_a_picture_shows_stands_where_it_is() -> None:
    content = prose(0, 700) + picture(1) + prose(2, 400)
    document = parsed(content, Tag("P", [0]), Tag("Figure", [1], "Plan of the old quay"), Tag("P", [2]))
    assert document.text.index("aloud") < document.text.index("Plan of the old quay") < document.text.rindex("aloud")
    assert "image1.png" not in parsed(content, Tag("P", [0]), Tag("Figure", [1], "image1.png"), Tag("P", [2])).text


def test_a_picture_alone_needs_ocr_whatever_it_is_said_to_show() -> None:
    content = b"q 612 0 0 792 0 0 cm /Figure <</MCID 0>> BDC BI /W 1 /H 1 /BPC 8 /CS /G ID a EI EMC Q"
    with pytest.raises(NeedsOcr):
        parsed(content, Tag("Figure", [0], "Plan of the old quay"))


def test_a_tree_of_endless_depth_ends() -> None:
    tag = Tag("P", [0])
    for _ in range(200):
        tag = Tag("Sect", [tag])
    assert "aloud" in parsed(prose(0, 700), tag).text


def test_lines_and_words_of_a_cell_do_not_run_together() -> None:
    content = prose(20, 740)
    for number, lines in enumerate([("Boat",), ("In winter", "(from May)"), ("Alma",), ("Behind", "the mill")]):
        left, bottom = 72 + 250 * (number % 2), 640 - 40 * (number // 2)
        content += marked(number, *((11, left, bottom - 13 * row, line) for row, line in enumerate(lines)))
    rows = [Tag("TR", [Tag("TD", [0]), Tag("TD", [1])]), Tag("TR", [Tag("TD", [2]), Tag("TD", [3])])]
    assert (
        "Boat\tIn winter (from May)\nAlma\tBehind the mill" in parsed(content, Tag("P", [20]), Tag("Table", rows)).text
    )
