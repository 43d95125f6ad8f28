"""Inputs that once stalled a pattern or filled the memory, and text that once was lost.

Belongs here: attacks found by running every pattern against repeated pieces of itself. Sizes are chosen so that
the fault would take minutes; no time is asserted. Does not belong here: the first round (`test_text_hostile.py`).
"""

from __future__ import annotations

import json
import re

import pytest

from rag_pipeline.errors import DocumentError, EmptyDocument
from rag_pipeline.parsing import media_type_of
from rag_pipeline.parsing.code.code import _DOCSTRING
from rag_pipeline_tests.parsing.rendering import check_invariants, is_surprise, outcome
from rag_pipeline_tests.paths import REPOSITORY


def notebook(*cells: object) -> str:
    return json.dumps({"nbformat": 4, "metadata": {}, "cells": cells})


ATTACKS = {
    "strings.json": "{" + '"\\' * 200_000,
    "comments.json": '{"a": 1 ' + "/* " * 100_000,
    "numbers.json": "[" + "1," * 200_000 + "1]",
    "merges.md": "---\na0: &a0 {"
    + ", ".join(f"k{number}: 1" for number in range(50))
    + "}\n"
    + "".join(f"a{depth}: &a{depth}\n  <<: [{', '.join([f'*a{depth - 1}'] * 10)}]\n" for depth in range(1, 9))
    + "---\nwords\n",
    "dotted.md": "+++\n" + "a." * 30_000 + "b = 1\n+++\nwords\n",
    "spaces.ini": "[ " + " " * 300_000 + "x\n",
    "spaces.yaml": "a" + " " * 300_000 + "x\n",
    "uris.ipynb": notebook({"cell_type": "markdown", "source": "(data:" * 200_000 + " words"}),
    "options.tex": "\\begin{document}" + "\\section[" * 100_000 + " words",
    "items.tex": "\\begin{document}\\begin{itemize}" + "\\item[" * 30_000 + " words",
    "labels.tex": "\\begin{document}\\begin{equation}" + "\\label{" * 100_000 + " words",
    "title.tex": "\\title" + " " * 300_000 + "words",
    "cites.tex": "\\begin{document} words \\" + "cite" * 40_000,
    "formulas.tex": "\\begin{document} words " + "\\(" * 60_000,
    "heading.adoc": "= a" + " " * 300_000 + "x\n",
    "heading.org": "* a" + " " * 300_000 + ":x\n",
    "anchor.md": "# a" + " " * 300_000 + "{#\n",
    "anchors.md": "# a {#" + "x" * 300_000 + "\n",
    "delimiters.md": "a|b\n|-" + " \t" * 300_000 + "x\n",
    "turn.txt": "0:00" + " " * 300_000 + "x\n",
    "mojibake.txt": "\u00e2\u20ac\u0153\u00c3" * 300_000,
    "heaped.txt": "a" + "\u0301" * 300_000,
    "comments.xml": "<l>words<![CDATA[" + "<!--" * 200_000 + "]]></l>",
    "tags.xml": "<l>words<![CDATA[" + "<p" * 200_000 + "]]></l>",
    "receiver.go": "package a\nfunc (" + "a" * 200_000 + " A) F() {}\n",
    "blank.h": "\n" * 300_000 + "int a;\n",
    "generics.java": "List<" * 20_000 + "\n",
    "tail.py": "def f(): pass" + " " * 300_000 + "x\n",
    "comments.py": "# a\n \n" * 3_000 + "x = 1\n",
    "attributes.html": "<p " + " ".join(f'a{number}=">"' for number in range(150_000)) + ">words</p>",
    "attributes2.html": "<p " + " ".join(f"a{number}='<'" for number in range(150_000)) + ">words</p>",
    "quotes.html": "<a \"'" * 200_000 + ">words</a>",
    "comments.html": "<!-- a -->" * 300 + "<p>words</p>",
}


@pytest.mark.parametrize("address", ATTACKS)
def test_an_attack_on_a_pattern_parses_or_is_refused(address: str) -> None:
    raw = ATTACKS[address].encode()
    result = outcome(raw, media_type_of(address, raw), address)
    assert not is_surprise(result)
    if isinstance(result, list):
        check_invariants(result)


def test_the_pattern_for_docstrings_fails_at_once_on_many_comments() -> None:
    assert _DOCSTRING.match("\n\n# a\n" * 3_000) is None


@pytest.mark.parametrize(
    ("address", "source", "expected"),
    [
        ("a.json", '{"n": ' + "9" * 5_000 + "}", "9" * 5_000),
        ("a.json", '\x1e{"text": "first"}\n\x1e{"text": "second"}\n', "second"),
        ("a.json", '{\n"text": "first"\n}\n{\n"text": "second"\n}\n', "second"),
        ("a.json", '["one", {"name": "two"}, "three"]', "- three"),
        ("a.json", "[1, 2.5, true, [3]]", "1, 2.5, true"),
        ("a.json5", "{text: 'written by hand', /* note */ size: 0xFF,}", "written by hand"),
        ("Main", "{- a module of words -}\nmodule Main where\n", "a module of words"),
        ("page", "{{ title }} stands above the words\n", "stands above"),
        ("a.srt", "1\n0:0:1.5 --> 0:0:2\nearly words\n", "[00:00:01] early words"),
        ("a.org", "* A title   :tag:other:\nwords\n", "words"),
        ("a.xml", '<?xml version="1.0" encoding="klingon"?><l>known words</l>', "known words"),
        ("a.html", '<meta charset="utf-16"><p>plain words</p>', "plain words"),
        ("a.html", '<meta charset="utf-7"><p>+ADw-script+AD4- words</p>', "+ADw-script+AD4- words"),
        ("a.html", "<p>one\x01 two\x1f three</p>", "one two three"),
    ],
)
def test_unusual_but_honest_text_is_read(address: str, source: str, expected: str) -> None:
    result = outcome(source.encode(), media_type_of(address, source.encode()), address)
    assert isinstance(result, list)
    check_invariants(result)
    assert expected in "\n".join(document.text for document in result)


def test_no_cell_of_a_very_wide_table_is_lost() -> None:
    page = "<table><tr>" + "<td>x</td>" * 300_000 + "<td>last</td></tr></table>"
    result = outcome(page.encode(), "text/html")
    assert isinstance(result, list)
    assert result[0].text.count("x") == 300_000
    assert result[0].text.endswith("last")


def test_spans_cannot_multiply_a_table() -> None:
    row = '<tr><td colspan="50" rowspan="50">word</td><td>own</td></tr>'
    result = outcome(f"<table>{row * 5_000}</table>".encode(), "text/html")
    assert isinstance(result, list)
    assert result[0].text.count("own") == 5_000
    assert len(result[0].text) < 3_000_000


@pytest.mark.parametrize("title", ["A title", "A title = b", "= not closing"])
def test_closing_marks_are_no_part_of_an_asciidoc_title(title: str) -> None:
    for source in (f"== {title}\n", f"== {title} ==\n", f"== {title}   ==  \n"):
        result = outcome(source.encode() + b"\nwords\n", "text/asciidoc")
        assert isinstance(result, list)
        assert result[0].blocks[0].label == title


def test_tags_are_no_part_of_an_org_headline() -> None:
    result = outcome(b"* TODO [#A] A title: part   :tag:other:\nwords\n", "text/x-org")
    assert isinstance(result, list)
    assert result[0].blocks[0].label == "A title: part"


def test_an_empty_markdown_heading_is_no_heading() -> None:
    result = outcome(b"# Title\n\nwords\n\n##\n\nmore words\n", "text/markdown")
    assert isinstance(result, list)
    check_invariants(result)
    assert [block.kind for block in result[0].blocks] == ["heading", "paragraph", "paragraph"]


def test_notebook_cells_of_wrong_shapes_are_passed_over() -> None:
    old = {
        "nbformat": 3,
        "worksheets": [{"cells": 5}, {"cells": None}, {"cells": [{"cell_type": "code", "input": "x"}]}],
    }
    levels = [{"cell_type": "heading", "level": level, "source": "Head"} for level in (-5, 10**30)]
    for source in (json.dumps(old), notebook(*levels, 5, None)):
        result = outcome(source.encode(), "application/x-ipynb+json")
        assert isinstance(result, list)
        check_invariants(result)
        assert all(block.level <= 6 for block in result[0].blocks)


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("a.rst", "Words\n=====\n\n.. include:: {path}\n\n.. raw:: html\n   :file: {path}\n"),
        ("a.adoc", "= Words\n\ninclude::{path}[]\n"),
        ("a.org", '* Words\n#+INCLUDE: "{path}"\n'),
        ("a.tex", "\\begin{{document}}words \\input{{{path}}} \\verbatiminput{{{path}}}\\end{{document}}"),
        ("a.xml", '<!DOCTYPE l [<!ENTITY x SYSTEM "file://{path}">]><l>words &x;</l>'),
        ("a.xml", '<l xmlns:xi="http://www.w3.org/2001/XInclude">words <xi:include href="{path}" parse="text"/></l>'),
        ("a.html", '<!DOCTYPE html [<!ENTITY x SYSTEM "{path}">]><p>words &x;</p><object data="{path}"></object>'),
        ("a.yaml", "words: !!python/object/apply:open ['{path}']\n"),
        ("a.md", "---\nwords: !!python/object/apply:open ['{path}']\n---\nwords\n"),
    ],
)
def test_nothing_outside_the_file_is_read(address: str, source: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("outside") / "secret.txt"
    secret.write_text("the contents of another file")
    raw = source.format(path=secret).encode()
    result = outcome(raw, media_type_of(address, raw), address)
    shown = str(result) if isinstance(result, DocumentError) else "\n".join(document.text for document in result)
    assert "contents of another" not in shown
    assert isinstance(result, list)


def test_an_empty_page_is_called_empty() -> None:
    assert isinstance(outcome(b"<html><body><script>x()</script></body></html>", "text/html"), EmptyDocument)


def test_no_more_than_thirty_accents_stand_on_a_letter() -> None:
    result = outcome(("e" + "\u0323" * 500 + " words").encode(), "text/plain")
    assert isinstance(result, list)
    assert re.fullmatch("\u1eb9\u0323{30} words", result[0].text)


@pytest.mark.parametrize(
    "address", ["a.sh", "a.py", "a.js", "a.rs", "a.c", "a.sql", "a.java", "a.go", "a.tsx", "a.cpp"]
)
def test_no_character_ends_the_process_of_a_code_parser(address: str) -> None:
    for opening in ("{", "${", "$(", "<<", '"', "f", "@", "#"):
        for character in ("\u00e9", "\u4e00", "\U0001f600", "\U000f4848", "\U0010fffd"):
            raw = f"x = 1\n{opening}{character}{character}co}}h\n".encode()
            assert not is_surprise(outcome(raw, media_type_of(address, raw), address))


def test_definitions_after_letters_of_any_script_keep_their_place() -> None:
    raw = "# caf\u00e9 \U0001f600 \u4e00\ngreet() {\n  echo hi\n}\n\u00e9\u00e9() {\n  greet\n}\n".encode()
    result = outcome(raw, "text/x-shellscript", "a.sh")
    assert isinstance(result, list)
    check_invariants(result)
    assert result[0].text[result[0].blocks[0].start_char :].startswith("# caf\u00e9")
    assert [block.kind for block in result[0].blocks] == ["definition", "definition"]
    assert (
        result[0].text[slice(result[0].blocks[1].start_char, result[0].blocks[1].end_char)].startswith("\u00e9\u00e9()")
    )


def test_what_makes_xml_safe_is_said_once() -> None:
    modules = (REPOSITORY / "rag_pipeline").rglob("*.py")
    assert [path.name for path in modules if "XMLParser(" in path.read_text("utf-8")] == ["archives.py"]
