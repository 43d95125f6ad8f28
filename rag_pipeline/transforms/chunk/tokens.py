"""Counting tokens of many overlapping spans after encoding each character once.

Belongs here: `TokenMap`. Does not belong here: tokenizers (`contracts/tokens.py`), or limits.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from rag_pipeline.contracts.tokens import TokenCounter

ENCODE_CHARS = 8_000
"""Neighbouring pieces are joined up to this length before encoding: few calls, and none of them large."""

MAX_ENCODE_CHARS = 200_000
"""No single encoding is longer; tokenizers take hundreds of bytes per character."""


class TokenMap:
    """Where the tokens of some spans of one text lie.

    A tokenizer that splits on white space first gives a span between white space the same tokens inside its
    surroundings as alone, so a count is a difference of two binary searches. For cuts inside words, and for
    tokenizers that merge across white space, the count is close but not exact: callers verify.
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self, text: str, spans: Iterable[tuple[int, int]], counter: TokenCounter) -> None:
        """Encode the `spans` (ordered, not overlapping, bounded by white space) of `text`."""
        self._starts = array("I")
        self._ends = array("I")
        for slices in _batched(part for span in _joined(spans) for part in _sliced(text, *span)):
            encoded = counter.token_spans_batch([text[start:end] for start, end in slices])
            for (offset, _), tokens in zip(slices, encoded, strict=True):
                self._starts.extend([offset + start for start, _ in tokens])
                self._ends.extend([offset + end for _, end in tokens])

    def count(self, start: int, end: int) -> int:
        """Tokens that overlap `[start, end)`."""
        first = bisect_right(self._ends, start)
        return max(0, bisect_left(self._starts, end, first) - first)

    def reach(self, start: int, tokens: int, end: int) -> int:
        """The furthest position up to `end` such that `[start, position)` holds at most `tokens` tokens."""
        beyond = bisect_right(self._ends, start) + tokens
        return min(self._starts[beyond], end) if beyond < len(self._starts) else end


def _joined(spans: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    """Join neighbouring spans (and the white space between them) up to ENCODE_CHARS."""
    current: tuple[int, int] | None = None
    for start, end in spans:
        if current is None:
            current = (start, end)
        elif end - current[0] <= ENCODE_CHARS:
            current = (current[0], end)
        else:
            yield current
            current = (start, end)
    if current is not None:
        yield current


def _batched(slices: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Slices that are encoded together: what comes back takes many times the memory of the text."""
    batch: list[tuple[int, int]] = []
    chars = 0
    for start, end in slices:
        if batch and chars + end - start > MAX_ENCODE_CHARS:
            yield batch
            batch, chars = [], 0
        batch.append((start, end))
        chars += end - start
    if batch:
        yield batch


def _sliced(text: str, start: int, end: int) -> Iterable[tuple[int, int]]:
    """Cut one span into parts of at most MAX_ENCODE_CHARS, at white space where there is any."""
    while end - start > MAX_ENCODE_CHARS:
        limit = start + MAX_ENCODE_CHARS
        cut = max(text.rfind(" ", start + 1, limit), text.rfind("\n", start + 1, limit))
        cut = cut if cut > start else limit
        yield start, cut
        start = cut
    yield start, end
