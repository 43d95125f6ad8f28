"""The sample corpus keeps its word: each question's answer stands in the file that it names.

Belongs here: checks of `data/sample` as files. Does not belong here: what the pipeline makes of them.
"""

from __future__ import annotations

import html
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pypdfium2
import pytest

from rag_pipeline_tests.paths import SAMPLE

FOLDERS = ("handbook", "website", "tickets", "code", "reports", "meetings", "notes")
PRINCIPALS = {"public", "staff", "hr", "finance", "engineering"}
KINDS = {"fact", "how-to", "lookup-id", "restricted", "paraphrase", "no-answer"}
TICKET_FIELDS = {
    "id", "title", "status", "priority", "created", "updated", "reporter", "assignee", "labels", "description",
    "comments",
}  # fmt: skip


def read_questions() -> list[dict[str, Any]]:
    lines = (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


QUESTIONS = read_questions()
SPANS = [
    pytest.param(span["uri_suffix"], span["quote"], id=f"{question['id']}-{span['uri_suffix']}")
    for question in QUESTIONS
    for span in question["expected"]
]


def decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def pdf_text(path: Path) -> str:
    with pypdfium2.PdfDocument(path) as document:
        return "\n".join(page.get_textpage().get_text_bounded() for page in document)


def ticket_text(path: Path) -> str:
    ticket = json.loads(path.read_bytes())
    return "\n".join([ticket["title"], ticket["description"], *(each["body"] for each in ticket["comments"])])


@cache
def readable_lines(path: Path) -> tuple[str, ...]:
    """The file's text by line, white space normalised; a PDF is one line, as its lines are only layout."""
    if path.suffix == ".pdf":
        lines = [pdf_text(path)]
    elif path.suffix == ".json":
        lines = ticket_text(path).splitlines()
    elif path.suffix == ".html":
        lines = html.unescape(re.sub(r"<[^>]+>", "", decode(path.read_bytes()))).splitlines()
    else:
        lines = decode(path.read_bytes()).splitlines()
    return tuple(" ".join(line.split()) for line in lines)


@pytest.mark.parametrize(("uri_suffix", "quote"), SPANS)
def test_an_expected_quote_stands_once_in_one_line_of_its_file(uri_suffix: str, quote: str) -> None:
    count = sum(line.count(quote) for line in readable_lines(SAMPLE / uri_suffix))
    assert count == 1, f"{quote!r} occurs {count} times in {uri_suffix}"


def test_questions_are_many_and_well_formed() -> None:
    assert len(QUESTIONS) >= 64
    assert len({question["id"] for question in QUESTIONS}) == len(QUESTIONS)
    for question in QUESTIONS:
        assert set(question) == {"id", "question", "expected", "principals", "kind"}
        assert question["kind"] in KINDS
        assert question["principals"]
        assert set(question["principals"]) <= PRINCIPALS
        assert bool(question["expected"]) == (question["kind"] != "no-answer"), question["id"]


def test_no_question_names_an_ambiguous_address() -> None:
    files = [path.relative_to(SAMPLE.parent).as_posix() for path in SAMPLE.rglob("*") if path.is_file()]
    for question in QUESTIONS:
        for span in question["expected"]:
            matches = [name for name in files if name.endswith("/" + span["uri_suffix"])]
            assert len(matches) == 1, (question["id"], matches)


def test_questions_cover_every_folder_and_kind() -> None:
    asked = {span["uri_suffix"].split("/")[0] for question in QUESTIONS for span in question["expected"]}
    assert asked == set(FOLDERS)
    assert {question["kind"] for question in QUESTIONS} == KINDS
    assert sum(question["kind"] == "restricted" for question in QUESTIONS) >= 6
    assert sum(question["kind"] == "no-answer" for question in QUESTIONS) >= 4


def test_every_ticket_is_one_json_object_named_by_its_id() -> None:
    for path in (SAMPLE / "tickets").iterdir():
        ticket = json.loads(path.read_bytes())
        assert set(ticket) == TICKET_FIELDS
        assert path.name == f"{ticket['id']}.json"
        assert all(set(comment) == {"author", "created", "body"} for comment in ticket["comments"])


def test_the_readme_says_who_may_read_each_folder() -> None:
    readme = (SAMPLE / "README.md").read_text(encoding="utf-8")
    folders = sorted(path.name for path in SAMPLE.iterdir() if path.is_dir())
    assert folders == sorted(FOLDERS)
    for folder in folders:
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{folder}` |"))
        readers = row.split("|")[3]
        assert set(re.findall(r"`(\w+)`", readers)) & PRINCIPALS, folder


def test_the_copies_are_exact() -> None:
    handbook = SAMPLE / "handbook"
    for original, copy in (
        ("brand-voice.md", "welcome-pack/brand-voice.md"),
        ("rollback.md", "engineering/rollback.md"),
    ):
        assert (handbook / original).read_bytes() == (handbook / copy).read_bytes()


def test_the_files_meant_for_quarantine_are_damaged_and_empty() -> None:
    with pytest.raises(pypdfium2.PdfiumError):
        pypdfium2.PdfDocument(SAMPLE / "reports" / "scan-damaged.pdf")
    assert (SAMPLE / "notes" / "untitled.txt").stat().st_size == 0


def test_the_corpus_stays_small() -> None:
    sizes = {path: path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 250_000
    assert max(sizes.values()) < 60_000
