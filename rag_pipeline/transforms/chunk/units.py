"""Cutting a block into units: the parts that packing never cuts again.

Belongs here: which structure to try in which order for each kind of block, and the last resort.
Does not belong here: where structures lie (`splitters.py`), or how units become chunks (`pack.py`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace

from rag_pipeline.contracts.documents import Block, BlockKind
from rag_pipeline.transforms.chunk import inner, splitters
from rag_pipeline.transforms.chunk.sentences import sentence_cuts
from rag_pipeline.transforms.chunk.tokens import TokenMap

Splitter = Callable[[str, int, int], list[int]]

CHARS_PER_TOKEN_LIMIT = 32
"""A word piece tokenizer makes one unknown token of any very long word, so a limit in tokens alone lets
megabytes of base64 through. Text longer than this per token of the limit counts as not fitting."""

_PROSE: tuple[Splitter, ...] = (splitters.paragraph_cuts, splitters.unwrapped_line_cuts)
_LADDERS: dict[BlockKind, tuple[Splitter, ...]] = {
    "list": (splitters.list_item_cuts, splitters.paragraph_cuts, inner.inner_row_cuts, splitters.unwrapped_line_cuts),
    "table": (splitters.row_cuts, splitters.line_cuts),
    "code": (splitters.stanza_cuts, splitters.statement_cuts, splitters.line_cuts),
    "definition": (splitters.stanza_cuts, splitters.statement_cuts, splitters.line_cuts),
    "quote": (splitters.quote_cuts, inner.quoted_item_cuts, inner.inner_row_cuts, splitters.unwrapped_line_cuts),
    "record": (splitters.paragraph_cuts, splitters.line_cuts),
}
_WITHOUT_SENTENCES: frozenset[BlockKind] = frozenset({"code", "definition"})
# Their indentation says what lies in what, so a part keeps that of its first line.
_INDENTED: frozenset[BlockKind] = frozenset({"list", "code", "definition", "field", "record"})
# Their later parts get a longer header, which names the items and fields above or the columns.
_NAMED: frozenset[BlockKind] = frozenset({"list", "table", "cue", "field"})
_NESTED: frozenset[Splitter] = frozenset({splitters.list_item_cuts, splitters.statement_cuts, inner.quoted_item_cuts})
# Lists within lists, and statements within statements; recursion has to end.
_MAX_NESTING = 24
# A letter has a few marks; a run of thousands is no letter, and walking it for every piece takes forever.
MAX_MARKS = 32
# A table of two columns has a key and a value: there is nothing to cut by.
MIN_CUT_COLUMNS = 3
_CLAUSE_ENDS = ";:,)\u2014\u2013"


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a section that packing takes whole.

    Attributes:
        block: The block it begins in.
        kind: Kind of its text; for a heading with the block below it, the kind of that block.
        is_hard_split: It ends inside a sentence or line that alone was over the limit.
        is_row_part: Some cells of a row that alone was over the limit.
    """

    start_char: int
    end_char: int
    block: Block
    kind: BlockKind
    is_hard_split: bool = False
    is_row_part: bool = False


class UnitCutter:
    """Cuts the blocks of one text so that each unit fits into `limit_tokens`.

    Args:
        named_limit_tokens: The limit for the parts of lists, tables, fields and turns, whose header says more.
    """

    def __init__(
        self, text: str, tokens: TokenMap, language: str, limit_tokens: int, named_limit_tokens: int | None = None
    ) -> None:
        self._text = text
        self._tokens = tokens
        self._language = language
        self._block_limit_tokens = self._limit_tokens = limit_tokens
        self._named_limit_tokens = limit_tokens if named_limit_tokens is None else named_limit_tokens
        self._names: list[tuple[int, int]] = []

    @property
    def _limit_chars(self) -> int:
        return self._limit_tokens * CHARS_PER_TOKEN_LIMIT

    def fits(self, start: int, end: int) -> bool:
        """Whether the span may be a chunk's text."""
        return end - start <= self._limit_chars and self._tokens.count(start, end) <= self._limit_tokens

    def units(self, block: Block) -> list[Unit]:
        """The block as one unit if it fits, else its parts along its own structure."""
        if self.fits(block.start_char, block.end_char):
            return [Unit(block.start_char, block.end_char, block, block.kind)]
        return self.parts(block)

    def parts(self, block: Block) -> list[Unit]:
        """The block cut at the outermost structure that has several parts, whether or not it fits."""
        found: list[Unit] = []
        is_named = block.kind in _NAMED or (
            block.kind == "quote" and inner.may_be_named(self._text, block.start_char, block.end_char)
        )
        self._limit_tokens = self._named_limit_tokens if is_named else self._block_limit_tokens
        if block.kind == "table":
            first_line_end = self._text.find("\n", block.start_char, block.end_char)
            self._names = self._cells(block.start_char, block.end_char if first_line_end < 0 else first_line_end)
        self._cut(block, block.start_char, block.end_char, self._ladder(block.kind), found)
        self._limit_tokens = self._block_limit_tokens
        return [self._indented(unit) for unit in found] if block.kind in _INDENTED else found

    def _indented(self, unit: Unit) -> Unit:
        """The unit with the indentation of its first line, if it begins with a line below its block's first."""
        start = unit.start_char
        while start > unit.block.start_char and self._text[start - 1] in " \t":
            start -= 1
        is_line = start > unit.block.start_char and self._text[start - 1] == "\n"
        return replace(unit, start_char=start) if is_line else unit

    def _ladder(self, kind: BlockKind) -> tuple[Splitter, ...]:
        ladder = _LADDERS.get(kind, _PROSE)
        if kind == "table":
            ladder = (*ladder, self._column_cuts)
        return ladder if kind in _WITHOUT_SENTENCES else (*ladder, self._sentence_cuts)

    def _sentence_cuts(self, text: str, start: int, end: int) -> list[int]:
        return sentence_cuts(text, start, end, self._language)

    def _column_cuts(self, text: str, start: int, end: int) -> list[int]:
        """Inside one row, so that a part's columns can be named in its header, beside the row's first cell."""
        cells = self._cells(start, end)
        if "\n" in text[start:end] or len(cells) < MIN_CUT_COLUMNS or not self._names:
            return []
        key_tokens = self._tokens.count(*self._names[0]) + self._tokens.count(*cells[0])
        room = self._block_limit_tokens - self._named_limit_tokens - key_tokens
        cuts: list[int] = []
        first = 0
        for column in range(1, len(cells)):
            names = self._names[max(first, 1) : column + 1]
            are_named = not names or self._tokens.count(names[0][0], names[-1][1]) + len(names) <= room
            if not (are_named and self.fits(cells[first][0], cells[column][1])):
                cuts.append(cells[column][0])
                first = column
        return cuts

    def _cells(self, start: int, end: int) -> list[tuple[int, int]]:
        cuts = splitters.cell_cuts(self._text, start, end)
        # The bar that opens a row belongs to its first cell.
        return trimmed_spans(self._text, start, end, cuts[self._text.startswith("|", start) :])

    def _cut(
        self,
        block: Block,
        start: int,
        end: int,
        ladder: tuple[Splitter, ...],
        found: list[Unit],
        nesting: int = 0,
    ) -> None:
        for rung, splitter in enumerate(ladder):
            spans = trimmed_spans(self._text, start, end, splitter(self._text, start, end))
            if len(spans) < 2:
                continue
            again = splitter in _NESTED and nesting < _MAX_NESTING
            below = ladder[rung if again else rung + 1 :]
            for part_start, part_end in spans:
                if self.fits(part_start, part_end):
                    is_row_part = splitter == self._column_cuts
                    found.append(Unit(part_start, part_end, block, block.kind, is_row_part=is_row_part))
                else:
                    self._cut(block, part_start, part_end, below, found, nesting + 1)
            return
        self._cut_hard(block, start, end, found)

    def _cut_hard(self, block: Block, start: int, end: int, found: list[Unit]) -> None:
        while not self.fits(start, end):
            furthest = self._tokens.reach(start, self._limit_tokens, min(end, start + self._limit_chars))
            cut = hard_cut(self._text, start, furthest)
            found.extend(
                Unit(part_start, part_end, block, block.kind, is_hard_split=True)
                for part_start, part_end in trimmed_spans(self._text, start, cut, [])
            )
            start = next((at for at in range(cut, end) if not self._text[at].isspace()), end)
        found.extend(
            Unit(part_start, part_end, block, block.kind)
            for part_start, part_end in trimmed_spans(self._text, start, end, [])
        )


def trimmed_spans(text: str, start: int, end: int, cuts: list[int]) -> list[tuple[int, int]]:
    """The spans between the cuts, without white space at their ends, empty ones left out."""
    spans: list[tuple[int, int]] = []
    for part_start, part_end in zip([start, *cuts], [*cuts, end], strict=True):
        part = text[part_start:part_end]
        inner = part.lstrip()
        if inner:
            begin = part_end - len(inner)
            spans.append((begin, begin + len(inner.rstrip())))
    return spans


def hard_cut(text: str, start: int, furthest: int) -> int:
    """The best position in `(start, furthest]` to cut a sentence or line.

    In this order: a line end in the last half, a clause end in the last third, any white space, and at
    last any place that does not part a letter from its accent.
    """
    length = furthest - start
    line_end = text.rfind("\n", start + length // 2, furthest)
    if line_end > start:
        return line_end
    clause_end = max(text.rfind(f"{mark} ", start + 2 * length // 3, furthest) for mark in _CLAUSE_ENDS)
    if clause_end > start:
        return clause_end + 1
    for position in range(furthest, start + 1, -1):
        if text[position - 1].isspace():
            return position
    return _letter_boundary(text, start, furthest)


def _letter_boundary(text: str, start: int, furthest: int) -> int:
    position = max(furthest, start + 1)
    least = max(start + 1, position - MAX_MARKS)
    while least < position < len(text) and unicodedata.combining(text[position]):
        position -= 1
    return position
