"""What a format says beside its paragraphs: alternative texts, chapters in no order, outputs without a plain form."""

from __future__ import annotations

import json

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline_tests.parsing.office_files import container
from rag_pipeline_tests.parsing.test_office import book, unpacked
from rag_pipeline_tests.parsing.test_seen_alike import open_text, shape, slide_show


def parsed(name: str, raw: bytes) -> ParsedDocument:
    return parse(raw, media_type_of(name, raw), name, ParseLimits())[0]


def named(kind: str, properties: str, said: str, inner: str = "") -> str:
    return f'<p:{kind}><p:{properties}><p:cNvPr id="4" name="n" {said}/></p:{properties}>{inner}</p:{kind}>'


def test_what_shapes_charts_and_groups_are_said_to_show_is_text_of_the_slide() -> None:
    shapes = (
        named("graphicFrame", "nvGraphicFramePr", 'descr="Chart of the dues"'),
        named("grpSp", "nvGrpSpPr", 'descr="Way to the quay"', shape(("North", ""))),
        named("sp", "nvSpPr", 'descr="Arrow to the north"'),
        named("pic", "nvPicPr", 'title="Map of berths"'),
        # The words on a shape say it themselves.
        named("sp", "nvSpPr", 'descr="Box around words"', "<p:txBody><a:p><a:r><a:t>Low</a:t></a:r></a:p></p:txBody>"),
    )
    document = parsed("a.pptx", slide_show(*shapes))
    assert document.text.split("\n\n") == [
        *("Chart of the dues", "Way to the quay", "North", "Arrow to the north", "Map of berths", "Low"),
    ]


def test_what_shapes_groups_and_tables_of_open_documents_are_said_to_show_is_text() -> None:
    drawn = "<draw:custom-shape><svg:desc>Arrow to the north</svg:desc><text:p>Go</text:p></draw:custom-shape>"
    group = "<draw:g><svg:title>Way to the quay</svg:title><draw:rect><text:p>North</text:p></draw:rect></draw:g>"
    cells = "<table:table-row><table:table-cell><text:p>7</text:p></table:table-cell></table:table-row>"
    table = f"<table:table><table:desc>Dues by berth</table:desc>{cells}</table:table>"
    shown = ["Arrow to the north", "Go", "Way to the quay", "North"]
    slide = parsed("a.odp", open_text(f"<draw:page>{drawn}{group}</draw:page>", "presentation"))
    assert slide.text.split("\n\n") == shown
    text = parsed("a.odt", open_text(f"<text:p>See</text:p>{table}<text:p>{drawn}{group}</text:p>"))
    assert text.text.split("\n\n") == ["See", "Dues by berth", "7", *shown]


def test_chapters_that_no_order_names_come_last_and_ids_of_nothing_are_named() -> None:
    members = unpacked(book({"a": "<p>First.</p>"}))
    items = (
        '<item id="n" href="n.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="toc" href="toc.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        '<item id="s" href="s.svg" media-type="image/svg+xml"/><item id="t" href="t.svg" media-type="image/svg+xml"/>'
    )
    drawing = '<svg xmlns="http://www.w3.org/2000/svg"><text>Berths in the north</text></svg>'
    package = members["book/p.opf"].replace(b"</manifest>", items.encode() + b"</manifest>")
    members["book/p.opf"] = package.replace(b"</spine>", b'<itemref idref="s"/><itemref idref="lost"/></spine>')
    members |= {"book/n.xhtml": b"<html><body><p>Notes.</p></body></html>", "book/s.svg": drawing.encode()}
    members |= {"book/t.svg": drawing.replace("north", "south").encode(), "book/toc.xhtml": b"<html>Contents</html>"}
    document = parsed("a.epub", container(dict(members), stored_first=True))
    assert document.text.split("\n\n") == ["First.", "Berths in the north", "Notes."]
    assert (document.metadata["unread_chapters"], document.metadata["unread_chapters_count"]) == ("lost", "1")


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"text/plain": "7 euros", "text/html": "<b>8 euros</b>"}, "7 euros"),
        ({"text/markdown": ["7 ", "euros"]}, "7 euros"),
        ({"text/latex": "$7$", "image/png": "x"}, "$7$"),
        ({"text/html": "<table><tr><td>Berth</td><td>7</td></tr></table>"}, "Berth\t7"),
    ],
)
def test_an_output_of_a_notebook_without_plain_text_is_read_in_another_form(
    data: dict[str, object], shown: str
) -> None:
    outputs = [{"output_type": "display_data", "data": data}]
    cells = [{"cell_type": "code", "source": "dues()", "outputs": outputs}]
    raw = json.dumps({"nbformat": 4, "metadata": {}, "cells": cells}).encode()
    assert parsed("a.ipynb", raw).text == f"dues()\n\n{shown}"
