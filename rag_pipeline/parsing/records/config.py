"""YAML, TOML and INI: the source itself as text, cut on top-level keys and sections.

Belongs here: line scanners. Nothing is loaded, so aliases cannot explode and comments are kept.
Does not belong here: JSON (`json_records.py`) and front matter (`markup/front_matter.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rag_pipeline.contracts.documents import Block, ParsedDocument
from rag_pipeline.parsing.builder import LineTable, one_line
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import read_text

VERSION = "2"

_YAML_KEY = re.compile(
    r"(?:\"([^\"]+)\"|'([^']+)'|([^\s#\-?:,\[\]{}&*!|>'\"%@`](?>(?:[^#\n:]++|:(?!\s|$))*)))\s*+:(?:\s|$)"
)
_YAML_ITEM = re.compile(r"-(?:\s|$)")
_DOCUMENT_MARK = re.compile(r"(?:---|\.\.\.)(?:\s|$)")
_SECTION = re.compile(r"[ \t]*+\[{1,2}([^\[\]\n]++)\]{1,2}[ \t]*+(?:[#;].*)?$")


def parse_yaml(raw: bytes, _context: ParseContext) -> list[ParsedDocument]:
    """One document; each top-level key or list item is a block. Raises UndecodableBytes."""
    return [_document(read_text(raw), _yaml_label)]


def parse_toml(raw: bytes, _context: ParseContext) -> list[ParsedDocument]:
    """One document; each table is a block. Raises UndecodableBytes."""
    return [_document(read_text(raw), _section_label)]


def parse_ini(raw: bytes, _context: ParseContext) -> list[ParsedDocument]:
    """One document; each section is a block. Raises UndecodableBytes."""
    return [_document(read_text(raw), _section_label)]


def _document(text: str, label_of: Callable[[str], str | None]) -> ParsedDocument:
    table = LineTable(text)
    starts: list[tuple[int, str | None]] = []
    comment: int | None = None
    for number, line in enumerate(table.lines):
        label = label_of(line)
        # A list that is not indented still belongs to the key above it.
        is_inside = bool(starts and starts[-1][1] and _YAML_ITEM.match(line))
        if label is not None and not is_inside:
            # A comment right above belongs to what it comments.
            starts.append((number if comment is None else comment, label or None))
            comment = None
        elif line.startswith(("#", ";")):
            comment = number if comment is None else comment
        else:
            comment = None
    if not starts or starts[0][0] > 0:
        starts.insert(0, (0, None))
    ends = [start for start, _ in starts[1:]] + [len(table.lines)]
    found = [table.block("field", start, end, label=label) for (start, label), end in zip(starts, ends, strict=True)]
    blocks: tuple[Block, ...] = tuple(block for block in found if block is not None)
    return ParsedDocument(text, blocks)


def _yaml_label(line: str) -> str | None:
    if _DOCUMENT_MARK.match(line) or _YAML_ITEM.match(line):
        return ""
    match = _YAML_KEY.match(line)
    return one_line(match.group(1) or match.group(2) or match.group(3)) if match else None


def _section_label(line: str) -> str | None:
    match = _SECTION.match(line)
    return one_line(match.group(1)) or None if match else None
