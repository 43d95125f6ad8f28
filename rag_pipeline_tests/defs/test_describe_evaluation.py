"""What an evaluation says in the Dagster UI."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from rag_pipeline.defs.describe import plain

HOSTILE = [
    "![](https://example.org/seen.png)",
    "[press here](https://example.org)",
    "<img src=x onerror=alert(1)>",
    "a `code` and **more** ~~gone~~ &lt;b&gt;",
    "a backslash \\![](x) before it",
    "two\nlines\n\n# and a heading",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_question_draws_nothing_whoever_wrote_it(text: str) -> None:
    drawn = MarkdownIt("commonmark", {"html": True}).enable("strikethrough").parse(f"- **q1** {plain(text)}: rank 1")
    inline = [child for token in drawn if token.type == "inline" for child in token.children or ()]
    # The id is emphasised, and nothing else is anything but text.
    assert {child.type for child in inline} <= {"strong_open", "strong_close", "text", "text_special"}
    assert "".join(child.content for child in inline).startswith("q1 " + " ".join(text.split()))
