"""Which rows at the top of a table name its columns.

Belongs here: telling names from data by how the rows below look; used by parsers and the chunker alike.
Does not belong here: reading tables of any format, and what a header becomes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

# Groups, names and units.
MAX_HEADER_ROWS = 3
# Enough for the usual shape of a column to show.
SAMPLE_ROWS = 12
# Names of columns are short; sentences are cells.
MAX_NAME_WORDS = 4

_NUMBER = re.compile(r"[(+\u2212-]?\d[\d.,'\u2019\u00a0\u202f]*\d|\d")
_NOT_LETTERS = re.compile(r"\s+")
# A year, quarter, month or day names a column although it is made of digits.
_PERIOD = re.compile(
    r"(?:(?:fy|cy|ye|q[1-4]|h[12]|[a-zäéû]{3,9}\.?|\d{1,2}\.?)[\s/'-]*){0,3}'?(?:19|20)\d\d(?:[\s/-]\d\d(?:\d\d)?)?"
    r"[a-z*]?(?:[\s/-]*(?:q[1-4]|h[12]))?$"
    r"|[qh][1-4]\b.*$",
    re.I,
)
_NEUTRAL = re.compile(r"[\W_]*$|n/?a\.?$|k\.?\s?a\.?$|tbd$|none$", re.I)

_NAME = re.compile(
    r"\b(?:names?|terms?|definitions?|meanings?|abbreviations?|acronyms?|descriptions?|roles?|types?|kinds?|category|status|"
    r"states?|countr(?:y|ies)|place|location|address|date|time|owner|contact|person|department|team|title|subject|item|"
    r"code|key|value|field|parameter|option|setting|command|unit|remarks?|notes?|comments?|reason|result|task|action|"
    r"question|answer|version|source|reference|language|colou?r|size|position|job|company|subsidiary|jurisdiction|"
    r"begriff|bedeutung|bezeichnung|beschreibung|ort|datum|abteilung|nom|fonction|lieu|nombre|lugar|fecha)$"
)

Look = Literal["header", "data", "unknown"]


def header_count(rows: Sequence[Sequence[str]]) -> int:
    """How many of the first rows name the columns: 0 where the first row is data like those below it.

    A table of words only is taken to begin with one row of names. A further row of names counts where the rows
    below it hold numbers.
    """
    if not rows:
        return 0
    first = row_look(rows[0], rows[1:])
    if first != "header":
        # A name over several columns, as merged cells give it, has the names of these columns below it.
        is_group = any(one and one == other for one, other in pairwise(rows[0])) and len(rows) > 2
        return 0 if first == "data" or len(rows) < 2 else 1 + is_group
    count = 1
    while count < min(MAX_HEADER_ROWS, len(rows) - 1):
        row = rows[count]
        if sum(map(bool, row)) < 2 or row_look(row, rows[count + 1 :]) != "header":
            break
        count += 1
    return count


def joined_names(rows: Sequence[Sequence[str]]) -> list[str]:
    """One row of names from all header rows, what stands above one another joined."""
    width = max(map(len, rows), default=0)
    columns = (dict.fromkeys(row[column].strip() for row in rows if column < len(row)) for column in range(width))
    return [" ".join(" ".join(names).split()) for names in columns]


def row_look(row: Sequence[str], below: Sequence[Sequence[str]]) -> Look:
    """Whether a row looks as the rows below it do, judged by the columns that hold numbers."""
    has_other = False
    for column, usual in enumerate(_usual_shapes(below[:SAMPLE_ROWS])):
        cell = row[column].strip() if column < len(row) else ""
        if usual is None or _NEUTRAL.match(cell):
            continue
        shape = _shape(cell)
        if shape == usual and not (_PERIOD.match(cell) and not _holds_periods(below, column)):
            return "data"
        # Figures of another form are figures all the same.
        if shape.replace(" ", "") == "#" and not _PERIOD.match(cell):
            return "data"
        has_other = True
    return "header" if has_other else "unknown"


def are_names(row: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a row above words only names columns: by its words, or since each column below repeats others."""
    cells = [cell.strip().casefold() for cell in row]
    if not all(cells) or any(len(cell.split()) > MAX_NAME_WORDS for cell in cells):
        return False
    if all(_NAME.search(cell) for cell in cells):
        return True
    recurring = 0
    for column, cell in enumerate(cells):
        values = Counter(other[column].strip().casefold() for other in below if column < len(other))
        if cell in values:
            return False
        recurring += 2 * sum(count for count in values.values() if count > 1) >= values.total()
    return len(cells) > 2 and recurring > 0


def _usual_shapes(rows: Sequence[Sequence[str]]) -> list[str | None]:
    """For each column the form that half of its cells have, if it is one with digits."""
    width = max(map(len, rows), default=0)
    shapes: list[str | None] = []
    for column in range(width):
        cells = [row[column].strip() for row in rows if column < len(row)]
        found = Counter(_shape(cell) for cell in cells if not _NEUTRAL.match(cell))
        shape, count = found.most_common(1)[0] if found else ("", 0)
        shapes.append(shape if "#" in shape and 2 * count >= found.total() else None)
    return shapes


def _holds_periods(rows: Sequence[Sequence[str]], column: int) -> bool:
    cells = [row[column].strip() for row in rows[:SAMPLE_ROWS] if column < len(row)]
    return 2 * sum(bool(_PERIOD.match(cell)) for cell in cells) >= len(cells)


def _shape(cell: str) -> str:
    """`cell` with each number as `#`, so that `Berth 4` and `Berth 17` are alike."""
    return _NOT_LETTERS.sub(" ", _NUMBER.sub("#", cell)).casefold().strip("()$€£¥% ")
