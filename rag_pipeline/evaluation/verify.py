"""Whether a draft is a good question, as far as that is told without a model.

Belongs here: unique, no copy of its text, no near duplicate of another question; and the reasons against a draft.
Does not belong here: finding the passages that could answer it too (`refresh/questions.py`).

A draft need not be found by the search of today: a set of what is found already would see no search get better.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rag_pipeline.evaluation.drafts import Draft, Passage
from rag_pipeline.evaluation.words import runs_of, sentences_of, words_of

# Raise it when other drafts are let through.
VERSION = "1"
VERIFIER = f"words and retrieval {VERSION}"
REASONS = {
    "copies_its_text": "it repeats {detail} of its text",
    "not_unique": "{detail} answers it too",
    "has_an_answer": "{detail} says what nothing should say",
    "near_duplicate": "it asks nearly what {detail} asks",
    "not_answerable": "its text does not answer it: {detail}",
    "answerable_without": "it is answered without its text: {detail}",
    "not_valid": "the model's answer is not valid: {detail}",
    "server_failed": "the server failed on it: {detail}",
}
# Names and terms are of three or four words; five in a row are somebody's sentence.
LONGEST_COPIED_WORDS = 4
# Asked for by their very words.
_COPYING_KINDS = frozenset({"phrase"})
# Two questions that share three of four words are one.
NEAREST_SHARED = 0.75


@dataclass(frozen=True, slots=True)
class Rejected:
    """A draft that is no question, and why."""

    draft: Draft
    reason: str
    detail: str

    @property
    def why(self) -> str:
        """For a person."""
        return REASONS[self.reason].format(detail=self.detail)


@dataclass(slots=True)
class Asked:
    """Questions that there are: a new one must be another."""

    _words: dict[str, frozenset[str]] = field(default_factory=dict)
    _having: dict[str, set[str]] = field(default_factory=dict)

    def add(self, name: str, question: str) -> None:
        words = frozenset(words_of(question))
        self._words[name] = words
        for word in words:
            self._having.setdefault(word, set()).add(name)

    def nearest(self, question: str, but: str = "") -> tuple[float, str]:
        """Share of all words that the most similar question has in common, and its id; `but` itself does not count."""
        words = frozenset(words_of(question))
        names = set().union(*(self._having.get(word, ()) for word in words)) - {but}
        return max(((_jaccard(words, self._words[name]), name) for name in sorted(names)), default=(0.0, ""))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, len(one | other))


def rejected(draft: Draft, candidates: Iterable[Passage], asked: Asked) -> Rejected | None:
    """The first reason against a draft; None: it may be asked.

    Args:
        candidates: Passages that its askers may read and that may answer it; what was retrieved for it.
        asked: Questions that there are.
    """
    copied = _longest_copied(draft)
    if copied > LONGEST_COPIED_WORDS and draft.kind not in _COPYING_KINDS:
        return Rejected(draft, "copies_its_text", f"{copied} words in a row")
    shared, name = asked.nearest(draft.plain or draft.question)
    if shared >= NEAREST_SHARED:
        return Rejected(draft, "near_duplicate", name)
    for other in candidates:
        if draft.asks_by == "nothing":
            if _says(other, draft.terms):
                return Rejected(draft, "has_an_answer", other.uri)
        elif draft.asks_by != "judge" and _is_another(draft, other) and _answers(draft, other):
            return Rejected(draft, "not_unique", other.uri)
    return None


def _longest_copied(draft: Draft) -> int:
    """Most words in a row that the question and one of its texts have in common, counted up to one beyond the bound."""
    words = words_of(draft.question)
    texts = [words_of(passage.text) for passage in draft.passages]
    longest = 0
    for length in range(1, LONGEST_COPIED_WORDS + 2):
        runs = runs_of(words, length)
        if not any(runs & runs_of(text, length) for text in texts):
            break
        longest = length
    return longest


def _is_another(draft: Draft, other: Passage) -> bool:
    """Whether a passage is none of the draft's, nor a neighbour that has the same words of the same document."""
    return not any(
        passage.chunk_id == other.chunk_id or (passage.document_id == other.document_id and quote in other.text)
        for passage, quote in zip(draft.passages, draft.quotes, strict=True)
    )


def _answers(draft: Draft, other: Passage) -> bool:
    """Whether a passage says all that a draft asks by: a phrase as it is, a heading over it, the rest in a sentence."""
    terms = set(draft.terms)
    if draft.asks_by == "phrase":
        run = tuple(draft.terms)
        return run in runs_of(words_of(other.text), len(run))
    if draft.asks_by == "heading":
        own = draft.passages[0]
        if own.document_id == other.document_id:
            # What goes on under a heading is no other answer; the same heading a second time is.
            return other.heading == own.heading
        return terms <= set(words_of(f"{other.title} {' '.join(other.section)}"))
    return any(terms <= set(words_of(sentence)) for sentence in sentences_of(other.text))


def _says(passage: Passage, terms: Sequence[str]) -> bool:
    text = f"{passage.title} {passage.text}".casefold()
    return any(term in text for term in terms)
