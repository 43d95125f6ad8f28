"""Bookmarks of a PDF, laid over the detected blocks as headings.

Belongs here: reading the outline and finding each title on its page.
Does not belong here: detecting headings from fonts; liteparse does that (`layout`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag_pipeline.parsing.builder import one_line
from rag_pipeline.parsing.pdf.layout import Piece

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

# A book of a thousand pages has some; more are generated.
MAX_BOOKMARKS = 5_000
# Levels of headings that anybody numbers.
MAX_DEPTH = 8
# One or two are the cover and the contents.
MIN_BOOKMARKS = 3
# Of an outline that was made by hand most titles are found on their pages, of another few.
TRUST_SHARE = 0.45

_NUMBER = re.compile(
    r"^(?:(?:chapter|section|part|appendix|kapitel)\s+)?(?:\d+(?:\.\d+)*|[a-z]|[ivxlc]+)[.):\s]\s*", re.I
)
_NOT_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Bookmark:
    """One outline entry: its title, its depth from 1, and the page it leads to, from 1."""

    title: str
    depth: int
    page: int


def read_outline(document: PdfDocument) -> list[Bookmark]:
    """The document's bookmarks that lead to a page, in outline order, no more than MAX_BOOKMARKS."""
    return list(_bookmarks(document))


def _bookmarks(document: PdfDocument) -> Iterator[Bookmark]:
    for count, item in enumerate(document.get_toc(max_depth=MAX_DEPTH)):
        if count >= MAX_BOOKMARKS:
            return
        title = one_line(item.get_title() or "")
        target = item.get_dest()
        index = target.get_index() if target is not None else None
        if title and index is not None:
            yield Bookmark(title, item.level + 1, index + 1)


def overlay(pages: list[list[Piece]], bookmarks: list[Bookmark]) -> bool:
    """Makes headings, in place, of the blocks that bookmarks name; True if the outline is to be trusted.

    A bookmark matches the first block on its page, or a neighbouring one, that equals or begins with its
    title; a block that only begins with it is split. When enough bookmarks match, headings that only
    fonts suggest go below the deepest bookmark's depth.
    """
    if len(bookmarks) < MIN_BOOKMARKS:
        return False
    placed: set[int] = set()
    for bookmark in bookmarks:
        for number in (bookmark.page, bookmark.page + 1, bookmark.page - 1):
            if 1 <= number <= len(pages) and place(pages[number - 1], bookmark, placed):
                break
    if len(placed) < TRUST_SHARE * len(bookmarks):
        return False
    deepest = max(bookmark.depth for bookmark in bookmarks)
    for pieces in pages:
        for piece in pieces:
            if piece.kind == "heading" and id(piece) not in placed:
                piece.level = min(deepest + max(1, piece.level), 6) if deepest < 6 else 6
    return True


def place(pieces: list[Piece], bookmark: Bookmark, placed: set[int]) -> bool:
    """Makes, in place, the heading of the first piece that begins with the title; whether there is one.

    Args:
        placed: Identities of pieces that have become headings so, which are passed over; the new one is added.
    """
    title = key(bookmark.title)
    if not title:
        return False
    for position, piece in enumerate(pieces):
        if id(piece) in placed or (piece.kind in ("table", "list") and len(piece.text) > 3 * len(bookmark.title)):
            continue
        rest = _rest_after(piece.text, title)
        if rest is None or (rest and piece.kind != "paragraph" and piece.kind != "heading"):
            continue
        if rest:
            head = piece.text[: len(piece.text) - len(rest)].rstrip()
            remainder = Piece("paragraph", rest.lstrip(), piece.page, 0, piece.top, piece.bottom)
            pieces.insert(position + 1, remainder)
            piece.text = head
        piece.kind, piece.level = "heading", bookmark.depth
        piece.text = piece.text.removeprefix("- ")
        placed.add(id(piece))
        return True
    return False


def key(text: str) -> str:
    """`text` without leading number, case, punctuation and white space."""
    return _NOT_WORDS.sub("", _NUMBER.sub("", unicodedata.normalize("NFKC", text).casefold().strip()))


def _rest_after(text: str, title: str) -> str | None:
    """What of `text` follows the title at its start: "" if nothing, None if it does not start with it."""
    head = text[: 4 * len(title) + 40]
    folded = key(head)
    if not folded.startswith(title):
        return None
    if folded == title and len(head) == len(text):
        return ""
    # The shortest prefix whose key is the title, ending where a word ends.
    for match in re.finditer(r"(?<=\w)(?!\w)", head):
        if key(head[: match.end()]) == title:
            return text[match.end() :].lstrip(" .:-\u2013\u2014")
    return None
