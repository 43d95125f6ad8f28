"""Footnotes stand beside what they explain, and their signs run into no word."""

from __future__ import annotations

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline_tests.parsing.office_files import container

TYPES = 'xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"'


def _parsed(address: str, raw: bytes) -> ParsedDocument:
    [document] = parse(raw, media_type_of(address, raw), address, ParseLimits())
    return document


def _book(*chapters: str) -> bytes:
    kind = "application/xhtml+xml"
    items = "".join(f'<item id="c{n}" href="c{n}.xhtml" media-type="{kind}"/>' for n in range(len(chapters)))
    order = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    pages = {f"c{n}.xhtml": f"<html {TYPES}><body>{page}</body></html>" for n, page in enumerate(chapters)}
    return container(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfile full-path="o.opf"/></container>',
            "o.opf": f"<package><manifest>{items}</manifest><spine>{order}</spine></package>",
            **pages,
        },
        stored_first=True,
    )


@pytest.mark.parametrize(
    ("sign", "note"),
    [
        ('<a epub:type="noteref" href="#n1">1</a>', '<aside epub:type="footnote" id="n1"><p>In May.</p></aside>'),
        ('<a role="doc-noteref" href="#x">1</a>', '<div role="doc-endnote" id="x">In May.</div>'),
        ('<a id="r1" href="#n1">1</a>', '<ol><li id="n1">In May. <a href="#r1">\u21a9</a></li></ol>'),
        ('<sup id="r1"><a href="#n1">1</a></sup>', '<p id="n1"><a href="#r1">1</a>. In May.</p>'),
        ('<sup><a href="#cite_note-1">[1]</a></sup>', '<ol><li id="cite_note-1">In May.</li></ol>'),
    ],
    ids=["type", "role", "back link", "raised", "wiki"],
)
def test_a_note_of_a_page_is_told_by_what_it_says_or_by_the_way_back(sign: str, note: str) -> None:
    page = f"<p>The berth is free{sign} then.</p><p>Nobody asks.</p>{note}"
    assert _parsed("a.epub", _book(page)).text == "The berth is free[1] then.\n\n[1] In May.\n\nNobody asks."


def test_a_sign_that_leads_somewhere_runs_into_no_word_and_other_links_stay_as_they_are() -> None:
    page = '<p>See <a href="#s2">2</a> or<a href="#s3">3</a> (<a href="#s4">4</a>), <a href="/x">5</a>.</p>'
    assert _parsed("a.epub", _book(page)).text == "See 2 or[3] (4), 5."
    cells = '<table><tr><td>Due<a href="#n">1</a></td><td>9</td></tr><tr><td>Load</td><td>7</td></tr></table>'
    assert _parsed("a.epub", _book(cells)).text == "Due[1]\t9\nLoad\t7"


def test_notes_of_a_book_come_from_the_chapter_they_stand_in() -> None:
    first = '<h1>Quay</h1><p>It is free<a id="r1" href="c1.xhtml#n1">1</a>.</p><p>Nobody asks.</p>'
    notes = (
        '<h1>Notes</h1><p id="n1"><a href="c0.xhtml#r1">1</a> In May.</p>'
        '<p id="n2"><a href="c0.xhtml#r2">2</a> Unused.</p>'
    )
    assert _parsed("a.epub", _book(first, notes)).text == (
        "# Quay\n\nIt is free[1].\n\n[1] In May.\n\nNobody asks.\n\n# Notes\n\n2 Unused."
    )


def test_a_chapter_of_notes_that_cannot_be_read_costs_the_others_nothing() -> None:
    first = '<p>It is free<a href="c1.xhtml#n1">1</a><a href="gone.xhtml#n1">2</a>.</p>'
    document = _parsed("a.epub", _book(first, "\0\0\1\2" * 40))
    assert document.text == "It is free[1][2]."
    assert document.metadata["unread_chapters"] == "c1.xhtml"


NOTES = """---
owner: Ann
---
# Quay

It is free[^1], always[^w].

- an item[^item]

```
text[^1]
[^1]: no note
```

Nobody asks.

# Notes

[^1]: In May,
and in June.

    And in July.
[^w]: Confidential.
[^item]: Of a list.
[^unused]: Said by nobody.
"""


def test_notes_of_markdown_stand_below_the_block_that_refers_to_them_and_keep_their_line() -> None:
    document = _parsed("a.md", NOTES.encode())
    found = [(block.line, document.text[block.start_char : block.end_char]) for block in document.blocks]
    assert found == [
        (4, "# Quay"),
        (6, "It is free[^1], always[^w]."),
        (19, "[^1]: In May,\nand in June."),
        (22, "And in July."),
        (23, "[^w]: Confidential."),
        (8, "- an item[^item]"),
        (24, "[^item]: Of a list."),
        (10, "```\ntext[^1]\n[^1]: no note\n```"),
        (15, "Nobody asks."),
        (17, "# Notes"),
        (25, "[^unused]: Said by nobody."),
    ]
    assert "code" not in {block.kind for block in document.blocks if block.line == 22}


def test_notes_that_stand_where_they_belong_or_are_used_nowhere_change_nothing() -> None:
    text = "It is free[^1].\n\n[^1]: In May[^2].\n\nNobody asks.\n\n[^2]: A note of a note.\n"
    assert _parsed("a.md", text.encode()).text == text


def test_comments_in_a_note_stay_out_of_it() -> None:
    text = "It is free[^1].\n\nNobody asks.\n\n[^1]: In May. <!-- or June -->\n"
    document = _parsed("a.md", text.encode())
    assert [document.text[b.start_char : b.end_char] for b in document.blocks] == [
        "It is free[^1].",
        "[^1]: In May.",
        "Nobody asks.",
    ]


def test_every_kind_of_note_of_latex_stands_in_its_line() -> None:
    body = r"Free\endnote{In May.} and\sidenote{In June.} wet\footnotemark[3].\footnotetext[3]{In July.}"
    text = _parsed("a.tex", rf"\documentclass{{article}}\begin{{document}}{body}\end{{document}}".encode()).text
    assert text == "Free (In May.) and (In June.) wet[3]. (In July.)"
