"""Where sentences, items, rows and statements begin."""

from __future__ import annotations

import pytest

from rag_pipeline.transforms.chunk import splitters
from rag_pipeline.transforms.chunk.sentences import sentence_cuts
from rag_pipeline.transforms.chunk.units import Splitter, hard_cut, trimmed_spans


def parts(splitter: Splitter, text: str) -> list[str]:
    spans = trimmed_spans(text, 0, len(text), splitter(text, 0, len(text)))
    return [text[start:end] for start, end in spans]


def sentences(text: str, language: str = "en") -> list[str]:
    spans = trimmed_spans(text, 0, len(text), sentence_cuts(text, 0, len(text), language))
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is far. It is approx. 5 m away.", ["It is far.", "It is approx. 5 m away."]),
        ("We use Version 2. Today it runs.", ["We use Version 2. Today it runs."]),
        ("See Fig. 3 there. Go on!", ["See Fig. 3 there.", "Go on!"]),
        ("Do this. 2. Then that.", ["Do this.", "2. Then that."]),
        ("Das ist gut. Das auch.", ["Das ist gut.", "Das auch."]),
        ("今天天气很好。是的。", ["今天天气很好。", "是的。"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize("language", ["en", "de", "zh", "xx", ""])
def test_any_language_code_is_taken(language: str) -> None:
    assert sentences("One here. Two there.", language) == ["One here.", "Two there."]


def test_long_prose_loses_no_sentence() -> None:
    text = "\n\n".join(f"Sentence number {index} stands here. And one more." for index in range(2_000))
    assert "".join(sentences(text)).replace(" ", "") == text.replace(" ", "").replace("\n", "")


def test_grid_tables_are_cut_below_borders() -> None:
    grid = "+---+---+\n| a | b |\n+===+===+\n| 1 | 2 |\n|   | 3 |\n+---+---+\n| 4 | 5 |\n+---+---+"
    assert parts(splitters.row_cuts, grid) == [
        "+---+---+\n| a | b |\n+===+===+\n| 1 | 2 |\n|   | 3 |\n+---+---+",
        "| 4 | 5 |\n+---+---+",
    ]
    assert splitters.header_row(grid, 0, len(grid)) == "| a | b |"


def test_rows_without_a_rule_are_cut_at_every_line() -> None:
    assert parts(splitters.row_cuts, "a\tb\n1\t2\n3\t4") == ["a\tb", "1\t2", "3\t4"]


def test_an_item_is_cut_before_its_nested_items() -> None:
    assert parts(splitters.list_item_cuts, "1. one\n   a) two\n   b) three") == ["1. one", "a) two", "b) three"]


def test_quotes_are_cut_at_empty_quote_lines() -> None:
    assert parts(splitters.quote_cuts, "> one\n> more\n>\n> two") == ["> one\n> more\n>", "> two"]


def test_a_line_end_beside_a_long_line_ends_a_paragraph() -> None:
    long = "word " * 60 + "end."
    assert parts(splitters.unwrapped_line_cuts, f"Title\n{long}\nshort\nwrapped") == ["Title", long, "short\nwrapped"]


def test_comments_and_decorators_stay_with_what_follows_and_closers_with_what_they_close() -> None:
    code = "@cached\ndef f(\n    a,\n):\n    pass\n# about g\ng = [\n    1,\n]\nh()"
    assert parts(splitters.statement_cuts, code) == [
        "@cached\ndef f(\n    a,\n):\n    pass",
        "# about g\ng = [\n    1,\n]",
        "h()",
    ]


def test_stanzas_end_at_blank_lines_of_the_outermost_indentation() -> None:
    assert parts(splitters.stanza_cuts, "a\n\n  b\n\nc\nd") == ["a\n\n  b", "c\nd"]


def test_a_hard_cut_prefers_lines_then_clauses_then_words() -> None:
    assert hard_cut("aaaa bbbb\ncc dd", 0, 14) == 9
    assert hard_cut("aaaa bbbb, cc", 0, 13) == 10
    assert hard_cut("aaaa bbbbbb", 0, 8) == 5
    assert hard_cut("aaaaaaaa", 0, 5) == 5


def test_a_line_of_dashes_is_looked_at_once() -> None:
    text = "-" * 1_000_000 + "x\n| a |"
    assert len(splitters.row_cuts(text, 0, len(text))) == 1


def test_sentences_of_long_prose_without_line_ends_are_found_slice_by_slice() -> None:
    text = "".join(f"这是第{index}句话。" for index in range(9_000))
    assert len(sentences(text, "zh")) == 9_000
