"""Tables of HTML pages: which hold data, and their cells as text.

Belongs here: spans, cells and the difference between data and layout.
Does not belong here: the walk over the page (`html_blocks`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
MAX_SPAN = 50
MAX_REPEATED_CELLS = 200_000


def is_layout_table(element: HtmlElement) -> bool:
    """True for tables that only place things: nested tables, one column, or whole articles in cells."""
    if element.get("role") == "presentation":
        return True
    if any(child is not element for child in element.iter("table")):
        return True
    if any(True for _ in element.iter("pre", "h1", "h2", "h3", "article", "form")):
        return True
    widest = max((sum(1 for _ in row.iterchildren("td", "th")) for row in element.iter("tr")), default=0)
    if widest < 2:
        return True
    return any(sum(1 for _ in cell.iter("p", "ul", "ol")) > 3 for cell in element.iter("td"))


def table_rows(element: HtmlElement) -> list[list[str]]:
    """The table's cells as text; a spanning cell is repeated downwards and padded sideways.

    Past MAX_REPEATED_CELLS cells that stand for others, spans count for nothing; no text is left out.
    """
    rows: list[list[str]] = []
    hanging: dict[int, tuple[int, str]] = {}
    repeated = 0
    for row in element.iter("tr"):
        values: list[str] = []
        for cell in row.iterchildren("td", "th"):
            _take_hanging(values, hanging)
            text = " ".join(_cell_text(cell).split())
            width, height = _span(cell, "colspan"), _span(cell, "rowspan")
            repeated += width * height - 1
            if repeated > MAX_REPEATED_CELLS:
                width = height = 1
            for offset in range(width):
                if height > 1:
                    hanging[len(values)] = (height - 1, text if offset == 0 else "")
                values.append(text if offset == 0 else "")
        _take_hanging(values, hanging)
        if any(values):
            rows.append(values)
    return rows


def _take_hanging(values: list[str], hanging: dict[int, tuple[int, str]]) -> None:
    while len(values) in hanging:
        left, text = hanging.pop(len(values))
        if left > 1:
            hanging[len(values)] = (left - 1, text)
        values.append(text)


def _cell_text(cell: HtmlElement) -> str:
    parts: list[str] = []
    for element in cell.iter():
        if not isinstance(element.tag, str):
            continue
        if element.tag in BLOCK_TAGS or element.tag == "br":
            parts.append(" ")
        if element.text:
            parts.append(element.text)
        if element is not cell and element.tail:
            parts.append((" " if element.tag in BLOCK_TAGS else "") + element.tail)
    return "".join(parts)


def _span(cell: HtmlElement, name: str) -> int:
    value = (cell.get(name) or "1").strip()
    return min(int(value), MAX_SPAN) if value.isdecimal() and len(value) < 9 and int(value) > 0 else 1
