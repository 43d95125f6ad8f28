"""A part of an office file or e-book that is damaged, cut off or not there is named; the rest of the file is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.transforms.left_out import left_out
from rag_pipeline_tests.parsing.office_files import container, docx, relations
from rag_pipeline_tests.parsing.test_office import book, shape, slides, unpacked
from rag_pipeline_tests.parsing.test_seen_alike import open_text

Damage = Literal["no XML", "cut off", "gone"]
FOOTNOTES = '<w:footnotes xmlns:w="urn:w"><w:footnote w:id="1"><w:p><w:r><w:t>In euros.</w:t></w:r></w:p></w:footnote>'
NOTED = '<w:p><w:r><w:t>Due</w:t><w:footnoteReference w:id="1"/></w:r></w:p>'
FILLER = "<text:p>High water at the quay.</text:p>"


def letter() -> bytes:
    members = unpacked(docx(NOTED))
    members["word/_rels/document.xml.rels"] = relations(("n", "footnotes", "footnotes.xml")).encode()
    members["word/footnotes.xml"] = f"{FOOTNOTES}</w:footnotes>".encode()
    return container(dict(members))


def show() -> bytes:
    return slides(shape("Tides", "title"), shape("High water", "title"))


def sums() -> bytes:
    members = unpacked(
        open_text('<text:p>Seen<draw:frame><draw:object xlink:href="./O" xmlns:xlink="urn:l"/></draw:frame></text:p>')
    )
    inner = f'<o:x xmlns:o="urn:o" xmlns:text="urn:t"><o:body>{FILLER * 3}</o:body></o:x>'
    members["O/content.xml"] = inner.encode()
    return container(dict(members))


def damaged(raw: bytes, member: str, how: Damage) -> bytes:
    members = unpacked(raw)
    content = members.pop(member)
    if how != "gone":
        members[member] = b"\0" if how == "no XML" else content[: len(content) * 6 // 10]
    return container(dict(members))


def parsed(name: str, raw: bytes) -> ParsedDocument:
    return parse(raw, media_type_of(name, raw), name, ParseLimits())[0]


@pytest.mark.parametrize("how", ["no XML", "cut off", "gone"])
@pytest.mark.parametrize(
    ("name", "make", "member", "kept"),
    [
        ("a.docx", letter, "word/footnotes.xml", "Due"),
        ("a.pptx", show, "ppt/slides/s1.xml", "Tides"),
        ("a.odt", sums, "O/content.xml", "Seen"),
    ],
)
def test_a_part_with_text_that_cannot_be_read_whole_is_named_and_counted(
    name: str, make: Callable[[], bytes], member: str, kept: str, how: Damage
) -> None:
    whole = parsed(name, make())
    assert "unread_parts" not in whole.metadata
    document = parsed(name, damaged(make(), member, how))
    assert kept in document.text
    assert len(document.text) < len(whole.text)
    assert document.metadata["unread_parts"] == member
    assert left_out(document.metadata)["unread_parts"] == 1


@pytest.mark.parametrize("member", ["word/document.xml", "content.xml"])
def test_a_text_that_breaks_off_says_so(member: str) -> None:
    name, raw = {
        "word/document.xml": ("a.docx", docx("<w:p><w:r><w:t>High water.</w:t></w:r></w:p>" * 20)),
        "content.xml": ("a.odt", open_text(FILLER * 60)),
    }[member]
    document = parsed(name, damaged(raw, member, "cut off"))
    assert "igh water" in document.text
    assert document.metadata["unread_parts"] == member


def test_a_chapter_of_an_e_book_that_breaks_off_is_named_and_its_beginning_read() -> None:
    raw = book({"a": "<h1>One</h1><p>Whole.</p>", "b": "<h1>Two</h1>" + "<p>High water.</p>" * 20})
    member = next(name for name in unpacked(raw) if name.endswith("b.xhtml"))
    assert "unread_chapters" not in parsed("a.epub", raw).metadata
    document = parsed("a.epub", damaged(raw, member, "cut off"))
    assert "Whole." in document.text
    assert "High water." in document.text
    assert document.metadata["unread_chapters"] == member


def test_a_slide_that_the_file_lacks_altogether_is_named_by_its_place() -> None:
    members = unpacked(show())
    rels = members["ppt/_rels/presentation.xml.rels"]
    assert b"slides/s1.xml" in rels
    members["ppt/_rels/presentation.xml.rels"] = rels.replace(b"slides/s1.xml", b"slides/s9.xml")
    document = parsed("a.pptx", container(dict(members)))
    assert document.metadata["unread_parts"] == "ppt/slides/s9.xml"
    assert document.metadata["slides"] == "1"
