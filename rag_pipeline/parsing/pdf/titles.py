"""Headings of a PDF as a person reads them: titles over two lines as one, and phrases of forms as none.

Belongs here: which neighbouring headings are one, and which texts set like headings name nothing.
Does not belong here: detecting headings (`layout`, `outline`).
"""

from __future__ import annotations

import re

from rag_pipeline.parsing.pdf.layout import MAX_HEADING_CHARS, Piece

# Lines of one title lie closer than this many line heights.
MAX_TITLE_GAP = 0.6
# Their letters are of about one size.
SAME_HEIGHT = 1.15

_NAMES_NOTHING = re.compile(
    r"\W*(?:(?:back|return|go|jump|zur[üu]ck)\b.{0,40}\b(?:contents?|top|index|start|home|anfang|inhalt(?:sverzeichnis)?)"
    r"|(?:table\s+of\s+)?contents(?:\s*\(continued\))?|inhalt(?:sverzeichnis)?|table\s+des\s+mati[èe]res|sommaire"
    r"|(?:this\s+page|diese\s+seite)\b.{0,60}|\(?continued\)?|\(?mark\s+one\)?|page\s+\d+.{0,20}"
    r"|(?:please\s+)?(?:print|type|sign|read|see|turn|complete|tick|check)\b.{0,60}"
    r"|(?:for\s+)?(?:office|official|internal)\s+use(?:\s+only)?|click\s+here.{0,40}|confidential|draft"
    r"|form\s+[\w-]{1,12}|united\s+states|securities\s+and\s+exchange\s+commission"
    r"|united\s+states\s+securities\s+and\s+exchange\s+commission.{0,60}|omb\s+(?:no|approval).{0,40})\W*$",
    re.I,
)
_STARTS_ANEW = re.compile(
    r"(?:\d+[.)]?|[A-Z][.)]|[IVXLC]+[.)]|chapter|section|part|appendix|kapitel|item|article|§)\s", re.I
)
_ENDED = re.compile(r"[.:;?!]$")


def mend_headings(pages: list[list[Piece]]) -> None:
    """Joins, in place, titles that a line break parted, and makes paragraphs of headings that name nothing."""
    for pieces in pages:
        joined: list[Piece] = []
        for piece in pieces:
            if joined and _goes_on(joined[-1], piece):
                joined[-1].text = f"{joined[-1].text} {piece.text}"
                joined[-1].bottom = piece.bottom
                joined[-1].line_height = piece.line_height
            else:
                joined.append(piece)
        for piece in joined:
            if piece.kind == "heading" and names_nothing(piece.text):
                piece.kind, piece.level = "paragraph", 0
        pieces[:] = joined


def names_nothing(text: str) -> bool:
    """Whether a text is a phrase of forms and navigation rather than the name of what follows."""
    return _NAMES_NOTHING.match(text) is not None


def _goes_on(before: Piece, piece: Piece) -> bool:
    """Whether two headings are lines of one title: alike, one right below the other."""
    if before.kind != "heading" or piece.kind != "heading" or before.level != piece.level:
        return False
    if before.bottom is None or piece.top is None or not before.line_height or not piece.line_height:
        return False
    heights = sorted((before.line_height, piece.line_height))
    if heights[1] > SAME_HEIGHT * heights[0] or not -0.5 < (piece.top - before.bottom) / heights[1] < MAX_TITLE_GAP:
        return False
    if names_nothing(before.text) or names_nothing(piece.text) or len(before.text + piece.text) >= MAX_HEADING_CHARS:
        return False
    return not _STARTS_ANEW.match(piece.text) and not _ENDED.search(before.text)
