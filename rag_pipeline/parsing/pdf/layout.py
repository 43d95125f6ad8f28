"""From liteparse's layout blocks to typed text pieces in reading order.

Belongs here: per-page order, joining of paragraphs, table text.
Does not belong here: opening files and errors (`pdf`), bookmarks (`outline`), running heads (`running`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import BlockKind
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.pdf.grids import grid_rows
from rag_pipeline.parsing.tabular import table_lines

if TYPE_CHECKING:
    from liteparse.types import AnnotationRect, LayoutBlock, LayoutCell, ParsedPage, TextItem

# Two lines of a page.
MAX_HEADING_CHARS = 200
# Points; one empty line of common text.
MAX_PARAGRAPH_GAP = 16.0
# Of a line, in points; a gap between its parts is wide from this many line heights on.
MAX_LINE_HEIGHT = 40.0
MIN_GAPS = 3.0
# Heads and feet stand in the outer tenth of a page, at least this many line heights from its text.
MARGIN_SHARE = 0.1
LINE_GAPS_APART = 1.5
# Of a grid, in points: two lines of small print.
GRID_MIN_HEIGHT = 14.0
# Lines that stand close above a grid: its title.
MAX_GRID_TITLES = 2

_BOLD = re.compile(r"(?<!\\)(\*{1,3})(?=\S)(.{1,500}?)(?<=[^\s\\])\1", re.S)
_UNDERSCORES = re.compile(r"(?<![\w\\])(_{1,2})(?=\S)(.{1,500}?)(?<=[^\s\\_])\1(?!\w)", re.S)
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+.!|<>~$&-])")
_LINK = re.compile(r"(?<!\\)\[([^\]\n]{1,500})\]\((?:https?|mailto|file|ftp)[^)\s]{1,2000}\)")
_LEADERS = re.compile(r"(?:\s?\.){5,}|(?:\s?…){2,}|(?:\s_){5,}")
_UNFINISHED = re.compile(r"[\w,;\u2013\u2014&%-]$")


@dataclass(slots=True)
class Piece:
    """One block of a page before it becomes part of the document.

    Attributes:
        top: Distance from the page's upper edge as share of its height, or None if unknown.
        bottom: Same for the piece's lower edge.
        rows: Cells of a table as text, its header first; all rows of the same length.
        bold_rows: How many of the first rows are bold, where not all of them are.
        columns: Left edge of each column of a table, as share of the page's width, as far as they are known.
        line_height: Height of the first line as share of the page's, of headings; 0 if unknown.
        has_gaps: It is one line with wide gaps, such as a title at the left and a number at the right.
    """

    kind: BlockKind
    text: str
    page: int
    level: int = 0
    top: float | None = None
    bottom: float | None = None
    is_bold: bool = False
    has_gaps: bool = False
    line_height: float = 0.0
    rows: list[list[str]] = field(default_factory=list)
    bold_rows: int = 0
    columns: tuple[float, ...] = ()


def page_pieces(page: ParsedPage) -> list[Piece]:
    """The page's blocks as text, in reading order."""
    blocks = list(page.blocks or ())
    layout = page.complexity.layout if page.complexity else None
    if layout is not None and layout.column_count <= 1 and all(block.bbox for block in blocks):
        # liteparse moves some headings behind the text they introduce; one column reads from the top.
        blocks.sort(key=lambda block: (round(block.bbox.y / 3), block.bbox.x) if block.bbox else (0, 0.0))
    blocks = _with_grids(blocks, page)
    pieces: list[Piece] = []
    for block in chain.from_iterable(_parted(block, page) for block in blocks):
        rows = _cells(block) if block.kind == "table" else []
        kind, text = _kind_and_text(block, rows)
        text = clean_text(text).strip()
        if not text:
            continue
        piece = Piece(kind, text, page.page_num, block.level or 0, is_bold=block.bold)
        if kind == "table":
            piece.rows, piece.columns = rows, _columns(block, page.width)
            piece.bold_rows = _bold_rows(block)
        if block.bbox and page.height:
            piece.top = block.bbox.y / page.height
            piece.bottom = (block.bbox.y + block.bbox.height) / page.height
            if kind == "heading":
                heights = [item.height for line in _lines(block.bbox, page.text_items)[:1] for item in line]
                piece.line_height = max(heights, default=0.0) / page.height
            piece.has_gaps = kind == "paragraph" and _has_gaps(block.bbox, page.text_items)
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


def _parted(block: LayoutBlock, page: ParsedPage) -> list[LayoutBlock]:
    """The block, or a paragraph without the line in the margin that liteparse joined to it over a wide gap."""
    box = block.bbox
    if block.kind != "paragraph" or box is None or not block.text or box.height < MIN_GAPS * 8:
        return [block]
    has_head = box.y < MARGIN_SHARE * page.height
    has_foot = box.y + box.height > (1 - MARGIN_SHARE) * page.height
    if not has_head and not has_foot:
        return [block]
    lines = _lines(box, page.text_items)
    parts = [block]
    if has_head and len(lines) > 1 and _is_apart(lines[0], lines[1]):
        parts = _split(parts[-1], lines[0], lines[1], is_first=True)
    if has_foot and len(lines) > 1 + len(parts) and _is_apart(lines[-2], lines[-1]):
        parts = parts[:-1] + _split(parts[-1], lines[-1], lines[-2], is_first=False)
    return parts


def _with_grids(blocks: list[LayoutBlock], page: ParsedPage) -> list[LayoutBlock]:
    """The blocks, paragraphs side by side that are the columns of a small table as one."""
    found: list[LayoutBlock] = []
    position = 0
    while position < len(blocks):
        end = position + 1
        while end < len(blocks) and _is_beside(blocks[position], blocks[end - 1], blocks[end]):
            end += 1
        grid = _grid(blocks[position:end], page.text_items) if end - position > 1 else []
        found += grid or blocks[position:end]
        position = end
    return found


def _is_beside(first: LayoutBlock, before: LayoutBlock, block: LayoutBlock) -> bool:
    """Whether a paragraph stands right of the one before it, as high as the first of them, or below a line of that."""
    if first.kind != "paragraph" or block.kind != "paragraph":
        return False
    if first.bbox is None or before.bbox is None or block.bbox is None or block.bbox.height < GRID_MIN_HEIGHT:
        return False
    above, below = (
        block.bbox.y - first.bbox.y,
        first.bbox.y + first.bbox.height - block.bbox.y - block.bbox.height,
    )
    same = abs(below) < 4 and -3 < above < first.bbox.height - GRID_MIN_HEIGHT
    return same and block.bbox.x > before.bbox.x + before.bbox.width


def _grid(columns: list[LayoutBlock], items: list[TextItem]) -> list[LayoutBlock]:
    """The table that these columns make, below what the first has above it; nothing if they are something else."""
    from liteparse.types import LayoutCell

    lines = [
        [
            (max(item.y + item.height for item in line), " ".join(" ".join(item.text for item in line).split()))
            for line in _lines(column.bbox, items)
        ]
        for column in columns
        if column.bbox is not None
    ]
    first, last = columns[0].bbox, columns[-1].bbox
    lead = max(0, len(lines[0]) - len(lines[-1])) if len(lines) == len(columns) else 0
    rows = grid_rows([lines[0][lead:], *lines[1:]]) if lead <= MAX_GRID_TITLES else []
    if not rows or first is None or last is None:
        return []
    cells = [[LayoutCell(text=text) for text in row] for row in rows]
    box = replace(last, x=first.x, width=last.x + last.width - first.x)
    grid = replace(columns[0], kind="table", text=None, rows=cells, header=None, bbox=box)
    if not lead:
        return [grid]
    title = replace(first, height=max(1.0, last.y - first.y))
    return [replace(columns[0], text=" ".join(text for _, text in lines[0][:lead]), bbox=title), grid]


def lines_below(page: ParsedPage, top: float) -> list[list[TextItem]]:
    """The page's text items below `top`, a share of its height, by lines from the top, each from the left."""
    return _by_lines([item for item in page.text_items if item.y + item.height / 2 > top * page.height])


def _lines(box: AnnotationRect, items: list[TextItem]) -> list[list[TextItem]]:
    """The text items in the box, by lines from the top, each from the left."""
    inside = [
        item
        for item in items
        if box.y - 1 <= item.y + item.height / 2 <= box.y + box.height + 1
        and box.x - 1 <= item.x + item.width / 2 <= box.x + box.width + 1
    ]
    return _by_lines(inside)


def _by_lines(items: list[TextItem]) -> list[list[TextItem]]:
    lines: list[list[TextItem]] = []
    for item in sorted(items, key=lambda item: item.y + item.height):
        same = bool(lines) and abs(lines[-1][-1].y + lines[-1][-1].height - item.y - item.height) < item.height / 3
        if same:
            lines[-1].append(item)
        else:
            lines.append([item])
    return [sorted(line, key=lambda item: item.x) for line in lines]


def _is_apart(above: list[TextItem], below: list[TextItem]) -> bool:
    bottom = max(item.y + item.height for item in above)
    return min(item.y for item in below) - bottom > LINE_GAPS_APART * max(item.height for item in below)


def _split(block: LayoutBlock, line: list[TextItem], beside: list[TextItem], *, is_first: bool) -> list[LayoutBlock]:
    """The block in two, if its text begins, or ends, with the line."""
    text, box = block.text or "", block.bbox
    words = " ".join(" ".join(item.text for item in line).split())
    at = text.find(words) if is_first else text.rfind(words)
    if box is None or at < 0 or (at > 0 if is_first else at + len(words) < len(text)):
        return [block]
    top, bottom = min(item.y for item in line), max(item.y + item.height for item in line)
    left, right = line[0].x, line[-1].x + line[-1].width
    own = replace(block, text=words, bbox=replace(box, x=left, y=top, width=right - left, height=bottom - top))
    if is_first:
        start = min(item.y for item in beside)
        rest = replace(
            block, text=text[len(words) :].strip(), bbox=replace(box, y=start, height=box.y + box.height - start)
        )
        return [own, rest]
    end = max(item.y + item.height for item in beside)
    return [replace(block, text=text[:at].strip(), bbox=replace(box, height=end - box.y)), own]


def _has_gaps(box: AnnotationRect, items: list[TextItem]) -> bool:
    """Whether the box is about one line high and its text items cover clearly less than its width."""
    if not items or box.height > MAX_LINE_HEIGHT or box.width < MIN_GAPS * box.height:
        return False
    inside = [item for item in items if box.y - 1 <= item.y + item.height / 2 <= box.y + box.height + 1]
    if not inside or box.height > 2 * max(item.height for item in inside):
        return False
    covered = sum(item.width for item in inside if box.x - 1 <= item.x <= box.x + box.width)
    return box.width - covered > MIN_GAPS * box.height


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


def _kind_and_text(block: LayoutBlock, rows: list[list[str]]) -> tuple[BlockKind, str]:
    if block.kind == "table":
        return "table", "\n".join(table_lines(rows))
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


def _cells(block: LayoutBlock) -> list[list[str]]:
    rows = [[_cell_text(cell) for cell in row] for row in block.rows or ()]
    header = [_cell_text(cell) for cell in block.header or ()]
    if any(header):
        rows.insert(0, header)
    width = max(map(len, rows), default=0)
    return [row + [""] * (width - len(row)) for row in rows if any(row)]


def _bold_rows(block: LayoutBlock) -> int:
    rows = [block.header or [], *(block.rows or ())]
    bold = [all((cell.text or "").startswith("**") for cell in row if cell.text) for row in rows if row]
    return 0 if all(bold) else bold.index(False)


def _cell_text(cell: LayoutCell) -> str:
    return " ".join(clean_text(plain(cell.text or "")).split())


def _columns(block: LayoutBlock, width: float) -> tuple[float, ...]:
    edges: dict[int, list[float]] = {}
    for row in block.rows or ():
        for column, cell in enumerate(row):
            if cell.bbox is not None and cell.text:
                edges.setdefault(column, []).append(cell.bbox.x)
    if not width or sorted(edges) != list(range(len(edges))):
        return ()
    return tuple(min(edges[column]) / width for column in sorted(edges))
