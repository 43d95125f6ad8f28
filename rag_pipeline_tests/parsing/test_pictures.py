"""Pictures within documents: where they stand, what is said of them, and that no text pays for them."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace

import pytest

from rag_pipeline.contracts.documents import Block, ParsedDocument, Picture
from rag_pipeline.parallel import wire
from rag_pipeline.parsing import ParseLimits, media_type_of, parse, pictures
from rag_pipeline.parsing.picture_heads import UNKNOWN, head_of
from rag_pipeline.transforms.block_hashes import repeatable_hashes
from rag_pipeline.transforms.chunk.chunker import chunk_document
from rag_pipeline.transforms.chunk.params import ChunkParams
from rag_pipeline.transforms.left_out import left_out
from rag_pipeline.transforms.sensitive import redact
from rag_pipeline.transforms.worker_tasks import block_rows, blocks_of
from rag_pipeline_tests.parsing.office_files import paragraph
from rag_pipeline_tests.parsing.pictured_files import AFTER, BEFORE, FORMATS, SAID, docx_of, html_of, pdf_of, png
from rag_pipeline_tests.transforms.chunk.counters import WordCounter

LIMITS = ParseLimits()
PARAMS = ChunkParams(max_tokens=64, min_tokens=8, header_max_tokens=16)
STRIPES = png()


def read(raw: bytes, name: str, limits: ParseLimits = LIMITS) -> ParsedDocument:
    [document] = parse(raw, media_type_of(name, raw), name, limits)
    return document


def marks(document: ParsedDocument) -> list[Block]:
    found = [block for block in document.blocks if block.kind == "picture"]
    assert len(found) == len(document.pictures)
    return found


@pytest.mark.parametrize("ending", FORMATS)
def test_a_picture_is_a_block_where_it_stands_and_adds_nothing_to_the_text(ending: str) -> None:
    document = read(FORMATS[ending]([STRIPES]), f"quay.{ending}")
    [mark] = marks(document)
    [picture] = document.pictures
    before = document.text[: mark.start_char]
    assert BEFORE in before
    assert AFTER not in before
    assert mark.start_char == mark.end_char
    assert document.metadata["pictures_count"] == "1"
    assert (picture.media_type, picture.width, picture.height) == ("image/png", 200, 80)
    assert mark.page == (1 if ending in ("pdf", "pptx", "odp") else None)
    if ending != "pdf":
        assert mark.label == SAID
        assert picture.content_hash == hashlib.sha256(STRIPES).hexdigest()
        assert picture.size_bytes == len(STRIPES)
    assert document.text == read(FORMATS[ending]([]), f"quay.{ending}").text or SAID in document.text


@pytest.mark.parametrize("ending", FORMATS)
def test_logos_and_icons_are_counted_alone(ending: str) -> None:
    document = read(FORMATS[ending]([png(40, 40), *[STRIPES] * 3, png(seed=7)]), f"quay.{ending}")
    assert [picture.width for picture in document.pictures] == [200]
    assert document.metadata["decorative_pictures_count"] == "4"
    assert left_out(document.metadata) == {}


@pytest.mark.parametrize("ending", ["docx", "pptx", "odt", "epub"])
def test_a_picture_that_unpacks_past_the_limits_costs_no_text(ending: str) -> None:
    raw = FORMATS[ending]([STRIPES, png(2000, 200) + bytes(200_000)])
    document = read(raw, f"quay.{ending}", replace(LIMITS, max_member_bytes=150_000))
    assert AFTER in document.text
    assert len(document.pictures) == 1
    assert left_out(document.metadata) == {"unread_pictures": 1}


def test_a_damaged_picture_and_one_too_many_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    page = html_of([STRIPES, png(seed=3), png(seed=5)]).replace(b"base64,iVBO", b"base64,!x", 1)
    monkeypatch.setattr(pictures, "MAX_PICTURES", 2)
    document = read(page, "quay.html")
    assert left_out(document.metadata) == {"skipped_pictures": 1, "unread_pictures": 1}
    assert len(document.pictures) == 1


def test_a_member_that_a_container_lacks_is_no_picture() -> None:
    body = paragraph(BEFORE) + '<w:p><w:r><w:drawing><a:blip r:embed="p7"/></w:drawing></w:r></w:p>'
    assert not marks(read(docx_of([], body), "quay.docx"))


def test_items_around_a_picture_stay_one_list() -> None:
    def item(inner: str) -> str:
        return f"<w:p><w:pPr><w:numPr><w:ilvl w:val='0'/><w:numId w:val='1'/></w:numPr></w:pPr>{inner}</w:p>"

    drawing = '<w:r><w:drawing><a:blip r:embed="p0"/></w:drawing></w:r>'
    body = item("<w:r><w:t>Moor</w:t></w:r>" + drawing) + item("<w:r><w:t>Pay</w:t></w:r>") + paragraph(AFTER)
    document = read(docx_of([STRIPES], body), "quay.docx")
    kinds = [block.kind for block in document.blocks]
    assert kinds in (["list", "picture", "paragraph"], ["paragraph", "picture", "paragraph", "paragraph"])
    assert len(marks(document)) == 1


def test_what_stands_below_a_picture_as_its_caption_is_said_of_it() -> None:
    body = '<w:p><w:r><w:drawing><a:blip r:embed="p0"/></w:drawing></w:r></w:p>'
    body += paragraph("Figure 3: The quay at low tide.")
    [mark] = marks(read(docx_of([STRIPES], paragraph(BEFORE) + body), "quay.docx"))
    assert mark.label == "Figure 3: The quay at low tide."


def test_pictures_of_a_menu_go_with_it() -> None:
    page = html_of([STRIPES]).replace(
        b"<main>", b"<nav><ul><li>Home<img src='data:image/gif;base64,R0lGODlh'></ul></nav><main>"
    )
    text = b"<p>" + b"The harbour master answers letters in the order that they came in. " * 12 + b"</p></main>"
    assert [each.media_type for each in read(page.replace(b"</main>", text), "quay.html").pictures] == ["image/png"]


def test_pictures_of_a_pdf_within_forms_are_found_and_drawn() -> None:
    raw = pdf_of([STRIPES])
    [found] = FOUND.of(raw, "quay.pdf")
    content = found.content()
    assert head_of(content) == ("image/png", 200, 80)
    assert content[:8] == b"\x89PNG\r\n\x1a\n"


class FOUND:
    """What a parser hung, with its bytes."""

    @staticmethod
    def of(raw: bytes, name: str) -> tuple[pictures.Hung, ...]:
        from rag_pipeline.parsing.context import ParseContext
        from rag_pipeline.parsing.pdf.pdf import parse_pdf

        context = ParseContext(name, LIMITS, lambda *_: [])
        [document] = parse_pdf(raw, context)
        return pictures.shown(document, context.gallery).pictures


def marked(text: str, at: int, *blocks: Block) -> ParsedDocument:
    picture = Picture("image/png", 200, 80, 900, "ab" * 32)
    both = sorted([*blocks, Block("picture", at, at, label="Plan")], key=lambda block: block.start_char)
    return ParsedDocument(text, tuple(both), pictures=(picture,))


def test_marks_change_neither_chunks_nor_what_repeats() -> None:
    text = "Quay\n\nThis paragraph has more than four words.\n\nAnd one more of them here."
    blocks = Block("heading", 0, 4, 1, "Quay"), Block("paragraph", 6, 46), Block("paragraph", 48, len(text))
    plain, pictured = ParsedDocument(text, blocks), marked(text, 46, *blocks)
    assert repeatable_hashes(text, pictured.blocks) == repeatable_hashes(text, plain.blocks)
    counter = WordCounter()
    assert chunk_document(pictured, PARAMS, counter) == chunk_document(plain, PARAMS, counter)
    assert blocks_of(block_rows(pictured.blocks)) == pictured.blocks
    assert wire.load(wire.dump(pictured)) == pictured


def test_redaction_keeps_a_picture_for_each_mark() -> None:
    text = "Write to ann@example.org\n\nor call."
    document = redact(marked(text, 24, Block("paragraph", 0, 24), Block("paragraph", 26, len(text))))
    assert "ann@example.org" not in document.text
    [mark] = marks(document)
    assert document.text[: mark.start_char].endswith("]")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (png(7, 9), ("image/png", 7, 9)),
        (b"GIF89a" + struct.pack("<HH", 5, 6), ("image/gif", 5, 6)),
        (b"BM" + bytes(16) + struct.pack("<ii", 5, -6), ("image/bmp", 5, 6)),
        (b"\xff\xd8\xff\xe0\0\4ab\xff\xc2\0\x11\x08" + struct.pack(">HH", 6, 5) + bytes(9), ("image/jpeg", 5, 6)),
        (b"II*\0\x08\0\0\0\2\0" + struct.pack("<HHIHHHHII", 256, 3, 1, 5, 0, 257, 4, 1, 6), ("image/tiff", 5, 6)),
        (b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", 256, 3, 1, 5, 0), ("image/tiff", 5, 0)),
        (b"RIFF1234WEBPVP8X" + bytes(8) + b"\4\0\0\5\0\0", ("image/webp", 5, 6)),
        (b"RIFF1234WEBPVP8L" + bytes(5) + struct.pack("<I", 4 | 5 << 14), ("image/webp", 5, 6)),
        (b"RIFF1234WEBPVP8 " + bytes(10) + struct.pack("<HH", 5, 6), ("image/webp", 5, 6)),
        (bytes(40) + b" EMF", ("image/emf", 0, 0)),
        (b"\xd7\xcd\xc6\x9a" + bytes(9), ("image/wmf", 0, 0)),
        (b'<?xml version="1.0"?><svg/>', ("image/svg+xml", 0, 0)),
        (b"\xff\xd8\xff", ("image/jpeg", 0, 0)),
        (b"\x89PNG\r\n\x1a\n", ("image/png", 0, 0)),
        (b"RIFF1234WEBPVP8 ", ("image/webp", 0, 0)),
        (b"", (UNKNOWN, 0, 0)),
    ],
)
def test_heads_say_form_and_size(content: bytes, told: tuple[str, int, int]) -> None:
    assert head_of(content) == told


def test_names_of_files_of_pictures() -> None:
    assert [pictures.ending_of(kind) for kind in ("image/jpeg", "image/svg+xml", UNKNOWN)] == [".jpg", ".svg", ""]
