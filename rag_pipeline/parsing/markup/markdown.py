"""Markdown and MDX: CommonMark blocks with exact spans in the source text.

Belongs here: block structure, heading labels, tables, gaps, MDX comments.
Does not belong here: rendering; the text stays Markdown, as it was written, but for its HTML blocks (`markdown_html`).

Inline parsing is off but for headings, because only block boundaries are needed. The table rule is our
own: markdown-it's makes tokens per cell and takes minutes for a table of 200,000 rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import Block, BlockKind, ParsedDocument
from rag_pipeline.parsing.builder import LineTable, one_line
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import read_text
from rag_pipeline.parsing.markup.front_matter import split_front_matter
from rag_pipeline.parsing.markup.markdown_comments import HELD, held_in_place, without_unseen
from rag_pipeline.parsing.markup.markdown_html import opens_container, parted_list, with_html_read
from rag_pipeline.parsing.markup.markdown_notes import unlinked, with_notes_beside
from rag_pipeline.parsing.web.hidden import hidden_counts

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock

VERSION = "18"

_KINDS: dict[str, BlockKind] = {
    "paragraph_open": "paragraph",
    "fence": "code",
    "code_block": "code",
    "table": "table",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "blockquote_open": "quote",
    "html_block": "html",
}
# As the parser's preset for commonmark has it; deeper quotes and lists are made to exhaust readers.
_MAX_NESTING = 20
# Badges and a logo may stand before the title; a heading further down names its section, not the document.
_TITLE_WITHIN_BLOCKS = 5
_MAX_INLINE_CHARS = 1_000
_DELIMITER_ROW = re.compile(r"\|?[ \t]*+:?-++:?[ \t]*+(?>(?:\|[ \t]*+:?-++:?[ \t]*+)*)\|?[ \t]*+$")
_CELL_BREAK = re.compile(r"(?<!\\)\|")
_MARKUP = re.compile(r"[\\`*_\[\]<>&!~{]")
_HTML_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_HEADING_ANCHOR = re.compile(r"(?<!\s)\s*+\{#[\w:.-]++[^{}]*+\}\s*+$")
# The border of a table that is drawn, as Pandoc reads it, and a row below it.
_GRID = re.compile(r"\+(?:[-=:]{3,}\+){1,200}[ \t]*\n[ \t]{0,3}\|")
_NOT_LINE_END = re.compile(r"[^\n]")
_MDX_MODULE = re.compile(r"(?:import|export)\b.*(?:\bfrom\b|[={(])|import\s*['\"]")


def parse_markdown(raw: bytes, _context: ParseContext) -> list[ParsedDocument]:
    """One document whose text is the source after its front matter. Raises UndecodableBytes."""
    return [markdown_document(read_text(raw))]


def parse_mdx(raw: bytes, _context: ParseContext) -> list[ParsedDocument]:
    """As `parse_markdown`, with MDX comments blanked out. Raises UndecodableBytes."""
    text, comments = _without_mdx_comments(read_text(raw))
    return [markdown_document(text, is_mdx=True, comments=comments)]


def markdown_document(source: str, is_mdx: bool = False, comments: int = 0) -> ParsedDocument:
    """The document of clean Markdown `source`, from which `comments` were taken out before."""
    front = split_front_matter(source)
    # What is left out is said: nobody could tell otherwise why a word that stands in the file is not found.
    hidden = Counter(comment=comments)
    text, blocks = seen_markdown(source[front.end_char :], hidden, front.line_count, is_mdx=is_mdx)
    front.fields.update(hidden_counts(hidden))
    title = front.take("title")
    if title is None:
        title = next((block.label for block in blocks[:_TITLE_WITHIN_BLOCKS] if block.level == 1), None)
    return ParsedDocument(
        text=text,
        blocks=blocks,
        title=one_line(title) or None if title else None,
        author=front.take("author", "authors"),
        metadata=front.fields,
    )


def seen_markdown(
    source: str, hidden: Counter[str], line_offset: int = 0, *, is_mdx: bool = False
) -> tuple[str, tuple[Block, ...]]:
    """What a reader sees of clean Markdown, with HTML blocks read as such, and its blocks.

    Args:
        hidden: Gets how much no reader sees, by the way of hiding.
        line_offset, is_mdx: As for `markdown_blocks`.
    """
    text, found = without_unseen(source)
    hidden.update(found)
    structure = held_in_place(source, text) if found else None
    if "[^" in text:
        text, blocks = _with_notes(text, structure, line_offset, is_mdx)
    else:
        blocks = markdown_blocks(text, line_offset, is_mdx, structure)
    if not is_mdx and any(block.kind == "html" for block in blocks):
        text, blocks = with_html_read(text, blocks, hidden)
    return text, blocks


def _with_notes(text: str, structure: str | None, line_offset: int, is_mdx: bool) -> tuple[str, tuple[Block, ...]]:
    """The text with its notes beside what they explain, and its blocks."""
    told_by = unlinked(text if structure is None else structure)
    blocks = markdown_blocks(text, 0, is_mdx, told_by)
    if (moved := with_notes_beside(text, told_by, blocks)) is not None:
        text, blocks = moved.text, markdown_blocks(moved.text, 0, is_mdx, moved.structure)
        blocks = tuple(replace(block, line=moved.lines[block.line - 1]) for block in blocks if block.line)
    return text, tuple(replace(block, line=(block.line or 0) + line_offset) for block in blocks)


def markdown_blocks(
    text: str, line_offset: int = 0, is_mdx: bool = False, structure: str | None = None
) -> tuple[Block, ...]:
    """Blocks of clean Markdown `text`.

    Args:
        line_offset: Lines of the original file before `text`.
        is_mdx: Mark module lines (`import`, `export`) as code.
        structure: What to tell blocks by, where it is not the text: as long as it, line for line.
    """
    table = LineTable(text)
    blocks: list[Block] = []
    covered = 0
    tokens = _parser().parse(text if structure is None else structure)
    for position, token in enumerate(tokens):
        if token.map is None or token.nesting < 0:
            continue
        if token.level:
            if token.type == "html_block" and not is_mdx and blocks and opens_container(token.content):
                _part_list(table, blocks, (token.map[0], token.map[1]), line_offset)
            continue
        first, end = token.map
        if token.type == "heading_open":
            label = _label(tokens[position + 1].content.replace(HELD, " "))
            # `##` alone is a heading to CommonMark, but names nothing.
            block = table.block("heading", first, end, int(token.tag[1:]), label, line_offset) if label else None
        else:
            kind = _KINDS.get(token.type)
            if kind is None:
                continue
            block = table.block(kind, first, end, line_offset=line_offset)
            if block and kind == "paragraph" and _GRID.match(text, block.start_char):
                block = table.block("table", first, end, line_offset=line_offset)
            if block and is_mdx and kind == "paragraph" and _MDX_MODULE.match(text, block.start_char):
                block = table.block("code", first, end, line_offset=line_offset)
        if block is None:
            continue
        _fill_gap(table, blocks, covered, first, line_offset)
        blocks.append(block)
        covered = end
    _fill_gap(table, blocks, covered, len(table.lines), line_offset)
    return tuple(blocks)


def _part_list(table: LineTable, blocks: list[Block], lines: tuple[int, int], line_offset: int) -> None:
    """HTML in an item is read as HTML anywhere is; in a quote it stays as it is written."""
    if blocks[-1].kind == "list" and blocks[-1].start_char <= table.starts[lines[0] + 1]:
        blocks[-1:] = parted_list(table, blocks[-1], lines, line_offset)


def _fill_gap(table: LineTable, blocks: list[Block], first: int, end: int, line_offset: int) -> None:
    """Link reference definitions make no token. They belong to the body before them; a heading is none."""
    if first >= end or (blocks and blocks[-1].kind != "heading"):
        return
    gap = table.block("paragraph", first, end, line_offset=line_offset)
    if gap and any(character.isalnum() for character in table.text[gap.start_char : gap.end_char]):
        blocks.append(gap)


def _label(content: str) -> str:
    content = _HEADING_ANCHOR.sub("", content)
    if len(content) > _MAX_INLINE_CHARS or not _MARKUP.search(content):
        return one_line(content)
    children = _inline_parser().parseInline(content)[0].children or []
    pieces = [
        " " if child.type.endswith("break") else child.content for child in children if child.type != "html_inline"
    ]
    return one_line(_HTML_TAG.sub("", "".join(pieces))) or one_line(content)


def _without_mdx_comments(text: str) -> tuple[str, int]:
    """`text` with `{/* ... */}` as spaces of the same length, and how many; a `##` inside must be no heading."""
    pieces: list[str] = []
    position = 0
    # Not a regular expression: that rescans to the end for every opening that is never closed.
    while (start := text.find("{/*", position)) >= 0 and (end := text.find("*/}", start + 3)) >= 0:
        pieces += (text[position:start], _NOT_LINE_END.sub(" ", text[start : end + 3]))
        position = end + 3
    return "".join((*pieces, text[position:])), len(pieces) // 2


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING})
    parser.core.ruler.enableOnly(["normalize", "block"])
    parser.block.ruler.before("paragraph", "pipe_table", _pipe_table, {"alt": ["paragraph", "reference"]})
    return parser


@cache
def _inline_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")


def _pipe_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """GFM table as one token: a header row, a delimiter row of as many cells, rows until a blank line."""
    if start + 2 > end or state.sCount[start + 1] < state.blkIndent or state.is_code_block(start + 1):
        return False
    delimiters = _row(state, start + 1)
    if "-" not in delimiters or not _DELIMITER_ROW.match(delimiters):
        return False
    header = _row(state, start)
    if "|" not in header or ("|" not in delimiters and ":" not in delimiters):
        return False
    if state.is_code_block(start) or _cell_count(header) != _cell_count(delimiters):
        return False
    if silent:
        return True
    line = start + 2
    terminators = state.md.block.ruler.getRules("blockquote")
    while line < end and _is_row(state, line, end, terminators):
        line += 1
    token = state.push("table", "table", 0)
    token.map = [start, line]
    state.line = line
    return True


def _is_row(state: StateBlock, line: int, end: int, terminators: Sequence[object]) -> bool:
    if state.sCount[line] < state.blkIndent or state.isEmpty(line) or state.is_code_block(line):
        return False
    character = state.src[state.bMarks[line] + state.tShift[line]]
    if character == "|" or character.isalpha():
        return True
    return not any(rule(state, line, end, True) for rule in terminators)  # type: ignore[operator]


def _row(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip()


def _cell_count(row: str) -> int:
    cells = len(_CELL_BREAK.findall(row)) + 1
    return cells - row.startswith("|") - (row.endswith("|") and not row.endswith("\\|") and len(row) > 1)
