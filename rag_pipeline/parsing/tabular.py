"""Writes rows of cells as the lines of a table block.

Belongs here: the one form of table text that parsers of composed text give and the chunker cuts by rows.
Does not belong here: reading tables of any format.

Rows are lines and cells are parted by tabs. Bars and rules of Markdown would cost a token each without
meaning anything to an embedding model, and would part words that stand side by side in the document.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line a row, the header row first where the source has one. Empty for no cell with text.

    Args:
        rows: Cells as text, ragged rows allowed; columns and rows empty throughout are left out, and
            white space within a cell becomes one space.
    """
    filled = [[" ".join(cell.split()) for cell in row] for row in rows]
    filled = [row for row in filled if any(row)]
    width = max((len(row) for row in filled), default=0)
    used = [any(index < len(row) and row[index] for row in filled) for index in range(width)]
    return ["\t".join(cell for cell, keep in zip(row, used, strict=False) if keep).rstrip("\t") for row in filled]


def placed_table(rows: Sequence[Sequence[str]], starts: Sequence[int]) -> str:
    """The table with each row in its own line of the file: what a chunk cites is counted from the first row.

    Args:
        starts: The line that each row begins in. Where two rows share one, or not all are known, no row has a place.
    """
    lines = table_lines(rows)
    if not starts or len(lines) < len(starts) or not all(before < start for before, start in pairwise(starts)):
        return "\n".join(lines)
    return lines[0] + "".join(
        "\n" * (start - before) + line for before, start, line in zip(starts, starts[1:], lines[1:], strict=False)
    )
