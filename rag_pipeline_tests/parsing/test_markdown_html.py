"""HTML inside Markdown is read as what it is, and every line keeps its number."""

from __future__ import annotations

import pytest

from rag_pipeline.contracts.documents import Block
from rag_pipeline.parsing.markup.markdown import markdown_document

ROWS = "\n".join(f"<tr>\n<td>Berth {n}</td><td>{n * 3}</td>\n</tr>" for n in range(1, 6))
TABLE = f"<table>\n<tr><th>Berth</th><th>Depth in metres</th></tr>\n\n{ROWS}\n</table>"


def blocks_of(text: str) -> list[tuple[Block, str]]:
    document = markdown_document(text)
    return [(block, document.text[block.start_char : block.end_char]) for block in document.blocks]


def test_a_table_is_a_table_and_each_row_has_its_line() -> None:
    source = f"---\nowner: Ann\n---\n# Berths\n\nAll of them:\n\n{TABLE}\n\nThe end.\n"
    found = blocks_of(source)
    assert [block.kind for block, _ in found] == ["heading", "paragraph", "table", "paragraph"]
    table, text = found[2]
    assert [line for line in text.split("\n") if line] == ["Berth\tDepth in metres"] + [
        f"Berth {n}\t{n * 3}" for n in range(1, 6)
    ]
    lines = source.split("\n")
    for offset, row in enumerate(text.split("\n")):
        if row.startswith("Berth "):
            assert row.split("\t")[0] in lines[(table.line or 0) + offset]
    assert lines[(found[3][0].line or 0) - 1] == "The end."


@pytest.mark.parametrize(
    ("html", "kinds", "shown"),
    [
        ("<ul>\n<li>one\n<ul><li>two</li></ul></li>\n\n<li>three</li></ul>", ["list"], "- one\n  - two"),
        ("<ol start=4><li>four</li><li>five</li></ol>", ["list"], "4. four\n5. five"),
        ("<dl><dt>Draught</dt><dd>Depth of the keel</dd></dl>", ["paragraph"], "Draught\nDepth of the keel"),
        ("<pre>\nrun <b>it</b>\n\n  now\n</pre>", ["code"], "run it\n\n  now"),
        ("<h2 align=center>Tides</h2>\n<p>High and low.</p>", ["heading", "paragraph"], "## Tides"),
        ("<p align=center><img alt='Plan of the quay' src=p.png></p>", ["paragraph"], "Plan of the quay"),
        ("<details>\n<summary>More</summary>\n\n- *item*\n\n</details>", ["paragraph", "list"], "- *item*"),
        ("<div><style>p {color: red}</style><p hidden>gone</p>\nshown</div>", ["paragraph"], "shown"),
        ("<Tabs title='x'>\n\nhi\n\n</Tabs>", ["html", "paragraph", "html"], "<Tabs title='x'>"),
        ("<table>\n\nnever closed\n", ["paragraph"], "never closed"),
    ],
)  # fmt: skip
def test_a_block_becomes_what_it_shows(html: str, kinds: list[str], shown: str) -> None:
    source = f"Before.\n\n{html}\n\nAfter.\n"
    found = blocks_of(source)
    assert [block.kind for block, _ in found] == ["paragraph", *kinds, "paragraph"]
    assert any(shown in text for _, text in found)
    assert source.split("\n")[(found[-1][0].line or 0) - 1] == found[-1][1] == "After."
    assert not any("gone" in text or "red" in text for _, text in found)


def test_html_in_code_stays_as_it_is_written() -> None:
    source = "```html\n<table><tr><td>a</td><td>b</td></tr></table>\n```\n"
    assert [(block.kind, text) for block, text in blocks_of(source)] == [("code", source.strip())]


def test_html_in_an_item_is_read_between_what_stands_above_and_below_it() -> None:
    inner = TABLE.replace("\n", "\n  ")
    found = blocks_of(f"- First:\n\n  {inner}\n  more of it\n- Then.\n\nThe end.\n")
    assert [(block.kind, text.split("\n")[0]) for block, text in found] == [
        ("list", "- First:"),
        ("table", "Berth\tDepth in metres"),
        ("list", "more of it"),
        ("paragraph", "The end."),
    ]
    assert [block.line for block, _ in found] == [1, 4, 22, 25]
    assert "<" not in "".join(text for _, text in found)


def test_two_pieces_of_html_in_one_item_are_both_read() -> None:
    found = blocks_of("- <ul><li>one</li></ul>\n\n  <table><tr><td>p</td><td>q</td></tr></table>\n- last\n")
    assert [(block.kind, text) for block, text in found] == [("list", "- one"), ("table", "p\tq"), ("list", "- last")]
