"""Pictures of text within documents, read by the real engine: where their words stand, and what is not read twice."""

from __future__ import annotations

import json

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import EmptyDocument, NeedsOcr, UnparsableDocument
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.parsing.ocr import engine
from rag_pipeline.parsing.ocr.options import HAS_PICTURES, LACKS_TEXT, OcrOptions, concerns
from rag_pipeline.transforms.left_out import left_out
from rag_pipeline_tests.extras import needs

needs("rapidocr", "the extra `ocr` is not installed")

from PIL import Image  # noqa: E402

from rag_pipeline_tests.parsing.office_files import paragraph, pdf, stream  # noqa: E402
from rag_pipeline_tests.parsing.pictured_files import AFTER, BEFORE, FORMATS, docx_of, html_of, png  # noqa: E402
from rag_pipeline_tests.parsing.scans import drawn, encoded, scanned_pdf  # noqa: E402

ALWAYS, MISSING = OcrOptions(max_ocr_pages=3, reads_all=True), OcrOptions(max_ocr_pages=3)
SMALL = (600, 120)
BERTH = "Berth seven is free again."
PICTURE = encoded(drawn([BERTH], SMALL))
ONLY = '<w:p><w:r><w:drawing><a:blip r:embed="p0"/></w:drawing></w:r></w:p>'


def read(raw: bytes, name: str, ocr: OcrOptions | None = ALWAYS) -> ParsedDocument:
    [document] = parse(raw, media_type_of(name, raw), name, ParseLimits(), ocr)
    return document


def picture_text(document: ParsedDocument) -> list[str]:
    return [document.text[each.start_char : each.end_char] for each in document.blocks if each.kind == "picture"]


def test_words_of_a_picture_stand_where_it_does_and_are_sure_by_their_share() -> None:
    plain = read(docx_of([PICTURE]), "quay.docx", None)
    document = read(docx_of([PICTURE]), "quay.docx")
    assert picture_text(document) == [BERTH]
    assert document.text.index(BEFORE) < document.text.index(BERTH) < document.text.index(AFTER)
    assert document.text.replace(f"\n\n{BERTH}", "") == plain.text
    assert [document.text[b.start_char : b.end_char] for b in document.blocks if b.kind != "picture"] == [
        plain.text[b.start_char : b.end_char] for b in plain.blocks if b.kind != "picture"
    ]
    assert document.metadata["ocr_pictures_count"] == "1"
    assert float(document.metadata["ocr_confidence"]) <= document.quality["ocr_confidence"] <= 1
    assert concerns([json.dumps(document.metadata)]) == LACKS_TEXT | HAS_PICTURES
    assert concerns([json.dumps(plain.metadata)]) == HAS_PICTURES
    assert read(docx_of([PICTURE]), "quay.docx", MISSING) == plain


@pytest.mark.exhaustive
@pytest.mark.parametrize("ending", sorted({*FORMATS} - {"docx", "pdf"}))
def test_pictures_of_every_format_are_read(ending: str) -> None:
    document = read(FORMATS[ending]([PICTURE]), f"quay.{ending}")
    assert picture_text(document) == [BERTH]
    assert document.text.index(BEFORE) < document.text.index(BERTH) < document.text.index(AFTER)


def scan_below(typed: bytes) -> bytes:
    """A page with typed lines over a picture of a text."""
    content = b"q 300 0 0 60 60 500 cm /P Do Q " + typed
    return scanned_pdf([content, drawn([BERTH], SMALL)]).replace(b"/XObject<</P 6 0 R>>", b"/XObject<</P 9 0 R>>", 1)


def test_a_picture_on_a_typed_page_of_a_pdf_is_read_and_a_scanned_page_once() -> None:
    document = read(scan_below(b"BT /F 20 Tf 60 700 Td (%b) Tj ET" % BEFORE.encode()), "quay.pdf")
    assert picture_text(document) == [BERTH, ""]
    assert document.text.count(BERTH) == 2
    assert document.metadata["ocr_pages"] == "2"
    # The page's own picture was read with the page.
    assert document.metadata["ocr_pictures_count"] == "1"


@pytest.mark.exhaustive
def test_what_the_text_says_already_is_not_said_twice() -> None:
    page = read(html_of([PICTURE]).replace(AFTER.encode(), BERTH.encode()), "quay.html")
    assert page.text.count(BERTH) == 1
    assert "ocr" not in page.metadata
    assert page.metadata["pictures_count"] == "1"
    twice = read(docx_of([PICTURE, PICTURE]), "quay.docx")
    assert picture_text(twice) == [BERTH, ""]


def test_a_document_of_pictures_alone_is_read_where_text_is_missing() -> None:
    raw = docx_of([PICTURE], ONLY)
    with pytest.raises(NeedsOcr):
        read(raw, "quay.docx", None)
    document = read(raw, "quay.docx", MISSING)
    assert document.text == BERTH
    assert picture_text(document) == [BERTH]
    with pytest.raises(EmptyDocument, match="found none in its pictures"):
        read(docx_of([encoded(Image.new("L", SMALL, 255)) + bytes(600)], ONLY), "blank.docx", MISSING)


@pytest.mark.exhaustive
def test_several_pictures_before_the_first_words_keep_blank_lines() -> None:
    other = encoded(drawn(["Dues are 48.50 for each boat."], SMALL))
    document = read(docx_of([PICTURE, other], ONLY + ONLY.replace("p0", "p1") + paragraph(AFTER)), "quay.docx")
    assert document.text == f"{BERTH}\n\nDues are 48.50 for each boat.\n\n{AFTER}"
    assert [document.text[b.start_char : b.end_char] for b in document.blocks] == document.text.split("\n\n")


def test_what_cannot_be_read_is_counted_and_costs_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = bytes(40) + b" EMF" + bytes(600)
    document = read(docx_of([unknown, *(png(600, 120, seed) for seed in range(4))]), "quay.docx")
    assert AFTER in document.text
    # One that no library opens, and one more than may be read.
    assert left_out(document.metadata)["unread_pictures"] == 2

    def failing(_: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(engine, "_read", failing)
    assert left_out(read(docx_of([PICTURE]), "quay.docx").metadata) == {"ocr_failures": 1}
    with pytest.raises(UnparsableDocument, match="no such kernel"):
        read(docx_of([PICTURE], ONLY), "quay.docx", MISSING)


@pytest.mark.exhaustive
def test_a_scan_with_its_text_behind_is_not_read_again() -> None:
    jpeg = encoded(drawn([BERTH], SMALL), "JPEG", quality=90)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[4 0 R]/Count 1>>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 60]/Resources<</Font<</F 3 0 R>>/XObject<</P 6 0 R>>>>"
        b"/Contents 5 0 R>>",
        stream(
            b"q 300 0 0 60 0 0 cm /P Do Q BT 3 Tr /F 15 Tf 20 30 Td (%b It was free for a week, they say.) Tj ET"
            % BERTH.encode()
        ),
        b"<</Type/XObject/Subtype/Image/Width 600/Height 120/ColorSpace/DeviceGray/BitsPerComponent 8"
        b"/Filter/DCTDecode/Length %d>>stream\n%b\nendstream" % (len(jpeg), jpeg),
    ]
    document = read(pdf(objects), "searchable.pdf")
    assert document.text.count("Berth seven") == 1
    assert "ocr" not in document.metadata
