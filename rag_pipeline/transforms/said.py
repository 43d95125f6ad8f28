"""How much of what a question asks for a text says: the share of its words, those weighing most that few texts have.

Belongs here: comparing a question with the few texts that were found for it.
Does not belong here: finding them (`stores/retrievers.py`), what follows from the share (`retrieval/fusion.py`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from rag_pipeline.transforms.word_forms import Sought, sought_in, with_plain_letters


def shares_said(question: str, texts: Sequence[str]) -> list[float]:
    """For each text, how much of the question's words it has, in [0, 1].

    A word weighs by how few of the texts have it: one that all of them share, like the name of the company in its own
    report, says nothing, and one that none of them has is most of what is missing. All shares are 0 where the question
    has no words.

    Source: the weight is BM25's inverse document frequency; Robertson and Zaragoza, "The Probabilistic Relevance
    Framework", 2009.
    """
    sought = sought_in(question)
    held = _held(sought, texts)
    having = Counter(letters for found in held for letters in found)
    weights = {part.letters: _weight(having[part.letters], len(texts)) for part in sought}
    total = sum(weights.values())
    return [math.fsum(weights[letters] for letters in found) / total if total else 0.0 for found in held]


def _weight(having: int, count: int) -> float:
    return math.log(1 + (count - having + 0.5) / (having + 0.5))


def _held(sought: Sequence[Sought], texts: Sequence[str]) -> list[set[str]]:
    """Of each text, the letters of the sought that it has; what stands at the beginning of words is found at once."""
    pieces = [part.letters for part in sought if part.place == "anywhere"]
    by_word = [part for part in sought if part.place != "anywhere"]
    choices = "|".join(re.escape(part.letters) + (r"(?![^\W_])" if part.place == "is" else "") for part in by_word)
    # A word of an identifier stands between underscores.
    words = re.compile(rf"(?<![^\W_])(?:{choices})") if choices else None
    held: list[set[str]] = []
    for text in texts:
        plain = with_plain_letters(text) if pieces else text.casefold()
        found = {letters for letters in pieces if letters in plain}
        held.append(found.union(words.findall(plain)) if words is not None else found)
    return held
