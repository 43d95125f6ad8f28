"""PDF: every block knows its page, bookmarks make headings, and refusals say why."""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter

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
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline_tests.parsing.office_files import pdf, stream, text_pdf
from rag_pipeline_tests.parsing.rendering import check_invariants
from rag_pipeline_tests.paths import SHARED

FILINGS = SHARED / "eval" / "financebench"
CATALOG = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"]
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</XObject<</I 5 0 R>>>>/Contents 4 0 R>>"
PROSE = [
    "The valve opens when the pressure in the tank rises above the limit set by",
    "the operator. It closes again after the pressure has fallen for one minute.",
]
REPEATS = 10


def parsed(raw: bytes) -> ParsedDocument:
    documents = parse(raw, "application/pdf", "a.pdf", ParseLimits())
    check_invariants(documents)
    return documents[0]


def refusal(raw: bytes) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(raw, "application/pdf", "a.pdf", ParseLimits())
    return caught.value


def chapter(number: int, title: str) -> list[tuple[int, int, str]]:
    return [
        (9, 40, "Valve manual"),
        (20, 110, title),
        *((11, 150 + 14 * line, PROSE[line % 2]) for line in range(2 * REPEATS)),
        (9, 760, f"Page {number} of 4"),
    ]


def manual(bookmarks: list[tuple[str, int]] | None = None) -> bytes:
    names = ["Opening it", "Closing it", "Cleaning parts", "Storage and care"]
    pages = [chapter(number, name) for number, name in enumerate(names, 1)]
    return text_pdf(pages, bookmarks, title="The valve manual")


def test_every_block_carries_its_page_and_running_heads_are_gone() -> None:
    document = parsed(manual())
    assert [block.page for block in document.blocks if block.kind == "heading"] == [1, 2, 3, 4]
    assert {block.page for block in document.blocks} == {1, 2, 3, 4}
    assert document.text.count(" ".join(PROSE)) == 4 * REPEATS
    assert "Valve manual" not in document.text
    assert "of 4" not in document.text
    assert document.title == "The valve manual"


def test_bookmarks_become_headings_at_their_depth() -> None:
    document = parsed(manual([("Opening it", 1), ("Closing it", 2), ("Cleaning parts", 3), ("Storage and care", 4)]))
    headings = [(block.label, block.level, block.page) for block in document.blocks if block.kind == "heading"]
    assert headings == [
        ("Opening it", 1, 1),
        ("Closing it", 1, 2),
        ("Cleaning parts", 1, 3),
        ("Storage and care", 1, 4),
    ]
    assert document.metadata["heading_source"] == "outline"


def test_a_letter_of_one_page_keeps_its_first_and_last_line() -> None:
    document = parsed(text_pdf([[(11, 30, "5 May 2026"), (11, 150, PROSE[0]), (11, 760, "Kind regards, Ada")]]))
    assert "5 May 2026" in document.text
    assert "Kind regards, Ada" in document.text


def test_pages_of_pictures_need_ocr_and_blank_pages_are_empty() -> None:
    image = stream(
        b"\x80" * 64, b"/Type/XObject/Subtype/Image/Width 8/Height 8/ColorSpace/DeviceGray/BitsPerComponent 8"
    )
    drawing = stream(b"q 500 0 0 700 50 50 cm /I Do Q")
    assert isinstance(refusal(pdf([*CATALOG, PAGE, drawing, image])), NeedsOcr)
    assert isinstance(refusal(pdf([*CATALOG, PAGE, stream(b""), image])), EmptyDocument)


def test_a_password_is_named_as_the_reason() -> None:
    encryption = b"<</Filter/Standard/V 1/R 2/P -4/O<" + b"41" * 32 + b">/U<" + b"42" * 32 + b">>>"
    raw = pdf([*CATALOG, PAGE, stream(b""), stream(b""), encryption], b"/Encrypt 6 0 R/ID[<00><00>]")
    assert isinstance(refusal(raw), EncryptedDocument)


@pytest.mark.parametrize("raw", [b"%PDF-1.7\n" + b"junk " * 100, manual()[:300]], ids=["junk", "cut off"])
def test_broken_files_are_unparsable(raw: bytes) -> None:
    assert isinstance(refusal(raw), UnparsableDocument | EmptyDocument)


def test_bombs_and_endless_page_trees_stop_at_the_limits() -> None:
    zeros = zlib.compress(bytes(300 * 1024 * 1024), 1)
    twice = zlib.compress(zlib.compress(bytes(300 * 1024 * 1024), 9), 9)
    for content, filters in ((zeros, b"/Filter/FlateDecode"), (twice, b"/Filter[/FlateDecode/FlateDecode]")):
        assert isinstance(refusal(pdf([*CATALOG, PAGE, stream(content, filters), b"null"])), LimitExceeded)
    loop = pdf([CATALOG[0], b"<</Type/Pages/Kids[2 0 R]/Count 1000000>>"])
    assert isinstance(refusal(loop), LimitExceeded | UnparsableDocument)


@pytest.mark.slow
@pytest.mark.skipif(not FILINGS.is_dir(), reason="needs the filings beside the repository")
def test_evidence_of_real_filings_stands_on_blocks_of_its_page() -> None:
    pages: dict[tuple[str, int], Counter[str]] = {}
    for path in sorted((FILINGS / "pdfs").glob("*.pdf")):
        document = parsed(path.read_bytes())
        for block in document.blocks:
            words = re.findall(r"\w+", document.text[block.start_char : block.end_char].lower())
            pages.setdefault((path.stem, block.page or 0), Counter()).update(words)
    found = total = 0
    for line in (FILINGS / "questions.jsonl").read_text("utf-8").splitlines():
        for evidence in json.loads(line)["evidence"]:
            words = Counter(re.findall(r"\w+", evidence["text"].lower()))
            on_page = pages.get((evidence["doc"], evidence["page_index"] + 1), Counter())
            found += (words & on_page).total() >= 0.9 * words.total()
            total += 1
    assert found >= 0.95 * total


def form_page(*annotations: bytes) -> bytes:
    """A page of one line with these annotations, the first of which is the only form field."""
    kids = b" ".join(b"%d 0 R" % (6 + number) for number in range(len(annotations)))
    return pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[6 0 R]/DA(/F 9 Tf 0 g)>>>>",
            CATALOG[1],
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F 5 0 R>>>>/Contents 4 0 R"
            b"/Annots[%b]>>" % kids,
            stream(b"BT /F 12 Tf 72 700 Td (Order form) Tj ET"),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
            *annotations,
        ]
    )


def test_filled_in_fields_and_remarks_are_part_of_the_text() -> None:
    box = b"/Type/Annot/Rect[72 600 300 620]/P 3 0 R/F 4"
    field = b"<<%b/Subtype/Widget/FT/Tx/T(a1)/TU(Name of the buyer)/V(Grace Hopper)>>" % box
    remark = b"<<%b/Subtype/Text/Contents(Please deliver before noon.)>>" % box
    repeated = b"<<%b/Subtype/FreeText/DA(/F 9 Tf)/Contents(Order form)>>" % box
    popup = b"<<%b/Subtype/Popup/Contents(never shown)>>" % box
    document = parsed(form_page(field, remark, repeated, popup))
    assert document.text == "Order form\n\nName of the buyer: Grace Hopper\n\nPlease deliver before noon."
    assert {block.page for block in document.blocks} == {1}
    assert [block.kind for block in document.blocks[1:]] == ["field", "paragraph"]


def test_streams_that_overlap_again_and_again_are_refused() -> None:
    raw = b"%PDF-1.7\n" + b"1 0 obj <</Filter/FlateDecode/Length 9>>\nstream\n" * 2_000 + b"x" * 20_000 + b"\nendstream"
    assert isinstance(refusal(raw), LimitExceeded)
    assert isinstance(refusal(raw.removesuffix(b"endstream")), LimitExceeded)
