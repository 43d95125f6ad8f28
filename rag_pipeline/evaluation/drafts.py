"""What passes between sample, writers and verification: passages of the index, and drafts of questions.

Belongs here: plain values, and a draft as a question of a file.
Does not belong here: writing drafts (`templates.py`, `chat_kinds.py`), judging them (`verify.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rag_pipeline.contracts.evaluation import ExpectedDocument, Question, Synthetic
from rag_pipeline.contracts.ids import digest

# So many hex digits name a question beyond any chance, and are still read at a glance.
_ID_CHARS = 16
# A question of more characters is a letter.
MOST_QUESTION_CHARS = 300
# Marks of a heading, or the keyword before a name in code.
_ROOM_BEFORE_HEADING = 12
# How another passage would answer a draft: by the phrase, under the heading, in a sentence with all terms. `judge`
# leaves it to a model, and `nothing` says that none may.
AsksBy = Literal["phrase", "heading", "sentence", "judge", "nothing"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk of the published index, as a writer of questions sees it.

    Attributes:
        text: Without its header, every run of white space one space.
        readable_by: Who may read it.
        input_key: What its document was parsed from; empty: not known, as it is gone or has another text since.
    """

    chunk_id: str
    document_id: str
    source: str
    uri: str
    title: str
    language: str
    section: tuple[str, ...]
    kind: str
    text: str
    readable_by: tuple[str, ...]
    input_key: str = ""

    @property
    def heading(self) -> str:
        """The heading that it begins with; empty: none."""
        if not self.section:
            return ""
        label = " ".join(self.section[-1].split())
        begins = self.text.casefold()[: len(label) + _ROOM_BEFORE_HEADING]
        return label if label.casefold() in begins else ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A question before it was verified.

    Attributes:
        passages: What it was made from; those that answer it, unless nothing does.
        quotes: What each passage says to it; empty: nothing answers it.
        terms: Casefolded words that any passage has which answers it; for an unanswerable one, what no passage has.
        plain: Without its typing error, where it has one.
        answer: As whoever wrote it answers it; empty: its quotes do.
    """

    kind: str
    question: str
    passages: tuple[Passage, ...]
    quotes: tuple[str, ...]
    terms: tuple[str, ...]
    plain: str = ""
    asks_by: AsksBy = "sentence"
    answer: str = ""

    @property
    def id(self) -> str:
        """The same for the same question about the same passages, so that nothing is added twice."""
        made_of = (passage.document_id for passage in self.passages)
        return f"synthetic-{digest('synthetic', self.kind, self.question, *made_of)[:_ID_CHARS]}"


def question_of(
    draft: Draft,
    principals: Iterable[str],
    *,
    generator: str,
    verifier: str,
    made_on: str,
    shared_uris: frozenset[str] = frozenset(),
) -> Question:
    """A draft as it stands in a file.

    Args:
        shared_uris: Addresses that several documents have: an address like that names no document.
    """
    readers = [set(passage.readable_by) for passage in draft.passages]
    expected = tuple(
        ExpectedDocument(document_id=passage.document_id, quote=quote)
        if passage.uri in shared_uris
        else ExpectedDocument(uri=passage.uri, quote=quote)
        for passage, quote in zip(draft.passages, draft.quotes, strict=False)
    )
    inputs = tuple(passage.input_key for passage in draft.passages[: len(expected)])
    made = Synthetic(
        generator=generator,
        verifier=verifier,
        made_on=made_on,
        readable_by=tuple(sorted(set.intersection(*readers))) if readers else (),
        # A document that is gone or changed since it was published has none, and a list with a hole in it is no list.
        inputs=inputs if all(inputs) else (),
    )
    return Question(draft.id, draft.question, expected, tuple(sorted(set(principals))), draft.kind, made)
