"""Markup of wikis and chats: whatever stands in it, every word is in a block, once and in order."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import UnparsableDocument
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


def rich(word: str) -> list[dict[str, str]]:
    return [{"plain_text": word}]


SAYS: dict[str, dict[str, Any]] = {
    **{
        name: {"rich_text": rich("w1"), "caption": rich("w2")}
        for name in ("paragraph", "quote", "callout", "code", "template", "from_next_year")
    },
    **{name: {"rich_text": rich("w1")} for name in ("heading_1", "heading_3", "heading_4", "toggle", "to_do")},
    "table_row": {"cells": [rich("w1"), rich("w2")]},
    "equation": {"expression": "w1"},
    "bookmark": {"url": "https://example.org/w1", "caption": rich("w2")},
    "image": {"type": "external", "external": {"url": "https://example.org/w1"}, "caption": rich("w2")},
    "child_page": {"title": "w1"},
    "unheard_of": {"a": [{"b": {"c": ["w1", 2]}}], "d": "w2"},
    "deep": {"a": json.loads('{"a": ' * 40 + '"w1"' + "}" * 40)},
}


@pytest.mark.parametrize("name", SAYS)
def test_whatever_a_block_of_notion_says_is_text(name: str) -> None:
    block = {"object": "block", "id": "1", "type": name, name: SAYS[name]}
    below = {"object": "block", "id": "2", "type": "paragraph", "parent": {"block_id": "1"}}
    raw = "\n".join(json.dumps(each) for each in (block, below | {"paragraph": {"rich_text": rich("w9")}})).encode()
    documents = parse(raw, "application/x-notion+json", "a", ParseLimits())
    check_invariants(documents)
    expected = [word for word in ("w1", "w2") if f'{word}"' in json.dumps(SAYS[name])]
    assert words_of(documents[0]) == [*expected, "w9"]


def test_what_is_ticked_on_a_page_of_notion_and_what_is_not_is_said() -> None:
    properties = {
        "Name": {"type": "title", "title": rich("Pump")},
        "Done": {"type": "checkbox", "checkbox": True},
        "Open": {"type": "checkbox", "checkbox": False},
        "Late": {"type": "formula", "formula": {"type": "boolean", "boolean": False}},
        "Owner": {"type": "rich_text", "rich_text": rich("ada")},
    }
    raw = json.dumps({"object": "page", "id": "1", "properties": properties}).encode()
    [document] = parse(raw, "application/x-notion+json", "a", ParseLimits())
    for line in ("Done: yes", "Open: no", "Late: no", "Owner: ada"):
        assert line in document.text


def test_what_is_no_block_of_notion_is_refused_or_said() -> None:
    with pytest.raises(UnparsableDocument, match="no blocks of Notion"):
        parse(b'{"a": 1} and words', "application/x-notion+json", "a", ParseLimits())
    [document] = parse(b'[1, "w1", null, {}, {"type": 5}]', "application/x-notion+json", "a", ParseLimits())
    assert words_of(document) == ["w1"]
