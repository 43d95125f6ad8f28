"""PDF files: text blocks with page numbers, headings from bookmarks and fonts, tables and lists.

Belongs here: the order of the steps, refusing and falling back. Does not belong here: opening (`opening`), what
blocks mean (`layout`), tags (`roles`) and bookmarks (`outline`).
Pages that are pictures are read where `ocr` is on (`scanned`); else a file of nothing else is refused by that name.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import DocumentError, EmptyDocument, NeedsOcr, UnparsableDocument
from rag_pipeline.parsing.attached import MAX_LISTED_CHARS, attached_documents
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.limits import check_count
from rag_pipeline.parsing.ocr.said import unread_facts
from rag_pipeline.parsing.pdf.attachments import EmbeddedFiles, embedded_files
from rag_pipeline.parsing.pdf.forms import form_pieces
from rag_pipeline.parsing.pdf.layout import Piece, page_pieces
from rag_pipeline.parsing.pdf.opening import opened, read_layouts
from rag_pipeline.parsing.pdf.outline import overlay, read_outline
from rag_pipeline.parsing.pdf.pictures import PagePicture, hang_among, has_pictures, page_pictures
from rag_pipeline.parsing.pdf.plain_text import Reading, page_reading, plain_pieces
from rag_pipeline.parsing.pdf.rebuild import rebuilt
from rag_pipeline.parsing.pdf.right_to_left import Words, mended
from rag_pipeline.parsing.pdf.roles import Tags, add_pictures, believed, place_headings, with_parts, without_artifacts
from rag_pipeline.parsing.pdf.running import without_running_heads
from rag_pipeline.parsing.pdf.scanned import Scans, read_scans, with_scans
from rag_pipeline.parsing.pdf.tables import continue_tables
from rag_pipeline.parsing.pdf.tags import PageTags, is_tagged
from rag_pipeline.parsing.pdf.titles import mend_headings, names_nothing
from rag_pipeline.parsing.pdf.witness import compared, letters, lost_lines, visible_lines, with_lines
from rag_pipeline.parsing.pictures import MAX_PICTURES

if TYPE_CHECKING:
    from liteparse.types import PageComplexityStats, ParsedPage
    from pypdfium2 import PdfDocument

VERSION = "14"

# Scanners leave a letter or two, like a page number.
MIN_TEXT_CHARS = 3
# A stamp or a page number on a scan; a page of text has a thousand.
MIN_PAGE_LETTERS = 40
# Pages in which pictures are looked for, where none has text.
MAX_PAGES_NAMED = 50
# Enough to know a picture or a drawing; plans have a million.
MAX_OBJECTS = 500
# Reading tags takes half as long as reading the page, and some programs tag all as paragraphs.
MAX_SILENT_PAGES = 8
# Rules, a frame and a logo around nothing.
MAX_DECORATIONS = 8
_SHOWN_FACTS = ("Subject", "Keywords", "CreationDate")
_FACTS = ("Title", "Author", *_SHOWN_FACTS)
_DIGITS = re.compile(r"\d+")
_PROGRAM_TITLE = re.compile(
    r"^(?:microsoft (?:word|powerpoint|excel)|untitled|document\d*|slide \d+|title|layout \d+|print|\(anonymous\))\b"
    r"|\.(?:docx?|pdf|indd|qxd|pptx?|xlsx?|tex|dvi|rtf|html?|eps|ps)$",
    re.I,
)


def parse_pdf(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """The document with one or more blocks a page, each block carrying its page number from 1, then its attachments.

    Raises:
        EmptyDocument: All pages are blank.
        EncryptedDocument: A password is needed to open it.
        LimitExceeded: Too many pages, or a stream unpacks past the limits.
        NeedsOcr: The pages hold pictures but no text.
        UnparsableDocument: It cannot be opened, nor put together again from what is in it.
    """
    try:
        return _parsed(raw, context, {})
    except (EmptyDocument, UnparsableDocument) as error:
        again = rebuilt(raw, context.limits.max_pages)
        if again is None:
            raise
        origin = {"is_rebuilt": "true"}
        if again.lost_streams:
            origin["lost_stream_count"] = str(again.lost_streams)
        try:
            return _parsed(again.raw, context, origin)
        except DocumentError:
            raise error from None


def _parsed(raw: bytes, context: ParseContext, origin: dict[str, str]) -> list[ParsedDocument]:
    document = opened(raw, context.address, context.limits)
    try:
        check_count(len(document), context.limits.max_pages, "pages", context.address)
        bookmarks = read_outline(document)
        facts = {name: clean_text(document.get_metadata_value(name)).strip() for name in _FACTS}
        layouts, turned = read_layouts(raw)
        pages, unread, tags, pictures = _pages(layouts, turned, document, raw if has_pictures(raw) else None)
        files = embedded_files(document, _clips(layouts), context.limits, len(raw))
        is_textless = sum(len(piece.text) for pieces in pages for piece in pieces) < MIN_TEXT_CHARS
        is_pictured = is_textless and (bool(unread) or _draws(document))
        blank = [number for number, pieces in enumerate(pages, 1) if not pieces] if is_pictured else []
        scans = read_scans(document, unread or blank, context)
    finally:
        document.close()
    pages, tags = with_scans(pages, tags, scans)
    is_textless = is_textless and not scans.pieces
    text_chars = sum(len(piece.text) for pieces in pages for piece in pieces)
    below, said = attached_documents(files.found, context.limits.max_text_chars - text_chars, context)
    said = _with_left_out(said, files) | _page_facts(len(pages), scans) | origin
    if is_textless and below:
        return [_below_a_cover(below[0], said), *below[1:]]
    if is_textless:
        _refuse_textless(context, len(pages), is_pictured, said.get("unread_attachments", ""))
    untagged, artifacts = without_artifacts(pages, tags)
    said |= _artifact_facts(pages, artifacts)
    parted = with_parts(untagged, tags)
    kept = without_running_heads(parted)
    if not any(kept):
        kept = parted = pages
    said |= _running_facts(parted, kept)
    continue_tables(kept, layouts)
    mend_headings(kept)
    source = "tags" if place_headings(kept, tags, len(bookmarks)) else "outline" if overlay(kept, bookmarks) else ""
    add_pictures(kept, tags)
    quality = {"pages_with_text": 1 - len(scans.unread) / max(1, len(pages))} | scans.quality
    shown = [replace(each, hung=replace(each.hung, is_read=each.page in scans.pieces)) for each in pictures]
    builder = TextBuilder()
    for number, pieces in enumerate(kept, 1):
        on_page = [each for each in shown if each.page == number] if shown else []
        for piece in hang_among(context.gallery, builder, pieces, on_page, tags.get(number)):
            builder.add(piece.kind, piece.text, level=piece.level if piece.kind == "heading" else 0, page=piece.page)
    return [_composed(builder, kept, facts, source, said, quality), *below]


def _running_facts(pages: list[list[Piece]], kept: list[list[Piece]]) -> dict[str, str]:
    """How many heads, feet and numbers of pages are left out because they repeat, or count the pages."""
    count = sum(map(len, pages)) - sum(map(len, kept))
    return {"running_line_count": str(count)} if count else {}


def _artifact_facts(pages: list[list[Piece]], artifacts: list[Piece]) -> dict[str, str]:
    """How many texts are left out because of their tags alone; what repeats or counts pages would go without tags."""
    alone = {id(piece) for pieces in without_running_heads(pages) for piece in pieces} if artifacts else set()
    count = sum(id(piece) in alone for piece in artifacts)
    return {"artifact_count": str(count)} if count else {}


def _pages(
    layouts: dict[int, ParsedPage], turned: dict[int, int], document: PdfDocument, pictured_raw: bytes | None
) -> tuple[list[list[Piece]], list[int], Tags, list[PagePicture]]:
    """Pieces by page, the numbers of pages that have pictures but no text, tags that are to be believed, and pictures.

    Args:
        pictured_raw: The file, where it holds any picture.
    """
    pictures: list[PagePicture] = []
    pages: list[list[Piece]] = []
    pictured: list[int] = []
    tags: dict[int, PageTags] = {}
    has_tags = is_tagged(document)
    for index in range(len(document)):
        page = layouts.get(index + 1)
        pieces = page_pieces(page) if page is not None else []
        known = {(len(piece.rows), len(piece.rows[0])) for piece in pieces if piece.rows}
        has_tags = has_tags and not _say_nothing(tags, index)
        with page_reading(document, index, turned.get(index + 1, 0), has_tags=has_tags, known=known) as reading:
            pieces, text = _witnessed(pieces, reading, index + 1)
            if pictured_raw is not None and reading.source is not None and len(pictures) < MAX_PICTURES:
                pictures += page_pictures(pictured_raw, reading.source.page, index + 1)
        if reading.tags is not None:
            tags[index + 1] = reading.tags
        if page is not None:
            pieces += form_pieces(page, text)
        if page is not None and page.complexity is not None and _is_pictured(page.complexity, pieces):
            pictured.append(index + 1)
        pages.append(pieces)
    return pages, pictured, believed(tags), pictures


def _witnessed(pieces: list[Piece], reading: Reading, number: int) -> tuple[list[Piece], str]:
    """The pieces of a page with what only the second reader saw, and its text as that reader has it."""
    for piece in pieces if reading.words else ():
        _mend(piece, reading.words)
    text = reading.text
    found = compared(pieces, text)
    lost = lost_lines(pieces, text, found)
    # Text beside the page is read by nobody.
    if lost and (visible := visible_lines(text, reading.text_on_page())) != text:
        text = visible
        found = compared(pieces, text)
        lost = lost_lines(pieces, text, found)
    if not found.has_most_words:
        # Vertical text, and some right-to-left text, is where liteparse loses words.
        return plain_pieces(text, number, pieces), text
    return (with_lines(pieces, text, lost, number) if lost else pieces), text


def _say_nothing(tags: Tags, pages: int) -> bool:
    """Whether the tags of the first pages, where there are several, tell no heading, item, table or picture."""
    return pages == MAX_SILENT_PAGES and all(page.says_nothing for page in tags.values())


def _mend(piece: Piece, words: Words) -> None:
    piece.text = mended(piece.text, words)
    piece.rows = [[mended(cell, words) for cell in row] for row in piece.rows]


def _clips(layouts: dict[int, ParsedPage]) -> dict[int, int]:
    """How many files are pinned to a page, by its number from 0."""
    counts = {
        number - 1: sum(annotation.subtype == "fileattachment" for annotation in page.annotations or ())
        for number, page in layouts.items()
    }
    return {index: count for index, count in counts.items() if count}


def _below_a_cover(document: ParsedDocument, said: dict[str, str]) -> ParsedDocument:
    """The file that stands for its cover without text, with what is said of the cover; counts of both add up."""
    both = {
        name: str(int(said[name]) + int(value))
        for name, value in document.metadata.items()
        if name.endswith("_count") and name in said
    }
    unread = [facts[name] for facts in (said, document.metadata) if (name := "unread_attachments") in facts]
    if unread:
        both["unread_attachments"] = ", ".join(unread)[:MAX_LISTED_CHARS]
    return replace(document, metadata={**document.metadata, **said, **both})


def _with_left_out(said: dict[str, str], files: EmbeddedFiles) -> dict[str, str]:
    if not files.left_out_count:
        return said
    listed = ", ".join(filter(None, [said.get("unread_attachments", ""), *files.left_out]))[:MAX_LISTED_CHARS]
    count = int(said.get("unread_attachments_count", "0")) + files.left_out_count
    return said | {"unread_attachments": listed, "unread_attachments_count": str(count)}


def _is_pictured(complexity: PageComplexityStats, pieces: list[Piece]) -> bool:
    """Whether the page's words are in a picture: it has no others, or no more than a stamp over a scan."""
    if pieces:
        return bool(complexity.full_page_image) and sum(len(letters(piece.text)) for piece in pieces) < MIN_PAGE_LETTERS
    vectors = complexity.uncovered_vector_area or 0
    return bool(complexity.full_page_image or complexity.image_block_count or vectors > 0.01 * complexity.page_area)


def _draws(document: PdfDocument) -> bool:
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


def _refuse_textless(context: ParseContext, pages: int, is_pictured: bool, unread: str) -> None:
    address = context.address
    within = f" Files within it that cannot be read: {unread}." if unread else ""
    if is_pictured and context.reader is not None and context.reader.failures:
        raise UnparsableDocument(
            f"{address}: recognition failed on its pages ({context.reader.failures[0]}). Save the file again, or "
            f"exclude it.{within}",
            address=address,
            pages=pages,
        )
    if is_pictured and context.reader is not None:
        raise EmptyDocument(
            f"{address}: recognition found no text on its {pages} pages.{within}", address=address, pages=pages
        )
    if is_pictured:
        raise NeedsOcr(
            f"{address}: all {pages} pages are pictures without text. Run the file through OCR and add the result."
            f"{within}",
            address=address,
            pages=pages,
        )
    raise EmptyDocument(f"{address}: all {pages} pages of the PDF are blank.{within}", address=address, pages=pages)


def _page_facts(pages: int, scans: Scans) -> dict[str, str]:
    return {"pages": str(pages)} | (unread_facts(scans.unread) if scans.unread else {}) | scans.facts


def _composed(
    builder: TextBuilder,
    pages: list[list[Piece]],
    facts: dict[str, str],
    source: str,
    said: dict[str, str],
    quality: dict[str, float],
) -> ParsedDocument:
    has_headings = any(block.kind == "heading" for block in builder.blocks)
    metadata = said | {"heading_source": source or ("fonts" if has_headings else "none")}
    for name in _SHOWN_FACTS:
        if facts.get(name):
            metadata[name.lower()] = facts[name][:1000]
    return builder.build(
        title=_title(facts.get("Title", ""), pages),
        author=facts.get("Author") or None,
        metadata=metadata,
        quality=quality,
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
