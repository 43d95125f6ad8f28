"""Slides, spreadsheets, OpenDocument, e-books and RTF, each from a small file made here."""

from __future__ import annotations

import io
import re
import struct
import zipfile

import openpyxl
import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import (
    DocumentError,
    EmptyDocument,
    EncryptedDocument,
    LimitExceeded,
    NeedsOcr,
    UnparsableDocument,
)
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.parsing.media_type import DOC, EPUB, ODS, ODT, PPTX, XLS, XLSX
from rag_pipeline_tests.parsing.compound_files import compound
from rag_pipeline_tests.parsing.office_files import OFFICE, container, relations
from rag_pipeline_tests.parsing.rendering import check_invariants

RTF = "application/rtf"
Shown = list[tuple[str, int | None, str]]


def parsed(raw: bytes, media_type: str) -> ParsedDocument:
    documents = parse(raw, media_type, "a", ParseLimits())
    check_invariants(documents)
    return documents[0]


def blocks(document: ParsedDocument) -> Shown:
    return [(block.kind, block.page, document.text[block.start_char : block.end_char]) for block in document.blocks]


def refusal(raw: bytes, media_type: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(raw, media_type, "a", ParseLimits())
    return caught.value


def unpacked(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as file:
        return {name: file.read(name) for name in file.namelist()}


def shape(text: str, kind: str = "") -> str:
    placeholder = f'<p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>' if kind else ""
    lines = "".join(f"<a:p><a:r><a:t>{line}</a:t></a:r></a:p>" for line in text.split("|"))
    return f"<p:sp>{placeholder}<p:txBody>{lines}</p:txBody></p:sp>"


def slides(*trees: str, notes: str = "") -> bytes:
    names = 'xmlns:p="urn:p" xmlns:a="urn:a"'
    members = {"_rels/.rels": relations(("o", "officeDocument", "ppt/presentation.xml"))}
    ids = "".join(f'<p:sldId r:id="s{number}"/>' for number in range(len(trees)))
    members["ppt/presentation.xml"] = f'<p:presentation {names} xmlns:r="{OFFICE}">{ids}</p:presentation>'
    members["ppt/_rels/presentation.xml.rels"] = relations(
        *((f"s{number}", "slide", f"slides/s{number}.xml") for number in range(len(trees)))
    )
    for number, tree in enumerate(trees):
        members[f"ppt/slides/s{number}.xml"] = f"<p:sld {names}><p:cSld><p:spTree>{tree}</p:spTree></p:cSld></p:sld>"
    members["ppt/slides/_rels/s0.xml.rels"] = relations(("n", "notesSlide", "../notes.xml"))
    members["ppt/notes.xml"] = f"<p:notes {names}><p:cSld><p:spTree>{notes}</p:spTree></p:cSld></p:notes>"
    return container(members)


def test_slides_give_titles_points_tables_and_notes_with_their_number() -> None:
    text = "<a:p><a:r><a:t>{}</a:t></a:r></a:p>"
    cells = f"<a:tc>{text.format('A')}</a:tc><a:tc>{text.format('B')}</a:tc>"
    table = f"<a:tbl><a:tr>{cells}</a:tr></a:tbl>"
    first = shape("Point one|Point two") + shape("Plan", "title") + shape("7", "sldNum")
    second = f"<p:grpSp><p:grpSp>{shape('Nested words here.')}</p:grpSp></p:grpSp>"
    second += f"<p:graphicFrame>{table}</p:graphicFrame><p:odd/>"
    document = parsed(slides(first, second, notes=shape("Say hello.", "body") + shape("1", "sldNum")), PPTX)
    assert blocks(document) == [
        ("heading", 1, "Plan"),
        ("list", 1, "- Point one\n- Point two"),
        ("paragraph", 1, "Say hello."),
        ("paragraph", 2, "Nested words here."),
        ("table", 2, "A\tB"),
    ]
    assert document.title == "Plan"


def workbook(cells: dict[str, object], name: str = "Sheet") -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = name
    for address, value in cells.items():
        sheet[address] = value
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_sheets_give_a_heading_text_above_tables_and_rows() -> None:
    raw = workbook(
        {"B2": "Ducks by year", "B4": "Year", "C4": "Count", "B5": 2024, "C5": 1.5, "B6": 2025, "C6": True}, "Birds"
    )
    assert blocks(parsed(raw, XLSX)) == [
        ("heading", 1, "Birds"),
        ("paragraph", 1, "Ducks by year"),
        ("table", 1, "Year\tCount\n2024\t1.5\n2025\tTRUE"),
    ]


def test_two_cells_at_the_corners_of_a_sheet_do_no_harm() -> None:
    text = parsed(workbook({"A1": "first", "XFD1048576": "last"}), XLSX).text
    assert text.split() == ["Sheet", "first", "last"]


def test_a_spreadsheet_whose_members_explode_stops_at_the_limit() -> None:
    raw = container({"xl/workbook.xml": "<workbook/>", "xl/theme.xml": "<x>" + " " * 100_000_000})
    assert isinstance(refusal(raw, XLSX), LimitExceeded)


def office_text(body: str, kind: str = "text", manifest: str = "") -> bytes:
    names = 'xmlns:office="urn:o" xmlns:text="urn:t" xmlns:table="urn:b"'
    return container(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": f"<office:content {names}><office:body>{body}</office:body></office:content>",
            "META-INF/manifest.xml": manifest or "<m/>",
        },
        stored_first=True,
    )


def test_open_document_text_keeps_its_structure() -> None:
    raw = office_text(
        '<text:h text:outline-level="2">Rules</text:h><text:p>One<text:s/>two<text:line-break/>three</text:p>'
        "<text:tracked-changes><text:p>gone</text:p></text:tracked-changes>"
        "<text:list><text:list-item><text:p>a</text:p><text:list><text:list-item><text:p>b</text:p></text:list-item>"
        "</text:list></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>x</text:p></table:table-cell>"
        "<table:table-cell><text:p>y</text:p></table:table-cell></table:table-row></table:table>"
    )
    assert media_type_of("a.bin", raw) == ODT
    assert blocks(parsed(raw, ODT)) == [
        ("heading", None, "Rules"),
        ("paragraph", None, "One two\nthree"),
        ("list", None, "- a\n  - b"),
        ("table", None, "x\ty"),
    ]


def test_repeated_cells_of_a_spreadsheet_are_bounded() -> None:
    row = (
        '<table:table table:name="S"><table:table-row table:number-rows-repeated="1048576"><table:table-cell '
        'table:number-columns-repeated="16384"><text:p>x</text:p></table:table-cell></table:table-row></table:table>'
    )
    assert parsed(office_text(row, "spreadsheet"), ODS).text.startswith("S\n\nx\tx")
    assert isinstance(refusal(office_text(row * 40, "spreadsheet"), ODS), LimitExceeded)


def test_protected_open_documents_are_refused_as_encrypted() -> None:
    raw = office_text("<text:p>x</text:p>", manifest="<m><manifest:encryption-data/></m>")
    assert isinstance(refusal(raw, ODT), EncryptedDocument)


def book(chapters: dict[str, str], encryption: str = "") -> bytes:
    items = "".join(f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml"/>' for name in chapters)
    spine = "".join(f'<itemref idref="{name}"/>' for name in chapters)
    members: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<c><rootfiles><rootfile full-path="book/p.opf"/></rootfiles></c>',
        "book/p.opf": f"<package xmlns:d='urn:d'><metadata><d:title>Tides</d:title><d:creator>Ada</d:creator>"
        f"<d:language>en-GB</d:language></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>",
    }
    members |= {f"book/{name}.xhtml": f"<html><body>{text}</body></html>" for name, text in chapters.items()}
    if encryption:
        members["META-INF/encryption.xml"] = encryption
    return container(members, stored_first=True)


def test_a_book_is_read_in_the_order_of_its_spine() -> None:
    raw = book({"b": "<h1>One</h1><p>First.</p>", "a": "<h1>Two</h1><ul><li>x</li></ul>"})
    assert media_type_of("a", raw) == EPUB
    document = parsed(raw, EPUB)
    assert document.text == "# One\n\nFirst.\n\n# Two\n\n- x"
    assert (document.title, document.author, document.language) == ("Tides", "Ada", "en")


def test_a_copy_protected_book_is_refused_but_hidden_fonts_are_not() -> None:
    protected = '<e><m Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/></e>'
    fonts = '<e><m Algorithm="http://www.idpf.org/2008/embedding"/></e>'
    assert isinstance(refusal(book({"a": "<p>x</p>"}, protected), EPUB), EncryptedDocument)
    assert parsed(book({"a": "<p>x</p>"}, fonts), EPUB).text == "x"


def test_rtf_gives_headings_letters_of_code_pages_lists_and_tables() -> None:
    raw = (
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset204 Arial;}}"
        rb"{\stylesheet{\s1\outlinelevel0 heading 1;}}{\info{\title Fees}}{\*\generator none;}"
        b"\r\n"
        rb"\pard\s1 Price list\par\pard\f0 Caf\'e9 costs 3\u8364\'80 \{net\}\par\pard\f1\'cf\'f0\'e8\f0\par"
        rb"\pard{\listtext\bullet\tab}\ls1 one\par{\listtext\bullet\tab}\ls1 two\par"
        rb"\pard\intbl a\cell b\cell\row\pard Last.{\v hidden}\par}"
    )
    document = parsed(raw, RTF)
    assert [(kind, text) for kind, _, text in blocks(document)] == [
        ("heading", "Price list"),
        ("paragraph", "Café costs 3€ {net}"),
        ("paragraph", "При"),
        ("list", "- one\n- two"),
        ("table", "a\tb"),
        ("paragraph", "Last."),
    ]
    assert document.title == "Fees"


@pytest.mark.parametrize("raw", [b"{\\rtf1 " + b"{" * 100_000 + b"x", b"no rtf at all"], ids=["nested", "other"])
def test_broken_rtf_is_unparsable(raw: bytes) -> None:
    assert isinstance(refusal(raw, RTF), UnparsableDocument)


@pytest.mark.parametrize("media_type", [DOC, XLS])
@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"\x01"])
def test_damaged_old_files_are_unparsable(media_type: str, fill: bytes) -> None:
    raw = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + fill * 5_000
    assert isinstance(refusal(raw, media_type), UnparsableDocument)


def test_comments_follow_their_slide_and_a_damaged_slide_costs_only_itself() -> None:
    raw = slides(shape("Tides", "title"), shape("High", "title"))
    members = unpacked(raw)
    comments = '<p:cmLst xmlns:p="urn:p"><p:cm><p:text>Says who?</p:text></p:cm></p:cmLst>'
    members["ppt/slides/_rels/s0.xml.rels"] = relations(("c", "comments", "../comments/c.xml")).encode()
    members["ppt/comments/c.xml"] = comments.encode()
    members["ppt/slides/s1.xml"] = b"\0"
    document = parsed(container(dict(members)), PPTX)
    assert blocks(document) == [("heading", 1, "Tides"), ("paragraph", 1, "Comment: Says who?")]
    assert document.metadata["unread_parts"] == "ppt/slides/s1.xml"
    # What is asked for several times is named once.
    members["ppt/slides/_rels/s0.xml.rels"] = b"\0"
    document = parsed(container(dict(members)), PPTX)
    assert document.metadata["unread_parts"] == "ppt/slides/_rels/s0.xml.rels, ppt/slides/s1.xml"


def test_slides_of_pictures_only_need_ocr() -> None:
    members = unpacked(slides("<p:pic/>"))
    members["ppt/media/image1.png"] = b"\x89PNG"
    # A logo of the template is no content.
    assert isinstance(refusal(container(dict(members)), PPTX), EmptyDocument)
    members["ppt/slides/_rels/s0.xml.rels"] = relations(("i", "image", "../media/image1.png")).encode()
    assert isinstance(refusal(container(dict(members)), PPTX), NeedsOcr)


def test_a_book_whose_spine_names_a_chapter_again_and_again_holds_it_once() -> None:
    members = unpacked(book({"a": "<p>Once upon a time.</p>"}))
    package = next(name for name in members if name.endswith(".opf"))
    reference = re.search(rb"<itemref[^>]*>", members[package])
    assert reference is not None
    members[package] = members[package].replace(reference.group(), reference.group() * 50)
    assert parsed(container(dict(members)), EPUB).text == "Once upon a time."


def test_comments_in_open_documents_follow_their_paragraph() -> None:
    note = "<o:annotation><d:creator xmlns:d='urn:d'>Ada</d:creator><x:p>Says who?</x:p></o:annotation>"
    raw = office_text(f"<x:p>Low{note} at noon.</x:p>".replace("x:", "text:").replace("o:", "office:"))
    assert [text for _, _, text in blocks(parsed(raw, ODT))] == ["Low at noon.", "Comment by Ada: Says who?"]


def test_code_in_open_documents_keeps_its_lines_and_spaces() -> None:
    names = 'xmlns:s="urn:s" xmlns:text="urn:t"'
    style = f'<s:style {names} s:name="P1" s:parent-style-name="Preformatted_20_Text"/>'
    lines = ("def moor():", '<text:s text:c="4"/>pass')
    code = "".join(f'<text:p text:style-name="P1">{line}</text:p>' for line in lines)
    raw = office_text(f"{style}<text:p>Before.</text:p>{code}<text:p>After.</text:p>")
    assert [(kind, text) for kind, _, text in blocks(parsed(raw, ODT))] == [
        ("paragraph", "Before."),
        ("code", "def moor():\n    pass"),
        ("paragraph", "After."),
    ]


def test_a_formula_in_an_open_document_stands_where_it_is_shown() -> None:
    shown = '<text:p>Sum:<text:frame><text:object text:href="./Formula"/></text:frame></text:p>'
    members = unpacked(office_text(shown))
    members["Formula/content.xml"] = b"<math><mi>a</mi><mo>+</mo><mi>b</mi><annotation>a + b</annotation></math>"
    assert parsed(container(dict(members)), ODT).text == "Sum:\n\na+b"


def word_97(stories: list[str]) -> bytes:
    """A Word file of 1997 without styles: main text, footnotes, headers, macros, comments, endnotes, text boxes."""
    text = "".join(stories)
    main = bytearray(0x200)
    struct.pack_into("<H", main, 2, 0xC1)
    struct.pack_into("<8I", main, 0x4C, *map(len, stories), *[0] * (8 - len(stories)))
    pieces = struct.pack("<II", 0, len(text)) + struct.pack("<HIH", 0, len(main), 0)
    table = b"\2" + struct.pack("<I", len(pieces)) + pieces
    struct.pack_into("<II", main, 0x1A2, 0, len(table))
    return compound({"WordDocument": bytes(main) + text.encode("utf-16-le"), "0Table": table})


def test_notes_of_old_word_files_follow_the_text_and_running_heads_come_last() -> None:
    raw = word_97(
        ["Low at noon.\x02\r", "\x02 By the chart.\r", "Draft of May\r", "", "\x05Who says?\r", "", "In a box\r"]
    )
    assert [text for _, _, text in blocks(parsed(raw, DOC))] == [
        "Low at noon.",
        "By the chart.",
        "Who says?",
        "In a box",
        "Draft of May",
    ]


@pytest.mark.parametrize("damage", ["sum", "name", "cut"])
def test_a_small_member_that_is_not_as_it_says_is_damaged(damage: str) -> None:
    whole = office_text("<text:p>Words of the quay, again and again and again.</text:p>")
    assert parsed(whole, ODT).text.startswith("Words")
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        info = file.getinfo("content.xml")
    place = whole.rindex(b"PK\x01\x02", 0, whole.rindex(b"content.xml"))
    raw = bytearray(whole)
    if damage == "sum":
        raw[place + 16] ^= 1
    elif damage == "name":
        raw[info.header_offset + 30] ^= 1
    else:
        raw[info.header_offset + 30 + len("content.xml") + 4] ^= 0xFF
    assert isinstance(refusal(bytes(raw), ODT), UnparsableDocument)
