"""Tables within items of lists and within quotes, and lists within quotes: where they may be cut, and what names them.

Belongs here: finding them behind indentation, item marks and quote marks.
Does not belong here: tables and lists that are blocks of their own (`splitters.py`), and how headers are built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rag_pipeline.transforms.chunk.splitters import indent_of, list_marker

_QUOTE_MARKS = re.compile(r"[ \t]*(?:>[ \t]?)+")
# Whether it has both a bar and a hyphen is seen then.
_MAY_BE_RULE = re.compile(r"^[ \t>|:-]++$", re.M)
_ITEM_MARK = re.compile(r"(?:[-*+]|\d{1,9}[.)])[ \t]+(?=\S)")
_MAY_BE_NAMED = re.compile(r"^[ \t]*>[ \t>]*(?:[-*+\u2022|]|\d{1,9}[.)]|[^\n|]{1,200}\|)", re.M)


@dataclass(frozen=True, slots=True)
class InnerTable:
    """A table of bar-parted cells within another block.

    Attributes:
        start_char: Where the line begins that names the columns.
        rows: Where the line of each row begins, in order.
        end_char: Where the last row ends.
        names: The row of names, white space collapsed.
    """

    start_char: int
    rows: tuple[int, ...]
    end_char: int
    names: str


def without_quote_marks(line: str) -> str:
    """The line of a quote as it was before it was quoted."""
    marks = _QUOTE_MARKS.match(line)
    return line[marks.end() :] if marks else line


def may_be_named(text: str, start: int, end: int) -> bool:
    """Whether a quote holds a list or a table, so that its parts may need a longer header."""
    return _MAY_BE_NAMED.search(text, start, end) is not None


def inner_tables(text: str, start: int, end: int) -> list[InnerTable]:
    """The tables within a span, in order."""
    if text.find("|", start, end) < 0:
        return []
    found: list[InnerTable] = []
    for rule in _MAY_BE_RULE.finditer(text, start, end):
        drawn = rule.group()
        above = text.rfind("\n", start, max(start, rule.start() - 1)) + 1 or start
        if "|" not in drawn or "-" not in drawn or rule.start() <= start or (found and above < found[-1].end_char):
            continue
        names = " ".join(_bare(text[above : rule.start()]).split())
        if "|" not in names:
            continue
        rows = tuple(_rows(text, rule.end() + 1, end))
        stop = text.find("\n", rows[-1], end) if rows else rule.end()
        found.append(InnerTable(above, rows, end if stop < 0 else stop, names))
    return found


def _rows(text: str, position: int, end: int) -> Iterator[int]:
    while position < end:
        stop = text.find("\n", position, end)
        stop = end if stop < 0 else stop
        line = without_quote_marks(text[position:stop])
        if "|" not in line or list_marker(line):
            return
        yield position
        position = stop + 1


def _bare(line: str) -> str:
    """A line without the marks of the quote and the item that it opens."""
    line = without_quote_marks(line).strip()
    mark = _ITEM_MARK.match(line)
    return line[mark.end() :] if mark else line


def inner_row_cuts(text: str, start: int, end: int) -> list[int]:
    """Before each row of the tables within the span; names, rule and first row stay together."""
    cuts: list[int] = []
    for table in inner_tables(text, start, end):
        cuts += [position for position in (table.start_char, *table.rows[1:], table.end_char) if start < position < end]
    return cuts


def quoted_item_cuts(text: str, start: int, end: int) -> list[int]:
    """Before each outermost item but the first of a list behind quote marks; nested items stay with theirs."""
    items: list[tuple[int, int]] = []
    position = text.find("\n", start, end) + 1
    while 0 < position < end:
        stop = text.find("\n", position, end)
        line = text[position : end if stop < 0 else stop]
        bare = without_quote_marks(line)
        if bare is not line and list_marker(bare):
            items.append((position, indent_of(bare)))
        position = stop + 1
    outermost = min((indent for _, indent in items), default=0)
    return [position for position, indent in items if indent == outermost]
