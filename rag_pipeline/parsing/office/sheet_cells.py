"""Cells straight from the XML of worksheets (XLSX): what no library could hold, and what it does not tell.

Belongs here: worksheet parts, their bounding box, sparse reading row by row, and remarks beside the cells.
Does not belong here: what rows become (`xlsx`), OpenDocument (`ods_cells`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from rag_pipeline.parsing.containers.archives import (
    Archive,
    child,
    local_name,
    related,
    relations,
    xml_root,
)
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.office.drawings import drawn_paragraphs
from rag_pipeline.parsing.office.sheet_view import STRUCK, Place, column_number
from rag_pipeline.parsing.office.xlsb_look import binary_comments

if TYPE_CHECKING:
    from lxml.etree import _Element

# More rows than any sheet has (1,048,576).
MAX_POSITION = 10_000_000
# Below this bound strings need no counting.
SHARED_CHARS_UNSEEN = 200_000_000

_CELL = re.compile(rb"""<(?:\w+:)?c\s[^<>]*?\br=["']([A-Za-z]{1,3})(\d{1,7})["']""")
_ANY_CELL = re.compile(rb"<(?:\w+:)?c[\s/>]")
_REFERENCE = re.compile(r"([A-Za-z]{1,3})(\d{1,7})$")
_IS_STRING = re.compile(rb"""\st=["']s["']""")
# A cell with the number of its string.
_ANY_STRING = re.compile(rb"(<(?:\w+:)?c\s[^<>]*)>\s*<(?:\w+:)?v>\s*(\d{1,9})\s*<")
_STRING_CELL = re.compile(rb"""<(?:\w+:)?c\s[^<>]*?\bt=["']s["'][^<>]*>\s*<(?:\w+:)?v>\s*(\d{1,9})""")


def sheet_parts(archive: Archive) -> list[tuple[str, str]]:
    """(name, member) of the worksheets, in the workbook's order."""
    mains = related(archive, "", "officeDocument") or [n for n in ("xl/workbook.xml",) if n in archive.names]
    if not mains or mains[0].endswith(".bin"):
        return []
    by_id = relations(archive, mains[0])
    parts: list[tuple[str, str]] = []
    for element in archive.xml(mains[0]).iter("{*}sheet"):
        for key, value in element.attrib.items():
            kind, member = by_id.get(str(value), ("", ""))
            if not str(key).endswith("}id") or kind != "worksheet":
                continue
            if member in archive.names:
                parts.append((element.get("name") or "", member))
            else:
                archive.note_unread(member)
    return parts


def area_cells(sheet: bytes, address: str) -> int:
    """Cells of the rectangle that spans all cells of a worksheet's XML."""
    found = _CELL.findall(sheet)
    if not found or len(found) != len(_ANY_CELL.findall(sheet)):
        # Cells without a reference or in an unusual spelling: slower, but it sees what any reader sees.
        return _area_of(_positions(xml_root(sheet, address)))
    rows = [int(row) for row in {row for _, row in found}]
    columns = [_column_number(column.decode("ascii")) for column in {column for column, _ in found}]
    return _area_of([(min(rows), min(columns)), (max(rows), max(columns))])


def _area_of(positions: Iterable[tuple[int, int]]) -> int:
    first_row = first_column = MAX_POSITION
    last_row = last_column = 0
    for row, column in positions:
        first_row, last_row = min(first_row, row), max(last_row, row)
        first_column, last_column = min(first_column, column), max(last_column, column)
    return (last_row - first_row + 1) * (last_column - first_column + 1) if last_row else 0


def _positions(sheet: _Element) -> Iterator[tuple[int, int]]:
    """(row, column), from 1, of each cell; one without a reference follows the one before it."""
    row = 0
    for element in sheet.iter("{*}row"):
        row = row_number(element, row)
        column = 0
        for cell in element.iterchildren("{*}c"):
            match = _REFERENCE.match(cell.get("r") or "")
            at, column = (int(match.group(2)), _column_number(match.group(1))) if match else (row, column + 1)
            yield at, column


def shared_chars(archive: Archive, sheets: list[bytes]) -> int:
    """Characters, at least, that the cells of worksheets draw from the table of shared strings.

    A long string that many cells share costs a file nothing, and a reader its memory.
    """
    lengths: list[int] = []
    for member in archive.names:
        if member.lower().endswith("sharedstrings.xml"):
            lengths = [len(item) for item in archive.read(member).split(b"</si>")]
    cells = sum(sheet.count(b'"s"') + sheet.count(b"'s'") for sheet in sheets)
    if max(lengths, default=0) * cells < SHARED_CHARS_UNSEEN:
        return 0
    counts = Counter(int(number) for sheet in sheets for number in _STRING_CELL.findall(sheet))
    return sum(lengths[index] * count for index, count in counts.items() if index < len(lengths))


def sparse_sheets(archive: Archive, parts: list[tuple[str, str]]) -> Iterator[tuple[str, list[list[str]], list[int]]]:
    """Name, rows and their numbers, from 1, of sheets with only the cells that hold something.

    Gaps between columns close, those between rows are one blank row, and dates stay numbers.
    """
    strings: list[str] = []
    for member in archive.names:
        if member.lower().endswith("sharedstrings.xml"):
            strings = [_string(item) for item in archive.xml(member)]
    for name, member in parts:
        rows: list[list[str]] = []
        numbers: list[int] = []
        for row in archive.xml(member).iter("{*}row"):
            before = numbers[-1] if numbers else 0
            # A number that is not above the one before it would put two rows into one line.
            number = max(row_number(row, before), before + 1)
            if number > before + 1:
                rows.append([])
                numbers.append(number - 1)
            rows.append([value for cell in row if (value := _cell_value(cell, strings))])
            numbers.append(number)
        yield name, rows, numbers


def row_number(row: _Element, before: int) -> int:
    """Number, from 1, of a row of XML; one that says none follows the one before it."""
    said = row.get("r") or ""
    return int(said) if said.isdecimal() and len(said) < 8 else before + 1


def sheet_remarks(archive: Archive, parts: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Comments and texts of drawn shapes, by name of the sheet they belong to.

    Args:
        parts: As `sheet_parts` gives them.
    """
    found: dict[str, list[str]] = {}
    for sheet, member in parts:
        lines: dict[str, None] = {}
        for kind, name in relations(archive, member).values():
            if kind == "comments" and name.endswith(".bin"):
                comments = binary_comments(archive.read_if_there(name) or b"")
                lines |= dict.fromkeys(remark_line(*comment) for comment in comments)
                continue
            root = archive.spare_xml(name) if kind in ("comments", "threadedComment", "drawing") else None
            if root is None:
                continue
            if kind == "drawing":
                lines |= dict.fromkeys(_drawn(archive, name, root))
                continue
            authors = [" ".join((item.text or "").split())[:100] for item in root.iter("{*}author")]
            for comment in root.iter("{*}comment", "{*}threadedComment"):
                said = " ".join("".join(item.text or "" for item in comment.iter("{*}t", "{*}text")).split())
                # Excel writes what a thread says a second time, after a notice for older programs.
                if said and not said.startswith("[Threaded comment]"):
                    number = comment.get("authorId") or ""
                    known = number.isdecimal() and len(number) < 6 and int(number) < len(authors)
                    lines[remark_line(comment.get("ref") or "a cell", authors[int(number)] if known else "", said)] = (
                        None
                    )
        if lines:
            found[sheet] = list(lines)
    return found


def remark_line(cell: str, author: str, said: str) -> str:
    """A comment on a cell as a line, with who made it where the comment does not begin with that."""
    said = " ".join(said.split())
    by = f" by {author}" if author and not said.startswith((author, "tc=")) and not author.startswith("tc=") else ""
    return clean_text(f"Comment on {cell}{by}: {said}")


def struck_strings(archive: Archive) -> dict[bytes, str]:
    """Of the shared strings that are struck through in part what is left, by their number."""
    found: dict[bytes, str] = {}
    for member in archive.names:
        if not member.lower().endswith("sharedstrings.xml") or b"strike" not in (written := archive.read(member)):
            continue
        for number, item in enumerate(archive.xml_of(member, written)):
            if (left := _left_of(item)) is not None:
                found[str(number).encode()] = left
    return found


def _left_of(item: _Element) -> str | None:
    """What is left of a string some of whose runs are struck through; None where none is."""
    runs = list(item.iterchildren("{*}r"))
    left = [run for run in runs if not _is_struck(run)]
    return "".join(map(_string, left)).strip() if len(left) < len(runs) else None


def _is_struck(run: _Element) -> bool:
    properties = child(run, "rPr")
    strike = child(properties, "strike") if properties is not None else None
    return strike is not None and strike.get("val") not in ("0", "false")


def struck_cells(sheet: bytes, strings: Mapping[bytes, str], address: str) -> dict[Place, str]:
    """What is left of the cells of a worksheet that show such strings, or have some of their own, for `View.codes`."""
    found: dict[Place, str] = {}
    if b"inlineStr" in sheet and b"strike" in sheet:
        for cell in xml_root(sheet, address).iter("{*}c"):
            place = _REFERENCE.match(cell.get("r") or "")
            own = child(cell, "is")
            if place and own is not None and (left := _left_of(own)) is not None:
                found[int(place[2]) - 1, _column_number(place[1]) - 1] = STRUCK + left
    for cell in _ANY_STRING.finditer(sheet) if strings else ():
        is_string = _IS_STRING.search(cell[1]) is not None
        if is_string and cell[2] in strings and (at := _CELL.match(cell.group())) is not None:
            found[int(at[2]) - 1, column_number(at[1].upper())] = STRUCK + strings[cell[2]]
    return found


def _drawn(archive: Archive, name: str, drawing: _Element) -> Iterator[str]:
    """Texts of shapes and titles of charts; the numbers of charts stand in cells already."""
    texts = list(drawing.iter("{*}txBody"))
    for chart in related(archive, name, "chart"):
        root = archive.spare_xml(chart)
        texts += root.iter("{*}title") if root is not None else ()
    for body in texts:
        for _, text in drawn_paragraphs(body):
            yield text


def _cell_value(cell: _Element, strings: list[str]) -> str:
    if cell.get("t") == "inlineStr":
        return _string(cell)
    value = child(cell, "v")
    text = (value.text or "") if value is not None else ""
    if cell.get("t") == "s":
        return strings[int(text)] if text.isdecimal() and int(text) < len(strings) else ""
    return text


def _string(item: _Element) -> str:
    """Text of a string of several runs, without the readings that Japanese has beside it."""
    return "".join(text.text or "" for text in item.iter("{*}t") if local_name(text.getparent()) != "rPh")


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number
