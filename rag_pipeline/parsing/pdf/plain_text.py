"""PDFium's own text of a page: what the witness is asked (`witness`), and the fallback where words were lost.

Belongs here: reading a page without layout, and cutting lines into paragraphs.
Does not belong here: layout blocks (`layout`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag_pipeline.parsing.decode import clean_again
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
        source: The page as PDFium has read it, as long as it is open.
    """

    text: str = ""
    words: Words = field(default_factory=dict)
    tags: PageTags | None = None
    source: PdfTextPage | None = None

    def text_on_page(self) -> str:
        """The text within the page's edges, which costs what many pages do not need."""
        return _cleaned(self.source.get_text_bounded(), self.words) if self.source is not None else ""


@contextmanager
def page_reading(
    document: PdfDocument, index: int, turn: int = 0, *, has_tags: bool = False, known: Set[Shape] = frozenset()
) -> Iterator[Reading]:
    """What PDFium reads of the page at `index`, if that is turned back by `turn` degrees; open meanwhile.

    Args:
        has_tags: Whether to read its tags.
        known: Tables of the page that layout found.
    """
    with ExitStack() as stack:
        yield _reading(stack, document, index, turn, known if has_tags else None)


def _reading(stack: ExitStack, document: PdfDocument, index: int, turn: int, known: Set[Shape] | None) -> Reading:
    from pypdfium2 import PdfiumError

    try:
        page = document[index]
        stack.callback(page.close)
        if turn:
            page.set_rotation((page.get_rotation() - turn) % 360)
        source = page.get_textpage()
        stack.callback(source.close)
        count = min(source.count_chars(), MAX_PAGE_CHARS)
        text = source.get_text_range(0, count)
        words = misread_words(source, text, count)
        tags = read_tags(source, known) if known is not None and not turn else None
    except PdfiumError:
        return Reading()
    return Reading(_cleaned(text, words), words, tags, source)


def _cleaned(text: str, words: Words) -> str:
    return clean_again(_HYPHENATED.sub("", mended(text, words)))


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
