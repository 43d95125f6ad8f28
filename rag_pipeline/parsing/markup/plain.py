"""Plain text: paragraphs between blank lines, headings only where they are unmistakable.

Belongs here: paragraphs, underlined, numbered and capital headings, lists, timed speakers.
Does not belong here: any markup language.
"""

from __future__ import annotations

import re

from rag_pipeline.contracts.documents import Block, ParsedDocument
from rag_pipeline.parsing.builder import LineTable, one_line
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import read_text

VERSION = "1"

_UNDERLINE = re.compile(r"={3,}|-{3,}|~{3,}|\*{3,}")
_NUMBERED = re.compile(
    r"(?:(?:chapter|section|part|book|article|appendix)\s+)?(\d{1,2}(?:\.\d{1,2}){0,4})[.):]?\s+\S", re.I
)
_NAMED = re.compile(r"(?:chapter|section|part|book|appendix)\s+(?:\d{1,3}|[ivxlc]{1,7}|[a-z])\b[.:]?", re.I)
_BULLET = re.compile(r"\s*(?:[-*\u2022\u2023\u25e6\u00b7\u2013]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
_TURN = re.compile(r"[\[(]?\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?[\])]?\s*+[-\u2013]?\s*+([^\W\d_][^:\n]{0,40}):\s")
# Two people who say something twice; fewer names before colons are a list.
_MIN_TURNS = 4
# One line of an 80 column text.
_MAX_HEADING_CHARS = 80
# Nobody wraps so wide: each line is a paragraph.
_UNWRAPPED_LINE_CHARS = 300
# Wider than wrapped text, so what follows begins anew.
_LONG_LINE_CHARS = 140
# Fewer numbers in order are a list, or chance.
_MIN_NUMBERED_HEADINGS = 3
_LEVELS = {"=": 1, "*": 1, "-": 2, "~": 3}


def parse_plain(raw: bytes, _context: ParseContext) -> list[ParsedDocument]:
    """One document whose text is the source. Raises UndecodableBytes."""
    return [plain_document(read_text(raw))]


def plain_document(text: str) -> ParsedDocument:
    """The document of clean plain `text`. Its title is a heading that it begins with, but no chapter number."""
    blocks = plain_blocks(text)
    title = blocks[0].label if blocks and blocks[0].kind == "heading" else None
    if title and (_NUMBERED.match(title) or _NAMED.match(title)):
        title = None
    return ParsedDocument(text=text, blocks=blocks, title=title)


def plain_blocks(text: str) -> tuple[Block, ...]:
    """Blocks of clean plain `text`: headings, lists and paragraphs; turns of a plain transcript."""
    table = LineTable(text)
    turns = _turns(table.lines)
    if turns:
        ends = [*(first for first, _ in turns[1:]), len(table.lines)]
        cues = (table.block("cue", first, end, label=name) for (first, name), end in zip(turns, ends, strict=True))
        lead = table.block("paragraph", 0, turns[0][0])
        return tuple(block for block in (lead, *cues) if block is not None)
    groups = _groups(table.lines)
    numbered = _numbered_headings(table.lines, groups)
    blocks: list[Block | None] = []
    for first, end in groups:
        body = first
        level = _underlined(table.lines, first, end)
        if level:
            body = first + 2
            label = one_line(table.lines[first])
            blocks.append(table.block("heading", first, body, level, label))
        elif end - first == 1 and (level := numbered.get(first) or _capitals(table.lines[first])):
            body = end
            blocks.append(table.block("heading", first, end, level, one_line(table.lines[first])))
        if body < end:
            blocks += _body(table, body, end)
    found = [block for block in blocks if block is not None]
    if all(block.kind == "heading" for block in found):
        return tuple(Block("paragraph", b.start_char, b.end_char, line=b.line) for b in found)
    return tuple(found)


def _turns(lines: list[str]) -> list[tuple[int, str]]:
    """(line, speaker) of each `[00:01:02] Name: ...` line, if most lines of the text are such."""
    found = [(number, match.group(1).strip()) for number, line in enumerate(lines) if (match := _TURN.match(line))]
    written = sum(1 for line in lines if line.strip())
    return found if len(found) >= _MIN_TURNS and 2 * len(found) >= written else []


def _body(table: LineTable, first: int, end: int) -> list[Block | None]:
    if _is_list(table.lines, first, end):
        return [table.block("list", first, end)]
    if end - first == 1 or max(map(len, table.lines[first:end])) < _UNWRAPPED_LINE_CHARS:
        return [table.block("paragraph", first, end)]
    # Lines this long are not wrapped by hand: each is a paragraph, and short ones in a row are one.
    blocks: list[Block | None] = []
    start = first
    for line in range(first, end):
        if len(table.lines[line]) > _LONG_LINE_CHARS:
            blocks += [table.block("paragraph", start, line), table.block("paragraph", line, line + 1)]
            start = line + 1
    return [*blocks, table.block("paragraph", start, end)]


def _groups(lines: list[str]) -> list[tuple[int, int]]:
    """Runs `[first, end)` of lines that are not blank."""
    groups: list[tuple[int, int]] = []
    first: int | None = None
    for number, line in enumerate(lines):
        if line.strip():
            if first is None:
                first = number
        elif first is not None:
            groups.append((first, number))
            first = None
    if first is not None:
        groups.append((first, len(lines)))
    return groups


def _underlined(lines: list[str], first: int, end: int) -> int:
    """Level of a heading that is underlined by a rule of about its own length, else 0."""
    if end - first < 2:
        return 0
    title, rule = lines[first].strip(), lines[first + 1].strip()
    if not _UNDERLINE.fullmatch(rule) or not _may_be_heading(title):
        return 0
    return _LEVELS[rule[0]] if abs(len(rule) - len(title)) <= max(3, len(title) // 3) else 0


def _numbered_headings(lines: list[str], groups: list[tuple[int, int]]) -> dict[int, int]:
    """Line number -> level of single numbered lines, if the document has several of them in order."""
    found: list[tuple[int, int, tuple[int, ...]]] = []
    for first, end in groups:
        line = lines[first].strip()
        if end - first != 1 or not _may_be_heading(line):
            continue
        match = _NUMBERED.match(line)
        if match:
            number = tuple(int(piece) for piece in match.group(1).split("."))
            found.append((first, len(number), number))
        elif _NAMED.match(line):
            found.append((first, 1, ()))
    numbers = [number for _, _, number in found if number]
    if len(found) < _MIN_NUMBERED_HEADINGS or numbers != sorted(numbers):
        return {}
    return {first: level for first, level, _ in found}


def _capitals(line: str) -> int:
    """1 for a short line in capitals only, such as "SYNOPSIS"; else 0."""
    text = line.strip()
    letters = [character for character in text if character.isalpha()]
    if len(letters) < 4 or not _may_be_heading(text) or text != text.upper() or text == text.lower():
        return 0
    return 1 if len(letters) >= 0.6 * len(text.replace(" ", "")) else 0


def _may_be_heading(text: str) -> bool:
    return 0 < len(text) <= _MAX_HEADING_CHARS and text[-1] not in ".,;!\"'" and any(map(str.isalpha, text))


def _is_list(lines: list[str], first: int, end: int) -> bool:
    starts = sum(1 for line in lines[first:end] if _BULLET.match(line))
    return starts >= 2 and bool(_BULLET.match(lines[first]))
