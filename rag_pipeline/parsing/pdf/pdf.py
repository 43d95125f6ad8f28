"""PDF files: text blocks with page numbers, headings from bookmarks and fonts, tables and lists.

Belongs here: opening, refusing and falling back. Does not belong here: what blocks mean (`layout`)
and bookmarks (`outline`). Nothing here runs OCR; a file that needs it is refused by that name.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import EmptyDocument, EncryptedDocument, NeedsOcr, UnparsableDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.limits import check_count
from rag_pipeline.parsing.pdf.forms import form_pieces
from rag_pipeline.parsing.pdf.guard import check_streams
from rag_pipeline.parsing.pdf.layout import Piece, page_pieces
from rag_pipeline.parsing.pdf.outline import overlay, read_outline
from rag_pipeline.parsing.pdf.plain_text import has_most_words, page_text, plain_pieces
from rag_pipeline.parsing.pdf.running import without_running_heads
from rag_pipeline.parsing.pdf.tables import continue_tables
from rag_pipeline.parsing.pdf.titles import mend_headings, names_nothing

if TYPE_CHECKING:
    from liteparse.types import PageComplexityStats, ParsedPage, ParseResult
    from pypdfium2 import PdfDocument

VERSION = "6"

MIN_TEXT_CHARS = 3
MAX_PAGES_NAMED = 50
MAX_OBJECTS = 500
MAX_DECORATIONS = 8
_DIGITS = re.compile(r"\d+")
_PROGRAM_TITLE = re.compile(
    r"^(?:microsoft (?:word|powerpoint|excel)|untitled|document\d*|slide \d+|title|layout \d+|print|\(anonymous\))\b"
    r"|\.(?:docx?|pdf|indd|qxd|pptx?|xlsx?|tex|dvi|rtf|html?|eps|ps)$",
    re.I,
)


def parse_pdf(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """The document with one or more blocks a page, each block carrying its page number from 1.

    Raises:
        EmptyDocument: All pages are blank.
        EncryptedDocument: A password is needed to open it.
        LimitExceeded: Too many pages, or a stream unpacks past the limits.
        NeedsOcr: The pages hold pictures but no text.
        UnparsableDocument: Neither reader could open it.
    """
    check_streams(raw, context.address, context.limits)
    document = _opened(raw, context.address)
    try:
        check_count(len(document), context.limits.max_pages, "pages", context.address)
        bookmarks = read_outline(document)
        facts = {name: clean_text(value).strip() for name, value in document.get_metadata_dict().items() if value}
        layouts = _layouts(raw)
        pages, unread = _pages(layouts, document)
        if sum(len(piece.text) for pieces in pages for piece in pieces) < MIN_TEXT_CHARS:
            _refuse_textless(context.address, len(pages), bool(unread) or _has_pictures(document))
    finally:
        document.close()
    kept = without_running_heads(pages)
    if not any(kept):
        kept = pages
    continue_tables(kept, layouts)
    mend_headings(kept)
    is_outlined = overlay(kept, bookmarks)
    return [_composed(kept, facts, is_outlined, unread)]


def _opened(raw: bytes, address: str) -> PdfDocument:
    import pypdfium2
    from pypdfium2 import raw as pdfium

    try:
        document = pypdfium2.PdfDocument(raw)
        if len(document) == 0:
            raise UnparsableDocument(
                f"{address}: the PDF has no readable page. Open it in a PDF reader and save it again.",
                address=address,
            )
        return document
    except pypdfium2.PdfiumError as error:
        code = pdfium.FPDF_GetLastError()
        if code == pdfium.FPDF_ERR_PASSWORD or "password" in str(error).lower():
            raise EncryptedDocument(
                f"{address}: the PDF is protected by a password. Remove the password or exclude the file.",
                address=address,
            ) from None
        raise UnparsableDocument(
            f"{address}: not a readable PDF ({error}). Open it in a PDF reader and save it again.",
            address=address,
        ) from None


def _pages(layouts: dict[int, ParsedPage], document: PdfDocument) -> tuple[list[list[Piece]], list[int]]:
    """Pieces by page, and the numbers of pages that have pictures but no text."""
    pages: list[list[Piece]] = []
    pictured: list[int] = []
    for index in range(len(document)):
        page = layouts.get(index + 1)
        pieces = page_pieces(page) if page is not None else []
        text = page_text(document, index)
        if not has_most_words(pieces, text):
            # Rotated, vertical and right-to-left text is where liteparse loses words.
            pieces = plain_pieces(text, index + 1, pieces)
        if page is not None:
            pieces += form_pieces(page, text)
        if not pieces and page is not None and page.complexity is not None and _is_pictured(page.complexity):
            pictured.append(index + 1)
        pages.append(pieces)
    return pages, pictured


def _is_pictured(complexity: PageComplexityStats) -> bool:
    vectors = complexity.uncovered_vector_area or 0
    return bool(complexity.full_page_image or complexity.image_block_count or vectors > 0.01 * complexity.page_area)


def _layouts(raw: bytes) -> dict[int, ParsedPage]:
    """What liteparse makes of the pages, by number from 1; nothing where it cannot open the file."""
    from liteparse import LiteParse, ParseError

    # OCR would fetch models and the result is not needed; pictures only cost memory.
    parser = LiteParse(
        ocr_enabled=False,
        extract_blocks=True,
        image_mode="off",
        extract_links=False,
        extract_annotations=True,
        extract_form_fields=True,
        include_complexity=True,
        # Its own removal also takes the first lines of short letters; ours asks for three pages.
        keep_headers_footers=True,
        continue_on_page_error=True,
        num_workers=1,
        quiet=True,
    )
    try:
        result: ParseResult = parser.parse(raw)
    except ParseError:
        return {}
    return {page.page_num: page for page in result.pages}


def _has_pictures(document: PdfDocument) -> bool:
    """Whether any page draws something: an image, or more than a few lines and boxes."""
    from pypdfium2 import PdfiumError
    from pypdfium2 import raw as pdfium

    for index in range(min(len(document), MAX_PAGES_NAMED)):
        try:
            kinds = [item.type for item in islice(document[index].get_objects(max_depth=3), MAX_OBJECTS)]
        except PdfiumError:
            continue
        if pdfium.FPDF_PAGEOBJ_IMAGE in kinds or len(kinds) > MAX_DECORATIONS:
            return True
    return False


def _refuse_textless(address: str, pages: int, has_pictures: bool) -> None:
    if has_pictures:
        raise NeedsOcr(
            f"{address}: all {pages} pages are pictures without text. Run the file through OCR and add the result.",
            address=address,
            pages=pages,
        )
    raise EmptyDocument(f"{address}: all {pages} pages of the PDF are blank.", address=address, pages=pages)


def _composed(pages: list[list[Piece]], facts: dict[str, str], is_outlined: bool, unread: list[int]) -> ParsedDocument:
    builder = TextBuilder()
    for pieces in pages:
        for piece in pieces:
            builder.add(piece.kind, piece.text, level=piece.level if piece.kind == "heading" else 0, page=piece.page)
    has_headings = any(block.kind == "heading" for block in builder.blocks)
    metadata = {
        "pages": str(len(pages)),
        "heading_source": "outline" if is_outlined else "fonts" if has_headings else "none",
    }
    if unread:
        metadata["pages_needing_ocr_count"] = str(len(unread))
        metadata["pages_needing_ocr"] = ",".join(map(str, unread[:MAX_PAGES_NAMED]))
    for name in ("Subject", "Keywords", "CreationDate"):
        if facts.get(name):
            metadata[name.lower()] = facts[name][:1000]
    return builder.build(
        title=_title(facts.get("Title", ""), pages),
        author=facts.get("Author") or None,
        metadata=metadata,
        quality={"pages_with_text": 1 - len(unread) / max(1, len(pages))},
    )


def _title(declared: str, pages: list[list[Piece]]) -> str | None:
    """The title the file declares unless a program made it up; else the first page's top heading.

    None for a heading that others like it follow, which differ by their number.
    """
    declared = " ".join(declared.split())
    if (
        len(declared) > 3
        and not names_nothing(declared)
        and not _PROGRAM_TITLE.search(declared)
        and (" " in declared or not declared.isascii())
    ):
        return declared
    headings = [piece for pieces in pages[:1] for piece in pieces if piece.kind == "heading"]
    if not headings:
        return None
    top = min(headings, key=lambda piece: piece.level)
    # The first of many invoices does not name the rest of them.
    others = {_DIGITS.sub("#", piece.text) for pieces in pages for piece in pieces if piece.text != top.text}
    return None if _DIGITS.sub("#", top.text) in others else top.text
