"""The sections of a document: what a chunk never crosses.

Belongs here: headings and definitions to a flat list of sections, each with its path.
Does not belong here: token counts and cutting.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rag_pipeline.contracts.documents import Block, ParsedDocument
from rag_pipeline.errors import ContractViolation
from rag_pipeline.transforms.chunk.units import trimmed_spans

MAX_LABEL_CHARS = 300
"""Every chunk below a heading repeats its label, so a whole page set as a heading must not be one."""

MAX_PATH_PARTS = 32
"""Of a deeper path the oldest middle parts are left out; no person nests so deep, but a hostile file may."""

_QUALIFIER = re.compile(r"\A(?:\.|::|#|/|->|:)+")


@dataclass(frozen=True, slots=True)
class Section:
    """Consecutive blocks under one path.

    Attributes:
        path: Labels from the root, its own heading last.
        is_opened: The first block is the own heading (or the head of the own definition), so the text of
            the first chunk already says what `path` ends in.
        definitions: Per block, the last part of the path a chunk of this block alone has: the name of a
            definition that holds no further ones, else None.
    """

    path: tuple[str, ...]
    is_opened: bool = False
    blocks: list[Block] = field(default_factory=list)
    definitions: list[str | None] = field(default_factory=list)


def sections_of(document: ParsedDocument) -> list[Section]:
    """The document's sections in order; together their blocks hold every character that is not white space.

    Left out are headings with nothing between them and the deeper heading that follows: they live on in
    the paths below them.

    Raises:
        ContractViolation: The blocks overlap, are out of order or lie outside the text.
    """
    walk = _Walk(document.text)
    blocks = covering_blocks(document)
    for index, block in enumerate(blocks):
        if block.kind == "heading":
            walk.enter_heading(block, is_bare=_is_bare_parent(blocks, index))
        elif block.kind == "definition":
            walk.enter_definition(block, holds_more=_holds_definitions(blocks, index))
        elif block.kind == "code":
            walk.enter_code(block)
        else:
            walk.add(block, None)
    return [section for section in walk.sections if section.blocks]


def covering_blocks(document: ParsedDocument) -> list[Block]:
    """The blocks, widened so that the text between them belongs to the block before it.

    Text after a heading that no block claims becomes a paragraph of its own, as does text before the first
    block; blocks of white space only are dropped.
    """
    text = document.text
    covering: list[Block] = []
    position = 0
    for block in document.blocks:
        if not position <= block.start_char <= block.end_char <= len(text):
            raise ContractViolation(
                f"Block {block.kind} [{block.start_char}, {block.end_char}) overlaps the one before it (which "
                f"ends at {position}) or leaves the text ({len(text)} characters). The parser is at fault.",
                start_char=block.start_char,
                end_char=block.end_char,
            )
        _claim(text, position, block.start_char, covering)
        spans = trimmed_spans(text, block.start_char, block.end_char, [])
        is_trimmed = spans == [(block.start_char, block.end_char)]
        covering.extend([block] if is_trimmed else [replace(block, start_char=s, end_char=e) for s, e in spans])
        position = block.end_char
    _claim(text, position, len(text), covering)
    return covering


def _claim(text: str, start: int, end: int, covering: list[Block]) -> None:
    """Give text that lies in no block to the block before it, or to a new paragraph."""
    for start_char, end_char in trimmed_spans(text, start, end, []):
        if covering and covering[-1].kind != "heading":
            covering[-1] = replace(covering[-1], end_char=end_char)
        else:
            page = covering[-1].page if covering else None
            line = line_at(text, covering[-1], start_char) if covering else None
            holds_lines = not covering or covering[-1].holds_lines
            covering.append(Block("paragraph", start_char, end_char, page=page, line=line, holds_lines=holds_lines))


def line_at(text: str, block: Block, char: int) -> int | None:
    """Line of the file in which the character at offset `char` of the text stands, or that of the block's beginning."""
    if block.line is None or not block.holds_lines:
        return block.line
    return block.line + text.count("\n", block.start_char, char)


def _is_bare_parent(blocks: Sequence[Block], index: int) -> bool:
    """Whether the heading at `index` is followed at once by a deeper one."""
    following = blocks[index + 1] if index + 1 < len(blocks) else None
    return following is not None and following.kind == "heading" and following.level > blocks[index].level


def _holds_definitions(blocks: Sequence[Block], index: int) -> bool:
    """Whether the next definition, with no heading between, lies inside the one at `index`."""
    following = index + 1
    while following < len(blocks) and blocks[following].kind not in ("definition", "heading"):
        following += 1
    return (
        following < len(blocks)
        and blocks[following].kind == "definition"
        and blocks[following].level > blocks[index].level
    )


def section_label(block: Block) -> str:
    """What a heading or definition contributes to the paths below it."""
    return " ".join((block.label or "").split())[:MAX_LABEL_CHARS].rstrip()


class _Walk:
    """Where the walk over the blocks stands: open headings, open definitions, the section being filled."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.sections: list[Section] = [Section(())]
        self._headings: list[Block] = []
        self._definitions: list[Block] = []

    def enter_heading(self, block: Block, *, is_bare: bool) -> None:
        while self._headings and self._headings[-1].level >= block.level:
            self._headings.pop()
        self._headings.append(block)
        self._definitions.clear()
        self.sections.append(Section(self._path(()), is_opened=bool(section_label(block)) and not is_bare))
        if not is_bare:
            self.add(block, None)

    def enter_definition(self, block: Block, *, holds_more: bool) -> None:
        while self._definitions and self._definitions[-1].level >= block.level:
            self._definitions.pop()
        name = self._own_name(block)
        if holds_more:
            self._definitions.append(block)
            self.sections.append(Section(self._path(self._definitions), is_opened=bool(name)))
            self.add(block, None)
            return
        self._resume(self._path(self._definitions))
        self.add(block, name or None)

    def enter_code(self, block: Block) -> None:
        """Code outside definitions lies within those that begin further left."""
        column = self._column(block)
        self._resume(self._path([outer for outer in self._definitions if self._column(outer) < column]))
        self.add(block, None)

    def add(self, block: Block, definition: str | None) -> None:
        self.sections[-1].blocks.append(block)
        self.sections[-1].definitions.append(definition)

    def _resume(self, path: tuple[str, ...]) -> None:
        """Go on under `path`: in the section being filled if it is there, else in a new one."""
        if self.sections[-1].path != path:
            self.sections.append(Section(path))

    def _column(self, block: Block) -> int:
        return block.start_char - self._text.rfind("\n", 0, block.start_char)

    def _path(self, definitions: Sequence[Block]) -> tuple[str, ...]:
        labels = [section_label(heading) for heading in self._headings]
        # One more than a path can show: the outermost of them is needed to shorten the name of the next.
        nearest = definitions[-MAX_PATH_PARTS - 1 :]
        labels += [
            _relative_name(definition, outer) for outer, definition in zip((None, *nearest), nearest, strict=False)
        ]
        labels = [label for label in labels if label]
        return tuple(labels if len(labels) <= MAX_PATH_PARTS else [labels[0], *labels[1 - MAX_PATH_PARTS :]])

    def _own_name(self, block: Block) -> str:
        return _relative_name(block, self._definitions[-1] if self._definitions else None)


def _relative_name(block: Block, outer: Block | None) -> str:
    """The qualified name without the part that the enclosing definition already says."""
    name = section_label(block)
    prefix = section_label(outer) if outer else ""
    if prefix and name.startswith(prefix):
        return _QUALIFIER.sub("", name[len(prefix) :]) or name
    return name
