"""Where two texts on one subject say different things: the same sentence with another number, or denied.

Belongs here: comparing two texts, sentence by sentence, and finding texts of other documents that are near.
Does not belong here: which of the two is newer, reading the index (`refresh/curation.py`).

No model judges: a sentence counts where nearly all of its words stand in the other one, and it differs in its numbers
or in a word that denies. So little is found that is none, and what is put in other words is missed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Differs = Literal["numbers", "negation"]

_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|\n+")  # noqa: RUF001 - marks of sentences as they are printed
_WORD = re.compile(r"\d+(?:[.,:/-]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*")  # noqa: RUF001 - apostrophes as they are printed
# English, German, French (where `ne` only goes with the word that denies), Spanish, Italian, Portuguese, Dutch, Polish
# and Russian.
_DENIES = frozenset(
    [
        *("no", "not", "never", "none", "cannot", "without"),
        *("nicht", "kein", "keine", "keinen", "keinem", "keiner", "nie", "niemals", "ohne"),
        *("pas", "jamais", "sans", "nunca", "sin", "non", "mai", "senza", "não", "sem"),
        *("niet", "geen", "nooit", "zonder", "nigdy", "bez", "не", "нет", "никогда", "без"),
    ]
)
# Of fewer words two sentences are alike by chance: "see chapter 4", "version 2".
LEAST_WORDS = 5
# With one word in six another, sentences of different things begin to match.
LEAST_SHARED = 0.85
# What a chunk holds of sentences, several times over; a table of numbers has one a line.
MOST_SENTENCES = 60
# So many similarities are held at once, however many texts there are: 64 MB.
_BLOCK_CELLS = 2**24


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two sentences that say one thing differently."""

    first: str
    second: str
    differs: Differs


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    words: frozenset[str]
    numbers: tuple[str, ...]
    denials: int


def contradictions(first: str, second: str) -> list[Contradiction]:
    """Sentences of two texts that say one thing differently, in the order of the first.

    A sentence that the other text has too, as it is, contradicts nothing.
    """
    ones, others = _sentences(first), _sentences(second)
    both = {each.text for each in ones} & {each.text for each in others}
    candidates = [each for each in others if each.text not in both]
    found = []
    for one in ones:
        if one.text in both:
            continue
        for other in candidates:
            differs = _difference(one, other)
            if differs is not None:
                found.append(Contradiction(one.text, other.text, differs))
                break
    return found


def _sentences(text: str) -> list[_Sentence]:
    found = []
    for piece in _SENTENCE_END.split(text):
        sentence = " ".join(piece.split())
        tokens = [token.casefold() for token in _WORD.findall(sentence)]
        denials = sum(token in _DENIES or token.endswith(("n't", "n’t")) for token in tokens)  # noqa: RUF001
        numbers = tuple(sorted(token for token in tokens if token[0].isdigit()))
        words = frozenset(_stem(token) for token in tokens if not token[0].isdigit() and token not in _DENIES)
        if len(words) >= LEAST_WORDS:
            found.append(_Sentence(sentence, words, numbers, denials))
        if len(found) == MOST_SENTENCES:
            break
    return found


def _stem(token: str) -> str:
    """A word without what denies it: "doesn't" is "does"."""
    return re.sub(r"n['’]t$", "", token)  # noqa: RUF001 - apostrophes as they are printed


def _difference(one: _Sentence, other: _Sentence) -> Differs | None:
    if one.numbers == other.numbers and one.denials % 2 == other.denials % 2:
        return None
    shared = len(one.words & other.words) / len(one.words | other.words)
    if shared < LEAST_SHARED:
        return None
    if one.denials % 2 != other.denials % 2:
        return "negation" if one.numbers == other.numbers else None
    # Another count of numbers is a sentence that says more, or an item of a list.
    return (
        "numbers" if len(one.numbers) == len(other.numbers) and Counter(one.numbers) != Counter(other.numbers) else None
    )


def nearest_elsewhere(
    vectors: np.ndarray, documents: Sequence[str], asked: Sequence[int], most: int
) -> Iterator[tuple[int, int, float]]:
    """(row, row of another document, cosine similarity) for each of some rows: its nearest ones, the nearest first.

    Args:
        vectors: [rows, dimension], unit length.
        documents: Of each row.
        asked: Rows that are asked for.
        most: So many for each.
    """
    _, owner = np.unique(np.asarray(documents), return_inverse=True)
    rows = max(1, _BLOCK_CELLS // max(1, len(owner)))
    for start in range(0, len(asked), rows):
        block = np.asarray(asked[start : start + rows], dtype=np.intp)
        similarity = vectors[block] @ vectors.T
        similarity[owner[block][:, None] == owner[None, :]] = -np.inf
        count = min(most, similarity.shape[1])
        near = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        for at, row in enumerate(block):
            for other in sorted(near[at], key=lambda other: (-similarity[at, other], other)):
                if np.isfinite(similarity[at, other]):
                    yield int(row), int(other), float(similarity[at, other])
