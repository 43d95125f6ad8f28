"""What no reader of a page sees is left out, and what only looks like it stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline.parsing.markup.markdown import markdown_document
from rag_pipeline.parsing.markup.markdown_comments import without_comments
from rag_pipeline.parsing.pdf import forms, witness


@pytest.mark.parametrize(
    "hidden",
    [
        "<!-- was 9 -->",
        "<!--\n\nwas 9\n\n# Old heading was 9\n-->",
        "%% was 9 %%",
        "%%was 9%%",
    ],
)
def test_comments_are_left_out(hidden: str) -> None:
    text = f"# Fares\n\nA ticket is {hidden} 12 euros.\n\n{hidden}\n\nDogs travel free.\n"
    document = markdown_document(text)
    said = " ".join(document.text[block.start_char : block.end_char] for block in document.blocks)
    assert "was 9" not in said
    assert "12 euros" in said
    assert "Dogs travel free." in said
    assert document.text.index("Dogs") == text.index("Dogs")
    assert document.metadata["hidden_comment_count"] == "2"


def test_a_block_between_marks_of_its_own_lines_is_left_out() -> None:
    text = "Before.\n\n%%\nwas 9\n\n- was 9\n%%\n\nAfter.\n"
    bare, count = without_comments(text)
    assert bare.split() == ["Before.", "After."]
    assert count == 1


@pytest.mark.parametrize(
    "kept",
    [
        "```sh\nprintf '%% kept %%' # <!-- kept -->\n```",
        "Write `<!-- kept -->` or ``%% kept %%`` to hide it.",
        "Growth of 5%% kept and 7%% kept.",
        "An opening <!-- kept for ever.",
        "    %% kept %% in indented code",
        "~~~\n%% kept %%\n",
        "It grew by 5 %% and is kept.\n\nThen by 7 %% more.",
        "A mark %% is kept\nwhen the line ends first %% here.",
        "for %%i in (kept) do echo %%i",
    ],
)
def test_code_and_what_is_never_closed_stay(kept: str) -> None:
    assert without_comments(f"Before.\n\n{kept}\n") == (f"Before.\n\n{kept}\n", 0)


@given(st.text(alphabet="`~%<!->a \n", max_size=200))
def test_every_place_stays_where_it_is(text: str) -> None:
    bare, count = without_comments(text)
    assert (count == 0) == (bare == text)
    assert len(bare) == len(text)
    assert all(new in (old, " ") for old, new in zip(text, bare, strict=True))
    assert bare.count("\n") == text.count("\n")


@pytest.mark.parametrize("tag", ["del", "s", "strike"])
def test_deleted_text_does_not_run_into_what_replaced_it(tag: str) -> None:
    page = f"<html><body><main><p>The charge was <{tag}>90</{tag}><ins>120</ins> euros.</p></main></body></html>"
    (document,) = parse(page.encode(), "text/html", "charge.html", ParseLimits())
    assert "The charge was 120 euros." in document.text


def test_words_of_forms_are_told_from_those_of_the_page_as_lost_lines_are() -> None:
    assert vars(forms).get("letters") is witness.letters
