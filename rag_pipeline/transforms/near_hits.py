"""Whether two texts say the same to a reader: nearly equal words, and equal numbers.

Belongs here: comparing a few texts that were found.
Does not belong here: near duplicates of a corpus (`near_duplicates.py`), which hit stays (`retrieval/ranking.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# Of ten words, one may differ.
LEAST_SHARED = 0.9
_WORD = re.compile(r"\w+")
# An evaluation ranks the same some hundred texts of a question seven times; they take a few megabytes.
_TEXTS_REMEMBERED = 512


@dataclass(frozen=True, slots=True)
class Wording:
    """Words of a text, each once, and apart from them the words with digits as they follow each other.

    A figure is never a small difference, nor is another order of figures: part 1 of 4 is not part 4 of 4.
    """

    words: frozenset[str]
    numbers: tuple[str, ...]


@lru_cache(_TEXTS_REMEMBERED)
def wording_of(text: str) -> Wording:
    """What is compared of a text; letter case, punctuation and the order of words do not count."""
    found = _WORD.findall(text.casefold())
    words = frozenset(found)
    numbers = {word for word in words if not word.isalpha() and any(map(str.isdigit, word))}
    return Wording(words, tuple(word for word in found if word in numbers) if numbers else ())


def is_near(one: Wording, other: Wording) -> bool:
    """Whether so many of all their words are in both that a reader needs one of the two; no, where there are none."""
    # Most texts differ in their numbers, and that is seen at once.
    if one.numbers != other.numbers:
        return False
    least, most = sorted((len(one.words), len(other.words)))
    if not least or least < LEAST_SHARED * most:
        return False
    shared = len(one.words & other.words)
    return shared >= LEAST_SHARED * (least + most - shared)
