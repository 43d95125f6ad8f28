"""Words, sentences and how rare each word is, as writers and verification of questions count them.

Belongs here: splitting and counting, in no particular language.
Does not belong here: the words of the full-text index (`transforms/word_forms.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rag_pipeline.transforms.word_forms import COMMON

_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")  # noqa: RUF001 - apostrophes as they are printed
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+(?=\S)|\s(?=[-*•#|]+\s)|\s(?=\d{1,2}[.)]\s)")  # noqa: RUF001
# What a reader of the page does not see: where links lead, and what is said to a template engine or a browser.
_UNSEEN = re.compile(
    r"(?<=\])\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*\)|\b[a-z][a-z0-9+.-]{1,9}://[^\s)>\]]+|\{%[^%{}]*%\}|<[^<>]*>"
)
# Shorter ones are articles and prepositions in most languages.
LEAST_CHARS = 4
# What is longer is an address, a digest, or a sentence of a language that puts no blanks between words.
MOST_CHARS = 24
# A word of every tenth passage tells no passage from another.
_COMMON_SHARE = 0.1
# Where there are fewer passages, a tenth of them is one or two, and no word would be rare.
_LEAST_COMMON = 5


def words_of(text: str) -> list[str]:
    """All words in their order, without letter case."""
    return [match.casefold() for match in _WORD.findall(text)]


def sentences_of(text: str) -> list[str]:
    """Sentences of a text whose white space is single blanks; each stands in the text as it is."""
    return [part for part in (piece.strip() for piece in _SENTENCE_END.split(text)) if part]


def seen_of(text: str) -> str:
    """A text without addresses and tags; its other words stand as they did."""
    return " ".join(_UNSEEN.sub(" ", text).split())


def runs_of(words: list[str], length: int) -> set[tuple[str, ...]]:
    """Every run of so many words."""
    return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """In how many passages each word stands."""

    passages: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, texts: Iterable[str]) -> Vocabulary:
        """Of all words of some texts."""
        counts: Counter[str] = Counter()
        number = 0
        for text in texts:
            number += 1
            counts.update(set(words_of(text)))
        return cls(number, counts)

    def telling(self, text: str) -> list[str]:
        """Words of a text that tell it from others, rarest first; equally rare ones as they stand in it."""
        most = max(_LEAST_COMMON, self.passages * _COMMON_SHARE)
        found = [word for word in dict.fromkeys(words_of(text)) if self._can_tell(word)]
        return sorted((word for word in found if self.counts[word] <= most), key=lambda word: self.counts[word])

    def _can_tell(self, word: str) -> bool:
        return word.isalpha() and LEAST_CHARS <= len(word) <= MOST_CHARS and word not in COMMON

    def __contains__(self, word: str) -> bool:
        return word in self.counts
