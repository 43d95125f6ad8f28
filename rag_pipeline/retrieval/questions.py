"""Files of questions for evaluation: read and validated, and the form of one line.

Belongs here: the format, and messages that name the file and the line.
Does not belong here: asking the questions (`evaluate.py`).

A file is JSONL. One line:
`{"id": "q1", "question": "...", "expected": [{"uri_suffix": "a/b.md", "quote": "..."}], "principals": ["public"]}`;
`kind` is optional, an expected document is named by `uri_suffix`, `uri` or `document_id`, and `quote` is optional.
`synthetic` says what wrote a question that no person wrote; a person sets its `standing` to `confirmed` or `dropped`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from rag_pipeline.contracts.evaluation import STANDINGS, ExpectedDocument, Question, Synthetic
from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.names import principal
from rag_pipeline.errors import SettingsError

_ADDRESSES = ("uri_suffix", "uri", "document_id")
_FIELDS = {"id", "question", "expected", "principals", "kind", "synthetic"}


def read_questions(files: Iterable[Path], *, with_dropped: bool = False) -> tuple[Question, ...]:
    """Questions of all files, in their order; blank lines are skipped.

    Args:
        with_dropped: Also those of a program that a person dropped: nobody asks them, and none is written again.

    Raises:
        SettingsError: A file is missing, or a line is not a question; the message names file, line and field.
    """
    questions: dict[str, Question] = {}
    for path in files:
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the questions in {path} cannot be read: {error}", path=str(path)) from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            question = _question(line, place)
            if question.id in questions:
                raise _error(place, f"id: {question.id!r} stands twice; ids name questions over time")
            questions[question.id] = question
    return tuple(each for each in questions.values() if with_dropped or not _is_dropped(each))


def by_standing(questions: Iterable[Question]) -> tuple[list[Question], list[Question]]:
    """Questions that people wrote or agreed to, which decide, and those of a program that nobody has looked at yet."""
    both: tuple[list[Question], list[Question]] = ([], [])
    for question in questions:
        both[not question.is_confirmed].append(question)
    return both


def line_of(question: Question) -> str:
    """A question as one line of such a file."""
    expected = [{name: value for name, value in asdict(each).items() if value} for each in question.expected]
    record: dict[str, Any] = {"id": question.id, "question": question.question, "expected": expected}
    record |= {"principals": list(question.principals)} | ({"kind": question.kind} if question.kind else {})
    record |= {} if question.synthetic is None else {"synthetic": asdict(question.synthetic)}
    return line_with(record)


def line_with(record: Mapping[str, Any]) -> str:
    """A record as one line of JSON."""
    line = json.dumps(record, ensure_ascii=False)
    # Some signs that JSON leaves as they are end a line for whoever reads it.
    return line if len(line.splitlines()) == 1 else json.dumps(record)


def questions_hash(questions: Iterable[Question]) -> str:
    """16 hex digits, equal for equal sets of questions in whatever order and files."""
    return digest("questions", *sorted(question.question_hash for question in questions))[:16]


def _question(line: str, place: str) -> Question:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise _error(place, f"is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise _error(place, "want an object with id, question, expected and principals")
    unknown = sorted(record.keys() - _FIELDS)
    if unknown:
        raise _error(place, f"{unknown[0]}: unknown key; allowed: {', '.join(sorted(_FIELDS))}")
    principals = record.get("principals")
    if not isinstance(principals, list) or not principals:
        raise _error(place, 'principals: want a list with at least one name, like ["public"]')
    try:
        names = tuple(principal(name) for name in principals)
    except ValueError as error:
        raise _error(place, f"principals must be non-empty strings; {error}") from error
    expected = record.get("expected")
    if not isinstance(expected, list):
        raise _error(place, "expected: want a list of documents; an empty one if nothing answers the question")
    return Question(
        id=_text(record, "id", place),
        question=_text(record, "question", place),
        expected=tuple(_expected(item, place, number) for number, item in enumerate(expected)),
        principals=names,
        kind=_text(record, "kind", place) if "kind" in record else "",
        synthetic=_synthetic(record["synthetic"], place, len(expected)) if "synthetic" in record else None,
    )


def _synthetic(item: Any, place: str, expected: int) -> Synthetic:
    allowed = [field.name for field in fields(Synthetic)]
    if not isinstance(item, dict):
        raise _error(place, f"synthetic: want an object with {', '.join(allowed)}")
    unknown = sorted(item.keys() - set(allowed))
    if unknown:
        raise _error(place, f"synthetic.{unknown[0]}: unknown key; allowed: {', '.join(allowed)}")
    if item.get("standing", "open") not in STANDINGS:
        raise _error(place, f"synthetic.standing: want one of {', '.join(STANDINGS)} (got {item['standing']!r})")
    lists: dict[str, tuple[str, ...]] = {}
    for name in ("readable_by", "inputs"):
        values = item.get(name, [])
        if not isinstance(values, list) or not all(map(_is_text, values)):
            raise _error(place, f"synthetic.{name}: want a list of texts")
        lists[name] = tuple(values)
    if lists["inputs"] and len(lists["inputs"]) != expected:
        raise _error(place, "synthetic.inputs: want one for each expected document, or none")
    named = {name: _text(item, name, place, "synthetic.") for name in ("generator", "verifier", "made_on")}
    return Synthetic(
        generator=named["generator"],
        verifier=named["verifier"],
        made_on=named["made_on"],
        readable_by=lists["readable_by"],
        inputs=lists["inputs"],
        standing=item.get("standing", "open"),
    )


def _is_dropped(question: Question) -> bool:
    return question.synthetic is not None and question.synthetic.standing == "dropped"


def _expected(item: Any, place: str, number: int) -> ExpectedDocument:
    where = f"expected[{number}]"
    if not isinstance(item, dict):
        raise _error(place, f"{where}: want an object with {', '.join(_ADDRESSES[:-1])} or {_ADDRESSES[-1]}")
    unknown = sorted(item.keys() - {*_ADDRESSES, "quote"})
    if unknown:
        raise _error(place, f"{where}.{unknown[0]}: unknown key; allowed: {', '.join((*_ADDRESSES, 'quote'))}")
    if sum(name in item for name in _ADDRESSES) != 1:
        raise _error(place, f"{where}: want exactly one of {', '.join(_ADDRESSES)}")
    return ExpectedDocument(**{name: _text(item, name, place, f"{where}.") for name in item})


def _text(record: dict[str, Any], name: str, place: str, prefix: str = "") -> str:
    value = record.get(name)
    if not _is_text(value):
        raise _error(place, f"{prefix}{name}: want a text that is not empty (got {value!r})")
    return str(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _error(place: str, problem: str) -> SettingsError:
    return SettingsError(f"{place}: {problem}", place=place)
