"""Packing units into chunks.

Belongs here: which units share a chunk.
Does not belong here: cutting (`units.py`), what a section is (`sections.py`), exact counts (`chunker.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from rag_pipeline.transforms.chunk.fresh_starts import fresh_starts
from rag_pipeline.transforms.chunk.headers import Header
from rag_pipeline.transforms.chunk.params import ChunkParams
from rag_pipeline.transforms.chunk.tokens import TokenMap
from rag_pipeline.transforms.chunk.units import CHARS_PER_TOKEN_LIMIT, Unit

Group = tuple[int, int]
"""The units `[first, last)` of one chunk."""


class Packer:
    """Packs the units of one run (blocks under one path) into groups."""

    def __init__(
        self,
        text: str,
        units: Sequence[Unit],
        header_at: Callable[[int], Header],
        tokens: TokenMap,
        params: ChunkParams,
    ) -> None:
        self._text = text
        self._units = units
        self._header_at = header_at
        self._tokens = tokens
        self._params = params

    def groups(self) -> list[Group]:
        """Every unit in one group, in order. A group stays on one page, so that a citation names it."""
        found: list[Group] = []
        first = 0
        for index in range(1, len(self._units) + 1):
            if index == len(self._units) or self._units[index].block.page != self._units[first].block.page:
                found.extend(self._on_one_page(first, index))
                first = index
        return found

    def _on_one_page(self, first: int, stop: int) -> Iterator[Group]:
        """What is packed afresh at some places of a long run, see `fresh_starts.py`."""
        starts = fresh_starts(self._text, self._units[first:stop], self._tokens, self._params.usual_text_tokens)
        for begin, end in pairwise([first, *(first + start for start in starts), stop]):
            yield from self._fed_tail(self._greedy(begin, end))

    def _greedy(self, first: int, stop: int) -> list[Group]:
        groups: list[Group] = []
        while first < stop:
            last = first + 1
            while last < stop and self._may_join(last) and self._fits(first, last + 1, self._params.pack_tokens):
                last += 1
            groups.append((first, last))
            first = last
        return groups

    def _may_join(self, index: int) -> bool:
        """Whether the unit may follow another: a part of a row is alone with the names of its columns."""
        return not (self._units[index].is_row_part or self._units[index - 1].is_row_part)

    def _fed_tail(self, groups: list[Group]) -> list[Group]:
        """Join a short last group to the one before it, or move one unit over."""
        if (
            len(groups) < 2
            or not self._may_join(groups[-1][0])
            or self._text_tokens(*groups[-1]) >= self._params.min_tokens
        ):
            return groups
        (first, middle), (_, stop) = groups[-2:]
        if self._fits(first, stop, self._params.max_tokens):
            return [*groups[:-2], (first, stop)]
        moved = middle - 1
        is_enough_left = moved > first and self._text_tokens(first, moved) >= self._params.min_tokens
        if is_enough_left and self._fits(moved, stop, self._params.max_tokens):
            return [*groups[:-2], (first, moved), (moved, stop)]
        return groups

    def _fits(self, first: int, stop: int, limit_tokens: int) -> bool:
        start, end = self._units[first].start_char, self._units[stop - 1].end_char
        room = limit_tokens - self._header_at(first).token_count
        return end - start <= self._params.max_tokens * CHARS_PER_TOKEN_LIMIT and (
            self._tokens.count(start, end) <= room
        )

    def _text_tokens(self, first: int, stop: int) -> int:
        return self._tokens.count(self._units[first].start_char, self._units[stop - 1].end_char)
