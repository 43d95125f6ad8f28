"""No page loses words in silence: what only the second reader saw of a page becomes text as well.

Belongs here: lines that layout dropped, such as notes that stand upright in the margin.
Does not belong here: reading the page (`plain_text`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from rag_pipeline.parsing.pdf.layout import Piece

# A table read in another order keeps its words; below this share words were lost or broken.
MIN_WORD_SHARE = 0.85
MIN_LOST_LETTERS = 3
LOST_SHARE = 0.6
# Shorter than this, the letters of a line occur anywhere by chance.
CHANCE_LETTERS = 12

_WORD = re.compile(r"[^\W_]+")
_NOT_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What layout made of a page beside what the second reader has.

    Attributes:
        lacking: Words that stand more often in the second reading, by how much more.
        words, letters: All words of the second reading, and the letters in them.
    """

    lacking: Counter[str]
    words: int
    letters: int

    @property
    def has_most_words(self) -> bool:
        """Whether nearly all is there. Letters count too: in a table of figures a lost sentence is few of the words."""
        lacking = sum(count * _letter_count(word) for word, count in self.lacking.items())
        may_lack = 1 - MIN_WORD_SHARE
        return self.lacking.total() <= may_lack * self.words and lacking <= may_lack * self.letters


def compared(pieces: list[Piece], text: str) -> Comparison:
    """The pieces of a page beside its text as the second reader has it."""
    wanted = Counter(_WORD.findall(text.casefold()))
    lacking = wanted - Counter(_WORD.findall("\n".join(piece.text for piece in pieces).casefold()))
    if not lacking:
        return Comparison(lacking, 0, 0)
    return Comparison(lacking, wanted.total(), sum(count * _letter_count(word) for word, count in wanted.items()))


def lost_lines(pieces: list[Piece], text: str, found: Comparison) -> set[int]:
    """Numbers from 0 of the lines of `text` whose words the pieces lack."""
    if sum(len(word) * count for word, count in found.lacking.items()) < MIN_LOST_LETTERS:
        return set()
    lacking = found.lacking.copy()
    # A reader may have parted or joined words, but the letters are there.
    has = "\n".join(letters(piece.text) for piece in pieces)
    parted = _lines_by_letters(pieces)
    lost: set[int] = set()
    for number, line in enumerate(text.split("\n")):
        words = _WORD.findall(line.casefold())
        missing = _take(words, lacking)
        if missing < MIN_LOST_LETTERS or missing < LOST_SHARE * len(key := letters(line)):
            continue
        is_there = key in has if len(key) >= CHANCE_LETTERS else _take_parted(key, words, parted)
        if not is_there:
            lost.add(number)
    return lost


def _lines_by_letters(pieces: list[Piece]) -> dict[str, list[list[str]]]:
    """The words of each short piece and of each short line within one, by their letters."""
    found: dict[str, list[list[str]]] = {}
    for piece in pieces:
        lines = piece.text.split("\n")
        for line in [piece.text, *lines] if len(lines) > 1 else lines:
            key = letters(line)
            if 0 < len(key) < CHANCE_LETTERS:
                found.setdefault(key, []).append(_WORD.findall(line.casefold()))
    return found


def _take_parted(key: str, words: list[str], parted: dict[str, list[list[str]]]) -> bool:
    """Whether a line is there with its letters in other words, as spaced titles are; it is accounted for by that.

    One in the same words is another line, since its words are not lacking.
    """
    same_letters = parted.get(key, [])
    place = next((index for index, other in enumerate(same_letters) if other != words), None)
    if place is None:
        return False
    del same_letters[place]
    return True


def visible_lines(text: str, on_page: str) -> str:
    """The lines of `text` that are part of `on_page`, the text within the page's edges."""
    seen = letters(on_page)
    return "\n".join(line for line in text.split("\n") if letters(line) in seen)


def with_lines(pieces: list[Piece], text: str, lost: set[int], page: int) -> list[Piece]:
    """The pieces, and a paragraph for each run of lost lines of `text`, after what stands before it."""
    keys = [letters(piece.text) for piece in pieces]
    starts = list(accumulate((len(key) + 1 for key in keys), initial=0))
    has = "\n".join(keys)
    runs: dict[int, list[Piece]] = {}
    at = 0
    is_run = False
    for number, line in enumerate(text.split("\n")):
        if number in lost:
            said = " ".join(line.split())
            if is_run:
                runs[at][-1].text += f" {said}"
            else:
                runs.setdefault(at, []).append(Piece("paragraph", said, page))
            is_run = True
        elif key := letters(line):
            is_run = False
            # Both readers mostly agree on the order, and a short line stands in many places.
            place = has.find(key, starts[max(0, at - 1)])
            place = has.find(key) if place < 0 else place
            at = bisect_right(starts, place) if place >= 0 else at
    return [piece for index in range(len(pieces) + 1) for piece in [*runs.get(index, ()), *pieces[index : index + 1]]]


def _letter_count(word: str) -> int:
    return len(word) if word.isalpha() else sum(map(str.isalpha, word))


# The lines and pieces of a page, of which a large one has a thousand each, are asked for in several steps.
@lru_cache(maxsize=2_048)
def letters(text: str) -> str:
    """The letters and digits of a text, without case."""
    return _NOT_LETTERS.sub("", text).casefold()


def _take(words: list[str], lacking: Counter[str]) -> int:
    """How many letters of `words` are lacking; these are accounted for by that."""
    count = 0
    for word in words:
        if lacking[word] > 0:
            lacking[word] -= 1
            count += len(word)
    return count
