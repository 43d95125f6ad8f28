"""Citation marks in a text that comes in pieces: `[2]`, `[1, 3]`, `[2-4]`.

Belongs here: finding them, striking those of what was never given, and escaping those of a document's own text.
Does not belong here: what a number stands for (`answerer.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# The hold must be as long as what a mark may hold, or other cuts would give other results.
_INSIDE = r"[\d ,;\u2013-]"
_MARK = re.compile(rf"[\[【]({_INSIDE}{{1,24}})[\]】]")
_OPEN = re.compile(rf"[\[【]{_INSIDE}{{0,24}}")
_OPENED = re.compile(rf"[\[【]{_INSIDE}{{0,24}}\Z")
_LIST = re.compile(r" ?[0-9]{1,3}( ?(?:[,;]|[\u2013-]) ?[0-9]{1,3})* ?")
_PART = re.compile(r"([0-9]+)(?: ?[\u2013-] ?([0-9]+))?")
_SPECIAL = re.compile(r"[\[【`\n ]")
# A longer range is no list of sources; its ends stand for it.
_LONGEST_RANGE = 50
# With its brackets.
MOST_MARK_CHARS = 26
# From three on, marks fence code over several lines.
_FENCE_TICKS = 3


@dataclass(frozen=True, slots=True)
class Text:
    """Text between marks."""

    text: str


@dataclass(frozen=True, slots=True)
class Cited:
    """A citation of what was given."""

    number: int


@dataclass(frozen=True, slots=True)
class Struck:
    """A citation of what was not."""

    number: int


Part = Text | Cited | Struck


class Marks:
    """Reads a text piece by piece; the parts are the same however it was cut, but for where texts are divided.

    Within backticks nothing is a mark: `array[0]` is code.
    """

    def __init__(self, given: int) -> None:
        self._given = given
        self._held = ""
        self._ticks = 0

    def feed(self, piece: str, *, end: bool = False) -> Iterator[Part]:
        """The parts that are certain by now.

        Args:
            end: Nothing follows; what was held back is given out.
        """
        text, at = self._held + piece, 0
        self._held = ""
        while at < len(text):
            special = _SPECIAL.search(text, at)
            plain_end = special.start() if special else len(text)
            if plain_end > at:
                yield Text(text[at:plain_end])
                at = plain_end
                continue
            step = self._special(text, at, end)
            if step is None:
                self._held = text[at:]
                return
            parts, at = step
            yield from parts

    def _special(self, text: str, at: int, end: bool) -> tuple[list[Part], int] | None:
        """The parts that begin with a character that may mean something, and where they end; None: not known yet."""
        if text[at] == "`":
            return self._tick(text, at, end)
        if text[at] == "\n":
            if self._ticks < _FENCE_TICKS:
                self._ticks = 0
            return [Text("\n")], at + 1
        if self._ticks:
            return [Text(text[at])], at + 1
        # A space before a mark that is struck goes with it.
        mark_at = at + (text[at] == " ")
        if mark_at == len(text):
            return ([Text(" ")], mark_at) if end else None
        found = _MARK.match(text, mark_at)
        if found and _LIST.fullmatch(found[1]):
            parts: list[Part] = [
                Cited(number) if 1 <= number <= self._given else Struck(number) for number in _numbers(found[1])
            ]
            if mark_at > at and any(isinstance(part, Cited) for part in parts):
                parts.insert(0, Text(" "))
            return parts, found.end()
        if not found and not end and _OPEN.fullmatch(text, mark_at):
            return None
        return [Text(text[at])], at + 1

    def _tick(self, text: str, at: int, end: bool) -> tuple[list[Part], int] | None:
        after = at
        while after < len(text) and text[after] == "`":
            after += 1
        if after == len(text) and not end:
            return None
        if self._ticks == 0:
            self._ticks = after - at
        elif self._ticks == after - at:
            self._ticks = 0
        return [Text(text[at:after])], after


def _numbers(inside: str) -> list[int]:
    found: list[int] = []
    for first, last in _PART.findall(inside):
        low, high = int(first), int(last or first)
        found += range(low, high + 1) if low <= high <= low + _LONGEST_RANGE else [low, high]
    return list(dict.fromkeys(found))


def opens(text: str) -> bool:
    """Whether a text ends within what may become a mark."""
    return _OPENED.search(text) is not None


def escaped(text: str) -> str:
    """A document's text, whose own marks stand in round brackets: a model that copies one would cite with it."""
    return _MARK.sub(lambda found: f"({found[1]})" if _LIST.fullmatch(found[1]) else found[0], text)
