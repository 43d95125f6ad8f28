"""Markup of wikis and chats: whatever stands in it, every word is in a block, once and in order."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline_tests.parsing.rendering import check_invariants

PIECES = {
    "text/x-mediawiki": [
        *(
            "== {} ==",
            "=={}",
            "* {}",
            ": {}",
            "{{|",
            "|}}",
            "| {}",
            "<pre>",
            "</pre> {}",
            "<blockquote>",
            "</blockquote>",
        ),
        *('<source lang="x">{}', "</source>", " {}", "{}", "", "<nowiki>{}", "</nowiki>", "[[a|{}]]", "; {} : {}"),
    ],
    "text/x-jira": [
        *("h1. {}", "bq. {}", "* {}", "- {}", "|{}|", "||{}||", "{{code}}", "{{code:java}} {}", "{} {{code}}"),
        *("{{quote}}", "{}{{quote}}", "{{noformat}}", "{}", "", "[{}|https://example.org]", "\\{{code}} {}"),
    ],
    "text/x-slack": [
        "> {}",
        "&gt; {}",
        "• {}",
        "1. {}",
        "```",
        "```{}",
        "{}```",
        "{}",
        "",
        "<@{}>",
        "<{}|{}>",
        "&lt;{}",
    ],
}


def words_of(document: ParsedDocument) -> list[str]:
    shown = " ".join(document.text[block.start_char : block.end_char] for block in document.blocks)
    return re.findall(r"w\d+", shown)


@pytest.mark.parametrize("media_type", PIECES)
@given(data=st.data())
def test_every_word_stands_in_a_block_once(media_type: str, data: st.DataObject) -> None:
    lines = data.draw(st.lists(st.sampled_from(PIECES[media_type]), max_size=14))
    numbers = iter(range(100))
    text = "\n".join(re.sub(r"(?<!\{)\{\}(?!\})", lambda _: f"w{next(numbers)}", line) for line in lines)
    text = text.replace("{{", "{").replace("}}", "}")
    raw = f"w100\n\n{text}\n\nw101".encode()
    documents = parse(raw, media_type, "a", ParseLimits())
    check_invariants(documents)
    expected = re.findall(r"w\d+", raw.decode())
    # The label of a link stands before its address.
    assert sorted(words_of(documents[0])) == sorted(expected)
    if media_type != "text/x-slack":
        assert words_of(documents[0]) == expected


def test_comments_of_a_wiki_are_left_out_and_counted_and_code_keeps_them() -> None:
    raw = b"Aye.<!-- nay -->\n\n<nowiki><!-- shown --></nowiki>\n\n<!-- that never ends"
    [document] = parse(raw, "text/x-mediawiki", "a", ParseLimits())
    assert "nay" not in document.text
    assert "shown" in document.text
    assert "that never ends" in document.text
    assert document.metadata == {"hidden_comment_count": "1"}
