"""CSV and its relatives: rows as documents where they are worth it, else one table.

Belongs here: finding the delimiter and the header, reading ragged rows. Does not belong here: rendering
of records (`records.py`).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence

from rag_pipeline.contracts.documents import Block, ParsedDocument
from rag_pipeline.errors import UnparsableDocument
from rag_pipeline.parsing.builder import LineTable, TextBuilder
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import read_text
from rag_pipeline.parsing.limits import check_count
from rag_pipeline.parsing.records.json_places import Placed
from rag_pipeline.parsing.records.records import (
    are_documents,
    bad_records,
    chat_document,
    is_chat,
    record_documents,
    record_id_field,
)
from rag_pipeline.parsing.table_heads import header_count
from rag_pipeline.parsing.tabular import placed_table

VERSION = "14"

_DELIMITERS = (",", "\t", ";", "|")
# Enough for the separator and the quoting to show.
_SAMPLE_LINES = 200
_HEADER_CELL = re.compile(r"[^\d\W][^,;|\t\n!?]{0,59}$|#$|(?:19|20)\d\d$")
_HINT = re.compile(r'"?sep=([^\n"])"?[ \t;,]*\n', re.I)
_NUMBER = re.compile(r"[-+]?[\d.,\s]+%?$")
_DIGITS = re.compile(r"\d+")
# Enough to tell a column of numbers from its name.
_ROWS_BELOW = 5
# A caption is a line; what is longer is a cell.
MAX_CAPTION_CHARS = 200
# Statements of accounts have ten lines or so before their rows.
MAX_LEAD_ROWS = 20
# Enough for the width of a table to show.
SAMPLE_ROWS = 10
LEAD_PART = "above the rows"
# Python's own limit would refuse a ticket with a pasted log; a missing quote ends here.
_MAX_FIELD_CHARS = 10_000_000


def parse_csv(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """One document a row if the rows have an id and prose, else one document with a table.

    A file without a header, or of one column, keeps its own text.

    Raises:
        UnparsableDocument: The rows cannot be told apart (a field longer than 10 million characters).
        UndecodableBytes, LimitExceeded.
    """
    text = read_text(raw)
    hint = _HINT.match(text)
    # Excel's own line on the delimiter is no row.
    text, above = (text[hint.end() :], 1) if hint else (text, 0)
    delimiter = hint.group(1) if hint and hint.group(1) in text else find_delimiter(text)
    numbered = _rows(text, delimiter, context.address)
    lead, numbered = numbered[: (count := _lead_count(numbered))], numbered[count:]
    rows = [row for _, row in numbered]
    if not rows or delimiter is None or not _has_header(rows):
        return [_source_document(text, above)]
    names = _names(rows[0], max(map(len, rows)))
    records = [{name: cell for name, cell in zip(names, row, strict=False) if cell.strip()} for row in rows[1:]]
    places = [line + above for line, _ in numbered[1:]]
    odd = _odd_rows(rows)
    if records and record_id_field(records) and are_documents(records):
        check_count(len(records), context.limits.max_records, "records", context.address)
        documents = record_documents(list(map(Placed, records, places)))
        for number in odd:
            documents[number - 1].metadata.update(bad_records([places[number - 1]]))
        return [*_lead_document(lead, above), *documents]
    if records and is_chat(records):
        document = chat_document(list(map(Placed, records, places)))
        document.metadata.update(_odd_facts(odd, places))
        return [*_lead_document(lead, above), document]
    builder = TextBuilder()
    caption = _add_lead(builder, lead, above)
    starts = [line for line, _ in numbered]
    builder.add(
        "table", placed_table([_shown_names(names, rows), *rows[1:]], starts), line=starts[0] + above, holds_lines=True
    )
    return [builder.build(title=caption, metadata={"row_count": str(len(rows) - 1), **_odd_facts(odd, places)})]


def _odd_rows(rows: Sequence[Sequence[str]]) -> list[int]:
    """Numbers of the rows with more or fewer cells than the names and most rows; empty ones at the end are none."""
    usual = {len(rows[0]), Counter(map(len, rows)).most_common(1)[0][0]}
    most = max(usual)
    return [
        number
        for number, row in enumerate(rows)
        if number and len(row) not in usual and (len(row) < most or any(cell.strip() for cell in row[most:]))
    ]


def _odd_facts(odd: Sequence[int], places: Sequence[int]) -> dict[str, str]:
    return bad_records([places[number - 1] for number in odd]) if odd else {}


def find_delimiter(text: str) -> str | None:
    """The delimiter that cuts the first 200 lines into the most even rows; None if no row has two cells."""
    sample = "\n".join(text.split("\n", _SAMPLE_LINES)[:_SAMPLE_LINES])
    best: tuple[float, int, str] | None = None
    for delimiter in _DELIMITERS:
        if delimiter not in sample:
            continue
        try:
            widths = Counter(
                all_widths := [len(row) for row in csv.reader(io.StringIO(sample), delimiter=delimiter) if row]
            )
        except csv.Error:
            continue
        total = sum(widths.values())
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
        # Below names of several columns, rows may have any number of cells.
        is_table = all_widths[0] > 1 and 2 * widths[1] < total
        if width < 2 or not (2 * count >= total or is_table):
            continue
        score = (round(count / total, 2), width, delimiter)
        if best is None or score[:2] > best[:2]:
            best = score
    return best[2] if best else None


def _rows(text: str, delimiter: str | None, address: str) -> list[tuple[int, list[str]]]:
    """The rows that hold something, each with the line it begins in, from 1."""
    if delimiter is None:
        return []
    previous = csv.field_size_limit(_MAX_FIELD_CHARS)
    try:
        rows: list[tuple[int, list[str]]] = []
        line = 1
        reader = csv.reader(io.StringIO(text), delimiter=delimiter)
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((line, row))
            line = reader.line_num + 1
    except csv.Error:
        raise UnparsableDocument(
            f"{address}: a field is longer than {_MAX_FIELD_CHARS:,} characters; "
            "a quotation mark is probably not closed.",
            address=address,
        ) from None
    finally:
        csv.field_size_limit(previous)
    if any(row[-1].count("\n") > 1_000 for _, row in rows):
        # An unclosed quotation mark has swallowed the rest: read every line for itself.
        single = csv.reader(text.split("\n"), delimiter=delimiter, quoting=csv.QUOTE_NONE)
        rows = [(number, row) for number, row in enumerate(single, start=1) if any(cell.strip() for cell in row)]
    return rows


def _lead_count(rows: Sequence[tuple[int, Sequence[str]]]) -> int:
    """How many first rows say what the table is, as reports of banks and meters begin: before the names of its columns.

    They are lines of one cell, or pairs of a name and a value that a blank line parts from a wider table.
    """
    counts = [sum(bool(cell.strip()) for cell in row) for _, row in rows[: MAX_LEAD_ROWS + SAMPLE_ROWS]]
    wide = next((number for number, count in enumerate(counts[: MAX_LEAD_ROWS + 1]) if count > 2), 0)
    if _is_lead(rows, counts, wide) and (max(counts[:wide]) == 1 or _has_gap(rows, wide)):
        return wide
    single = next((number for number, count in enumerate(counts[: MAX_LEAD_ROWS + 1]) if count > 1), 0)
    return single if _is_lead(rows, counts, single) else 0


def _is_lead(rows: Sequence[tuple[int, Sequence[str]]], counts: Sequence[int], count: int) -> bool:
    """Whether the first `count` rows are short, and the table below them is about as wide as its names."""
    below = counts[count : count + SAMPLE_ROWS]
    short = all(len(cell) <= MAX_CAPTION_CHARS for _, row in rows[:count] for cell in row)
    # A sum below the table has fewer cells.
    return 0 < count < len(rows) - 1 and short and 2 * sum(other >= below[0] - 1 for other in below) > len(below)


def _has_gap(rows: Sequence[tuple[int, Sequence[str]]], count: int) -> bool:
    return rows[count][0] - rows[count - 1][0] > 1 + sum(cell.count("\n") for cell in rows[count - 1][1])


def _add_lead(builder: TextBuilder, lead: Sequence[tuple[int, Sequence[str]]], above: int) -> str | None:
    """Adds the rows before the table; returns its caption, which is the first of them if that is one cell."""
    caption: str | None = None
    for number, (line, row) in enumerate(lead):
        cells = [" ".join(cell.split()) for cell in row if cell.strip()]
        if not number and len(cells) == 1:
            caption = cells[0]
            builder.add("heading", caption, level=1, line=line + above, holds_lines=True)
        else:
            builder.add("paragraph", "\t".join(cells), line=line + above, holds_lines=True)
    return caption


def _lead_document(lead: Sequence[tuple[int, Sequence[str]]], above: int) -> list[ParsedDocument]:
    """What stands before rows that are documents themselves."""
    builder = TextBuilder()
    caption = _add_lead(builder, lead, above)
    return [builder.build(title=caption, part=LEAD_PART)] if lead else []


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row holds short names, most of them distinct."""
    # A name in two lines is a name all the same.
    first = [" ".join(cell.split()) for cell in rows[0]]
    rows = [first, *rows[1:]]
    named = [column for column, cell in enumerate(first) if cell]
    distinct = {first[column] for column in named}
    if len(rows) < 2 or len(named) < 2 or 2 * len(distinct) < len(named):
        return False
    if len(distinct) < len(named) and not _are_unlike_below(rows, named):
        return False
    odd = [column for column in named if not _HEADER_CELL.match(first[column])]
    if not all(_is_odd_name(rows, column) for column in odd):
        return False
    return len(odd) < len(named) or all(_opens_oddly(rows, column) for column in odd)


def _are_unlike_below(rows: Sequence[Sequence[str]], named: Sequence[int]) -> bool:
    """Whether no name of the first row is a value of its column: names that come twice are names all the same."""
    return all(rows[0][column].strip() not in _below(rows, column) for column in named) and not all(
        _NUMBER.match(rows[0][column].strip()) for column in named
    )


def _below(rows: Sequence[Sequence[str]], column: int) -> list[str]:
    return [row[column].strip() for row in rows[1 : 1 + _ROWS_BELOW] if column < len(row)]


def _is_odd_name(rows: Sequence[Sequence[str]], column: int) -> bool:
    """Whether a first cell such as "2nd dose", "(EUR)" or "18-25" is a name: no number, and none below is like it."""
    cell = rows[0][column].strip()
    if cell[0].isalpha() or len(cell) > 60 or _NUMBER.match(cell) or any(sign in cell for sign in "\n!?"):
        return False
    return _DIGITS.sub("0", cell) not in [_DIGITS.sub("0", other) for other in _below(rows, column)]


def _opens_oddly(rows: Sequence[Sequence[str]], column: int) -> bool:
    """Whether a first cell holds letters where no cell below does, or begins as none of them begins."""
    cell = rows[0][column].strip()
    below = [other for other in _below(rows, column) if other]
    if not any(map(str.isalpha, cell)):
        return False
    kinds = [_DIGITS.sub("0", other[0]) for other in below]
    return _DIGITS.sub("0", cell[0]) not in kinds or not any(map(str.isalpha, "".join(below)))


def _names(header: Sequence[str], width: int) -> list[str]:
    """A name for each column, no two alike: its place where it has none, and a count where another has the same."""
    cells = [" ".join(cell.split()) for cell in header] + [""] * (width - len(header))
    written = set(cells)
    counts: Counter[str] = Counter()
    # A dict for its order. Two columns of one name would be one column, and the cells of the first lost.
    names: dict[str, None] = {}
    for number, cell in enumerate(cells, start=1):
        name = plain = cell or f"column {number}"
        while name in names or (name in written and name != cell):
            counts[plain] += 1
            name = f"{plain} ({counts[plain] + 1})"
        names[name] = None
    return list(names)


def _shown_names(names: list[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The names, where a second row names columns below a group: the group is that of each column without a name."""
    if len(rows) < 2 or all(cell.strip() for cell in rows[0]) or header_count([names, *rows[1 : 1 + SAMPLE_ROWS]]) < 2:
        return names
    shown = names[:1]
    for column, name in enumerate(names[1:], start=1):
        is_named = column < len(rows[0]) and rows[0][column].strip()
        is_below = column < len(rows[1]) and rows[1][column].strip()
        shown.append(name if is_named or not is_below else shown[-1])
    return shown


def _source_document(text: str, above: int) -> ParsedDocument:
    table = LineTable(text)
    block = table.block("table", 0, len(table.lines), line_offset=above)
    blocks: tuple[Block, ...] = (block,) if block else ()
    return ParsedDocument(text, blocks)
