"""Small tables that layout takes for columns of text: their lines stand side by side, row for row.

Belongs here: telling such a grid from columns of prose, and its rows.
Does not belong here: tables that layout knows (`layout`), and what follows overleaf (`tables`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag_pipeline.parsing.table_heads import are_names

# A line of prose in the narrowest column is longer.
MAX_CELL_CHARS = 40
# One row names nothing, and layout knows tables longer than this by itself.
MIN_ROWS, MAX_ROWS = 2, 30
_FIGURES = re.compile(r"[-+(\u2212]?[$€£¥]?\s?\d[\d\s.,'\u2019]*\s?%?\)?(?:\s?[^\W\d_]{1,4})?\Z")

Line = tuple[float, str]
"""Lower edge of a line in points from the top, and its text."""


def grid_rows(columns: Sequence[Sequence[Line]]) -> list[list[str]]:
    """The rows of columns that stand side by side; empty unless they are a table of short cells.

    A column of prose has longer lines; two addresses side by side hold no column of figures below a name.
    """
    count = len(columns[0]) if columns else 0
    if len(columns) < 2 or not MIN_ROWS <= count <= MAX_ROWS or any(len(column) != count for column in columns):
        return []
    rows: list[list[str]] = []
    for lines in zip(*columns, strict=True):
        bottoms = [bottom for bottom, _ in lines]
        if max(bottoms) - min(bottoms) > 2 or any(len(text) > MAX_CELL_CHARS for _, text in lines):
            return []
        rows.append([text for _, text in lines])
    return rows if _is_table(rows) else []


def _is_table(rows: list[list[str]]) -> bool:
    names, below = rows[0], rows[1:]
    if any(_FIGURES.match(name) for name in names):
        return _are_pairs(rows)
    has_figures = any(all(_FIGURES.match(row[column]) for row in below) for column in range(len(names)))
    return has_figures or (len(below) > 1 and are_names(names, below))


def _are_pairs(rows: list[list[str]]) -> bool:
    """Whether each row is a name and figures: without names above, as in a list of prices."""
    return all(
        not _FIGURES.match(row[0]) and any(map(str.isalpha, row[0])) and all(_FIGURES.match(cell) for cell in row[1:])
        for row in rows
    )
