"""Pages of a PDF in reading order however their text lies, with every word that a second reader sees."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline.parsing.pdf import witness
from rag_pipeline.parsing.pdf.layout import Piece
from rag_pipeline.parsing.pdf.witness import letters, with_lines
from rag_pipeline_tests.parsing.office_files import Line, placed_pdf
from rag_pipeline_tests.parsing.pdf_files import drawn_from_the_left, glyph_pdf, page_pdf, pages_pdf, turned_text
from rag_pipeline_tests.parsing.rendering import check_invariants

PUMP = [
    "The pump starts when the level in the",
    "basin falls below the lower mark and",
    "stops again once the upper mark has",
    "been reached for a full minute. Each",
    "start is written to the log with its",
    "time and the level that was measured.",
]
VALVES = [
    "Valves are checked twice a year by the",
    "harbour crew. The first check happens",
    "in spring before the season begins and",
    "the second one in late autumn. Worn",
    "seals are replaced at once, and parts",
    "that cannot be had are ordered anew.",
]
START = {0: (72, 700), 90: (100, 100), 180: (540, 100), 270: (500, 700)}


def parsed(raw: bytes) -> ParsedDocument:
    documents = parse(raw, "application/pdf", "a.pdf", ParseLimits())
    check_invariants(documents)
    return documents[0]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_turned_text_is_read_along_its_lines(angle: int, rotation: int) -> None:
    document = parsed(page_pdf(turned_text(angle, PUMP, *START[angle]), page=b"/Rotate %d" % rotation))
    assert document.text == " ".join(PUMP)
    assert [block.page for block in document.blocks] == [1]


def test_a_turned_page_among_others_keeps_its_number_and_its_table() -> None:
    upright: list[Line] = [(11, 72, 100 + 14 * number, line) for number, line in enumerate(PUMP)]
    table: list[Line] = [
        (10, 72 + 120 * column, 100 + 16 * row, f"{name} {row}" if row else name)
        for row in range(6)
        for column, name in enumerate(("Berth", "Depth", "Crew"))
    ]
    pages = placed_pdf([upright, table, upright])
    kinds = {block.page: block.kind for block in parsed(pages).blocks}
    assert kinds == {1: "paragraph", 2: "table", 3: "paragraph"}
    for rotation in (b"/Rotate 90", b"/Rotate 180", b"/Rotate 270"):
        turned = placed_pdf([upright, table, upright], page_facts=rotation)
        assert [(block.page, block.kind) for block in parsed(turned).blocks] == list(kinds.items())
        assert parsed(turned).text == parsed(pages).text


def test_what_stands_upright_in_the_margin_is_not_lost() -> None:
    note = "Form 27 of the harbour office"
    document = parsed(page_pdf(turned_text(0, PUMP, 72, 700) + turned_text(90, [note], 40, 300)))
    assert " ".join(PUMP) in document.text
    assert note in document.text
    assert document.text.count("harbour office") == 1


def spaced(word: str, bottom: int) -> bytes:
    """A title with wide gaps between its letters, which one reader takes for words of a letter each."""
    return b"BT 6 Tc /F 13 Tf 72 %d Td (%b) Tj 0 Tc ET\n" % (bottom, word.encode())


def test_short_titles_with_spaced_letters_stand_once_and_in_their_place() -> None:
    titles = {"SUMMARY": PUMP, "RISKS": VALVES, "OUTLOOK": PUMP}
    content = b"".join(
        spaced(title, 760 - 140 * number) + turned_text(0, lines, 72, 730 - 140 * number)
        for number, (title, lines) in enumerate(titles.items())
    )
    text = parsed(page_pdf(content)).text
    assert text.replace(" ", "") == "\n\n".join(
        each.replace(" ", "") for title, lines in titles.items() for each in (title, " ".join(lines))
    )


@pytest.mark.parametrize("note", ["Risks", "RISKS", "Tides"])
def test_a_short_note_in_the_margin_is_kept_beside_a_title_of_the_same_letters(note: str) -> None:
    for title in (spaced("RISKS", 760), turned_text(0, ["RISKS"], 72, 760)):
        content = title + turned_text(0, VALVES, 72, 700) + turned_text(90, [note], 40, 300)
        text = parsed(page_pdf(content)).text.casefold().replace(" ", "")
        assert text.count(note.casefold()) == 1 + (note != "Tides")
        assert " ".join(VALVES).casefold().replace(" ", "") in text


def test_lost_lines_follow_what_stands_before_them_where_lines_are_alike() -> None:
    body = [Piece("paragraph", f"Berth {number}\nfree", 1) for number in range(40)]
    lines = [f"Berth {number}\nfree\nnote {number}" for number in range(40)]
    text = "\n".join(lines)
    lost = {index for index, line in enumerate(text.split("\n")) if line.startswith("note")}
    found = with_lines(body, text, lost, 1)
    assert [piece.text for piece in found] == [
        said for number in range(40) for said in (f"Berth {number}\nfree", f"note {number}")
    ]


def test_placing_lost_lines_takes_each_piece_once(monkeypatch: pytest.MonkeyPatch) -> None:
    body = [Piece("paragraph", f"Berth {number} is free from noon", 1) for number in range(300)]
    text = "\n".join(piece.text for piece in body) + "\nKept for ten years"
    asked = 0

    def counted(said: str) -> str:
        nonlocal asked
        asked += 1
        return letters(said)

    monkeypatch.setattr(witness, "letters", counted)
    assert with_lines(body, text, {300}, 1)[-1].text == "Kept for ten years"
    assert asked <= 2 * 301


def test_words_beside_the_page_are_read_by_nobody() -> None:
    beside = turned_text(0, ["Colour marks of the printer"], 700, 400) + turned_text(90, ["Trim here please"], -30, 300)
    document = parsed(page_pdf(turned_text(0, PUMP, 72, 700) + beside))
    assert document.text == " ".join(PUMP)


@pytest.mark.parametrize(
    ("text", "ligatures"),
    [
        ("الأسطول لا يغادر الا بعد الاذن", ("لا", "لأ")),
        ("ثلاث سفن في الميناء الآن", ("لا", "لآ")),
        ("شركة الملاحة الإقليمية", ("لا", "لإ")),
        ("שָׁלוֹם לַנָּמָל", ()),
        ("ספינה נכנסת לנמל בבוקר", ()),
        ("السفينة تدخل الميناء صباحا", ()),
    ],
)
def test_right_to_left_lines_and_their_ligatures_read_in_order(text: str, ligatures: tuple[str, ...]) -> None:
    assert parsed(glyph_pdf([drawn_from_the_left(text, ligatures)])).text == text


def test_numbers_and_names_within_right_to_left_lines_stay_as_they_are() -> None:
    assert parsed(glyph_pdf([list("חתפנ 42 רעשה")])).text == "השער 42 נפתח"
    assert parsed(glyph_pdf([["The o", "ffi", "ce ", "fi", "les"]])).text == "The office files"


def test_scanned_pages_are_named_even_under_a_stamp() -> None:
    scan = b"q 612 0 0 792 0 0 cm BI /W 2/H 2/CS/G/BPC 8 ID \x80\x81\x82\x83 EI Q "
    words = turned_text(0, PUMP, 72, 700)
    pages = [words, scan, scan + turned_text(0, ["Received 4 May"], 400, 760), scan + words]
    document = parsed(pages_pdf(pages))
    assert document.metadata["pages_needing_ocr"] == "2,3"
    assert "Received 4 May" in document.text


@settings(max_examples=25)
@given(
    columns=st.integers(1, 3),
    lines=st.integers(5, 14),
    is_interleaved=st.booleans(),
    has_note=st.booleans(),
    rotation=st.sampled_from([0, 90, 180, 270]),
)
def test_every_page_made_reads_column_by_column_and_loses_no_word(
    columns: int, lines: int, is_interleaved: bool, has_note: bool, rotation: int
) -> None:
    width = 36 if columns < 3 else 26
    texts = [
        [f"w{column}x{number} {VALVES[(number + column) % 6]}"[:width].strip() for number in range(lines)]
        for column in range(columns)
    ]
    places = [
        (9, 60 + column * 520 // columns, 120 + 12 * number, text)
        for column, found in enumerate(texts)
        for number, text in enumerate(found)
    ]
    if is_interleaved:
        places.sort(key=lambda place: (place[2], place[1]))
    content = b"".join(turned_text(0, [text], left, 792 - top, points) for points, left, top, text in places)
    if has_note:
        content += turned_text(90, ["Kept for ten years"], 30, 300)
    text = " ".join(parsed(page_pdf(content, page=b"/Rotate %d" % rotation)).text.split())
    for found in texts:
        assert " ".join(found) in text
    assert text.count("Kept for ten years") == has_note
    starts = [text.index(found[0]) for found in texts]
    assert starts == sorted(starts)


ARABIC = ["الأسطول", "لا", "يغادر", "الا", "بعد", "الاذن", "الآن", "الملاحة", "الإقليمية"]
HEBREW = ["שלום", "לנמל", "ספינה", "נכנסת", "בבוקר", "לא"]


@settings(max_examples=25)
@given(
    lines=st.sampled_from([ARABIC, HEBREW]).flatmap(
        lambda words: st.lists(
            st.lists(st.sampled_from(words), min_size=2, max_size=7).map(" ".join), min_size=1, max_size=8, unique=True
        )
    ),
    rotation=st.sampled_from([0, 90, 180, 270]),
)
def test_every_right_to_left_page_made_reads_in_order_and_loses_no_word(lines: list[str], rotation: int) -> None:
    # A line that is one glyph, or equal to the one before, PDFium takes for a shadow of it.
    glyphs = [drawn_from_the_left(line, ("لا", "لأ", "لآ", "لإ")) for line in lines]
    text = parsed(glyph_pdf(glyphs, right=540, page=b"/Rotate %d" % rotation)).text
    assert text.split() == " ".join(lines).split()
