"""AsciiDoc: section titles, delimited blocks, tables, lists and paragraphs, with exact spans.

Belongs here: a small line scanner. Does not belong here: attributes' substitution, includes, rendering.
"""

from __future__ import annotations

import re

from rag_pipeline.contracts.documents import Block, BlockKind, ParsedDocument
from rag_pipeline.parsing.builder import LineTable, one_line
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import read_text
from rag_pipeline.parsing.markup.struck import ADOC, without_struck
from rag_pipeline.parsing.markup.unseen import adoc_comments, without_unseen
from rag_pipeline.parsing.web.hidden import hidden_counts

VERSION = "5"

_SECTION = re.compile(r"(={1,6}|#{1,6})[ \t]++(\S.*)$")
_FENCE = re.compile(r"(-{4,}|\.{4,}|={4,}|\*{4,}|_{4,}|\+{4,}|/{4,}|[|,:!]={3,}|--|```+\w*)[ \t]*$")
_ATTRIBUTE = re.compile(r":!?([\w-]+)!?:(?:[ \t]+(.*))?$")
_BLOCK_ATTRIBUTE = re.compile(r"\[[^\]]*\][ \t]*$|\.[^\s.].*$")
_LIST_ITEM = re.compile(r"[ \t]*(?:[*-]{1,5}|\.{1,5}|\d{1,4}\.|<\d+>)[ \t]+\S|\S.*?(?:::|;;)(?:[ \t]|$)")
_INLINE = re.compile(r"(\*\*|__|``|\*|_|`|\+|#)(\S(?:.*?\S)?)\1")
_LINK = re.compile(r"(?:https?://\S+?|link:\S+?|xref:\S+?)\[([^\]]*)\]|<<[^,>]*,([^>]*)>>|<<([^>]*)>>")
_CODE_FENCES = ("----", "....", "++++", "```")


def parse_asciidoc(raw: bytes, _context: ParseContext) -> list[ParsedDocument]:
    """One document whose text is the source, comments and deletions blanked out; header attributes go to the metadata.

    Raises UndecodableBytes.
    """
    text, comments = without_unseen(read_text(raw), adoc_comments, "//")
    table = LineTable(text)
    blocks = _blocks(table)
    text, struck = without_struck(text, blocks, ADOC) if "line-through" in text else (text, 0)
    if struck:
        table = LineTable(text)
        blocks = _blocks(table)
    title = next((block.label for block in blocks if block.kind == "heading" and block.level == 1), None)
    metadata = _attributes(table.lines) | hidden_counts({"comment": comments, "deletion": struck})
    return [ParsedDocument(text, tuple(blocks), title, metadata.pop("author", None), metadata=metadata)]


def _blocks(table: LineTable) -> list[Block]:
    blocks: list[Block] = []
    lines = table.lines
    # Last line of each fence, so that one that is never closed is known without a search to the end.
    last = {line.rstrip(): number for number, line in enumerate(lines) if _FENCE.match(line)}
    number = 0
    pending: int | None = None
    while number < len(lines):
        if not lines[number].strip():
            number += 1
            continue
        section = _SECTION.match(lines[number])
        if not section and _BLOCK_ATTRIBUTE.match(lines[number]) and not _FENCE.match(lines[number]):
            # A block's title and attributes belong to the block that follows.
            pending = number if pending is None else pending
            number += 1
            continue
        first = number if pending is None else pending
        pending = None
        kind: BlockKind
        if section:
            end, kind = number + 1, "heading"
            marks, title = section.groups()
            block = table.block(kind, number, end, len(marks), _plain(_without_closing(title.rstrip(), marks)))
            lead = table.block("paragraph", first, number) if lines[first][0] == "." else None
            blocks += [found for found in (lead, block) if found]
        else:
            end, kind = _body(lines, number, last)
            block = table.block(kind, first, end)
            if block:
                blocks.append(block)
        number = end
    rest = table.block("paragraph", pending, len(lines)) if pending is not None else None
    return [*blocks, rest] if rest else blocks


def _body(lines: list[str], number: int, last: dict[str, int]) -> tuple[int, BlockKind]:
    """The line after the block that starts at `number`, and its kind. `last`: last line of each fence."""
    fence = _FENCE.match(lines[number])
    if fence:
        return _fenced(lines, number, fence.group(1), last)
    if lines[number][:1] in " \t" and not _LIST_ITEM.match(lines[number]):
        return _run(lines, number), "code"
    if _LIST_ITEM.match(lines[number]):
        return _list(lines, number, last), "list"
    return _run(lines, number), "paragraph"


def _fenced(lines: list[str], number: int, fence: str, last: dict[str, int]) -> tuple[int, BlockKind]:
    closing = fence.rstrip("abcdefghijklmnopqrstuvwxyz0123456789") if fence.startswith("```") else fence
    kind: BlockKind = "paragraph"
    if fence.startswith(_CODE_FENCES) or fence == "--":
        kind = "code" if fence != "--" else "paragraph"
    elif fence[0] in "|,:!":
        kind = "table"
    elif fence.startswith("____"):
        kind = "quote"
    if kind == "paragraph":
        # Open, example and sidebar blocks hold ordinary blocks: only the delimiter line is taken.
        return number + 1, kind
    if last.get(closing, -1) <= number:
        return _run(lines, number), "paragraph"
    return next(position for position in range(number + 1, len(lines)) if lines[position].rstrip() == closing) + 1, kind


def _run(lines: list[str], number: int) -> int:
    number += 1
    while number < len(lines) and lines[number].strip():
        if _FENCE.match(lines[number]) or _SECTION.match(lines[number]):
            break
        number += 1
    return number


def _list(lines: list[str], number: int, last: dict[str, int]) -> int:
    """A list goes on over blank lines to the next item, and over `+` to an attached block."""
    end = number + 1
    while end < len(lines):
        line = lines[end]
        if line.strip() == "+" and end + 1 < len(lines):
            end = _body(lines, end + 1, last)[0] if _FENCE.match(lines[end + 1]) else end + 2
        elif line.strip():
            if _SECTION.match(line) or _FENCE.match(line):
                break
            end += 1
        else:
            following = end
            while following < len(lines) and not lines[following].strip():
                following += 1
            if following >= len(lines) or not _LIST_ITEM.match(lines[following]):
                break
            end = following + 1
    return end


def _attributes(lines: list[str]) -> dict[str, str]:
    """The document header: an author line under the title, then `:name: value` lines."""
    fields: dict[str, str] = {}
    for number, line in enumerate(lines[:60]):
        match = _ATTRIBUTE.match(line)
        if match:
            if match.group(2):
                fields[match.group(1)] = match.group(2).strip()[:2_000]
        elif number == 1 and _SECTION.match(lines[0]) and re.match(r"[^\W\d_][\w .'-]{2,60}<[^<>@\s]+@[^<>\s]+>", line):
            fields["author"] = line.partition("<")[0].strip()
        elif not line.strip() and fields:
            break
    return fields


def _without_closing(title: str, marks: str) -> str:
    head = title.removesuffix(marks)
    return head.rstrip() if head and head[-1] in " \t" else title


def _plain(title: str) -> str:
    title = _LINK.sub(lambda match: match.group(1) or match.group(2) or match.group(3) or "", title[:300])
    return one_line(_INLINE.sub(r"\2", title))
