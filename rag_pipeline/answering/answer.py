"""Answers as values, and the events of one that is still being written.

Belongs here: what a person or a program reads of an answer.
Does not belong here: making one (`answerer.py`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Verdict = Literal["answered", "unsupported", "no_information", "cut_short", "failed"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Citation:
    """One text that the model was given, by the number it is cited with.

    Attributes:
        chunk_id: Of the best hit in it.
        chunk_ids: Of all chunks that the text is made of.
        place: Where it stands in the document, for a person: page or line, section; may be empty.
        start_char, end_char: Span in the document's text, code points.
        text: As the caller may read it.
    """

    number: int
    document_id: str
    chunk_id: str
    title: str | None
    source: str
    uri: str
    place: str
    text: str
    page: int | None = None
    line: int | None = None
    section_path: tuple[str, ...] = ()
    start_char: int = 0
    end_char: int = 0
    chunk_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, or why there is none.

    Attributes:
        text: With marks like `[2]`; what was written until then where it was cut short or failed.
        citations: What is cited, in the order of first mention; each was given to the model.
        verdict: `unsupported`: it cites nothing. `no_information`: the documents do not say. `cut_short`: it ended at
            its limit of tokens. `failed`: the model did not answer, which `problem` explains.
        struck: Citations of what was never given, taken out of the text.
        from_cache: No model was asked, or another caller's equal question was.
        cost: Of this answer, in the currency of the prices; 0 from the cache; None: the model has no price.
        cost_saved: What it would have cost without the cache.
        model: Alias of the chat model.
        plan_fingerprint: Names how it was searched, asked and answered, and of which index.
        problem, problem_code: Message and code of the error behind `failed`.
    """

    text: str
    citations: tuple[Citation, ...]
    verdict: Verdict
    struck: int
    from_cache: bool
    tokens_in: int
    tokens_out: int
    cost: float | None
    latency_seconds: float
    model: str
    plan_fingerprint: str
    problem: str | None = None
    problem_code: str | None = None
    cost_saved: float | None = None
    tokens_estimated: bool = False

    def record(self) -> dict[str, Any]:
        """Plain values with stable keys, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class GivenSources:
    """What the model was given, best first; the first event, empty where nothing was found."""

    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class AnswerText:
    """A piece of text, without marks."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerCitation:
    """A mark at this place of the text; the number is one of those given."""

    number: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event."""

    answer: Answer


AnswerEvent = GivenSources | AnswerText | AnswerCitation | Finished
