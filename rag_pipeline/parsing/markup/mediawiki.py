"""MediaWiki's markup: headings, lists, tables, code and quotes, with exact spans.

Belongs here: a small line scanner. Does not belong here: expanding templates, or what a link leads to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from rag_pipeline.contracts.documents import Block, BlockKind, ParsedDocument
from rag_pipeline.parsing.builder import LineTable, one_line
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import read_text
from rag_pipeline.parsing.markup.struck import MEDIAWIKI, without_struck
from rag_pipeline.parsing.web.hidden import hidden_counts

VERSION = "4"

# What stands between such tags is shown as it is written, comments too.
_OPENING = re.compile(r"<!--|<(pre|nowiki|syntaxhighlight|source)(?:[ \t][^<>\n]{0,500})?>", re.I)
_BLOCK_TAG = re.compile(r"[ \t]*<(pre|syntaxhighlight|source|blockquote)(?:[ \t][^<>\n]{0,500})?>", re.I)
_LIST_MARK = re.compile(r"[*#;:]+")
_TABLE_BEGIN = re.compile(r"[ \t:]*\{\|")
_TABLE_END = re.compile(r"[ \t]*\|\}")
_DISPLAY_TITLE = re.compile(r"\{\{DISPLAYTITLE:([^{}\n]{1,300})\}\}", re.I)
_LINK = re.compile(r"\[\[(?:[^\[\]|\n]{0,300}\|)?([^\[\]|\n]{0,300})\]\]")
_EMPHASIS = re.compile(r"'{2,5}")
_TAG = re.compile(r"</?[a-z][^<>\n]{0,300}>", re.I)
_NOT_LINE_END = re.compile(r"[^\n]")
# A heading has no more marks than this on each side.
_MAX_LEVEL = 6


def parse_mediawiki(raw: bytes, _context: ParseContext) -> list[ParsedDocument]:
    """One document whose text is the source, comments and deletions blanked out.

    Raises UndecodableBytes.
    """
    text, comments = _without_comments(read_text(raw))
    blocks = _scanned(text)
    text, struck = without_struck(text, blocks, MEDIAWIKI)
    if struck:
        blocks = _scanned(text)
    said = _DISPLAY_TITLE.search(text)
    title = _plain(said[1]) if said else next((block.label for block in blocks if block.level == 1), None)
    metadata = hidden_counts({"comment": comments, "deletion": struck})
    return [ParsedDocument(text, tuple(blocks), title, metadata=metadata)]


def _scanned(text: str) -> list[Block]:
    table = LineTable(text)
    return table.blocks(_Scanner(table.lines).block)


def _without_comments(text: str) -> tuple[str, int]:
    """`text` with its comments as spaces, and how many said something. One that does not end is text."""
    pieces: list[str] = []
    position = count = 0
    for start, end, is_comment in _raw_spans(text):
        pieces.append(text[position:start])
        span = text[start:end]
        count += is_comment and any(map(str.isalnum, span))
        pieces.append(_NOT_LINE_END.sub(" ", span) if is_comment else span)
        position = end
    return "".join((*pieces, text[position:])), count


def _raw_spans(text: str) -> Iterator[tuple[int, int, bool]]:
    """Start and end of comments, and of what is shown as it is written, with which of the two it is."""
    folded = text.lower() if text.isascii() else None
    position = 0
    # Endings of which there are no more: they are not looked for again.
    missing: set[str] = set()
    while (opening := _OPENING.search(text, position)) is not None:
        closing = f"</{opening[1].lower()}>" if opening[1] else "-->"
        # Letters beyond ASCII may change their number in small letters; there tags count as they are mostly written.
        found = -1 if closing in missing else (text if folded is None else folded).find(closing, opening.end())
        if found < 0:
            missing.add(closing)
            position = opening.end()
            continue
        position = found + len(closing)
        yield opening.start(), position, not opening[1]


class _Scanner:
    """What begins at a line; what has an end is looked up and not searched for, however many are open."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._table_ends = _table_ends(lines)
        self._last_closings: dict[str, int] = {}
        for number, line in enumerate(lines):
            for name in ("pre", "syntaxhighlight", "source", "blockquote"):
                if f"</{name}>" in line.lower():
                    self._last_closings[name] = number

    def block(self, number: int) -> tuple[int, BlockKind, int, str | None]:
        """(line after, kind, level, label) of what starts at `number`."""
        line = self._lines[number]
        heading = _heading(line)
        if heading is not None:
            return number + 1, "heading", *heading
        tagged = self._tagged(number)
        if tagged is not None:
            return *tagged, 0, None
        if number in self._table_ends:
            return self._table_ends[number] + 1, "table", 0, None
        if _LIST_MARK.match(line):
            end = self._while(number, lambda each: _LIST_MARK.match(each) is not None)
            marks = {mark[0][-1] for each in self._lines[number:end] if (mark := _LIST_MARK.match(each))}
            # A colon alone moves a paragraph to the right, as in discussions.
            return end, "paragraph" if marks == {":"} else "list", 0, None
        if line.startswith(" "):
            return self._while(number, lambda each: each.startswith(" ") and bool(each.strip())), "code", 0, None
        return self._paragraph_end(number), "paragraph", 0, None

    def _tagged(self, number: int) -> tuple[int, BlockKind] | None:
        tag = _BLOCK_TAG.match(self._lines[number])
        if tag is None:
            return None
        name = tag[1].lower()
        kind: BlockKind = "quote" if name == "blockquote" else "code"
        if self._last_closings.get(name, -1) < number:
            return None
        end = number
        while f"</{name}>" not in self._lines[end].lower():
            end += 1
        return end + 1, kind

    def _paragraph_end(self, number: int) -> int:
        end = number + 1
        while end < len(self._lines) and self._lines[end].strip() and not self._begins(end):
            end += 1
        return end

    def _begins(self, number: int) -> bool:
        """Whether something else than a paragraph begins at a line."""
        line = self._lines[number]
        return (
            _heading(line) is not None
            or number in self._table_ends
            or _LIST_MARK.match(line) is not None
            or line.startswith(" ")
            or self._tagged(number) is not None
        )

    def _while(self, number: int, holds: Callable[[str], bool]) -> int:
        end = number + 1
        while end < len(self._lines) and holds(self._lines[end]):
            end += 1
        return end


def _table_ends(lines: list[str]) -> dict[int, int]:
    """Line of the end of each outermost table, by that of its beginning; one that does not end is none."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for number, line in enumerate(lines):
        if _TABLE_BEGIN.match(line):
            opened.append(number)
        elif opened and _TABLE_END.match(line):
            found[opened.pop()] = number
    return found


def _heading(line: str) -> tuple[int, str] | None:
    """Level and label; None: it is no heading."""
    stripped = line.rstrip()
    if not stripped.startswith("=") or not stripped.endswith("=") or len(stripped) < 3:
        return None
    left = len(stripped) - len(stripped.lstrip("="))
    right = len(stripped) - len(stripped.rstrip("="))
    level = min(left, right, _MAX_LEVEL, (len(stripped) - 1) // 2)
    label = _plain(stripped[level : len(stripped) - level])
    return (level, label) if label else None


def _plain(title: str) -> str:
    return one_line(_TAG.sub("", _EMPHASIS.sub("", _LINK.sub(r"\1", title))))
