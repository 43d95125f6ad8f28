"""Composed documents have exact, trimmed spans; lines of a text can be looked up by offset."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.parsing.builder import LineTable, TextBuilder
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline_tests.parsing.rendering import check_invariants

kinds = st.sampled_from(["heading", "paragraph", "code", "table", "list"])


def test_code_keeps_its_indentation_before_the_span() -> None:
    builder = TextBuilder()
    builder.add("paragraph", "  see \n")
    builder.add("code", "\n    first\n    second\n")
    document = builder.build()
    assert document.text == "see\n\n    first\n    second"
    block = document.blocks[1]
    assert document.text[block.start_char : block.end_char] == "first\n    second"


def test_blank_blocks_are_left_out() -> None:
    builder = TextBuilder()
    builder.add("paragraph", " \n\t")
    assert builder.is_empty
    assert builder.build().blocks == ()


@given(st.lists(st.tuples(kinds, st.text().map(clean_text)), min_size=1))
def test_spans_are_ordered_and_hold_the_text_that_was_added(pieces: list[tuple[str, str]]) -> None:
    builder = TextBuilder()
    for kind, text in pieces:
        builder.add(kind, text)  # type: ignore[arg-type]
    document = builder.build()
    check_invariants([document])
    spans = [document.text[block.start_char : block.end_char] for block in document.blocks]
    assert spans == [text.strip() for _, text in pieces if text.strip()]
    assert builder.length_chars == len(document.text)


@given(st.text().map(clean_text))
def test_every_offset_is_on_the_line_that_holds_it(text: str) -> None:
    table = LineTable(text)
    for offset, character in enumerate(text):
        assert table.line_of(offset) == text.count("\n", 0, offset) or character == "\n"
