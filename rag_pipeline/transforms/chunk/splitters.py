"""Where a block that is too long may be cut, one function per kind of structure.

Belongs here: functions from a span of text to the positions inside it where the next part may begin.
Does not belong here: token counts; whether and how far to cut is decided in `units.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from rag_pipeline.parsing.table_heads import header_count, joined_names
from rag_pipeline.transforms.chunk.markup_tables import marked_names, marked_row_cuts, marked_table

# Wider lines are paragraphs, each on its own.
LONGEST_WRAPPED_LINE_CHARS = 200
# Column names stand at the top or there are none.
HEADER_ROW_SEARCH_CHARS = 4_000
# Enough for the usual shape of a column to show.
HEADER_SAMPLE_ROWS = 12

_LIST_MARKER = re.compile(
    r"^(?P<indent>[ \t]*)(?:[-*+•‣◦\u2013]|\(?(?:\d{1,9}|[a-zA-Z]|[ivxIVX]{1,5})[.)])[ \t]", re.MULTILINE
)
_BLANK_LINE = re.compile(r"\n[ \t]*(?=\n)")
_BLANK_QUOTE_LINE = re.compile(r"\n[ \t]*(?:>[ \t]*)*(?=\n)")
_RULE_ROW_CHARACTERS = frozenset(" \t|:+-=")
CELL_EDGE = re.compile(r"\t|(?<!\\)\|(?=[ \t])")
"""What parts the cells of a row: a tab, or a bar that is not escaped."""
_GRID_BORDER = re.compile(r"\+[-=+:]+\+")
_CLOSES_A_STATEMENT = re.compile(
    r"[)\]}>,]|\*/|```|~~~|(?:end|else|elif|elsif|except|rescue|finally|ensure|catch|then|do|done|fi|esac)\b"
)
_BELONGS_TO_NEXT_LINE = re.compile(r"#(?!!)|//|/\*|\*|--|@|```|~~~|\[\[?\w|template\b")


def list_item_cuts(text: str, start: int, end: int) -> list[int]:
    """Before each outermost item but the first; nested items stay with theirs."""
    items = [
        (match.start(), indent_of(match["indent"]))
        for match in _LIST_MARKER.finditer(text, start, end)
        if match.start() > start
    ]
    outermost = min((indent for _, indent in items), default=0)
    return [position for position, indent in items if indent == outermost]


def list_marker(line: str) -> bool:
    """Whether a line opens an item of a list."""
    return _LIST_MARKER.match(line) is not None


def paragraph_cuts(text: str, start: int, end: int) -> list[int]:
    """At blank lines."""
    return [match.end() for match in _BLANK_LINE.finditer(text, start, end)]


def unwrapped_line_cuts(text: str, start: int, end: int) -> list[int]:
    """At line ends beside a line too long to have been wrapped: there a line end is a paragraph's end."""
    cuts: list[int] = []
    is_long = _line_end(text, start, end) - start > LONGEST_WRAPPED_LINE_CHARS
    for position, line in _lines_after_first(text, start, end):
        is_previous_long, is_long = is_long, len(line) > LONGEST_WRAPPED_LINE_CHARS
        if is_previous_long or is_long:
            cuts.append(position)
    return cuts


def quote_cuts(text: str, start: int, end: int) -> list[int]:
    """At lines that hold nothing but quote marks."""
    return [match.end() for match in _BLANK_QUOTE_LINE.finditer(text, start, end)]


def line_cuts(text: str, start: int, end: int) -> list[int]:
    """Before each line but the first."""
    return [position for position, _ in _lines_after_first(text, start, end)]


def row_cuts(text: str, start: int, end: int) -> list[int]:
    """Before each row of a table; header row, rule and first row stay together."""
    first_line = text[start : _line_end(text, start, end)].strip()
    if kind := marked_table(first_line):
        return marked_row_cuts(kind, [(start, first_line), *_lines_after_first(text, start, end)])
    if _GRID_BORDER.fullmatch(first_line):
        return _grid_row_cuts(text, start, end)
    cuts: list[int] = []
    previous = first_line
    is_head = True
    for position, line in _lines_after_first(text, start, end):
        is_cut = not (_is_rule(line) or (is_head and _is_rule(previous)))
        is_head = is_head and not is_cut
        if is_cut:
            cuts.append(position)
        previous = line
    return cuts


def _grid_row_cuts(text: str, start: int, end: int) -> list[int]:
    """Below the borders between rows; a row of a drawn grid can be several lines."""
    cuts: list[int] = []
    is_below_border = False
    for position, line in _lines_after_first(text, start, end):
        if is_below_border:
            cuts.append(position)
        is_below_border = "=" not in line and _GRID_BORDER.fullmatch(line.strip()) is not None
    return cuts


def cell_cuts(text: str, start: int, end: int) -> list[int]:
    """Before each cell but the first of rows of tab-parted or bar-parted cells."""
    return [match.end() for match in CELL_EDGE.finditer(text, start, end) if start < match.end() < end]


def header_row(text: str, start: int, end: int) -> str:
    """The rows of a table that name its columns, white space collapsed; empty if it begins with data."""
    end = min(end, start + HEADER_ROW_SEARCH_CHARS)
    first_line = text[start : _line_end(text, start, end)]
    if "\t" in first_line:
        lines = text[start:end].split("\n", HEADER_SAMPLE_ROWS)[:HEADER_SAMPLE_ROWS]
        count = header_count([line.split("\t") for line in lines])
        return _column_names([line.split("\t") for line in lines[:count]])
    if kind := marked_table(first_line):
        return marked_names(kind, [(start, first_line), *_lines_after_first(text, start, end)])
    for line in chain((first_line,), (line for _, line in _lines_after_first(text, start, end))):
        if line.strip() and not _is_rule(line):
            return " ".join(line.split())
    return ""


def _column_names(rows: Sequence[Sequence[str]]) -> str:
    """One row of names from all header rows: joined by column, or one after the other if they are not of one width.

    Where a row leaves out its empty cells, nothing tells which column a name stands above.
    """
    if len(set(map(len, rows))) > 1:
        return " ".join("\t".join(" ".join(cell.split()) for cell in row).strip() for row in rows)
    return "\t".join(joined_names(rows)).strip()


def _is_rule(line: str) -> bool:
    """A line that only draws: the delimiter row of a pipe table, the border of a grid."""
    return ("-" in line or "=" in line) and _RULE_ROW_CHARACTERS.issuperset(line)


def stanza_cuts(text: str, start: int, end: int) -> list[int]:
    """Code: at blank lines before a line of the outermost indentation."""
    return _code_cuts(text, start, end, after_blank_only=True)


def statement_cuts(text: str, start: int, end: int) -> list[int]:
    """Code: before each line of the outermost indentation below the first line.

    Lines that close or continue a statement stay with it; comments and decorators stay with what follows.
    """
    return _code_cuts(text, start, end, after_blank_only=False)


def _code_cuts(text: str, start: int, end: int, *, after_blank_only: bool) -> list[int]:
    lines = [(position, line) for position, line in _lines_after_first(text, start, end) if line.strip()]
    outermost = min((indent_of(line) for _, line in lines), default=0)
    cuts: list[int] = []
    glued = _BELONGS_TO_NEXT_LINE.match(text[start : _line_end(text, start, end)].lstrip()) is not None
    for position, line in lines:
        if indent_of(line) != outermost:
            continue
        code = line.lstrip()
        follows_blank = _is_blank_before(text, start, position)
        if (follows_blank or not (after_blank_only or glued)) and not _CLOSES_A_STATEMENT.match(code):
            cuts.append(position)
        glued = _BELONGS_TO_NEXT_LINE.match(code) is not None
    return cuts


def _is_blank_before(text: str, start: int, position: int) -> bool:
    line_start = text.rfind("\n", start, position - 1) + 1
    return not text[max(line_start, start) : position].strip()


def _lines_after_first(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    position = _line_end(text, start, end) + 1
    while position < end:
        stop = _line_end(text, position, end)
        yield position, text[position:stop]
        position = stop + 1


def _line_end(text: str, start: int, end: int) -> int:
    stop = text.find("\n", start, end)
    return end if stop < 0 else stop


def indent_of(line: str) -> int:
    """Columns of leading white space."""
    expanded = line.expandtabs(4)
    return len(expanded) - len(expanded.lstrip())
