"""reStructuredText: sections by adornment, directives, literal blocks, lists and tables, with exact spans.

Belongs here: a scanner of our own. docutils gives no offsets, is a hundred times slower and includes files.
Does not belong here: rendering or resolving of roles, substitutions and includes; the text stays as it is.
"""

from __future__ import annotations

import re

from rag_pipeline.contracts.documents import Block, BlockKind, ParsedDocument
from rag_pipeline.parsing.builder import LineTable, one_line
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import read_text
from rag_pipeline.parsing.markup.unseen import rst_comments, without_unseen

VERSION = "2"

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*[ \t]*$")
_BULLET = re.compile(r"[ \t]*(?:[-*+•]|(?:\d{1,4}|[A-Za-z#]|[ivxlcIVXLC]{1,6})[.)]|\((?:\d{1,4}|[A-Za-z#])\))[ \t]+\S")
_GRID = re.compile(r"[ \t]*\+(?:[-=]+\+)+[ \t]*$")
_SIMPLE = re.compile(r"[ \t]*={2,}(?:[ \t]+={2,})+[ \t]*$")
_DIRECTIVE = re.compile(r"[ \t]*\.\.[ \t]+(?:\|[^|]+\|[ \t]+)?([\w:+.-]+?)::(?:[ \t]|$)")
_COMMENT = re.compile(r"[ \t]*\.\.(?:[ \t]|$)")
_FIELD = re.compile(r":([A-Za-z][\w -]*):(?:[ \t]+(.*))?$")
_HEADER_FIELD = re.compile(r"([A-Z][\w-]*):(?:[ \t]+(.*))?$")
_ROLE = re.compile(r":[\w:+.-]+:`([^`]*)`")
_TARGET = re.compile(r"\s*<[^<>]*>$")
_INLINE = re.compile(r"(\*\*|\*|``|`)(\S(?:.*?\S)?)\1_{0,2}")
_CODE_DIRECTIVES = frozenset(
    {"code", "code-block", "sourcecode", "literalinclude", "doctest", "math", "parsed-literal", "highlight"}
)
_TABLE_DIRECTIVES = frozenset({"table", "list-table", "csv-table"})
# A title is one line.
_MAX_TITLE_CHARS = 300


def parse_rst(raw: bytes, _context: ParseContext) -> list[ParsedDocument]:
    """One document whose text is the source. Raises UndecodableBytes.

    Comments are blanked out and counted. Fields at the head (`:Author: x`, or the mail-like header of a PEP) go
    to the metadata and stay in the text; "Title" and "Author" are lifted.
    """
    text, comments = without_unseen(read_text(raw), rst_comments, "..")
    table = LineTable(text)
    metadata = _head_fields(table.lines) | ({"hidden_comment_count": str(comments)} if comments else {})
    blocks = _Scanner(table).blocks()
    title = _take(metadata, "title") or next((block.label for block in blocks if block.kind == "heading"), None)
    return [
        ParsedDocument(
            text=text,
            blocks=tuple(blocks),
            title=one_line(title) if title else None,
            author=_take(metadata, "author", "authors"),
            metadata=metadata,
        )
    ]


class _Scanner:
    """One pass over the lines; each method takes the line it starts at and returns the next."""

    def __init__(self, table: LineTable) -> None:
        self.table = table
        self.lines = table.lines
        self._styles: list[str] = []
        self._blocks: list[Block] = []
        self._literal_follows = False

    def blocks(self) -> list[Block]:
        number = 0
        while number < len(self.lines):
            number = self._step(number) if self.lines[number].strip() else number + 1
        return self._blocks

    def _step(self, number: int) -> int:
        line = self.lines[number]
        section = self._section(number)
        if section:
            return section
        if self._literal_follows and line[:1] in " \t":
            self._literal_follows = False
            return self._add("code", number, self._indented_end(number))
        self._literal_follows = False
        if _GRID.match(line) or _SIMPLE.match(line):
            return self._add("table", number, self._table_end(number))
        directive = _DIRECTIVE.match(line)
        if directive:
            return self._directive(number, directive.group(1).rsplit(":", 1)[-1])
        if _COMMENT.match(line):
            return self._add("paragraph", number, self._indented_end(number + 1))
        if _BULLET.match(line):
            return self._add("list", number, self._list_end(number))
        if line[:1] in " \t":
            return self._add("quote", number, self._indented_end(number))
        return self._paragraph(number)

    def _section(self, number: int) -> int:
        """The line after a section title that starts here, else 0."""
        lines = self.lines
        adorned = _ADORNMENT.match(lines[number])
        if adorned and number + 2 < len(lines):
            title, below = lines[number + 1].strip(), lines[number + 2].rstrip()
            is_framed = below == lines[number].rstrip() and len(below) >= max(2, min(len(title), 4))
            if title and is_framed and (not _ADORNMENT.match(title) or len(title) < 4):
                return self._heading(number, number + 3, title, adorned.group(1) * 2)
        title = lines[number]
        if number + 1 >= len(lines) or title[:1] in " \t" or (adorned and len(title) >= 4):
            return 0
        below = lines[number + 1].rstrip()
        if _ADORNMENT.match(below) and len(below) >= min(len(title.rstrip()), 4) and below != "::":
            return self._heading(number, number + 2, title.strip(), below[0])
        return 0

    def _heading(self, first: int, end: int, title: str, style: str) -> int:
        if style not in self._styles:
            self._styles.append(style)
        level = self._styles.index(style) + 1
        block = self.table.block("heading", first, end, level, _plain(title))
        if block:
            self._blocks.append(block)
        self._literal_follows = False
        return end

    def _paragraph(self, number: int) -> int:
        end = number + 1
        while end < len(self.lines) and self.lines[end].strip():
            if self.lines[end][:1] not in " \t" and self._section(end):
                # `_section` has added the heading already; put this paragraph before it.
                heading = self._blocks.pop()
                self._add("paragraph", number, end)
                self._blocks.append(heading)
                return self.table.line_of(heading.end_char - 1) + 1
            end += 1
        self._literal_follows = self.lines[end - 1].rstrip().endswith("::")
        return self._add("paragraph", number, end)

    def _directive(self, number: int, name: str) -> int:
        kind: BlockKind = "paragraph"
        if name in _CODE_DIRECTIVES:
            kind = "code"
        elif name in _TABLE_DIRECTIVES:
            kind = "table"
        return self._add(kind, number, self._indented_end(number + 1))

    def _add(self, kind: BlockKind, first: int, end: int) -> int:
        block = self.table.block(kind, first, end)
        if block:
            self._blocks.append(block)
        return max(end, first + 1)

    def _indented_end(self, number: int) -> int:
        """The line after the last indented line of the run that may hold blank lines."""
        end = number
        while number < len(self.lines):
            line = self.lines[number]
            if line.strip():
                if line[0] not in " \t":
                    break
                end = number + 1
            number += 1
        return end

    def _list_end(self, number: int) -> int:
        end = number + 1
        blank = False
        for position in range(number + 1, len(self.lines)):
            line = self.lines[position]
            if not line.strip():
                blank = True
                continue
            if line[0] not in " \t" and ((blank and not _BULLET.match(line)) or self._is_section(position)):
                break
            blank = False
            end = position + 1
        return end

    def _is_section(self, number: int) -> bool:
        before, styles = len(self._blocks), len(self._styles)
        found = self._section(number)
        del self._blocks[before:], self._styles[styles:]
        return bool(found)

    def _table_end(self, number: int) -> int:
        if _GRID.match(self.lines[number]):
            end = number + 1
            while end < len(self.lines) and self.lines[end].lstrip()[:1] in ("+", "|"):
                end += 1
            return end
        end = number + 1
        rules = 1
        while end < len(self.lines):
            if _SIMPLE.match(self.lines[end]):
                rules += 1
                if end + 1 >= len(self.lines) or not self.lines[end + 1].strip():
                    return end + 1
            elif not self.lines[end].strip() and rules > 2:
                return end
            end += 1
        # A table that is never closed must not swallow the rest.
        end = number + 1
        while end < len(self.lines) and self.lines[end].strip():
            end += 1
        return end


def _plain(title: str) -> str:
    title = _ROLE.sub(lambda match: _TARGET.sub("", match.group(1)), title[:_MAX_TITLE_CHARS])
    return one_line(_INLINE.sub(lambda match: _TARGET.sub("", match.group(2)), title).replace("\\", ""))


def _head_fields(lines: list[str]) -> dict[str, str]:
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    pattern = _HEADER_FIELD if lines and _HEADER_FIELD.match(lines[first]) else _FIELD
    fields: dict[str, str] = {}
    name = ""
    for line in lines[first : first + 60]:
        match = pattern.match(line)
        if match:
            name = match.group(1)
            fields[name] = (match.group(2) or "").strip()
        elif name and line[:1] in " \t" and line.strip():
            fields[name] = f"{fields[name]} {line.strip()}".strip()
        else:
            break
    # One "Note: ..." line is prose; a header has at least two fields.
    if pattern is _HEADER_FIELD and len(fields) < 2:
        return {}
    return {key: value[:2_000] for key, value in fields.items() if value}


def _take(fields: dict[str, str], *names: str) -> str | None:
    for key in list(fields):
        if key.casefold() in names:
            return fields.pop(key)
    return None
