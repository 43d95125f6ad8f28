"""Files of questions are read whole or refused with file, line and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.evaluation import ExpectedDocument
from rag_pipeline.errors import SettingsError
from rag_pipeline.retrieval.questions import questions_hash, read_questions
from rag_pipeline_tests.paths import SAMPLE

GOOD: dict[str, Any] = {"id": "a", "question": "why?", "expected": [{"uri_suffix": "x.md"}], "principals": ["public"]}


def written(path: Path, *records: Any) -> Path:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_the_questions_of_the_sample_are_read() -> None:
    questions = read_questions([SAMPLE / "questions.jsonl"])
    assert len(questions) >= 60
    assert questions[0].expected[0] == ExpectedDocument(
        uri_suffix="handbook/onboarding.md", quote="Come to the quay office in Aldersay at 09:15"
    )


def test_blank_lines_are_skipped_and_files_follow_each_other(tmp_path: Path) -> None:
    first = written(tmp_path / "1.jsonl", GOOD, "", "   ")
    second = written(tmp_path / "2.jsonl", GOOD | {"id": "b", "expected": [], "kind": "no-answer"})
    assert [question.id for question in read_questions([first, second])] == ["a", "b"]


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ("{", "is not JSON"),
        ("[]", "want an object"),
        (GOOD | {"answer": 1}, "answer: unknown key"),
        (GOOD | {"question": " "}, "question: want a text"),
        (GOOD | {"id": 7}, "id: want a text"),
        (GOOD | {"principals": []}, "principals: want a list with at least one"),
        (GOOD | {"principals": "public"}, "principals: want a list"),
        (GOOD | {"expected": None}, "expected: want a list"),
        (GOOD | {"expected": ["x.md"]}, r"expected\[0\]: want an object"),
        (GOOD | {"expected": [{"quote": "x"}]}, r"expected\[0\]: want exactly one of uri_suffix, uri, document_id"),
        (GOOD | {"expected": [{"uri": "a", "document_id": "b"}]}, r"expected\[0\]: want exactly one"),
        (GOOD | {"expected": [{"uri": "a", "qoute": "b"}]}, r"expected\[0\].qoute: unknown key"),
        (GOOD | {"expected": [{"uri": "a", "quote": ""}]}, r"expected\[0\].quote: want a text"),
        (GOOD, "id: 'a' stands twice"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path, record: Any, problem: str) -> None:
    path = written(tmp_path / "q.jsonl", GOOD, "", record)
    with pytest.raises(SettingsError, match=problem) as caught:
        read_questions([path])
    assert caught.value.message.startswith(f"{path}:3: ")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        read_questions([tmp_path / "nowhere.jsonl"])


def test_the_hash_of_a_set_depends_on_its_questions_and_not_on_order_or_files(tmp_path: Path) -> None:
    other = GOOD | {"id": "b"}
    one = read_questions([written(tmp_path / "1.jsonl", GOOD, other)])
    two = read_questions([written(tmp_path / "2.jsonl", other), written(tmp_path / "3.jsonl", GOOD)])
    assert questions_hash(one) == questions_hash(two)
    for change in ({"question": "how?"}, {"principals": ["hr"]}, {"expected": []}):
        changed = read_questions([written(tmp_path / "4.jsonl", GOOD | change, other)])
        assert questions_hash(changed) != questions_hash(one)
