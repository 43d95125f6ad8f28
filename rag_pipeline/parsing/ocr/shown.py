"""What pictures within a document show: read, and put where they stand.

Belongs here: which of them are read, the text and the facts that come of it. Does not belong here: pictures that are
files (`pictures.py`), pages of a PDF that are pictures (`pdf/scanned.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rag_pipeline.contracts.documents import Block, ParsedDocument
from rag_pipeline.errors import DocumentError, EmptyDocument, UnparsableDocument
from rag_pipeline.parsing.builder import BLOCK_SEPARATOR
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.ocr.engine import PageReader
from rag_pipeline.parsing.ocr.lines import Line, confidence, paragraphs
from rag_pipeline.parsing.ocr.pictures import pixels_of
from rag_pipeline.parsing.ocr.said import lacking_facts, read_facts
from rag_pipeline.parsing.pictures import Gallery, Hung, Shown


@dataclass(slots=True)
class _Read:
    """What was read of a document's pictures.

    Attributes:
        texts: By the number of the picture among them, from 0.
        unread: How many could not be opened, or are more than may be read.
    """

    texts: dict[int, str] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    unread: int = 0


def with_read(found: Shown, gallery: Gallery, reader: PageReader, address: str) -> ParsedDocument:
    """The document with the words of its pictures where they stand, as far as they are to be read.

    They are where each picture is to be read, or the document has no other text.

    Raises:
        EmptyDocument: It has no text, and its pictures show none.
        UnparsableDocument: It has no text, and the engine fails on its pictures.
    """
    if not (reader.reads_all or gallery.is_instead_of_text):
        return found.document
    failed, unsure = len(reader.failures), reader.unsure_lines
    read = _read(found, reader, address)
    document = found.document
    failures = reader.failures[failed:]
    if read.texts:
        document = _put(document, read)
    if not document.text.strip():
        _refuse(address, failures)
    facts = lacking_facts(failures, reader.unsure_lines - unsure)
    for name in ("ocr_failures_count", "ocr_unsure_lines_count", "unread_pictures_count"):
        count = int(document.metadata.get(name, "0")) + int(facts.get(name, "0"))
        count += read.unread if name == "unread_pictures_count" else 0
        facts |= {name: str(count)} if count else {}
    return replace(document, metadata=facts | document.metadata | {n: facts[n] for n in facts if n.endswith("_count")})


def _read(found: Shown, reader: PageReader, address: str) -> _Read:
    read = _Read()
    said = _said_by_page(found.document)
    pages = [block.page for block in found.document.blocks if block.kind == "picture"]
    seen: set[str] = set()
    for number, (picture, hung) in enumerate(zip(found.document.pictures, found.pictures, strict=True)):
        if hung.is_read or picture.content_hash in seen:
            continue
        seen.add(picture.content_hash)
        lines = _lines(hung, reader, address)
        if lines is None:
            read.unread += 1
        elif lines and not _is_said(lines, said.get(pages[number], "")):
            read.texts[number] = clean_text("\n".join(paragraph.text for paragraph in paragraphs(lines)))
            read.lines += lines
    return read


def _lines(hung: Hung, reader: PageReader, address: str) -> list[Line] | None:
    """Lines that a picture shows; None for one that cannot be opened, or is one too many."""
    try:
        pixels = pixels_of(hung.content(), address)
    except DocumentError:
        return None
    if not reader.may_read_another():
        return None
    reader.begin_page()
    return reader.read(pixels)


def _said_by_page(document: ParsedDocument) -> Mapping[int | None, str]:
    """Letters and digits of the text on each page; of all of it under None, where there are no pages."""
    pieces: dict[int | None, list[str]] = {}
    for block in document.blocks:
        pieces.setdefault(block.page, []).append(document.text[block.start_char : block.end_char])
    return {page: _letters("".join(texts)) for page, texts in pieces.items()}


def _is_said(lines: list[Line], said: str) -> bool:
    """Whether the text beside a picture says what it shows, as that over a scan does."""
    words = [letters for line in lines if (letters := _letters(line.text))]
    return bool(words) and 2 * sum(len(each) for each in words if each in said) >= sum(map(len, words))


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _put(document: ParsedDocument, read: _Read) -> ParsedDocument:
    before = len(document.text)
    text, blocks = _inserted(document, read.texts)
    sure = document.quality.get("ocr_confidence", 1.0)
    # What was typed is sure; a picture counts by its share of the text.
    added = len(text) - before
    share = (sure * before + confidence(read.lines) * added) / max(1, before + added)
    facts = read_facts([], read.lines)
    for name in ("ocr_pages", "ocr_pages_count"):
        del facts[name]
    facts["ocr_pictures_count"] = str(len(read.texts))
    return replace(
        document,
        text=text,
        blocks=blocks,
        metadata=facts | document.metadata | {"ocr_pictures_count": facts["ocr_pictures_count"]},
        quality=document.quality | {"ocr_confidence": round(share, 2)},
    )


def _inserted(document: ParsedDocument, texts: Mapping[int, str]) -> tuple[str, tuple[Block, ...]]:
    """The text with what pictures show at their marks, a blank line around each, and the blocks where they now are."""
    pieces: list[str] = []
    blocks: list[Block] = []
    position = length = number = 0
    for block in document.blocks:
        start, end = block.start_char + length - position, block.end_char + length - position
        if block.kind == "picture":
            text = texts.get(number, "")
            number += 1
            if text:
                pieces.append(document.text[position : block.start_char])
                length += block.start_char - position
                position = block.start_char
                # Before the first words the blank line comes after, as theirs has none before it.
                lead = BLOCK_SEPARATOR if position or (length and not document.text) else ""
                tail = BLOCK_SEPARATOR if not position and document.text else ""
                start = length + len(lead)
                end = start + len(text)
                pieces += (lead, text, tail)
                length = end + len(tail)
        blocks.append(replace(block, start_char=start, end_char=end))
    pieces.append(document.text[position:])
    return "".join(pieces), tuple(blocks)


def _refuse(address: str, failures: list[str]) -> None:
    if failures:
        raise UnparsableDocument(
            f"{address}: recognition failed on its pictures ({failures[0]}). Save the file again, or exclude it.",
            address=address,
        )
    raise EmptyDocument(
        f"{address}: the document has no text, and recognition found none in its pictures. Exclude it, if they show "
        "none.",
        address=address,
    )
