"""PDFium's own text of a page: what the witness is asked (`witness`), and the fallback where words were lost.

Belongs here: reading a page without layout, and cutting lines into paragraphs.
Does not belong here: layout blocks (`layout`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.pdf.layout import Piece
from rag_pipeline.parsing.pdf.right_to_left import Words, mended, misread_words
from rag_pipeline.parsing.pdf.tags import PageTags, Shape, read_tags

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfTextPage

# A line that ends before it ends a paragraph; ragged lines stay above.
FULL_LINE_SHARE = 0.75
# A page of small print has twenty thousand.
MAX_PAGE_CHARS = 400_000

_HYPHENATED = re.compile(r"(?<=[^\W\d_])[-\u00ad\ufffe\x02]\r?\n(?=[a-zß-öø-ÿ])")
_SENTENCE_END = re.compile(r"[.!?:;。!?][\"')\]\u201d\u2019]*$")


@dataclass(frozen=True, slots=True)
class Reading:
    """What PDFium reads of a page.

    Attributes:
        text: Its lines; hyphens at line ends joined; empty for an unreadable page.
        words: Right-to-left words as any reader gets them, with how they are read.
        tags: What the tags of an upright page say; None for none.
    """

    text: str = ""
    words: Words = field(default_factory=dict)
    tags: PageTags | None = None


def page_reading(
    document: PdfDocument, index: int, turn: int = 0, *, has_tags: bool = False, known: Set[Shape] = frozenset()
) -> Reading:
    """What PDFium reads of the page at `index`, if that is turned back by `turn` degrees.

    Args:
        has_tags: Whether to read its tags.
        known: Tables of the page that layout found.
    """
    from pypdfium2 import PdfiumError

    try:
        with _textpage(document, index, turn) as textpage:
            count = min(textpage.count_chars(), MAX_PAGE_CHARS)
            text = textpage.get_text_range(0, count)
            words = misread_words(textpage, text, count)
            tags = read_tags(textpage, known) if has_tags and not turn else None
    except PdfiumError:
        return Reading()
    return Reading(clean_text(_HYPHENATED.sub("", mended(text, words))), words, tags)


def text_on_page(document: PdfDocument, index: int, words: Words) -> str:
    """The text within the page's edges; other than `page_reading` it costs what many pages do not need."""
    with _textpage(document, index, 0) as textpage:
        text = textpage.get_text_bounded()
    return clean_text(_HYPHENATED.sub("", mended(text, words)))


@contextmanager
def _textpage(document: PdfDocument, index: int, turn: int) -> Iterator[PdfTextPage]:
    page = document[index]
    try:
        if turn:
            page.set_rotation((page.get_rotation() - turn) % 360)
        textpage = page.get_textpage()
        try:
            yield textpage
        finally:
            textpage.close()
    finally:
        page.close()


def plain_pieces(text: str, page: int, known: list[Piece]) -> list[Piece]:
    """Paragraphs of a page from its lines; lines that layout knew as headings stay headings.

    A paragraph ends at a blank line, at a line clearly shorter than the page's longest, or before a heading.
    """
    levels = {" ".join(piece.text.split()): piece.level for piece in known if piece.kind == "heading"}
    lines = [" ".join(line.split()) for line in text.split("\n")]
    longest = max(map(len, lines), default=0)
    pieces: list[Piece] = []
    paragraph: list[str] = []

    def end_paragraph() -> None:
        if paragraph:
            pieces.append(Piece("paragraph", " ".join(paragraph), page))
            paragraph.clear()

    for line in lines:
        if line in levels:
            end_paragraph()
            pieces.append(Piece("heading", line, page, levels[line]))
            continue
        if line:
            paragraph.append(line)
        is_short = len(line) < FULL_LINE_SHARE * longest
        if not line or (is_short and (_SENTENCE_END.search(line) or len(line) < longest / 2)):
            end_paragraph()
    end_paragraph()
    return pieces
