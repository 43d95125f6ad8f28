"""Tables that markup writes with marks of its own: MediaWiki, AsciiDoc, and directives of reStructuredText.

Belongs here: where their rows begin, and the row that names their columns.
Does not belong here: rows of tab-parted and bar-parted cells, and drawn grids (`splitters.py`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence

Lines = Sequence[tuple[int, str]]
"""Where each line begins, and the line."""

# What may stand before the first row: a caption, options, widths of columns.
HEAD_LINES = 40
# With what it says of the cell's look.
MAX_NAME_CHARS = 500

_ADOC_FENCE = re.compile(r"[|,:!]={3,}\s*$")
_ADOC_CELL = re.compile(r"(?:\d+\*)?(?:\d*\.?\d+\+)?[<^>]?(?:\.[<^>])?[aehlmsvd]?\|")
_DIRECTIVE = re.compile(r"\s*\.\.\s+(list|csv)-table::")
_LIST_ROW = re.compile(r"\s*\*\s+-(?:\s|$)")
_LIST_CELL = re.compile(r"\s*(?:\*\s+)?-(?:\s+|$)(.*)")
_OPTION = re.compile(r"\s*:([\w-]+):\s*(.*)")


def marked_table(first_line: str) -> str:
    """The kind of markup that a table begins with: `mediawiki`, `asciidoc`, `list`, `csv`; "" for any other."""
    line = first_line.strip()
    if line.startswith("{|"):
        return "mediawiki"
    if _ADOC_FENCE.match(line) or (line.startswith("[") and line.endswith("]")) or re.match(r"\.\w", line):
        return "asciidoc"
    directive = _DIRECTIVE.match(line)
    return directive[1] if directive else ""


def marked_row_cuts(kind: str, lines: Lines) -> list[int]:
    """Before each row but the first; the rows that name columns stay with what stands before them."""
    is_row: Callable[[str], bool] = {
        "mediawiki": lambda line: line.lstrip().startswith("|-"),
        "asciidoc": lambda line: _ADOC_CELL.match(line.lstrip()) is not None and not _ADOC_FENCE.match(line.strip()),
        "list": lambda line: _LIST_ROW.match(line) is not None,
        "csv": lambda line: bool(line.strip()) and _OPTION.match(line) is None,
    }[kind]
    rows = [number for number, (_, line) in enumerate(lines) if number and is_row(line)]
    if kind == "asciidoc":
        # A cell to a line, and a blank line between two rows.
        apart = [number for number in rows if not lines[number - 1][1].strip()]
        rows = apart if 2 * len(apart) > len(rows) / max(1, _most_cells(lines, rows)) and len(apart) > 1 else rows
    heads = _head_end(kind, lines)
    return [lines[number][0] for number in rows if number > heads][1 if kind in ("list", "csv") else 0 :]


def marked_names(kind: str, lines: Lines) -> str:
    """The names of the columns, parted by bars; empty where no row says them."""
    written = [line for _, line in lines[: _head_end(kind, lines) + 1]]
    if kind == "mediawiki":
        cells = [cell for line in written if line.lstrip().startswith("!") for cell in _wiki_cells(line)]
    elif kind == "asciidoc":
        cells = _adoc_names([line for _, line in lines[:HEAD_LINES]])
    elif kind == "list":
        cells = _list_names([line for _, line in lines[:HEAD_LINES]])
    else:
        cells = _csv_names([line for _, line in lines[:HEAD_LINES]])
    return " | ".join(" ".join(cell.split()) for cell in cells if cell.strip())


def _head_end(kind: str, lines: Lines) -> int:
    """Number of the last line that belongs to the head of the table."""
    if kind != "mediawiki":
        return 0
    named = [number for number, (_, line) in enumerate(lines[:HEAD_LINES]) if line.lstrip().startswith("!")]
    # Names of rows begin with the same mark, below the first row of data.
    first_data = next(
        (number for number, (_, line) in enumerate(lines) if re.match(r"\s*\|(?![-+}])", line)), len(lines)
    )
    return max((number for number in named if number < first_data), default=0)


def _wiki_cells(line: str) -> list[str]:
    cells = re.split(r"!!|\|\|", line.strip().removeprefix("!"))
    return [re.sub(r"^[^|\[\]{}]*=[^|\[\]{}]*\|(?!\|)", "", cell[:MAX_NAME_CHARS]) for cell in cells]


def _most_cells(lines: Lines, rows: Sequence[int]) -> int:
    """How many lines of cells stand together at most."""
    most = together = 0
    known = set(rows)
    for number in rows:
        together = together + 1 if number - 1 in known and lines[number - 1][1].strip() else 1
        most = max(most, together)
    return most


def _adoc_names(lines: Sequence[str]) -> list[str]:
    fence = next((number for number, line in enumerate(lines) if _ADOC_FENCE.match(line.strip())), None)
    if fence is None:
        return []
    options = " ".join(lines[:fence])
    content = lines[fence + 1 :]
    is_said = "header" in options
    # A row in one line with a blank line below it names the columns, if nothing else is said.
    is_shown = len(content) > 1 and bool(content[0].strip()) and not content[1].strip() and "noheader" not in options
    if not (is_said or is_shown):
        return []
    first = next((line for line in content if line.strip()), "")
    cells = _ADOC_CELL.split(first)[1:]
    if len(cells) > 1 or is_shown:
        return cells
    own = content[content.index(first) :]
    stop = next((number for number, line in enumerate(own) if not line.strip()), 0)
    return [_ADOC_CELL.sub("", line.lstrip(), count=1) for line in own[:stop]]


def _list_names(lines: Sequence[str]) -> list[str]:
    count = next((found[2] for line in lines if (found := _OPTION.match(line)) and found[1] == "header-rows"), "0")
    if not count.strip().isdecimal() or int(count) < 1:
        return []
    starts = [number for number, line in enumerate(lines) if _LIST_ROW.match(line)]
    if not starts:
        return []
    row = lines[starts[0] : starts[1] if len(starts) > 1 else len(lines)]
    return [found[1] for line in row if (found := _LIST_CELL.match(line))]


def _csv_names(lines: Sequence[str]) -> list[str]:
    options = {found[1]: found[2] for line in lines if (found := _OPTION.match(line))}
    written = options.get("header", "")
    if not written and options.get("header-rows", "0").strip() not in ("", "0"):
        written = next((line for line in lines[1:] if line.strip() and not _OPTION.match(line)), "")
    return next(csv.reader([written.strip()], skipinitialspace=True), [])
