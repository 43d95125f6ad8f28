"""What a chunk that begins inside a block has to be told: the items above it, the names of its columns.

Belongs here: reading that out of a block's own text.
Does not belong here: whether it fits (`headers.py`), and where blocks are cut (`units.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rag_pipeline.transforms.chunk.inner import inner_tables, without_quote_marks
from rag_pipeline.transforms.chunk.splitters import CELL_EDGE, header_row, indent_of, list_marker
from rag_pipeline.transforms.chunk.units import Unit

MAX_LINE_CHARS = 160
"""Of a longer item its beginning names it."""
# A name or a number; longer first cells are prose.
MAX_KEY_CHARS = 80

# Names are short; what is longer is text with a colon.
SHORT_NAME_CHARS = 80

_NAME_OF_OTHERS = re.compile(r"[ \t]*(?:- )*[^\s:#][^:\n]{0,100}:(?=[ \t]*(?:[|>&][^\n]{0,20})?$)|\[[^\]\n]{1,100}\]+")
_OWN_NAME = re.compile(r"[ \t]*(?:- )*[^\s:#][^:\n]{0,100}:(?=\s)")
_FENCE = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])?[ \t]*(?:```|~~~)")
_SPEAKER = re.compile(r"(?:\[[^\]\n]{1,40}\] )?[^\n:]{1,80}:(?=\s)|\[[^\]\n]{1,40}\](?=\s)")


def contexts(text: str, units: Sequence[Unit]) -> dict[int, tuple[str, ...]]:
    """Per unit that begins inside its block, by index: lines to stand above its text, outermost first."""
    found: dict[int, tuple[str, ...]] = {}
    start = 0
    while start < len(units):
        block = units[start].block
        stop = start
        while stop < len(units) and units[stop].block is block:
            stop += 1
        if block.kind in ("list", "quote") and stop - start > 1:
            above = _with_column_names(text, units[start:stop], _items_above(text, units[start:stop]))
            found.update(zip(range(start, stop), above, strict=True))
        elif block.kind == "field" and (stop - start > 1 or block.label):
            found.update(zip(range(start, stop), _names_above(text, units[start:stop]), strict=True))
        elif block.kind == "table" and stop - start > 1:
            names = header_row(text, block.start_char, block.end_char)
            found.update({at: _columns(text, units[at], names) for at in range(start + 1, stop)})
        elif block.kind == "cue" and stop - start > 1 and (match := _SPEAKER.match(text, block.start_char)):
            found.update(dict.fromkeys(range(start + 1, stop), (match.group(),)))
        start = stop
    return found


def _with_column_names(text: str, units: Sequence[Unit], above: Iterator[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """What stands above each unit, and the names of the columns of the table that it begins within."""
    tables = iter(inner_tables(text, units[0].block.start_char, units[0].block.end_char))
    table = next(tables, None)
    for unit, lines in zip(units, above, strict=True):
        while table is not None and table.end_char <= unit.start_char:
            table = next(tables, None)
        is_within = table is not None and table.rows and table.rows[0] <= unit.start_char
        yield (*lines, table.names) if table is not None and is_within else lines


def _items_above(text: str, units: Sequence[Unit]) -> Iterator[tuple[str, ...]]:
    """For each unit of one list, or quote of lists, the first lines of the items that it lies in."""
    block = units[0].block
    bare = without_quote_marks if block.kind == "quote" else str
    open_items: list[tuple[int, str]] = []
    position = block.start_char - _lead(text, block.start_char)
    in_fence = False
    for unit in units:
        while True:
            stop = text.find("\n", position, block.end_char)
            stop = block.end_char if stop < 0 else stop
            if stop >= unit.start_char:
                break
            in_fence = _enter(bare(text[position:stop]), open_items, in_fence)
            position = stop + 1
        before, line = bare(text[position : unit.start_char]), bare(text[position:stop])
        indent = indent_of(line)
        if before.strip():
            inner = [*open_items]
            _enter(line, inner, in_fence)
        else:
            inner = [item for item in open_items if item[0] < indent]
        yield tuple(shown for _, shown in inner) if unit.start_char > block.start_char else ()


def _names_above(text: str, units: Sequence[Unit]) -> Iterator[tuple[str, ...]]:
    """For each unit of one field the names that its first line lies below: those indented less, and `[section]`."""
    block = units[0].block
    position = block.start_char - _lead(text, block.start_char)
    open_names: list[tuple[int, str]] = []
    for unit in units:
        if unit.start_char == block.start_char:
            # Further parts of a long list are fields of their own, with its name.
            # What opens with its own name, as a rule of it does, says it.
            opening = text[block.start_char : block.start_char + MAX_LINE_CHARS].partition("\n")[0]
            yield (f"{block.label}:",) if block.label and block.label not in opening else ()
            continue
        while (stop := text.find("\n", position, block.end_char)) >= 0 and stop < unit.start_char:
            _enter_name(text[position:stop], open_names)
            position = stop + 1
        line = text[position : block.end_char if stop < 0 else stop]
        if text[position : unit.start_char].strip():
            # Within a line, whose name comes first.
            own = _OWN_NAME.match(line)
            above = [shown for depth, shown in open_names if depth < _depth(line)]
            yield (*above, shortened(own.group().strip(), SHORT_NAME_CHARS)) if own else tuple(above)
        else:
            yield tuple(shown for depth, shown in open_names if depth < _depth(line))


def _enter_name(line: str, open_names: list[tuple[int, str]]) -> None:
    """Close the names that end before `line`, and open its own."""
    if not line.strip():
        return
    depth = _depth(line)
    while open_names and open_names[-1][0] >= depth:
        open_names.pop()
    if match := _NAME_OF_OTHERS.match(line):
        open_names.append((depth, shortened(match.group().strip(), SHORT_NAME_CHARS)))


def _depth(line: str) -> int:
    """How deep a line lies: an item lies below the name above it that is as far indented; all below a `[section]`."""
    if line.startswith("["):
        return -1
    return 2 * indent_of(line) + line.lstrip().startswith(("- ", "-\t"))


def _lead(text: str, start: int) -> int:
    """White space between the start of the line and `start`; 0 if there is anything else."""
    line_start = text.rfind("\n", max(0, start - MAX_LINE_CHARS), start) + 1
    return start - line_start if not text[line_start:start].strip() else 0


def _enter(line: str, open_items: list[tuple[int, str]], in_fence: bool) -> bool:
    """Close the items that end before `line`, open its own; whether the next line is code."""
    is_fence = _FENCE.match(line) is not None
    if not in_fence and list_marker(line):
        indent = indent_of(line)
        while open_items and open_items[-1][0] >= indent:
            open_items.pop()
        open_items.append((indent, shortened(line.rstrip())))
    return in_fence != is_fence


def shortened(line: str, limit_chars: int = MAX_LINE_CHARS) -> str:
    """The beginning of `line`, cut at a word where it is longer than the limit."""
    if len(line) <= limit_chars:
        return line
    head = line[:limit_chars]
    return (head.rpartition(" ")[0].rstrip() or head) + " …"


def _columns(text: str, unit: Unit, names: str) -> tuple[str, ...]:
    """The header row; for a part of a row its columns' names and, below, the row's first cell."""
    block = unit.block
    if "\n" not in text[block.start_char : unit.start_char]:
        return ()
    if not unit.is_row_part:
        return (names,) if names else ()
    before = text[text.rfind("\n", 0, unit.start_char) + 1 : unit.start_char]
    titles, cells = _cells(names), _cells(f"{before}…")
    first = max(1, len(cells) - 1)
    shown = titles[first : first + len(_cells(text[unit.start_char : unit.end_char]))]
    mark = "\t" if "\t" in names else " | "
    row_key = shortened(cells[0], MAX_KEY_CHARS) if before.strip() else ""
    return tuple(line for line in (mark.join([*titles[:1], *shown]).strip(), row_key) if line)


def _cells(line: str) -> list[str]:
    if line.startswith("|"):
        line = line[1:].rstrip().removesuffix("|")
    return [" ".join(cell.split()) for cell in CELL_EDGE.split(line)]
