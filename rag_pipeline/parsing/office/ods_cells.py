"""Cells of OpenDocument spreadsheets (ODS), as the file says that they are shown, and remarks on them.

Belongs here: walking the XML of sheets. Does not belong here: what rows become (`xlsx`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from rag_pipeline.errors import LimitExceeded
from rag_pipeline.parsing.containers.archives import Archive, local_attribute, local_name
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.limits import check_count
from rag_pipeline.parsing.office.sheet_view import MAX_MERGES, View, cell_name

if TYPE_CHECKING:
    from lxml.etree import _Element

# Columns of a sheet in Excel and LibreOffice.
MAX_COLUMNS = 16_384
# More rows than any sheet has (1,048,576).
MAX_POSITION = 10_000_000
MAX_REPEATED_ROWS = 1_000
# Trailing styled but empty cells are repeated to the sheet's edge; real repetitions are short.
MAX_REPEATED_COLUMNS = 256
# A style rests on another, which rests on another.
MAX_PARENTS = 10


@dataclass(slots=True)
class OdsTable:
    """A sheet of an OpenDocument spreadsheet: its cells as it shows them itself, and how they are shown.

    Attributes:
        numbers: Number of each row in the sheet, from 1: many blank rows are kept as one.
        formulas: Cells whose formula was saved without its value.
        unseen: Cells whose format shows nothing of their value.
        struck: Cells struck through, as a whole or in part.
        remarks: Comments on cells, each with the cell's name.
        struck_styles: Names of the styles that strike text through.
        struck_columns: Columns whose cells have such a style where they say none.
    """

    name: str
    rows: list[list[str]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    view: View = field(default_factory=View)
    is_hidden: bool = False
    formulas: int = 0
    unseen: int = 0
    struck: int = 0
    remarks: list[str] = field(default_factory=list)
    struck_styles: frozenset[str | None] = frozenset()
    struck_columns: frozenset[int] = frozenset()


def ods_sheets(archive: Archive, max_cells: int, max_chars: int) -> Iterator[OdsTable]:
    """The sheets of an OpenDocument spreadsheet.

    Raises:
        LimitExceeded: More cells than `max_cells`, or more characters in them than `max_chars`.
    """
    budget, chars = max_cells, 0
    root = archive.xml("content.xml")
    hidden_styles = _hidden_styles(root)
    struck_styles = _struck_styles(archive, root)
    for element in root.iter("{*}table"):
        table = OdsTable(local_attribute(element, "name") or "")
        table.is_hidden = local_attribute(element, "style-name") in hidden_styles
        table.view.hidden_columns = _ods_hidden_columns(element)
        if struck_styles:
            table.struck_styles = struck_styles
            table.struck_columns = frozenset(_struck_columns(element, struck_styles))
        rows = table.rows
        number = 1
        for row in element.iter("{*}table-row"):
            cells = list(islice(_ods_cells(row, len(rows), number, table), MAX_COLUMNS))
            while cells and not cells[-1]:
                cells.pop()
            repeated = _count(row, "number-rows-repeated", MAX_REPEATED_ROWS) if cells else 1
            budget -= repeated * max(1, len(cells))
            chars += repeated * sum(map(len, cells))
            check_count(chars, max_chars, "characters of text", archive.address)
            if budget < 0:
                raise LimitExceeded(
                    f"{archive.address}: the sheets hold more than {max_cells:,} cells. Split the workbook, "
                    "or raise `limits.max_cells`.",
                    address=archive.address,
                    limit=max_cells,
                )
            if local_attribute(row, "visibility") in ("collapse", "filter"):
                table.view.hidden_rows |= set(range(len(rows), len(rows) + repeated))
            rows.extend([cells] * repeated if repeated == 1 else ([*cells] for _ in range(repeated)))
            table.numbers += range(number, number + repeated)
            number += _count(row, "number-rows-repeated", MAX_POSITION)
        width = max(map(len, rows), default=0)
        if table.view.merged:
            table.rows = [row + [""] * (width - len(row)) for row in rows]
        yield table


def _hidden_styles(root: _Element) -> set[str | None]:
    """Names of the styles of tables that are not displayed."""
    return {
        local_attribute(style, "name")
        for style in root.iter("{*}style")
        for properties in style.iterchildren("{*}table-properties")
        if local_attribute(properties, "display") == "false"
    }


def _struck_styles(archive: Archive, root: _Element) -> frozenset[str | None]:
    """Names of the styles that strike text through, by themselves or by the style that they rest on."""
    roots = [root]
    if b"text-line-through" in (archive.read_if_there("styles.xml") or b""):
        roots += [common] if (common := archive.spare_xml("styles.xml")) is not None else []
    parents: dict[str | None, str | None] = {}
    own: dict[str | None, bool] = {}
    for style in (style for part in roots for style in part.iter("{*}style")):
        name = local_attribute(style, "name")
        parents.setdefault(name, local_attribute(style, "parent-style-name"))
        for properties in style.iterchildren("{*}text-properties"):
            said = [local_attribute(properties, f"text-line-through-{kind}") for kind in ("style", "type")]
            if any(said):
                own.setdefault(name, any(each not in (None, "none") for each in said))
    if not any(own.values()):
        return frozenset()
    return frozenset(name for name in parents if _rests_on_struck(name, parents, own))


def _rests_on_struck(name: str | None, parents: dict[str | None, str | None], own: dict[str | None, bool]) -> bool:
    for _ in range(MAX_PARENTS):
        if name is None or name in own:
            break
        name = parents.get(name)
    return own.get(name, False)


def _struck_columns(table: _Element, struck: frozenset[str | None]) -> Iterator[int]:
    column = 0
    for element in table.iter("{*}table-column"):
        count = _count(element, "number-columns-repeated", MAX_COLUMNS)
        if local_attribute(element, "default-cell-style-name") in struck:
            yield from range(column, min(column + count, MAX_COLUMNS))
        column += count


def _seen_text(element: _Element, table: OdsTable) -> str:
    """Text of a paragraph without its spans that are struck through; those are counted."""
    parts = [element.text or ""]
    for item in element:
        if local_attribute(item, "style-name") in table.struck_styles:
            table.struck += bool("".join(map(str, item.itertext())).strip())
        else:
            parts.append(_seen_text(item, table))
        parts.append(item.tail or "")
    return "".join(parts)


def _remark(annotation: _Element, name: str) -> str:
    said = " ".join(" ".join("".join(map(str, item.itertext())) for item in annotation.iter("{*}p")).split())
    author = next((" ".join((item.text or "").split())[:100] for item in annotation.iterchildren("{*}creator")), "")
    return clean_text(f"Comment on {name}{f' by {author}' if author else ''}: {said}") if said else ""


def _ods_hidden_columns(table: _Element) -> set[int]:
    hidden: set[int] = set()
    column = 0
    for element in table.iter("{*}table-column"):
        count = _count(element, "number-columns-repeated", MAX_COLUMNS)
        if local_attribute(element, "visibility") in ("collapse", "filter") and column < MAX_COLUMNS:
            hidden |= set(range(column, min(column + count, MAX_COLUMNS)))
        column += count
    return hidden


def _ods_cells(row: _Element, number: int, shown_number: int, table: OdsTable) -> Iterator[str]:
    """Texts of a row's cells; merged ranges and remarks that begin there are added to the table's.

    Args:
        number: Of the row among those that are kept, from 0.
        shown_number: Of the row in the sheet, from 1.
    """
    view = table.view
    column = 0
    for cell in row:
        if local_name(cell) not in ("table-cell", "covered-table-cell"):
            continue
        text = _ods_text(cell, column, table)
        if len(cell):
            remarks = (_remark(item, cell_name(shown_number, column)) for item in cell.iterchildren("{*}annotation"))
            table.remarks += filter(None, remarks)
        down, right = (_count(cell, f"number-{kind}-spanned", MAX_POSITION) for kind in ("rows", "columns"))
        if text and max(down, right) > 1 and len(view.merged) < MAX_MERGES:
            view.merged.append((number, column, number + down - 1, column + right - 1))
        for _ in range(_count(cell, "number-columns-repeated", MAX_REPEATED_COLUMNS if text else MAX_COLUMNS)):
            yield text
            column += 1


def _ods_text(cell: _Element, column: int, table: OdsTable) -> str:
    """What a cell shows, less what is struck through."""
    struck = table.struck_styles
    if struck:
        style = local_attribute(cell, "style-name")
        if style in struck if style is not None else column in table.struck_columns:
            has_text = any("".join(map(str, item.itertext())).strip() for item in cell.iterchildren("{*}p", "{*}h"))
            table.struck += has_text or local_attribute(cell, "value") is not None
            return ""
    paragraphs = [
        " ".join((_seen_text(item, table) if struck else "".join(map(str, item.itertext()))).split())
        for item in cell.iterchildren("{*}p", "{*}h")
    ]
    text = " ".join(filter(None, paragraphs))
    return _ods_unshown(cell, bool(paragraphs), table) if not text and cell.keys() else text


def _ods_unshown(cell: _Element, has_text: bool, table: OdsTable) -> str:
    """The value of a cell without text, as programs write it that show nothing themselves; what is lost is counted.

    Args:
        has_text: The program says what it shows: nothing.
    """
    kind = local_attribute(cell, "value-type")
    if kind is None:
        table.formulas += not has_text and local_attribute(cell, "formula") is not None
        return ""
    if has_text:
        table.unseen += kind != "string"
        return ""
    name = {"date": "date-value", "time": "time-value", "boolean": "boolean-value", "string": "string-value"}
    return " ".join((local_attribute(cell, name.get(kind, "value")) or "").split())


def _count(element: _Element, name: str, most: int) -> int:
    value = local_attribute(element, name) or "1"
    return max(1, min(int(value), most)) if value.isdecimal() and len(value) < 9 else 1
