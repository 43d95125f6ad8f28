"""Tables of HTML pages: which hold data, and their cells as text.

Belongs here: spans, cells and the difference between data and layout.
Does not belong here: the walk over the page (`blocks`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag_pipeline.parsing.web.inline import inline_text, last_text

if TYPE_CHECKING:
    from lxml.html import HtmlElement

BLOCK_TAGS = frozenset(
    (
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "center",
        "dd",
        "details",
        "dialog",
        "dir",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "frameset",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hgroup",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "menu",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
        "caption",
    )
)
# Columns that a person can see at once; larger numbers are mistakes.
MAX_SPAN = 50
# Groups, sub-groups, names and units.
MAX_HEADER_ROWS = 4
# Spans multiply cells, so a small page could fill the memory.
MAX_REPEATED_CELLS = 200_000


def is_layout_table(element: HtmlElement) -> bool:
    """True for tables that only place things: nested tables, one column, or whole articles in cells."""
    if element.get("role") == "presentation":
        return True
    inner = [child for child in element.iter("table") if child is not element]
    if inner and not _names_columns(element, inner):
        return True
    if any(True for _ in element.iter("pre", "h1", "h2", "h3", "article", "form")):
        return True
    widest = max((sum(1 for _ in row.iterchildren("td", "th")) for row in element.iter("tr")), default=0)
    if widest < 2:
        return True
    return any(sum(1 for _ in cell.iter("p", "ul", "ol")) > 3 for cell in element.iter("td"))


def _names_columns(element: HtmlElement, inner: list[HtmlElement]) -> bool:
    """Whether a table with others in its cells holds data: its first row is of names, and most words its own."""
    row = next(element.iter("tr"), None)
    cells = [] if row is None else list(row.iterchildren("td", "th"))
    if len(cells) < 2 or any(cell.tag != "th" or next(cell.iter("table"), None) is not None for cell in cells):
        return False
    within = sum(len(table.text_content()) for table in inner if _is_outermost(table, element))
    return 2 * within < len(element.text_content())


def _is_outermost(table: HtmlElement, element: HtmlElement) -> bool:
    return next(table.iterancestors("table"), None) is element


def taken_out(element: HtmlElement) -> list[HtmlElement]:
    """Takes the tables out of the cells of a table of data, which stand below it then; of those within them none."""
    found = [table for table in element.iter("table") if table is not element and _is_outermost(table, element)]
    for table in found:
        tail, table.tail = table.tail, None
        holder, before = table.getparent(), table.getprevious()
        if holder is None:
            continue
        if before is not None:
            before.tail = f"{before.tail or ''} {tail or ''}"
        else:
            holder.text = f"{holder.text or ''} {tail or ''}"
        holder.remove(table)
    return found


@dataclass(slots=True)
class Row:
    """One row of a table.

    Attributes:
        line: Line of the source in which it begins.
        is_header: It names columns.
        is_title: One cell over several columns, which says what the table is.
    """

    cells: list[str]
    line: int
    is_header: bool = False
    is_title: bool = False


def table_rows(element: HtmlElement) -> list[Row]:
    """The table's rows that hold text; a spanning cell is repeated, one that fills its row stands once.

    Several rows of column names become one, what stands above one another joined. Past MAX_REPEATED_CELLS cells
    that stand for others, spans count for nothing; no text is left out.
    """
    rows: list[Row] = []
    hanging: dict[int, tuple[int, str]] = {}
    repeated = 0
    # A foot may be written above the body, and stands below it all the same.
    for row in sorted(element.iter("tr"), key=lambda row: _parent_tag(row) == "tfoot"):
        values: list[str] = []
        cells = list(row.iterchildren("td", "th"))
        for cell in cells:
            _take_hanging(values, hanging)
            text = " ".join(_cell_text(cell).split())
            width, height = _span(cell, "colspan"), _span(cell, "rowspan")
            repeated += width * height - 1
            if repeated > MAX_REPEATED_CELLS:
                width = height = 1
            for offset in range(width):
                shown = text if offset == 0 or len(cells) > 1 else ""
                if height > 1:
                    hanging[len(values)] = (height - 1, shown)
                values.append(shown)
        _take_hanging(values, hanging)
        if any(values):
            is_header = all(cell.tag == "th" for cell in cells) or _parent_tag(row) == "thead"
            is_title = len(cells) == 1 and len(values) > 1 and not any(values[1:])
            rows.append(Row(values, row.sourceline or 0, is_header, is_title))
    return _with_one_header(rows)


def _parent_tag(row: HtmlElement) -> str:
    parent = row.getparent()
    return str(parent.tag) if parent is not None else ""


def _with_one_header(rows: list[Row]) -> list[Row]:
    first = 1 if rows and rows[0].is_title else 0
    stop = first
    while stop < min(len(rows), first + MAX_HEADER_ROWS) and rows[stop].is_header and not rows[stop].is_title:
        stop += 1
    if not first + 1 < stop < len(rows):
        return rows
    width = max(len(row.cells) for row in rows[first:stop])
    columns = [
        dict.fromkeys(row.cells[column] for row in rows[first:stop] if column < len(row.cells))
        for column in range(width)
    ]
    names = [" ".join(name for name in column if name) for column in columns]
    return [*rows[:first], Row(names, rows[first].line, is_header=True), *rows[stop:]]


def _take_hanging(values: list[str], hanging: dict[int, tuple[int, str]]) -> None:
    while len(values) in hanging:
        left, text = hanging.pop(len(values))
        if left > 1:
            hanging[len(values)] = (left - 1, text)
        values.append(text)


def _cell_text(cell: HtmlElement) -> str:
    parts: list[str] = []
    _gather(cell, parts)
    return "".join(parts)


def _gather(element: HtmlElement, parts: list[str]) -> None:
    parts.append(element.text or "")
    for child in element:
        tag = child.tag
        if isinstance(tag, str):
            if tag in BLOCK_TAGS or tag == "br":
                parts.append(" ")
                _gather(child, parts)
                parts.append(" ")
            elif tag in ("sup", "sub", "img", "math") or (tag == "a" and not len(child)):
                parts.append(inline_text(child, last_text(parts)))
            else:
                _gather(child, parts)
        parts.append(child.tail or "")


def _span(cell: HtmlElement, name: str) -> int:
    value = (cell.get(name) or "1").strip()
    return min(int(value), MAX_SPAN) if value.isdecimal() and len(value) < 9 and int(value) > 0 else 1
