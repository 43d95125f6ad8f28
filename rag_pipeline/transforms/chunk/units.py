"""Cutting a block into units: the parts that packing never cuts again.

Belongs here: which structure to try in which order for each kind of block, and the last resort.
Does not belong here: where structures lie (`splitters.py`), or how units become chunks (`pack.py`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from rag_pipeline.contracts.documents import Block, BlockKind
from rag_pipeline.transforms.chunk import splitters
from rag_pipeline.transforms.chunk.sentences import sentence_cuts
from rag_pipeline.transforms.chunk.tokens import TokenMap

Splitter = Callable[[str, int, int], list[int]]

CHARS_PER_TOKEN_LIMIT = 32
"""A word piece tokenizer makes one unknown token of any very long word, so a limit in tokens alone lets
megabytes of base64 through. Text longer than this per token of the limit counts as not fitting."""

_PROSE: tuple[Splitter, ...] = (splitters.paragraph_cuts, splitters.unwrapped_line_cuts)
_LADDERS: dict[BlockKind, tuple[Splitter, ...]] = {
    "list": (splitters.list_item_cuts, *_PROSE),
    "table": (splitters.row_cuts, splitters.line_cuts),
    "code": (splitters.stanza_cuts, splitters.statement_cuts, splitters.line_cuts),
    "definition": (splitters.stanza_cuts, splitters.statement_cuts, splitters.line_cuts),
    "quote": (splitters.quote_cuts, splitters.unwrapped_line_cuts),
    "record": (splitters.paragraph_cuts, splitters.line_cuts),
}
_WITHOUT_SENTENCES: frozenset[BlockKind] = frozenset({"code", "definition"})
_NESTED: frozenset[Splitter] = frozenset({splitters.list_item_cuts, splitters.statement_cuts})
_MAX_NESTING = 24
# A letter has a few marks; a run of thousands is no letter, and walking it for every piece takes forever.
MAX_MARKS = 32
_CLAUSE_ENDS = ";:,)\u2014\u2013"


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a section that packing takes whole.

    Attributes:
        block: The block it begins in.
        kind: Kind of its text; for a heading with the block below it, the kind of that block.
        is_hard_split: It ends inside a sentence or line that alone was over the limit.
    """

    start_char: int
    end_char: int
    block: Block
    kind: BlockKind
    is_hard_split: bool = False


class UnitCutter:
    """Cuts the blocks of one text so that each unit fits into `limit_tokens`."""

    def __init__(self, text: str, tokens: TokenMap, language: str, limit_tokens: int) -> None:
        self._text = text
        self._tokens = tokens
        self._language = language
        self._limit_tokens = limit_tokens
        self._limit_chars = limit_tokens * CHARS_PER_TOKEN_LIMIT

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
        self._cut(block, block.start_char, block.end_char, self._ladder(block.kind), found)
        return found

    def _ladder(self, kind: BlockKind) -> tuple[Splitter, ...]:
        ladder = _LADDERS.get(kind, _PROSE)
        return ladder if kind in _WITHOUT_SENTENCES else (*ladder, self._sentence_cuts)

    def _sentence_cuts(self, text: str, start: int, end: int) -> list[int]:
        return sentence_cuts(text, start, end, self._language)

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
                    found.append(Unit(part_start, part_end, block, block.kind))
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
