"""From lines with their places to paragraphs in reading order.

Belongs here: columns, gaps between lines, joining words. Pure.
Does not belong here: reading the picture (`engine.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

# Of a line's height: a larger gap above it begins a paragraph.
PARAGRAPH_GAP = 0.75
# Of a line's height: what stands beside each other within it is one row, as the cells of a table are.
ROW_OVERLAP = 0.5
# Of the page's width: a narrower gap is one between words, not columns.
COLUMN_GAP = 0.01
# Of the widest line of a column: one that ends before it ends a paragraph where the next begins with a capital.
FULL_LINE_SHARE = 0.85
# Of the height of the common line: a larger one is a heading, if it is short.
HEADING_HEIGHT = 1.35
MAX_HEADING_CHARS = 150

# Columns within columns; more is a picture made to have them.
MAX_DEPTH = 4
# Places across the page where a gutter is looked for.
STEPS = 80
# Of the page's width: how far a line may reach into the gutter, as boxes around lines have a margin.
GUTTER = 0.006
# A column has so many lines at least, of so many blanks, this wide against the others.
MIN_COLUMN_LINES = 3
MIN_BLANKS = 3
WIDE_SHARE = 0.6

_HYPHENATED = re.compile(r"(?<=[^\W\d_])-$")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text; its edges are shares of the page's width and height.

    Attributes:
        confidence: How sure the engine is, 0 to 1.
    """

    text: str
    left: float
    top: float
    right: float
    bottom: float
    confidence: float

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Lines that belong together."""

    text: str
    top: float
    bottom: float
    is_heading: bool = False


def paragraphs(lines: list[Line]) -> list[Paragraph]:
    """The lines as a person reads them: a column down to its end before the one beside it."""
    if not lines:
        return []
    common = median(line.height for line in lines)
    found: list[Paragraph] = []
    for column in _columns(sorted(lines, key=lambda line: (line.top + line.bottom, line.left))):
        found += _paragraphs(_rows(column), common)
    return found


def confidence(lines: list[Line]) -> float:
    """How sure the engine is of the lines together, by their letters; 0 for none."""
    letters = sum(len(line.text) for line in lines)
    return sum(line.confidence * len(line.text) for line in lines) / letters if letters else 0.0


def _columns(lines: list[Line], depth: int = 0) -> list[list[Line]]:
    """Groups of lines in reading order: what stands left of a gutter, then what stands right of it.

    Lines that cross the gutter, such as a title, end the columns above them and begin new ones below.
    """
    gutter = _gutter(lines) if depth < MAX_DEPTH else None
    if gutter is None:
        return [lines] if lines else []
    found: list[list[Line]] = []
    left: list[Line] = []
    right: list[Line] = []
    crossing: list[Line] = []

    def end_columns() -> None:
        for side in (left, right):
            found.extend(_columns(list(side), depth + 1))
            side.clear()

    for line in lines:
        if _crosses(line, gutter):
            end_columns()
            crossing.append(line)
            continue
        if crossing:
            found.append(list(crossing))
            crossing.clear()
        (left if line.right <= gutter + GUTTER else right).append(line)
    end_columns()
    return [*found, crossing] if crossing else found


def _gutter(lines: list[Line]) -> float | None:
    """Where the fewest lines cross between two columns of prose; None where the page has one column.

    Cells of a table are short, so that they make no columns and their rows stay together.
    """
    best: tuple[int, float] | None = None
    for step in range(1, STEPS):
        place = step / STEPS
        crossing = sum(_crosses(line, place) for line in lines)
        sides = (
            [line for line in lines if line.right <= place + GUTTER],
            [line for line in lines if line.left >= place - GUTTER],
        )
        # What is on neither side crosses; more of that than of either side is no column.
        if crossing > min(map(len, sides)) or not all(map(_is_column, sides)):
            continue
        if best is None or crossing < best[0]:
            best = (crossing, place)
    return best[1] if best else None


def _crosses(line: Line, place: float) -> bool:
    return line.left < place - GUTTER and line.right > place + GUTTER


def _is_column(lines: list[Line]) -> bool:
    """Whether the lines are a text: several of them are several words, and as wide as the widest."""
    if len(lines) < MIN_COLUMN_LINES:
        return False
    widths = sorted(line.right - line.left for line in lines)
    # Not the widest: a line may be read together with one beside it.
    wide = WIDE_SHARE * widths[-1 - len(widths) // 8]
    prose = sum(line.right - line.left >= wide and line.text.count(" ") >= MIN_BLANKS for line in lines)
    return prose >= MIN_COLUMN_LINES and 3 * prose >= len(lines)


def _rows(lines: list[Line]) -> list[Line]:
    """Lines of a column, those that stand beside each other as one."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.top + line.bottom, line.left)):
        last = rows[-1][-1] if rows else None
        if last and min(last.bottom, line.bottom) - max(last.top, line.top) > ROW_OVERLAP * min(
            last.height, line.height
        ):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [_joined(sorted(row, key=lambda line: line.left)) for row in rows]


def _joined(row: list[Line]) -> Line:
    # A wide gap parts cells; two blanks keep them apart for a reader, as in printed tables.
    text = row[0].text
    for before, line in pairwise(row):
        text += ("  " if line.left - before.right > COLUMN_GAP else " ") + line.text
    return Line(
        text,
        row[0].left,
        min(line.top for line in row),
        max(line.right for line in row),
        max(line.bottom for line in row),
        confidence(row),
    )


def _paragraphs(rows: list[Line], common: float) -> list[Paragraph]:
    widest = max(row.right for row in rows)
    found: list[Paragraph] = []
    group: list[Line] = []
    for row in rows:
        if group and _begins(group, row, common, widest):
            found.append(_paragraph(group, common))
            group = []
        group.append(row)
    found.append(_paragraph(group, common))
    return found


def _begins(group: list[Line], row: Line, common: float, widest: float) -> bool:
    last = group[-1]
    if row.top - last.bottom > PARAGRAPH_GAP * common or (_is_large(row, common) != _is_large(last, common)):
        return True
    left = min(line.left for line in group)
    # Text below a table: its lines are as wide as the column, and have no cells.
    if "  " in last.text and "  " not in row.text and row.right - row.left > FULL_LINE_SHARE * (widest - left):
        return True
    is_short = last.right - left < FULL_LINE_SHARE * (widest - left)
    return is_short and last.text.rstrip().endswith((".", ":", "!", "?")) and row.text[:1].isupper()


def _is_large(row: Line, common: float) -> bool:
    return row.height > HEADING_HEIGHT * common and len(row.text) <= MAX_HEADING_CHARS


def _paragraph(group: list[Line], common: float) -> Paragraph:
    # Rows of cells stay rows; a hyphen at the end of a line goes where a small letter follows.
    is_table = any("  " in row.text for row in group)
    text = group[0].text
    for row in group[1:]:
        if is_table:
            text += "\n" + row.text
        elif _HYPHENATED.search(text) and row.text[:1].islower():
            text = text[:-1] + row.text
        else:
            text += " " + row.text
    is_heading = len(text) <= MAX_HEADING_CHARS and not is_table and all(_is_large(row, common) for row in group)
    return Paragraph(text, group[0].top, group[-1].bottom, is_heading)
