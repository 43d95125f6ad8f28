"""Footnotes of Markdown, put below the block that first refers to them.

Belongs here: where notes are defined and referred to, and the order of lines that puts them side by side.
Does not belong here: blocks (`markdown`). Notes within a line (`^[…]`) stand where they belong already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag_pipeline.contracts.documents import Block
from rag_pipeline.parsing.builder import LineTable

MAX_NOTES = 2_000
"""More notes than this stay where they are."""

_DEFINITION = re.compile(r"^[ ]{0,3}\[\^([^\]\s]{1,100})\]:", re.M)
_REFERENCE = re.compile(r"\[\^([^\]\s]{1,100})\](?!:)")
# What else may stand below a note without a blank line between.
_OTHER_BLOCK = re.compile(
    r"[ ]{0,3}(?:#{1,6}[ \t]|```|~~~|>|[-*+][ \t]|\d{1,9}[.)][ \t])|[ ]{0,3}\[\^[^\]\s]{1,100}\]:"
)
_INDENTED = ("    ", "\t")


@dataclass(frozen=True, slots=True)
class Moved:
    """Lines in another order.

    Attributes:
        text: The lines, and blank ones between notes and what they explain.
        structure: The same of what blocks are told by.
        lines: For each line the number, from 1, that it has in the file.
    """

    text: str
    structure: str
    lines: list[int]


def unlinked(structure: str) -> str:
    """What blocks are told by, with definitions of notes as plain words: one of a word alone would be a link's."""
    return _DEFINITION.sub(lambda match: match.group().replace("[^", "x^"), structure)


def with_notes_beside(text: str, structure: str, blocks: Sequence[Block]) -> Moved | None:
    """The lines of a text with each note below the first block that refers to it; None where all stand so.

    Args:
        structure: As `unlinked` gives it.
        blocks: Those of the text, with lines of the text itself.
    """
    table = LineTable(text)
    code = [block for block in blocks if block.kind == "code"]
    notes = _notes(table, [_span(table, block) for block in code])
    if not 0 < len(notes) <= MAX_NOTES:
        return None
    taken = {line for first, end in notes.values() for line in range(first, end)}
    below: dict[int, list[tuple[int, int]]] = {}
    for block in blocks:
        first, end = _span(table, block)
        if block.kind == "code" or first in taken:
            continue
        for match in _REFERENCE.finditer(text, block.start_char, block.end_char):
            if (note := notes.get(match[1])) is not None and table.line_of(match.start()) not in taken:
                del notes[match[1]]
                # The last line of the block that is no note.
                end = next(line for line in range(end, first, -1) if line - 1 not in taken)
                if any(table.lines[line].strip() for line in range(end, note[0])):
                    below.setdefault(end, []).append(note)
    return _ordered(table.lines, structure.split("\n"), below) if below else None


def _span(table: LineTable, block: Block) -> tuple[int, int]:
    return table.line_of(block.start_char), table.line_of(block.end_char - 1) + 1


def _notes(table: LineTable, code: Sequence[tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """The first and the line after the last of each note, by its name; the first of a name counts."""
    found: dict[str, tuple[int, int]] = {}
    end = 0
    for match in _DEFINITION.finditer(table.text):
        first = table.line_of(match.start())
        if first < end or any(begin <= first < stop for begin, stop in code):
            continue
        end = _end_of_note(table.lines, first)
        found.setdefault(match[1], (first, end))
    return found


def _end_of_note(lines: Sequence[str], first: int) -> int:
    end = line = first + 1
    is_below_blank = False
    while line < len(lines):
        if not lines[line].strip():
            is_below_blank = True
        elif _ends_note(lines[line], is_below_blank):
            break
        else:
            end = line + 1
        line += 1
    return end


def _ends_note(line: str, is_below_blank: bool) -> bool:
    """Whether a line is no part of the note above it: what is below a blank line has to be indented."""
    return not line.startswith(("  ", "\t")) if is_below_blank else _OTHER_BLOCK.match(line) is not None


def _ordered(lines: Sequence[str], structure: Sequence[str], below: dict[int, list[tuple[int, int]]]) -> Moved:
    order: list[int | None] = []
    gone = {line for notes in below.values() for first, end in notes for line in range(first, end)}
    for number in range(len(lines) + 1):
        for first, end in below.get(number, ()):
            order += [None, *range(first, end), None]
        if number < len(lines):
            order.append(None if number in gone else number)
    # Further paragraphs of a note are indented, and no code.
    marked = [
        "x" + line[1:] if at in gone and line.startswith(_INDENTED) else line for at, line in enumerate(structure)
    ]
    shown: list[int] = []
    for at in order:
        shown.append(at + 1 if at is not None else shown[-1] if shown else 1)
    return Moved(
        "\n".join("" if at is None else lines[at] for at in order),
        "\n".join("" if at is None else marked[at] for at in order),
        shown,
    )
