"""What no reader of a page sees is left out, and what only looks like it stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline.parsing.markup.markdown import markdown_document
from rag_pipeline.parsing.markup.markdown_comments import without_unseen
from rag_pipeline.parsing.pdf import forms, witness


@pytest.mark.parametrize(
    "hidden",
    [
        "<!-- was 9 -->",
        "<!--\n\nwas 9\n\n# Old heading was 9\n-->",
        "%% was 9 %%",
        "%%was 9%%",
        "\n\n[//]: # (was 9)\n\n",
        "\n\n[comment]: <> (was 9, and\nin a second line)\n\n",
        '\n\n[_was 9_]: # "was 9"\n\n',
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


def test_what_follows_a_comment_that_is_never_closed_is_counted() -> None:
    document = markdown_document("# Fares\n\nSeen.\n\n<!-- was 9\n\nwas 10\n")
    assert document.text.split() == ["#", "Fares", "Seen."]
    assert document.metadata["hidden_comment_count"] == "1"


def test_a_block_between_marks_of_its_own_lines_is_left_out() -> None:
    text = "Before.\n\n%%\nwas 9\n\n- was 9\n%%\n\nAfter.\n"
    bare, counts = without_unseen(text)
    assert bare.split() == ["Before.", "After."]
    assert counts == {"comment": 1}


@pytest.mark.parametrize(
    "kept",
    [
        "```sh\nprintf '%% kept %%' # <!-- kept -->\n```",
        "Write `<!-- kept -->` or ``%% kept %%`` to hide it.",
        "Growth of 5%% kept and 7%% kept.",
        "An opening <!-- kept for ever.",
        "Within a paragraph\n[//]: # (kept)",
        "[//]: # (kept, for the paragraph\n\nends first)",
        "[top]: #top (kept)",
        "    %% kept %% in indented code",
        "~~~\n%% kept %%\n",
        "It grew by 5 %% and is kept.\n\nThen by 7 %% more.",
        "A mark %% is kept\nwhen the line ends first %% here.",
        "for %%i in (kept) do echo %%i",
        "From ~~ 5 to 9 ~~ kept.",
        "~~Kept, for the paragraph\n\nends first~~",
        "`~~kept~~` and \\~~kept~~",
        'Seen <span class="note">kept</span> words.',
    ],
)
def test_code_and_what_is_never_closed_stay(kept: str) -> None:
    assert without_unseen(f"Before.\n\n{kept}\n") == (f"Before.\n\n{kept}\n", {})


@pytest.mark.parametrize(
    ("gone", "cause"),
    [
        ("~~gone~~", "deletion"),
        ("<del>gone</del>", "deletion"),
        ('<s class="old">gone</s>', "deletion"),
        ("<span hidden>gone</span>", "attribute"),
        ('<span style="display:none">gone</span>', "style"),
        ('<SPAN CLASS="sr-only">gone</SPAN>', "class"),
        ('<font color="white">gone</font>', "style"),
    ],
)
def test_what_a_line_of_markdown_deletes_or_hides_is_left_out_and_counted(gone: str, cause: str) -> None:
    source = f"# Dues\n\nThe charge was {gone} 120 euros.\n\nNext ~~gone~~."
    (document,) = parse(source.encode(), "text/markdown", "a.md", ParseLimits())
    assert "gone" not in document.text
    assert "120 euros." in document.text
    assert document.metadata[f"hidden_{cause}_count"] == ("2" if cause == "deletion" else "1")


@given(st.text(alphabet="`~%<!->a \n", max_size=200))
def test_every_place_stays_where_it_is(text: str) -> None:
    bare, counts = without_unseen(text)
    assert (not counts) == (bare == text)
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


@pytest.mark.parametrize("gone", ["~~120 euros~~", "<!-- old -->", "%%not yet%%", "<del>12</del>"])
def test_a_line_whose_beginning_is_not_seen_is_no_code(gone: str) -> None:
    page = f"# Dues\n\n{gone} 100 euros\n\n{gone} Total\n===\n\n{gone} a | b\n---|---\n{gone} 1 | 2\n{gone} 3 | 4\n"
    [document] = parse(page.encode(), "text/markdown", "a.md", ParseLimits())
    assert [block.kind for block in document.blocks] == ["heading", "paragraph", "heading", "table"]
    assert [block.line for block in document.blocks] == [1, 3, 5, 8]
    assert document.blocks[2].label == "Total"
    assert "\ufffc" not in document.text


def test_markdown_within_notebooks_and_tickets_is_read_as_pages_are() -> None:
    said = "Pay <!-- secret --> now, ~~90~~ 100 euros.\n\n"
    said += "<table><tr><th>Berth</th><th>Due</th></tr><tr><td>7</td><td>8</td></tr></table>"
    cell = {"cell_type": "markdown", "source": said}
    [notebook] = parse(json.dumps({"cells": [cell]}).encode(), "application/x-ipynb+json", "a.ipynb", ParseLimits())
    issues = [{"id": number, "title": "Dues", "body": said, "comments": [{"body": said}]} for number in (1, 2)]
    issue, _ = parse(json.dumps(issues).encode(), "application/json", "a.json", ParseLimits())
    for document, times in ((notebook, 1), (issue, 2)):
        assert "secret" not in document.text
        assert "90" not in document.text
        assert document.text.count("Berth\tDue\n7\t8") == times
        assert document.metadata["hidden_comment_count"] == str(times)
        assert document.metadata["hidden_deletion_count"] == str(times)
