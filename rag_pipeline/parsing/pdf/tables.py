"""Tables of a PDF that go on over the page: every part gets the names of its columns.

Belongs here: telling that a table goes on, and putting the rows of its header before the part that lacks them.
Does not belong here: finding tables and cells (`layout`), what a header looks like (`table_heads`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rag_pipeline.parsing.decode import clean_again
from rag_pipeline.parsing.pdf.layout import Piece, lines_below
from rag_pipeline.parsing.pdf.running import is_in_margin
from rag_pipeline.parsing.table_heads import MAX_HEADER_ROWS, are_names, header_count, row_look
from rag_pipeline.parsing.tabular import table_lines

if TYPE_CHECKING:
    from liteparse.types import ParsedPage, TextItem

Row = list[str]

_CONTINUED = re.compile(
    r"\b(?:continue[sd]?|cont(?:['\u2019]?d|\.)|continuation|fortsetzung|forts\.|suite|suivant|continuaci[oó]n|seguito)",
    re.I,
)
# "Table 3 (continued)", with its title.
MAX_NOTICE_CHARS = 120
# Columns of two pages are the same where their left edges differ by no more than this share of a page's width.
COLUMN_SHIFT = 0.03


def continue_tables(pages: list[list[Piece]], layouts: Mapping[int, ParsedPage]) -> None:
    """Adds, in place, the header of a table to its parts on the pages that follow.

    A part that repeats the header keeps its own; a part that repeats some rows of it gets the others. Rows in the
    columns of the table that were not known as a table, such as a single one, become its part.

    Args:
        layouts: What was read of each page, by its number from 1.
    """
    header: list[Row] = []
    before: Piece | None = None
    captions: set[str] = set()
    for pieces in pages:
        if before is not None and pieces:
            _find_rows(pieces, before, captions, layouts.get(pieces[0].page))
        first = _opening_table(pieces, captions)
        goes_on = first is not None and before is not None and _same_columns(before, first)
        if first is not None and before is not None and header and _goes_on(before, first, header):
            _lend(header, first)
        for piece in pieces:
            if piece.rows and not (goes_on and piece is first and _begins_with(piece.rows, header)):
                header = _header(piece)
        before = _opening_table(pieces[::-1], set())
        if before is not None and not (goes_on and before is first):
            position = next(index for index, piece in enumerate(pieces) if piece is before)
            captions = {_key([piece.text]) for piece in pieces[max(0, position - 2) : position]}


def _opening_table(pieces: list[Piece], captions: set[str]) -> Piece | None:
    """The table that comes first, but for heads, feet, notices that it goes on, and its caption once again."""
    position = _opening(pieces, captions)
    return pieces[position] if position < len(pieces) and pieces[position].rows else None


def _opening(pieces: list[Piece], captions: set[str]) -> int:
    position = 0
    while position < len(pieces) and not pieces[position].rows:
        piece = pieces[position]
        if not is_in_margin(piece) and not _is_notice(piece) and _key([piece.text]) not in captions:
            break
        position += 1
    return position


def _find_rows(pieces: list[Piece], before: Piece, captions: set[str], page: ParsedPage | None) -> None:
    """Makes a table, in place, of what opens a page in the columns of the table before."""
    position = _opening(pieces, captions)
    if page is None or position == len(pieces) or pieces[position].rows or len(before.columns) < 2:
        return
    top = min((piece.top for piece in pieces[position:] if piece.top is not None), default=None)
    if top is None or not page.width:
        return
    rows: list[Row] = []
    bottom = top
    for line in lines_below(page, top):
        row = _row_in_columns(line, before.columns, page.width)
        if row is None or not _is_like(row, before.rows):
            break
        rows.append(row)
        bottom = max(item.y + item.height for item in line) / page.height
    inside = [piece for piece in pieces[position:] if piece.top is not None and piece.top < bottom]
    if not rows or any(piece.rows or (piece.bottom or 1) > bottom + 0.01 for piece in inside):
        return
    found = Piece("table", "\n".join(table_lines(rows)), page.page_num, top=top, bottom=bottom)
    found.rows, found.columns = rows, before.columns
    pieces[:] = [*pieces[:position], found, *(piece for piece in pieces[position:] if piece not in inside)]


def _row_in_columns(line: list[TextItem], columns: tuple[float, ...], width: float) -> Row | None:
    """The line's items by column; None if one lies across columns or fewer than two are filled."""
    edges = [*columns, 1.0]
    row = [""] * len(columns)
    for item in line:
        start, end = item.x / width, (item.x + item.width) / width
        column = next((index for index in reversed(range(len(columns))) if edges[index] - COLUMN_SHIFT <= start), None)
        if column is None or end > edges[column + 1] + COLUMN_SHIFT:
            return None
        row[column] = f"{row[column]} {clean_again(item.text).strip()}".strip()
    return row if sum(map(bool, row)) > 1 else None


def _is_like(row: Row, rows: list[Row]) -> bool:
    longest = [max(len(known[column]) for known in rows) for column in range(len(row))]
    return row_look(row, rows[1:]) != "header" and all(
        len(cell) <= 2 * most + 10 for cell, most in zip(row, longest, strict=True)
    )


def _header(piece: Piece) -> list[Row]:
    """The rows that certainly name the columns: a list of terms in two columns begins with a term."""
    count = header_count(piece.rows)
    if count and row_look(piece.rows[0], piece.rows[1:]) == "unknown" and not piece.bold_rows:
        count = int(are_names(piece.rows[0], piece.rows[1:]))
    return piece.rows[: max(count, piece.bold_rows if piece.bold_rows <= MAX_HEADER_ROWS else 0)]


def _is_notice(piece: Piece) -> bool:
    return len(piece.text) <= MAX_NOTICE_CHARS and _CONTINUED.search(piece.text) is not None


def _goes_on(before: Piece, piece: Piece, header: list[Row]) -> bool:
    """Whether `piece` has the columns of `before` and no header of its own."""
    if not _same_columns(before, piece) or _begins_with(piece.rows, header):
        return False
    own = piece.rows[0]
    has_own = all(own) and row_look(own, piece.rows[1:]) == "header" and row_look(own, before.rows) == "header"
    return not has_own or any(_key(own) == _key(row) for row in header)


def _same_columns(before: Piece, piece: Piece) -> bool:
    if len(before.rows[-1]) != len(piece.rows[0]):
        return False
    if not before.columns or not piece.columns or len(before.columns) != len(piece.columns):
        return True
    near = sum(abs(one - other) <= COLUMN_SHIFT for one, other in zip(before.columns, piece.columns, strict=True))
    return 2 * near >= len(before.columns)


def _begins_with(rows: list[Row], header: list[Row]) -> bool:
    return bool(header) and [_key(row) for row in rows[: len(header)]] == [_key(row) for row in header]


def _lend(header: list[Row], piece: Piece) -> None:
    own = 0
    while own < min(len(header), len(piece.rows)) and any(_key(piece.rows[own]) == _key(row) for row in header):
        own += 1
    piece.rows = [*header, *piece.rows[own:]]
    piece.text = "\n".join(table_lines(piece.rows))


def _key(row: Row) -> str:
    return "\t".join(" ".join(cell.casefold().split()) for cell in row)
