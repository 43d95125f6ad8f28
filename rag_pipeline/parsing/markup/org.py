"""Org mode: headlines, blocks, tables, lists and paragraphs, with exact spans.

Belongs here: a small line scanner. Does not belong here: export, agenda, or evaluation of anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rag_pipeline.contracts.documents import Block, BlockKind, ParsedDocument
from rag_pipeline.parsing.builder import LineTable, one_line
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import read_text
from rag_pipeline.parsing.markup.struck import ORG, without_struck
from rag_pipeline.parsing.markup.unseen import org_comments, without_unseen
from rag_pipeline.parsing.web.hidden import hidden_counts

VERSION = "6"

_HEADLINE = re.compile(r"(\*+)[ \t]++(?:(?:TODO|DONE|NEXT|WAITING)[ \t]++)?(?:\[#\w\][ \t]++)?(\S.*)$")
_TAGS = re.compile(r":[\w@:]+:$")
_BEGIN = re.compile(r"[ \t]*#\+begin_(\w+)", re.I)
_END = re.compile(r"[ \t]*#\+end_(\w+)", re.I)
_KEYWORD = re.compile(r"#\+(\w+):[ \t]*(.*)$")
_ITEM = re.compile(r"[ \t]*(?:[-+]|\d{1,4}[.)])[ \t]+\S|[ \t]+\*[ \t]+\S")
_LINK = re.compile(r"\[\[[^\]]*\]\[([^\]]*)\]\]|\[\[([^\]]*)\]\]")
_EMPHASIS = re.compile(r"(?<!\w)([*/_=~+])(\S(?:.*?\S)?)\1(?!\w)")


def parse_org(raw: bytes, _context: ParseContext) -> list[ParsedDocument]:
    """One document whose text is the source, comments and deletions blanked out; `#+KEYWORD:` lines go to the metadata.

    Raises UndecodableBytes.
    """
    text, comments = without_unseen(read_text(raw), org_comments, "")
    table, blocks = _scanned(text)
    text, struck = without_struck(text, blocks, ORG)
    if struck:
        table, blocks = _scanned(text)
    metadata = _keywords(table.lines) | hidden_counts({"comment": comments, "deletion": struck})
    title = metadata.pop("title", None) or next((block.label for block in blocks if block.kind == "heading"), None)
    return [ParsedDocument(text, tuple(blocks), title, metadata.pop("author", None), metadata=metadata)]


def _scanned(text: str) -> tuple[LineTable, list[Block]]:
    table = LineTable(text)
    closings = {line.strip().lower(): number for number, line in enumerate(table.lines) if _END.match(line)}
    return table, table.blocks(lambda number: _block(table.lines, number, closings))


def _block(lines: list[str], number: int, closings: dict[str, int]) -> tuple[int, BlockKind, int, str | None]:
    """(line after, kind, level, label) of what starts at `number`."""
    line = lines[number]
    headline = _HEADLINE.match(line)
    if headline:
        return number + 1, "heading", len(headline.group(1)), _plain(_without_tags(headline.group(2).rstrip()))
    begin = _BEGIN.match(line)
    if begin:
        end = _closing(lines, number, f"#+end_{begin.group(1)}".lower(), closings)
        if end:
            kind: BlockKind = "quote" if begin.group(1).lower() in ("quote", "verse") else "code"
            return end, kind, 0, None
    if _is_row(line):
        return _while(lines, number, _is_row), "table", 0, None
    if _ITEM.match(line):
        return _list(lines, number), "list", 0, None
    return _while(lines, number, _continues), "paragraph", 0, None


def _continues(line: str) -> bool:
    return bool(line.strip()) and not (_HEADLINE.match(line) or _BEGIN.match(line) or _is_row(line))


def _is_row(line: str) -> bool:
    return line.lstrip().startswith("|")


def _while(lines: list[str], number: int, holds: Callable[[str], bool]) -> int:
    number += 1
    while number < len(lines) and holds(lines[number]):
        number += 1
    return number


def _list(lines: list[str], number: int) -> int:
    end = number + 1
    for position in range(number + 1, len(lines)):
        line = lines[position]
        if not line.strip():
            continue
        is_part = _ITEM.match(line) or line[0] in " \t" or (position == end and not _HEADLINE.match(line))
        if not is_part or line.startswith("|") or (_BEGIN.match(line) and line[0] not in " \t"):
            break
        end = position + 1
    return end


def _closing(lines: list[str], number: int, closing: str, closings: dict[str, int]) -> int:
    """The line after the next `closing` below `number`; 0 if the last one in the text is above."""
    if closings.get(closing, -1) <= number:
        return 0
    return (
        next(position for position in range(number + 1, len(lines)) if lines[position].strip().lower() == closing) + 1
    )


def _keywords(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines[:100]:
        match = _KEYWORD.match(line)
        if match and match.group(2):
            fields.setdefault(match.group(1).lower(), match.group(2).strip()[:2_000])
        elif _HEADLINE.match(line):
            break
    return fields


def _without_tags(title: str) -> str:
    words = title.rsplit(maxsplit=1)
    return words[0] if len(words) == 2 and _TAGS.match(words[1]) else title


def _plain(title: str) -> str:
    title = _LINK.sub(lambda match: match.group(1) or match.group(2) or "", title[:300])
    return one_line(_EMPHASIS.sub(r"\2", title))
