"""Tables of OpenDocument texts and slides: their rows as a reader sees them, cells as text.

Belongs here: merged and repeated cells, and telling data from tables that only place text.
Does not belong here: what text looks like (`odf_looks`), the walk over the document (`odf`), spreadsheets (`xlsx`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rag_pipeline.parsing.containers.archives import local_attribute, local_name
from rag_pipeline.parsing.office.odf_looks import FRAMES, SKIPPED, Looks

if TYPE_CHECKING:
    from lxml.etree import _Element

# Equal cells and rows that a person would still read; sheets are filled up with millions.
MAX_REPEATED = 50
# Names and two rows below them, of which tables within cells say the third at most, as in Word.
MIN_DATA_ROWS, MOST_WITHIN = 3, 2
_CELLS = frozenset({"table-cell", "covered-table-cell"})
_ROW_GROUPS = frozenset({"table-header-rows", "table-rows", "table-row-group"})
_BESIDE = FRAMES | {"table"}


class Tables:
    """Reads the tables of one document.

    Args:
        looks: What a reader sees; gets what is hidden.
    """

    def __init__(self, looks: Looks) -> None:
        self._looks = looks

    def seen_rows(self, table: _Element) -> Iterator[_Element]:
        """The table's own rows that are not hidden; the others are counted."""
        for row in _rows_of(table):
            if "table-row" not in self._looks.may_hide or not self._looks.is_left_out(row, "table-row"):
                yield row

    def rows(self, table: _Element) -> tuple[list[list[str]], list[_Element]]:
        """Cells as text, and what makes blocks of its own below the table: frames, notes, tables within cells."""
        rows: list[list[str]] = []
        beside: list[_Element] = []
        for row in self.seen_rows(table):
            cells = self._cells(row, rows[-1] if rows else [], beside)
            rows.extend([cells] * (_repeated(row, "number-rows-repeated") if any(cells) else 1))
        return rows, beside

    def _cells(self, row: _Element, above: list[str], beside: list[_Element]) -> list[str]:
        """Cells as text; a merged one stands beside each of its rows, and above each column that it names."""
        cells: list[str] = []
        reach = 0
        for cell in row:
            name = local_name(cell)
            if name not in _CELLS:
                continue
            texts: list[str] = []
            self._cell_texts(cell, texts, beside)
            text = " ".join(texts)
            # Few cells say more than how they look.
            counts = any(["number-columns-" in key for key in cell.keys()])  # noqa: SIM118
            count = _repeated(cell, "number-columns-repeated") if counts else 1
            if name == "table-cell":
                reach = _repeated(cell, "number-columns-spanned") - 1 if counts else 0
            elif reach > 0:
                text, reach = cells[-1] if cells and not above and len(cells) > 1 else "", reach - count
            elif not text and len(cells) < len(above):
                text = above[len(cells)]
            if count == 1:
                cells.append(text)
            else:
                cells.extend([text] * count)
        return cells

    def _cell_texts(self, parent: _Element, texts: list[str], beside: list[_Element]) -> None:
        """The paragraphs of a cell, also in lists and sections; what makes blocks of its own goes to `beside`."""
        for item in parent:
            name = local_name(item)
            if name in _BESIDE:
                beside.append(item)
            elif name in SKIPPED or (name in self._looks.may_hide and self._looks.is_left_out(item, name)):
                continue
            elif name in ("p", "h"):
                text, frames = self._looks.text(item)
                texts.append(text)
                beside += frames
            elif name:
                self._cell_texts(item, texts, beside)


def places_only(table: _Element) -> bool:
    """Whether a table with others in its cells only places them: no row of names, and many of its words theirs."""
    inner = [other for other in table.iterdescendants("{*}table") if next(other.iterancestors("{*}table")) is table]
    if not inner:
        return False
    count = sum(1 for _ in _rows_of(table))
    if count > 1 and any(local_name(item) == "table-header-rows" for item in table):
        return False
    # Few words of a table of data stand in tables within it.
    within = sum(_length(other) for other in inner)
    return count < MIN_DATA_ROWS or MOST_WITHIN * within > _length(table) - within


def _length(element: _Element) -> int:
    return sum(len(str(text).strip()) for text in element.itertext())


def _rows_of(table: _Element) -> Iterator[_Element]:
    """The rows of a table that are not those of tables within it."""
    for item in table:
        name = local_name(item)
        if name == "table-row":
            yield item
        elif name in _ROW_GROUPS:
            yield from _rows_of(item)


def _repeated(element: _Element, name: str) -> int:
    """How often an element stands for itself."""
    value = local_attribute(element, name) or "1"
    return min(int(value), MAX_REPEATED) if value.isdecimal() and len(value) < 9 else 1
