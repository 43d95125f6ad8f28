"""What Word documents say beside their main story, and what they hide."""

from __future__ import annotations

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import EmptyDocument, NeedsOcr
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline.parsing.media_type import DOCX
from rag_pipeline_tests.parsing.office_files import WORD, container, docx, paragraph, relations
from rag_pipeline_tests.parsing.rendering import check_invariants


def parsed(raw: bytes) -> ParsedDocument:
    documents = parse(raw, DOCX, "a.docx", ParseLimits())
    check_invariants(documents)
    return documents[0]


def lines(raw: bytes) -> list[str]:
    document = parsed(raw)
    return [document.text[block.start_char : block.end_char] for block in document.blocks]


def story(root: str, inner: str) -> str:
    return f'<w:{root} xmlns:w="{WORD}" xmlns:r="urn:r" xmlns:c="urn:c" xmlns:d="urn:d">{inner}</w:{root}>'


def package(body: str, parts: dict[str, tuple[str, str | bytes]], more: dict[str, str | bytes] | None = None) -> bytes:
    """A document whose relations are `parts`: id to (kind, content)."""
    members: dict[str, str | bytes] = {
        "_rels/.rels": relations(("m", "officeDocument", "word/document.xml")),
        "word/_rels/document.xml.rels": relations(*((id_, kind, f"{id_}.xml") for id_, (kind, _) in parts.items())),
        "word/document.xml": story("document", f"<w:body>{body}</w:body>"),
    }
    members |= {f"word/{id_}.xml": content for id_, (_, content) in parts.items()}
    return container(members | (more or {}))


def test_a_comment_follows_the_paragraph_it_is_about() -> None:
    about = '<w:p><w:r><w:t>Pay at once.</w:t></w:r><w:r><w:commentReference w:id="7"/></w:r></w:p>'
    comments = story("comments", f'<w:comment w:id="7" w:author="Ada">{paragraph("Thirty days?")}</w:comment>')
    raw = package(about + paragraph("Next."), {"c": ("comments", comments)})
    assert lines(raw) == ["Pay at once.", "Comment by Ada: Thirty days?", "Next."]


def test_notes_and_text_boxes_within_table_cells_follow_the_table() -> None:
    box = f"<w:r><w:pict><w:txbxContent>{paragraph('In a box.')}</w:txbxContent></w:pict></w:r>"
    noted = '<w:r><w:t>Sum</w:t><w:footnoteReference w:id="2"/></w:r>'
    cells = "".join(f"<w:tc><w:p>{inner}</w:p></w:tc>" for inner in (noted, "<w:r><w:t>12</w:t></w:r>" + box))
    notes = story("footnotes", f'<w:footnote w:id="2">{paragraph("Without tax.")}</w:footnote>')
    raw = package(f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>", {"f": ("footnotes", notes)})
    assert lines(raw) == ["Sum\t12", "In a box.", "Without tax."]


def test_headers_and_footers_come_once_at_the_end_without_page_numbers() -> None:
    section = '<w:sectPr><w:headerReference r:id="h"/><w:footerReference r:id="g"/></w:sectPr>'
    raw = package(
        paragraph("Plan") + paragraph("Body.") + section,
        {
            "h": ("header", story("hdr", paragraph("Plan") + paragraph("SOP-12, draft"))),
            "g": ("footer", story("ftr", paragraph("SOP-12, draft") + paragraph("Page 3 of 9"))),
            "u": ("header", story("hdr", paragraph("No section uses this."))),
        },
    )
    assert lines(raw) == ["Plan", "Body.", "SOP-12, draft"]


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ("<w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del>", "new"),
        ("<w:r><w:rPr><w:vanish/></w:rPr><w:t>unseen</w:t></w:r><w:r><w:t>seen</w:t></w:r>", "seen"),
        ('<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>seen</w:t></w:r>', "seen"),
        (
            "<w:r><w:ruby><w:rt><w:r><w:t>kyo</w:t></w:r></w:rt><w:rubyBase><w:r><w:t>京</w:t></w:r></w:rubyBase>"
            "</w:ruby></w:r><w:r><w:t>都</w:t></w:r>",
            "京(kyo)都",
        ),
    ],
    ids=["tracked change", "hidden", "not hidden", "ruby"],
)
def test_a_paragraph_reads_as_a_reader_sees_it(inner: str, text: str) -> None:
    assert lines(docx(f"<w:p>{inner}</w:p>")) == [text]


def test_headings_are_known_by_their_built_in_name_where_there_is_no_style_table() -> None:
    raw = package(paragraph("Tides", '<w:pStyle w:val="Heading1"/>') + paragraph("Low at noon."), {})
    document = parsed(raw)
    assert document.title == "Tides"
    assert [block.kind for block in document.blocks] == ["heading", "paragraph"]


def test_charts_and_diagrams_give_their_words_and_numbers() -> None:
    point = '<c:pt idx="{}"><c:v>{}</c:v></c:pt>'
    outer = "<c:lvl>" + point.format(0, "2024") + point.format(1, "2025") + "</c:lvl>"
    inner = "<c:lvl>" + point.format(0, "May") + point.format(1, "June") + "</c:lvl>"
    values = "<c:val>" + point.format(0, "3") + point.format(1, "4") + "</c:val>"
    series = f"<c:ser><c:tx>{point.format(0, 'Ships')}</c:tx><c:cat>{inner}{outer}</c:cat>{values}</c:ser>"
    title = "<c:title><c:p><c:t>Traffic</c:t></c:p></c:title>"
    chart = f'<c:chartSpace xmlns:c="urn:c"><c:chart>{title}{series}</c:chart></c:chartSpace>'
    diagram = '<d:m xmlns:d="urn:d"><d:pt><d:t><d:p><d:t>Moor</d:t></d:p></d:t></d:pt></d:m>'
    body = '<w:p><w:r><c:chart r:id="k"/><d:relIds r:dm="g"/></w:r></w:p>'
    raw = package(body, {"k": ("chart", chart), "g": ("diagramData", diagram)})
    assert lines(raw) == ["Traffic", "Ships\n2024 May\t3\n2025 June\t4", "- Moor"]


def test_chunks_of_html_and_of_word_are_read_in_place() -> None:
    page = b"<html><body><h1>Rules</h1><p>Radio ahead.</p></body></html>"
    wrapped = b"MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<p>Gr\xc3\xbc\xc3\x9fe</p>"
    parts: dict[str, tuple[str, str | bytes]] = {
        "h": ("aFChunk", page),
        "m": ("aFChunk", wrapped),
        "d": ("aFChunk", docx(paragraph("Inner."))),
        "x": ("aFChunk", b"PK damaged"),
    }
    chunks = "".join(f'<w:altChunk r:id="{id_}"/>' for id_ in parts)
    document = parsed(package(paragraph("First.") + chunks + paragraph("Last."), parts))
    assert document.text.split("\n\n") == ["First.", "# Rules", "Radio ahead.", "Gr\u00fc\u00dfe", "Inner.", "Last."]
    assert document.metadata["unread_parts"] == "word/x.xml"


def test_what_chunks_hide_is_counted_with_what_the_document_hides() -> None:
    secret = "<w:p><w:r><w:rPr><w:vanish/></w:rPr><w:t>unseen</w:t></w:r></w:p>"
    page = b"<html><head><style>.x{display:none}</style></head><body><p class=x>unseen</p><p hidden>unseen</p>"
    parts: dict[str, tuple[str, str | bytes]] = {
        "h": ("aFChunk", page + b"<p>Said in many more words than what nobody sees.</p></body></html>"),
        "d": ("aFChunk", docx(paragraph("Inner.") + secret)),
    }
    chunks = "".join(f'<w:altChunk r:id="{id_}"/>' for id_ in parts)
    document = parsed(package(paragraph("First.") + secret + chunks, parts))
    assert "unseen" not in document.text
    counts = {name: value for name, value in document.metadata.items() if name.startswith("hidden_")}
    assert counts == {"hidden_run_count": "2", "hidden_style_count": "1", "hidden_attribute_count": "1"}


def test_a_damaged_style_table_costs_only_the_styles() -> None:
    document = parsed(package(paragraph("Words."), {"s": ("styles", b""), "n": ("comments", b"\0")}))
    assert document.text == "Words."
    assert document.metadata["unread_parts"] == "word/s.xml, word/n.xml"


def test_a_document_of_pictures_only_needs_ocr_but_one_with_a_logo_in_its_header_is_empty() -> None:
    with pytest.raises(NeedsOcr):
        parsed(package("<w:p/>", {"i": ("image", b"picture")}))
    with pytest.raises(EmptyDocument):
        parsed(package("<w:p/>", {}, {"word/media/logo.png": b"\x89PNG"}))
