"""Markup of Jira and of older Confluence: headings, lists, tables, code and quotes, with exact spans.

Belongs here: a small line scanner. Does not belong here: rendering of macros.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rag_pipeline.contracts.documents import Block, BlockKind, ParsedDocument
from rag_pipeline.parsing.builder import LineTable, one_line
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import read_text
from rag_pipeline.parsing.markup.struck import JIRA, without_struck
from rag_pipeline.parsing.web.hidden import hidden_counts

VERSION = "3"

_HEADING = re.compile(r"[ \t]*h([1-6])\.[ \t]+(\S.*)$")
_ITEM = re.compile(r"[ \t]*(?:[*#]{1,20}|-{1,2})[ \t]+\S")
_ROW = re.compile(r"[ \t]*\|")
_QUOTE_LINE = re.compile(r"[ \t]*bq\.[ \t]+\S")
# The same word opens and closes; with a backslash before it, it is text.
_MACRO = re.compile(r"(?<!\\)\{(code|noformat|quote)(?::[^{}\n]{0,500})?\}", re.I)
_INLINE = re.compile(r"\{\{|\}\}|\{(?:color|anchor)(?::[^{}\n]{0,100})?\}|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)")
_LINK = re.compile(r"\[(?:([^\[\]|\n]{1,300})\|)?([^\[\]|\n]{1,1000})\]")


def parse_jira(raw: bytes, _context: ParseContext) -> list[ParsedDocument]:
    """One document whose text is the source, deletions blanked out.

    Raises UndecodableBytes.
    """
    text = read_text(raw)
    blocks = _scanned(text)
    text, struck = without_struck(text, blocks, JIRA)
    if struck:
        blocks = _scanned(text)
    title = next((block.label for block in blocks if block.kind == "heading"), None)
    return [ParsedDocument(text, tuple(blocks), title, metadata=hidden_counts({"deletion": struck}))]


def _scanned(text: str) -> list[Block]:
    table = LineTable(text)
    regions = _regions(table, text)
    return table.blocks(lambda number: _block(table.lines, number, regions))


def _regions(table: LineTable, text: str) -> dict[int, tuple[int, BlockKind]]:
    """By its first line, the line after a region of code or of a quote, and which of the two it is.

    What is opened within a line begins with the next one. What does not end is text.
    """
    found: dict[int, tuple[int, BlockKind]] = {}
    opened: re.Match[str] | None = None
    macros = list(_MACRO.finditer(text))
    last = {macro[1].lower(): macro.start() for macro in macros}
    for macro in macros:
        name = macro[1].lower()
        if opened is None:
            # One that never ends holds nothing.
            opened = macro if last[name] > macro.start() else None
            continue
        if name != opened[1].lower() or ":" in macro[0]:
            continue
        line = table.line_of(opened.start())
        is_within = bool(table.lines[line][: opened.start() - table.starts[line]].strip())
        first, after = line + is_within, table.line_of(macro.end() - 1) + 1
        if after > first and (not is_within or after > line + 1):
            found[first] = after, "quote" if name == "quote" else "code"
        opened = None
    return found


def _block(
    lines: list[str], number: int, regions: dict[int, tuple[int, BlockKind]]
) -> tuple[int, BlockKind, int, str | None]:
    """(line after, kind, level, label) of what starts at `number`."""
    if number in regions:
        return *regions[number], 0, None
    line = lines[number]
    heading = _HEADING.match(line)
    if heading:
        return number + 1, "heading", int(heading[1]), _plain(heading[2])
    if _QUOTE_LINE.match(line):
        return number + 1, "quote", 0, None
    kinds: tuple[tuple[BlockKind, Callable[[str], bool]], ...] = (
        ("table", lambda each: _ROW.match(each) is not None),
        ("list", _is_of_list),
    )
    for kind, holds in kinds:
        if holds(line) and (kind == "table" or _ITEM.match(line)):
            return _while(lines, number, regions, holds), kind, 0, None
    return _while(lines, number, regions, _continues), "paragraph", 0, None


def _is_of_list(line: str) -> bool:
    """An item, or what goes on below one; a heading or a table ends the list."""
    return _ITEM.match(line) is not None or _continues(line)


def _continues(line: str) -> bool:
    is_other = _HEADING.match(line) or _QUOTE_LINE.match(line) or _ROW.match(line) or _ITEM.match(line)
    return bool(line.strip()) and not is_other


def _while(
    lines: list[str], number: int, regions: dict[int, tuple[int, BlockKind]], holds: Callable[[str], bool]
) -> int:
    number += 1
    while number < len(lines) and number not in regions and holds(lines[number]):
        number += 1
    return number


def _plain(title: str) -> str:
    title = _LINK.sub(lambda match: match[1] or match[2], title[:1_000])
    return one_line(_INLINE.sub("", title))
