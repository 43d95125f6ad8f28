"""How much of what a question asks for a text says: the share of its words, those weighing most that few texts have.

Belongs here: comparing a question with the few texts that were found for it.
Does not belong here: finding them (`stores/legs.py`), what follows from the share (`retrieval/fusion.py`).
"""

from __future__ import annotations

import math
import re
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
    count = len(texts)
    frequencies = {part: sum(part in parts for parts in held) for part in sought}
    weights = {part: math.log(1 + (count - n + 0.5) / (n + 0.5)) for part, n in frequencies.items()}
    total = sum(weights.values())
    return [sum(weights[part] for part in sought if part in parts) / total if total else 0.0 for parts in held]


def _held(sought: Sequence[Sought], texts: Sequence[str]) -> list[set[Sought]]:
    """Of each text, what of the sought it has; all that stands at the beginning of words is looked for at once."""
    pieces = [part for part in sought if part.place == "anywhere"]
    by_word = {part.letters: part for part in sought if part.place != "anywhere"}
    ends = {"begins": "", "is": r"(?!\w)", "anywhere": ""}
    choices = "|".join(re.escape(letters) + ends[part.place] for letters, part in by_word.items())
    words = re.compile(rf"(?<!\w)(?:{choices})") if choices else None
    held: list[set[Sought]] = []
    for text in texts:
        plain = with_plain_letters(text) if pieces else text.casefold()
        found = {part for part in pieces if part.letters in plain}
        if words is not None:
            found |= {by_word[letters] for letters in words.findall(plain)}
        held.append(found)
    return held
