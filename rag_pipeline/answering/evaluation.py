"""How good answers are: questions with what is expected of each, scores, and what fell since.

Belongs here: the file of questions, scoring one answer, the figures of all, comparing with earlier ones.
Does not belong here: answering (`answerer.py`), judging (`judging.py`), printing (`cli/`).

A file is JSONL. One line:
`{"id": "a1", "question": "...", "principals": ["public"], "keywords": ["26 weeks"], "facts": ["Leave is 26 weeks."],
"citations": ["leave.md"], "answerable": true}`; the last four are optional.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag_pipeline.answering.answer import Answer, Citation, Finished, GivenSources
from rag_pipeline.answering.answerer import Answerer
from rag_pipeline.answering.judging import Judge
from rag_pipeline.answering.prompt import normalised
from rag_pipeline.errors import SettingsError, UsageError

# What is compared with a baseline; facts are only with a judge that is trusted.
SCORES = ("keywords", "facts", "citations", "answered", "abstained", "supported")
_FIELDS = {"id", "question", "principals", "keywords", "facts", "citations", "answerable"}


@dataclass(frozen=True, slots=True)
class AnswerQuestion:
    """One question.

    Attributes:
        keywords: Texts that the answer must hold, case and white space aside.
        facts: Sentences that it must state, in whatever words; a judge says whether it does.
        citations: Ends of the addresses that it must cite.
        is_answerable: Whether the documents answer it; else the right answer is to say so.
    """

    id: str
    question: str
    principals: tuple[str, ...]
    keywords: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()
    is_answerable: bool = True


@dataclass(frozen=True, slots=True)
class AnswerResult:
    """What became of one question.

    Attributes:
        keywords, facts, citations: Share of what was expected that is there, 0 to 1; None: nothing was expected, or
            there is no judge.
        answered: Of an answerable question: 1 if it was not declined. Else None.
        abstained: Of one that cannot be answered: 1 if it was declined. Else None.
        supported: Of a given answer: 1 if it cites. Else None.
        retrieved: Ids of the chunks that the model was given, best first.
    """

    question_id: str
    question: str
    verdict: str
    text: str
    retrieved: tuple[str, ...]
    cited: tuple[str, ...]
    keywords: float | None
    facts: float | None
    citations: float | None
    answered: float | None
    abstained: float | None
    supported: float | None
    struck: int
    latency_seconds: float
    tokens_in: int
    tokens_out: int
    cost: float | None
    problem: str | None


def read_answer_questions(files: Iterable[Path]) -> tuple[AnswerQuestion, ...]:
    """Questions of all files.

    Raises:
        SettingsError: A file cannot be read, or a line is no question; the message names file and line.
    """
    found: dict[str, AnswerQuestion] = {}
    for path in files:
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            raise SettingsError(f"the questions in {path} cannot be read: {error}", path=str(path)) from error
        for number, line in enumerate(lines, start=1):
            if line.strip():
                question = _question(line, f"{path}:{number}")
                if question.id in found:
                    raise SettingsError(f"{path}:{number}: id: {question.id!r} stands twice")
                found[question.id] = question
    return tuple(found.values())


def _question(line: str, place: str) -> AnswerQuestion:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise SettingsError(f"{place}: is not JSON: {error}") from error
    if not isinstance(record, dict) or record.keys() - _FIELDS:
        raise SettingsError(f"{place}: want an object with {', '.join(sorted(_FIELDS))} and nothing else")
    for name in ("id", "question"):
        if not isinstance(record.get(name), str) or not record[name].strip():
            raise SettingsError(f"{place}: {name}: want a text that is not empty")
    lists = {name: record.get(name, []) for name in ("principals", "keywords", "facts", "citations")}
    for name, values in lists.items():
        if not isinstance(values, list) or not all(isinstance(value, str) and value.strip() for value in values):
            raise SettingsError(f"{place}: {name}: want a list of texts")
    answerable = record.get("answerable", True)
    if not isinstance(answerable, bool):
        raise SettingsError(f"{place}: answerable: want true or false")
    if not lists["principals"]:
        raise SettingsError(f'{place}: principals: want at least one name, like ["public"]')
    return AnswerQuestion(
        record["id"],
        record["question"],
        is_answerable=answerable,
        **{name: tuple(values) for name, values in lists.items()},
    )


def evaluate_answers(
    answerer: Answerer, questions: Iterable[AnswerQuestion], judge: Judge | None = None
) -> tuple[AnswerResult, ...]:
    """Ask each question, and score its answer."""
    return tuple(_result(answerer, question, judge) for question in questions)


def _result(answerer: Answerer, question: AnswerQuestion, judge: Judge | None) -> AnswerResult:
    began = time.monotonic()
    given: tuple[Citation, ...] = ()
    for event in answerer.stream(question.question, question.principals):
        if isinstance(event, GivenSources):
            given = event.citations
        elif isinstance(event, Finished):
            return _scored(question, event.answer, given, judge, time.monotonic() - began)
    raise AssertionError("a stream ends with Finished")


def _scored(
    question: AnswerQuestion, answer: Answer, given: Sequence[Citation], judge: Judge | None, seconds: float
) -> AnswerResult:
    cited = tuple(citation.uri for citation in answer.citations)
    declined = answer.verdict == "no_information"
    is_given = answer.verdict in ("answered", "unsupported", "cut_short")
    text = normalised(answer.text)
    return AnswerResult(
        question_id=question.id,
        question=question.question,
        verdict=answer.verdict,
        text=answer.text,
        retrieved=tuple(name for citation in given for name in citation.chunk_ids),
        cited=cited,
        keywords=_share([normalised(word) in text for word in question.keywords]),
        facts=None if judge is None else _facts(question.facts, answer, judge),
        citations=_share([any(_is_at(uri, end) for uri in cited) for end in question.citations]),
        answered=float(is_given) if question.is_answerable else None,
        abstained=None if question.is_answerable else float(declined),
        supported=float(bool(cited)) if is_given else None,
        struck=answer.struck,
        latency_seconds=seconds,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        cost=answer.cost,
        problem=answer.problem,
    )


def _facts(facts: Sequence[str], answer: Answer, judge: Judge) -> float | None:
    """Share of the facts that it states; one that the judge leaves open counts as missing."""
    return _share([bool(judge.states(answer.text, fact)) for fact in facts] if answer.text else [False] * len(facts))


def _is_at(uri: str, end: str) -> bool:
    return uri == end or uri.endswith(f"/{end.lstrip('/')}")


def _share(held: Sequence[bool]) -> float | None:
    return sum(held) / len(held) if held else None


def figures_of(results: Sequence[AnswerResult]) -> dict[str, float | None]:
    """The mean of each score over the questions that have it."""
    figures: dict[str, float | None] = {}
    for name in SCORES:
        values = [value for result in results if (value := getattr(result, name)) is not None]
        figures[name] = sum(values) / len(values) if values else None
    return figures


def result_of(record: Mapping[str, Any]) -> AnswerResult:
    """A result that was printed as JSON."""
    lists = {name: tuple(record[name]) for name in ("retrieved", "cited")}
    return AnswerResult(**{**record, **lists})


def record_of(results: Sequence[AnswerResult]) -> dict[str, Any]:
    """Figures, sums, and every question, for JSON."""
    costs = [result.cost for result in results if result.cost is not None]
    return {
        **figures_of(results),
        "questions": len(results),
        "failed": sum(result.verdict == "failed" for result in results),
        "struck": sum(result.struck for result in results),
        "tokens_in": sum(result.tokens_in for result in results),
        "tokens_out": sum(result.tokens_out for result in results),
        "cost": sum(costs) if costs else None,
        "results": [asdict(result) for result in results],
    }


def falls(
    before: Sequence[AnswerResult], after: Sequence[AnswerResult], tolerance: float, *, with_facts: bool
) -> dict[str, tuple[float, float]]:
    """Scores that fell by more than the tolerance, on the questions that both have: before and after.

    Raises:
        UsageError: They have no question in common.
    """
    both = {result.question_id for result in before} & {result.question_id for result in after}
    if not both:
        raise UsageError("the baseline and this evaluation have no question in common; make a new baseline")
    old = figures_of([result for result in before if result.question_id in both])
    new = figures_of([result for result in after if result.question_id in both])
    found = {}
    for name in SCORES:
        earlier, now = old[name], new[name]
        if earlier is None or (name == "facts" and not with_facts):
            continue
        # What no answer has any more is no score that held.
        if (0.0 if now is None else now) < earlier - tolerance:
            found[name] = (earlier, now or 0.0)
    return found
