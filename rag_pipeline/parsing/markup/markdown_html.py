"""HTML blocks inside Markdown, read as the tables, lists, headings and code that they are.

Belongs here: how far an HTML block reaches, and putting its text in its place so that every line stays where it is.
Does not belong here: reading HTML (`web/blocks`), blocks of Markdown (`markdown`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from rag_pipeline.contracts.documents import Block, BlockKind
from rag_pipeline.parsing.builder import LineTable, one_line, trimmed
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.web.blocks import Unit
from rag_pipeline.parsing.web.html import html_units
from rag_pipeline.parsing.web.tables import BLOCK_TAGS
from rag_pipeline.parsing.web.tree import comment_count

MAX_HTML_CHARS = 5_000_000
"""A longer piece of HTML stays as it is written."""

_FIRST_TAG = re.compile(r"<([a-zA-Z][a-zA-Z0-9]*)")
_ANY_TAG = re.compile(r"</?([a-zA-Z][\w:.-]*)")
# Blank lines end an HTML block of Markdown, but not these elements.
_CONTAINERS = frozenset({"table", "ul", "ol", "dl", "pre", "figure"})
_INLINE_NAMES = (
    "a abbr acronym audio b bdi bdo big br button canvas cite code col colgroup data del dfn em embed font i iframe "
    "img input ins kbd label link map mark math meta meter noscript object option output path picture progress q rp "
    "rt ruby s samp script select small source span strike strong style sub sup svg template textarea time tt u var "
    "video wbr area track head title base polygon circle rect line g defs"
)
_KNOWN = BLOCK_TAGS.union(_INLINE_NAMES.split())


def with_html_read(text: str, blocks: Sequence[Block], hidden: Counter[str]) -> tuple[str, tuple[Block, ...]]:
    """`text` with its HTML blocks as readable text, and the blocks of both, each with its line of the file.

    Args:
        hidden: Gets how many elements with text no reader sees, by the way of hiding.

    Blocks with elements that HTML does not know (components) stay as they are written.
    """
    pieces: list[str] = []
    found: list[Block] = []
    kept = shift = 0
    for block, end, is_html in _regions(text, blocks):
        if not is_html:
            found.append(replace(block, start_char=block.start_char + shift, end_char=block.end_char + shift))
            continue
        start = block.start_char
        body, inner = _rendered(text[start:end], start + shift, block.line, hidden)
        pieces += (text[kept:start], body)
        found += inner
        kept = end
        shift += len(body) - (end - start)
    return "".join((*pieces, text[kept:])), tuple(found)


def opens_container(content: str) -> bool:
    """Whether HTML begins with a table, a list or the like, which ends at its own end tag."""
    first = _FIRST_TAG.match(content.lstrip())
    return first is not None and first.group(1).lower() in _CONTAINERS


def parted_list(table: LineTable, whole: Block, lines: tuple[int, int], line_offset: int) -> list[Block]:
    """A list as what stands before a piece of HTML in one of its items, that piece, and what stands below it.

    Args:
        lines: First line of the piece and the line after it; it goes on to the end tag of its element.
        line_offset: Lines of the original file before the text of `table`.
    """
    text = table.text
    first, end = lines
    start = text.find("<", max(table.starts[first], whole.start_char), whole.end_char)
    if start < 0:
        return [whole]
    stop = max(min(table.starts[end] - 1, whole.end_char), _end_of_element(text[: whole.end_char], start, set()))
    spans: tuple[tuple[BlockKind, int, int], ...] = (
        ("list", whole.start_char, start),
        ("html", start, stop),
        ("list", stop, whole.end_char),
    )
    found: list[Block] = []
    for kind, begin, after in spans:
        span = trimmed(text, begin, after)
        if span is not None and any(character.isalnum() for character in text[span[0] : span[1]]):
            line = table.line_of(span[0]) + 1 + line_offset
            found.append(replace(whole, kind=kind, start_char=span[0], end_char=span[1], line=line))
    return found


def _regions(text: str, blocks: Sequence[Block]) -> Iterator[tuple[Block, int, bool]]:
    """The blocks with their ends, and whether to read them as HTML.

    What lies inside an element that goes on over blank lines is part of it.
    """
    unclosed: set[str] = set()
    position = 0
    for index, block in enumerate(blocks):
        if block.start_char < position:
            continue
        end = block.end_char
        is_html = False
        if block.kind == "html":
            reach = _reach(text, blocks, index, unclosed)
            is_html = _is_html(text, block.start_char, reach)
            end = reach if is_html else end
        yield block, end, is_html
        position = end


def _reach(text: str, blocks: Sequence[Block], index: int, unclosed: set[str]) -> int:
    """Where the HTML that begins with a block ends; no other block is cut by it."""
    end = max(blocks[index].end_char, _end_of_element(text, blocks[index].start_char, unclosed))
    for later in islice(blocks, index + 1, None):
        if later.start_char >= end:
            break
        end = max(end, later.end_char)
    return end


def _end_of_element(text: str, start: int, unclosed: set[str]) -> int:
    """Where the element that begins at `start` ends; `start` if it is no container, or never closed."""
    first = _FIRST_TAG.match(text, start)
    tag = first.group(1).lower() if first else ""
    if tag not in _CONTAINERS or tag in unclosed:
        return start
    depth = 0
    for match in re.finditer(rf"<(/?){tag}\b[^<>]*>?", text[start : start + MAX_HTML_CHARS], re.I):
        depth += -1 if match.group(1) else 1
        if depth == 0:
            return start + match.end()
    unclosed.add(tag)
    return start


def _is_html(text: str, start: int, end: int) -> bool:
    if end - start > MAX_HTML_CHARS:
        return False
    return all(match.group(1).lower() in _KNOWN for match in _ANY_TAG.finditer(text, start, end))


def _rendered(source: str, start_char: int, first_line: int | None, hidden: Counter[str]) -> tuple[str, list[Block]]:
    """The text of one HTML block, with blank lines so that it takes the lines it took, and its blocks."""
    # Those that are closed are gone by now, and what is never closed hides all that follows in its block.
    hidden["comment"] += comment_count(source)
    pieces: list[str] = []
    blocks: list[Block] = []
    length, line = 0, 1
    for unit in html_units(source, hidden):
        lines = clean_text(unit.text).split("\n")
        places = _places(unit, len(lines))
        span_start = 0
        for number, (words, place) in enumerate(zip(lines, places, strict=True)):
            least = 1 if number else 2 if blocks else 0
            gap = "\n" * max(least, place - line)
            pieces += (gap, words)
            length += len(gap) + len(words)
            line += len(gap)
            if not number:
                span_start, span_line = length - len(words), line
        blocks.append(
            Block(
                unit.kind,
                start_char + span_start,
                start_char + length,
                unit.level,
                one_line(clean_text(unit.label)) if unit.label else None,
                line=None if first_line is None else first_line + span_line - 1,
            )
        )
    pieces.append("\n" * max(0, source.count("\n") + 1 - line))
    return "".join(pieces), blocks


def _places(unit: Unit, count: int) -> tuple[int, ...]:
    """Line of the source for each line of the unit's text, as far as it is known."""
    if len(unit.lines) == count:
        return unit.lines
    first = unit.element.sourceline or 0
    return (first, *[0] * (count - 1))
