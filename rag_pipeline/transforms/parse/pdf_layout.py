"""From liteparse's layout blocks to typed text pieces in reading order, without running heads.

Belongs here: per-page order, joining of paragraphs, page numbers and running heads, table text.
Does not belong here: opening files and errors (`pdf`), bookmarks (`pdf_outline`).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import BlockKind
from rag_pipeline.transforms.parse.decode import clean_text
from rag_pipeline.transforms.parse.tabular import table_lines

if TYPE_CHECKING:
    from liteparse.types import LayoutBlock, ParsedPage

# Running heads stand in the outer tenth of a page.
MARGIN_SHARE = 0.1
MAX_RUNNING_CHARS = 150
MIN_RUNNING_PAGES = 3
RUNNING_PAGE_SHARE = 0.3
MAX_HEADING_CHARS = 200
MAX_PARAGRAPH_GAP = 16.0

_BOLD = re.compile(r"(?<!\\)(\*{1,3})(?=\S)(.{1,500}?)(?<=[^\s\\])\1", re.S)
_UNDERSCORES = re.compile(r"(?<![\w\\])(_{1,2})(?=\S)(.{1,500}?)(?<=[^\s\\_])\1(?!\w)", re.S)
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+.!|<>~$&-])")
_LINK = re.compile(r"(?<!\\)\[([^\]\n]{1,500})\]\((?:https?|mailto|file|ftp)[^)\s]{1,2000}\)")
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"\W*(?:page|seite|p\.)?\s*(?:\d{1,4}|[ivxlc]{1,6})(?:\s*(?:of|/|von|de)\s*\d{1,4})?\W*$", re.I
)
_LEADERS = re.compile(r"(?:\s?\.){5,}|(?:\s?…){2,}|(?:\s_){5,}")
_UNFINISHED = re.compile(r"[\w,;\u2013\u2014&%-]$")


@dataclass(slots=True)
class Piece:
    """One block of a page before it becomes part of the document.

    Attributes:
        top: Distance from the page's upper edge as share of its height, or None if unknown.
        bottom: Same for the piece's lower edge.
    """

    kind: BlockKind
    text: str
    page: int
    level: int = 0
    top: float | None = None
    bottom: float | None = None
    is_bold: bool = False


def page_pieces(page: ParsedPage) -> list[Piece]:
    """The page's blocks as text, in reading order."""
    blocks = list(page.blocks or ())
    layout = page.complexity.layout if page.complexity else None
    if layout is not None and layout.column_count <= 1 and all(block.bbox for block in blocks):
        # liteparse moves some headings behind the text they introduce; one column reads from the top.
        blocks.sort(key=lambda block: (round(block.bbox.y / 3), block.bbox.x) if block.bbox else (0, 0.0))
    pieces: list[Piece] = []
    for block in blocks:
        kind, text = _kind_and_text(block)
        text = clean_text(text).strip()
        if not text:
            continue
        piece = Piece(kind, text, page.page_num, block.level or 0, is_bold=block.bold)
        if block.bbox and page.height:
            piece.top = block.bbox.y / page.height
            piece.bottom = (block.bbox.y + block.bbox.height) / page.height
        if pieces and _joins(pieces[-1], piece, page.height):
            pieces[-1].text += ("\n" if kind == "list" else " ") + piece.text
            pieces[-1].bottom = piece.bottom
        else:
            pieces.append(piece)
    return pieces


def plain(text: str) -> str:
    """`text` without the Markdown that liteparse writes for bold, italics, links and escapes."""
    if "*" in text:
        text = _BOLD.sub(r"\2", _BOLD.sub(r"\2", text))
    if "_" in text:
        text = _UNDERSCORES.sub(r"\2", text)
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text


def without_running_heads(pages: list[list[Piece]]) -> list[list[Piece]]:
    """The pages without page numbers and without short texts that repeat in the margins."""
    counts: Counter[str] = Counter()
    for pieces in pages:
        counts.update({_running_key(piece) for piece in pieces if _is_in_margin(piece)})
    least = max(MIN_RUNNING_PAGES, int(RUNNING_PAGE_SHARE * len(pages)))
    kept = []
    for pieces in pages:
        kept.append(
            [
                piece
                for piece in pieces
                if not _is_in_margin(piece)
                or not (counts[_running_key(piece)] >= least or _PAGE_NUMBER.match(piece.text))
            ]
        )
    return kept


def _is_in_margin(piece: Piece) -> bool:
    if piece.kind == "table" or len(piece.text) > MAX_RUNNING_CHARS or piece.top is None or piece.bottom is None:
        return False
    return piece.bottom < MARGIN_SHARE or piece.top > 1 - MARGIN_SHARE


def _running_key(piece: Piece) -> str:
    return _DIGITS.sub("#", " ".join(piece.text.casefold().split()))


def _joins(before: Piece, piece: Piece, height: float) -> bool:
    """Whether `piece` goes on with `before`: further list items, or a paragraph cut at a change of font."""
    if before.kind != piece.kind:
        return False
    if piece.kind == "list":
        return True
    if piece.kind != "paragraph" or before.bottom is None or piece.top is None or before.top is None:
        return False
    if not -2 < (piece.top - before.bottom) * height < MAX_PARAGRAPH_GAP:
        return False
    return len(before.text) > 60 and bool(_UNFINISHED.search(before.text)) and not piece.text[0].isupper()


def _kind_and_text(block: LayoutBlock) -> tuple[BlockKind, str]:
    if block.kind == "table":
        return "table", _table_text(block)
    if block.kind in ("code", "grid_fallback"):
        return "code", _LEADERS.sub(" … ", "\n".join(block.lines or ()))
    text = _LEADERS.sub(" … ", " ".join(plain(block.text or "").split()))
    if block.kind == "heading":
        is_sentence = len(text) > MAX_HEADING_CHARS or (len(text) > 80 and text.endswith((".", ",", ";")))
        return ("paragraph" if is_sentence else "heading"), text
    if block.kind == "list_item":
        marker = (block.marker or "-").strip()
        return "list", f"{'  ' * (block.level or 0)}{marker} {text}" if text else ""
    if block.kind in ("rule", "figure"):
        return "paragraph", ""
    return "paragraph", text


def _table_text(block: LayoutBlock) -> str:
    rows = [[plain(cell.text or "") for cell in row] for row in block.rows or ()]
    header = [plain(cell.text or "") for cell in block.header or ()]
    if any(header):
        rows.insert(0, header)
    return "\n".join(table_lines(rows))
