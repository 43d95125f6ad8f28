"""Inputs made to hurt: parsers answer in time that grows with the size of the input, not its square.

Sizes are chosen so that quadratic work would take minutes; no time is asserted.
"""

from __future__ import annotations

import json

import pytest

from rag_pipeline.parsing import media_type_of
from rag_pipeline_tests.parsing.rendering import check_invariants, is_surprise, outcome

HOSTILE = {
    "table.md": "| a | b |\n|---|---|\n" + "| x | y |\n" * 100_000,
    "line.md": "word " * 600_000,
    "quotes.md": ">" * 100_000 + " x",
    "brackets.md": "[" * 300_000,
    "heading.md": "# " + "*a " * 100_000,
    "comments.mdx": "{/*" * 200_000,
    "nested.md": "\n".join(" " * (2 * depth) + "- x" for depth in range(1_000)),
    "blank.txt": "\n" * 1_000_000 + "x",
    "titles.rst": "a\n=\n" * 30_000,
    "open.rst": "== ==\na\n" * 30_000,
    "open.adoc": "```a\n" * 60_000,
    "open.org": "#+begin_src\n" * 60_000,
    "open.mediawiki": "{|\n<pre>\n" * 60_000,
    "comments.mediawiki": "<!--" * 200_000,
    "tags.mediawiki": "<source " * 100_000,
    "heading.mediawiki": "=" * 300_000 + "\n=" + "[[a|" * 100_000 + "=",
    "closed.mediawiki": "<pre>\n" * 60_000 + "</pre>",
    "open.jira": "{code}\n{quote}\n" * 60_000 + "{code}",
    "heading.jira": "h1. " + "[a|" * 100_000,
    "macros.jira": "{code:" * 100_000,
    "brackets.mrkdwn": "<@" * 200_000 + "<a|" * 100_000,
    "fences.mrkdwn": "```" * 100_001,
    "deep.notion": '{"type": "x", "x": ' + '{"a": ' * 300 + "1" + "}" * 301,
    "many.notion": '{"type": "to_do", "to_do": {"rich_text": [{"plain_text": "x"}]}}\n' * 60_000,
    "open.notion": "[" * 100_000,
    "open.tex": "\\begin{itemize}" * 20_000 + "words",
    "braces.tex": "{" * 100_000 + "words",
    "backslashes.tex": "\\" * 100_001 + "words",
    "parens.py": "(" * 100_000 + "a",
    "functions.py": "".join(" " * depth + f"def f{depth}():\n" for depth in range(300)) + " " * 300 + "pass\n",
    "braces.c": "int f() {" * 20_000,
    "ifdef.h": "#ifdef A\n" * 20_000,
    "arrows.js": "a=>" * 30_000 + "1",
    "selects.sql": "SELECT (" * 20_000,
    "unclosed.csv": 'id,name,text\n1,a,"oops\n' + "2,b,c\n" * 50_000,
    "quotes.csv": '"' * 500_000,
    "deep.ndjson": '{"a": 1}\n' + "[" * 100_000,
    "bad.ndjson": '{"a": 1}\n' + "x\n" * 50_000,
    "wide.json": json.dumps({f"key {number}": [number, {}] for number in range(20_000)}),
    "anchors.yaml": "a: &a [x, x]\n" + "".join(f"b{number}: [*a, *a]\n" for number in range(10_000)),
    "wide.xml": "<a>" + "<b>x</b>" * 100_000 + "</a>",
    "tags.vtt": "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n" + "<v " * 200_000,
    "arrows.vtt": "WEBVTT\n\n" + "-->" * 300_000,
}


@pytest.mark.parametrize("address", HOSTILE)
def test_a_hostile_text_parses_or_is_refused(address: str) -> None:
    raw = HOSTILE[address].encode()
    result = outcome(raw, media_type_of(address, raw[:4096]), address)
    assert not is_surprise(result)
    if isinstance(result, list):
        check_invariants(result)
