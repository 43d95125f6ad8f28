"""Reading order of lines that were read from a picture: columns, paragraphs, rows of cells."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.parsing.ocr.lines import Line, confidence, paragraphs

HEIGHT = 0.012


def line(text: str, left: float, top: float, right: float, height: float = HEIGHT, sure: float = 1.0) -> Line:
    return Line(text, left, top, right, top + height, sure)


def column(words: str, left: float, right: float, top: float = 0.2, count: int = 6) -> list[Line]:
    return [line(f"{words} line {number} of it", left, top + number * 0.016, right) for number in range(count)]


def texts(lines: list[Line]) -> list[str]:
    return [each.text for each in paragraphs(lines)]


def test_one_column_is_read_before_the_next_and_the_title_before_both() -> None:
    title = line("A title over both of the columns", 0.1, 0.05, 0.9)
    page = [*column("right", 0.53, 0.9), title, *column("left", 0.1, 0.48)]
    read = texts(page)
    assert read[0] == title.text
    assert read[1].startswith("left line 0")
    assert read[1].endswith("left line 5 of it")
    assert read[2].startswith("right line 0")


def test_a_line_across_ends_the_columns_above_it() -> None:
    across = line("What stands here belongs to neither of the columns", 0.1, 0.4, 0.9)
    page = [
        *column("upper left", 0.1, 0.48),
        *column("upper right", 0.52, 0.9),
        across,
        *column("lower left", 0.1, 0.48, top=0.5),
        *column("lower right", 0.52, 0.9, top=0.5),
    ]
    order = [" ".join(text.split()[:2]) for text in texts(page)]
    assert order == ["upper left", "upper right", "What stands", "lower left", "lower right"]


def test_three_columns() -> None:
    page = [*column("c", 0.68, 0.95), *column("b", 0.37, 0.64), *column("a", 0.05, 0.33)]
    assert [text[0] for text in texts(page)] == ["a", "b", "c"]


def test_cells_of_a_table_stay_in_their_rows() -> None:
    rows = [
        ("Blind", "5", "34.5%"),
        ("Low vision", "5", "98.3%"),
        ("Dexterity", "4", "98.3%"),
        ("Mobility", "3", "95%"),
    ]
    page = [
        line(cell, 0.1 + 0.3 * place, 0.1 + 0.02 * number, 0.22 + 0.3 * place)
        for number, row in enumerate(rows)
        for place, cell in enumerate(row)
    ]
    assert texts(page) == ["\n".join("  ".join(row) for row in rows)]


def test_paragraphs_end_at_gaps_and_words_are_joined_over_lines() -> None:
    page = [
        line("The harbour is closed from Monday on; the master will in-", 0.1, 0.10, 0.9),
        line("form the pilots about it in writing.", 0.1, 0.115, 0.5),
        line("Boats stay where they are.", 0.1, 0.16, 0.4),
    ]
    assert texts(page) == [
        "The harbour is closed from Monday on; the master will inform the pilots about it in writing.",
        "Boats stay where they are.",
    ]


def test_a_short_line_in_large_letters_is_a_heading() -> None:
    page = [line("Dues", 0.1, 0.05, 0.3, height=0.03), *column("The dues are", 0.1, 0.9)]
    first, second = paragraphs(page)
    assert (first.text, first.is_heading, second.is_heading) == ("Dues", True, False)


def test_how_sure_the_engine_is_counts_by_letters() -> None:
    assert confidence([line("aaaa", 0, 0, 1, sure=1.0), line("bbbbbbbb", 0, 0.1, 1, sure=0.4)]) == 0.6
    assert confidence([]) == 0.0


SHARES = st.floats(0, 1)


@given(st.lists(st.tuples(SHARES, SHARES, SHARES, SHARES, st.sampled_from(["a b c d e", "x", "3,5"])), max_size=60))
def test_no_line_is_lost_or_said_twice(boxes: list[tuple[float, float, float, float, str]]) -> None:
    page = [
        Line(f"{number}: {text}", min(a, c), min(b, d), max(a, c), max(b, d), 1.0)
        for number, (a, b, c, d, text) in enumerate(boxes)
    ]
    said = " ".join(texts(page)).split()
    assert [f"{number}:" for number in range(len(page))] == sorted(
        (word for word in said if word.endswith(":")), key=lambda word: int(word[:-1])
    )
