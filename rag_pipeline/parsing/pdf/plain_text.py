"""PDFium's own text of a page: the witness that no words were lost, and the fallback where they were.

Belongs here: reading a page without layout, comparing words, and cutting lines into paragraphs.
Does not belong here: layout blocks (`layout`).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.pdf.layout import Piece

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

# A table read in another order keeps its words; below this share words were lost or broken.
MIN_WORD_SHARE = 0.85
FULL_LINE_SHARE = 0.75
MAX_PAGE_CHARS = 400_000

_WORD = re.compile(r"\w+")
_HYPHENATED = re.compile(r"(?<=[^\W\d_])[-\u00ad\ufffe\x02]\r?\n(?=[a-zß-öø-ÿ])")
_SENTENCE_END = re.compile(r"[.!?:;。!?][\"')\]\u201d\u2019]*$")


def page_text(document: PdfDocument, index: int) -> str:
    """The page's text with PDFium's lines; hyphens at line ends joined; empty for an unreadable page."""
    import pypdfium2

    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        return ""
    try:
        textpage = page.get_textpage()
        try:
            text = textpage.get_text_range(0, min(textpage.count_chars(), MAX_PAGE_CHARS))
        finally:
            textpage.close()
    except pypdfium2.PdfiumError:
        return ""
    finally:
        page.close()
    return clean_text(_HYPHENATED.sub("", text))


def has_most_words(pieces: list[Piece], text: str) -> bool:
    """Whether the pieces hold nearly all words of `text`, each as often as it stands there.

    Words are counted, and the letters in them: in a table of figures a lost sentence is few of the words.
    """
    wanted = Counter(_WORD.findall(text.casefold()))
    found = Counter(word for piece in pieces for word in _WORD.findall(piece.text.casefold()))
    kept = wanted & found
    letters = sum(count * sum(map(str.isalpha, word)) for word, count in wanted.items())
    kept_letters = sum(count * sum(map(str.isalpha, word)) for word, count in kept.items())
    return kept.total() >= MIN_WORD_SHARE * wanted.total() and kept_letters >= MIN_WORD_SHARE * letters


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
