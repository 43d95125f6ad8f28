"""Word documents: structure from styles and numbering, nothing twice, nothing deleted."""

from __future__ import annotations

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import DocumentError, LimitExceeded, UnparsableDocument
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline.parsing.media_type import DOCX
from rag_pipeline_tests.parsing.office_files import WORD, container, docx, paragraph
from rag_pipeline_tests.parsing.rendering import check_invariants

STYLES = """
<w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/></w:style>
<w:style w:type="paragraph" w:styleId="Own"><w:name w:val="Kapitel"/><w:basedOn w:val="H2"/></w:style>
<w:style w:type="paragraph" w:styleId="H2"><w:name w:val="heading 2"/></w:style>
<w:style w:type="paragraph" w:styleId="Loop"><w:name w:val="Loop"/><w:basedOn w:val="Loop"/></w:style>
<w:style w:type="paragraph" w:styleId="Src"><w:name w:val="Source Code"/></w:style>
<w:style w:type="paragraph" w:styleId="Q"><w:name w:val="Quote"/></w:style>"""
NUMBERING = """
<w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0"><w:start w:val="3"/><w:numFmt w:val="decimal"/></w:lvl>
<w:lvl w:ilvl="1"><w:numFmt w:val="bullet"/></w:lvl></w:abstractNum>
<w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num>"""
FOOTNOTES = '<w:footnote w:id="2"><w:p><w:r><w:t>Said in 1999.</w:t></w:r></w:p></w:footnote>'


def style(name: str) -> str:
    return f'<w:pStyle w:val="{name}"/>'


def item(level: int) -> str:
    return f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="1"/></w:numPr>'


def parsed(raw: bytes) -> ParsedDocument:
    documents = parse(raw, DOCX, "a.docx", ParseLimits())
    check_invariants(documents)
    return documents[0]


def blocks(document: ParsedDocument) -> list[tuple[str, int, str]]:
    return [(block.kind, block.level, document.text[block.start_char : block.end_char]) for block in document.blocks]


def cell(text: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{paragraph(text)}</w:tc>"


def test_headings_lists_code_quotes_tables_and_notes_become_blocks() -> None:
    body = (
        paragraph("Guide", style("H1"))
        + paragraph("Setup", style("Own"))
        + "<w:p><w:r><w:t xml:space='preserve'>Take </w:t></w:r><w:del><w:r><w:delText>two</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>three</w:t></w:r></w:ins><w:r><w:tab/><w:t>steps</w:t>"
        "<w:footnoteReference w:id='2'/></w:r></w:p>"
        + paragraph("first", item(0))
        + paragraph("inner", item(1))
        + paragraph("second", item(0))
        + paragraph("x = 1", style("Src"))
        + paragraph("  y = 2", style("Src"))
        + paragraph("So it is.", style("Q"))
        + paragraph("Plain.", style("Loop"))
        + "<w:tbl><w:tr>"
        + cell("Unit", '<w:vMerge w:val="restart"/>')
        + cell("m")
        + "</w:tr><w:tr>"
        + cell("", "<w:vMerge/>")
        + cell("mm")
        + "</w:tr></w:tbl>"
    )
    document = parsed(docx(body, STYLES, NUMBERING, FOOTNOTES, "<dc:creator>Ada</dc:creator>"))
    assert blocks(document) == [
        ("heading", 1, "Guide"),
        ("heading", 2, "Setup"),
        ("paragraph", 0, "Take three steps"),
        ("paragraph", 0, "Said in 1999."),
        ("list", 0, "3. first\n  - inner\n4. second"),
        ("code", 0, "x = 1\n  y = 2"),
        ("quote", 0, "> So it is."),
        ("paragraph", 0, "Plain."),
        ("table", 0, "Unit\tm\nUnit\tmm"),
    ]
    assert (document.title, document.author) == ("Guide", "Ada")


def test_a_text_box_is_read_once() -> None:
    box = "<w:txbxContent>" + paragraph("In the box") + "</w:txbxContent>"
    compatible = (
        '<mc:AlternateContent xmlns:mc="urn:mc"><mc:Choice>'
        + box
        + "</mc:Choice><mc:Fallback>"
        + box
        + "</mc:Fallback>"
        "</mc:AlternateContent>"
    )
    document = parsed(docx(f"<w:p><w:r><w:t>Outside</w:t></w:r><w:r>{compatible}</w:r></w:p>"))
    assert document.text == "Outside\n\nIn the box"


def test_strict_files_with_other_namespaces_are_read() -> None:
    raw = docx(paragraph("Title", style("H1")) + paragraph("Text"), STYLES)
    assert b"PK" in raw
    strict = "http://purl.oclc.org/ooxml/wordprocessingml/main"
    body = f'<w:document xmlns:w="{strict}"><w:body>{paragraph("Strict text")}</w:body></w:document>'
    assert parsed(container({"word/document.xml": body})).text == "Strict text"


def refusal(raw: bytes) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(raw, DOCX, "a.docx", ParseLimits())
    return caught.value


def test_no_entity_is_resolved() -> None:
    body = f'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><w:document xmlns:w="{WORD}"><w:body>'
    text = parsed(container({"word/document.xml": body + paragraph("Kept &x;") + "</w:body></w:document>"})).text
    assert text == "Kept"


def test_bombs_and_absurd_nesting_stop_at_the_limits() -> None:
    start = f'<w:document xmlns:w="{WORD}"><w:body>'
    assert isinstance(refusal(container({"word/document.xml": start + "a" * 100_000_000})), LimitExceeded)
    nested = start + "<w:tbl><w:tr><w:tc>" * 60_000 + paragraph("deep")
    assert isinstance(refusal(container({"word/document.xml": nested})), LimitExceeded)
    many = container({f"word/{number}.xml": "" for number in range(10_001)})
    assert isinstance(refusal(many), LimitExceeded)


def test_damaged_containers_are_unparsable() -> None:
    assert isinstance(refusal(b"PK\x03\x04" + b"junk" * 50), UnparsableDocument)
    raw = bytearray(docx(paragraph("Some text in it " * 200)))
    at = raw.find(b"word/document.xml") + 40
    raw[at : at + 40] = bytes(40)
    assert isinstance(refusal(bytes(raw)), UnparsableDocument)


def test_a_size_the_container_declares_is_not_believed() -> None:
    raw = bytearray(container({"word/document.xml": f'<w:document xmlns:w="{WORD}"><w:body>' + "a" * 100_000_000}))
    directory = raw.rfind(b"PK\x01\x02")
    raw[directory + 24 : directory + 28] = (1000).to_bytes(4, "little")
    assert isinstance(refusal(bytes(raw)), LimitExceeded | UnparsableDocument)


@pytest.mark.parametrize(
    ("font", "number", "shown"),
    [
        ("Symbol", "F0B0", "20\u00b0"),
        ("Symbol", "F0B3", "20\u2265"),
        ("symbol", "6D", "20\u03bc"),
        ("Wingdings", "F0FC", "20\u2713"),
        ("Arial", "00BD", "20\u00bd"),
        ("Symbol", "odd", "20"),
        ("Webdings", "F021", "20"),
    ],
)
def test_signs_of_other_fonts_are_read_and_unknown_ones_counted(font: str, number: str, shown: str) -> None:
    body = f'<w:p><w:r><w:t>20</w:t><w:sym w:font="{font}" w:char="{number}"/></w:r></w:p>'
    document = parsed(docx(body))
    assert document.text == shown
    assert document.metadata == ({"hidden_symbol_count": "1"} if shown == "20" else {})
