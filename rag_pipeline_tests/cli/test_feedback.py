"""`feedback list`, `accept` and `dismiss`: what people said becomes a question of evaluation once, or says why not."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from rag_pipeline import Searcher
from rag_pipeline.contracts.evaluation import ExpectedDocument, Question
from rag_pipeline.contracts.feedback import FEEDBACK, Remark
from rag_pipeline.errors import StoreError
from rag_pipeline.refresh import remarks
from rag_pipeline.refresh.remarks import accept
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.questions import line_of, read_questions
from rag_pipeline.stores.lake import Lake
from rag_pipeline_tests.cli.conftest import Answer, ask_in
from rag_pipeline_tests.pipeline.project import Project

HIT, ANSWER, WRONG, CLOSED = "aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd"


@pytest.fixture
def remarked(published: Project, tmp_path: Path) -> Project:
    """Four remarks, the newest last, and a file of questions that is named and not there yet."""
    project = published.copied(tmp_path)
    project.settings["evaluation"] = {"questions": ["questions.jsonl"]}
    lake = Lake(project.pipeline().lake_root)
    with Searcher.open(project.pipeline()) as searcher:
        guide = searcher.search("red lever", principals=["public"], k=1)[0]
        closed = searcher.search("gold coins", principals=["hr"], k=1)[0]
    about: dict[str, Any] = {"chunk_id": guide.chunk_id, "document_id": guide.document_id, "uri": guide.uri}
    answer: dict[str, Any] = {"chunk_id": None, "document_id": None, "uri": None}
    answer |= {"plan_fingerprint": "0" * 16, "chat_model": "local"}
    both = cited(guide.document_id, closed.document_id) | {"principals": ("hr",)}
    rows = [
        (HIT, "how is it stopped?", "up", about),
        (
            ANSWER,
            "what is earned?",
            "up",
            answer | both,
        ),
        (WRONG, "who was here?", "down", about),
        (CLOSED, "what is earned?", "up", answer | cited(closed.document_id)),
    ]
    for second, (name, query, verdict, more) in enumerate(rows):
        given = datetime(2026, 1, 1, 12, 0, second, tzinfo=UTC)
        said: dict[str, Any] = dict(
            feedback_id=name * 8, query=query, mode="hybrid", rank=None, verdict=verdict, comment="so\nit is",
            caller="ann", principals=("ann", "public"), publication=0, given_at=given,
        ) | more  # fmt: skip
        lake.append(FEEDBACK, FEEDBACK.frame([Remark(**said).row()]))
    return project


def cited(*documents: str) -> dict[str, Any]:
    return {"cited_chunk_ids": tuple(f"chunk of {each}" for each in documents), "cited_document_ids": documents}


def lines_of(project: Project, name: str = "questions.jsonl") -> list[str]:
    path = project.folder / name
    return path.read_text("utf-8").splitlines() if path.exists() else []


def decisions(project: Project) -> dict[str, str | None]:
    rows = Lake(project.pipeline().lake_root).read(FEEDBACK)
    return {row["feedback_id"][:8]: row["decision"] for row in rows.iter_rows(named=True)}


def said(answer: Answer, code: int) -> str:
    assert answer.code == code, answer.err
    return " ".join(answer.err.split())


def test_what_was_said_is_listed_and_what_was_decided_only_with_all(remarked: Project) -> None:
    listed = ask_in(remarked.folder, "feedback", "list", "--json").records
    assert [each["feedback_id"][:8] for each in listed] == [CLOSED, WRONG, ANSWER, HIT]
    assert set(listed[0]) == set(FEEDBACK.columns)
    assert "answer of local" in " ".join(ask_in(remarked.folder, "feedback", "list", columns=250).out.split())
    assert "Dismissed what ann said of who was here?" in said(ask_in(remarked.folder, "feedback", "dismiss", WRONG), 0)
    assert WRONG not in ask_in(remarked.folder, "feedback", "list", columns=250).out
    every = ask_in(remarked.folder, "feedback", "list", "--all", columns=250).out
    assert every.count("dismissed") == 1
    assert every.count("open") == 3
    assert "no remark has the id" in said(ask_in(remarked.folder, "feedback", "dismiss", "0123456"), 2)
    assert "not the beginning of one" in said(ask_in(remarked.folder, "feedback", "accept", "aaa"), 2)


def test_an_accepted_remark_is_a_question_that_the_evaluation_asks(remarked: Project) -> None:
    for name in (HIT, ANSWER):
        assert "Added to" in said(ask_in(remarked.folder, "feedback", "accept", name), 0)
    stopped, earned = read_questions(remarked.pipeline().question_files)
    assert (stopped.question, stopped.principals) == ("how is it stopped?", ("ann", "public"))
    assert [each.uri for each in stopped.expected] == ["docs/copy-of-guide.md"]
    assert [each.uri for each in earned.expected] == ["docs/copy-of-guide.md", "people/salaries.md"]
    figures = ask_in(remarked.folder, "eval", "--json").records[0]
    assert (figures["questions"], figures["scored"], figures["leaks"]) == (2, 2, 0)
    # The same once more, and what another remark asks alike.
    assert "asked already" in said(ask_in(remarked.folder, "feedback", "accept", HIT), 0)
    by_another_name = str(remarked.folder / "docs" / ".." / "questions.jsonl")
    assert "asked already" in said(ask_in(remarked.folder, "feedback", "accept", HIT, "--to", by_another_name), 0)
    # Where a source would take it for a document, whoever reads the source would read what others ask.
    inside = str(remarked.folder / "docs" / "asked.jsonl")
    assert "lies in the source docs" in said(ask_in(remarked.folder, "feedback", "accept", HIT, "--to", inside), 2)
    assert "take the line feedback-" in said(ask_in(remarked.folder, "feedback", "dismiss", HIT), 2)
    assert len(lines_of(remarked)) == 2
    remarked.folder.joinpath("questions.jsonl").write_text("")
    again = ask_in(remarked.folder, "feedback", "accept", HIT, "--to", str(remarked.folder / "other.jsonl"))
    assert "accepted already" in said(again, 1)
    assert lines_of(remarked, "other.jsonl") == []


def test_what_can_be_no_question_says_why(remarked: Project) -> None:
    assert "may not be read by ann, public" in said(ask_in(remarked.folder, "feedback", "accept", CLOSED), 1)
    assert "--document" in said(ask_in(remarked.folder, "feedback", "accept", WRONG), 1)
    two = ask_in(remarked.folder, "feedback", "accept", WRONG, "--document", "nowhere.md")
    assert "names no document" in said(two, 2)
    shut = ask_in(remarked.folder, "feedback", "accept", WRONG, "--document", "salaries.md")
    assert "may not be read" in said(shut, 1)
    for path in remarked.folder.joinpath("docs").glob("*guide.md"):
        path.unlink()
    remarked.write("more.md", "# Visitors\n\nThe bishop was here.\n")
    remarked.settings["evaluation"] = {}
    remarked.refresh()
    to = ("--to", str(remarked.folder / "mine.jsonl"))
    assert "is gone" in said(ask_in(remarked.folder, "feedback", "accept", HIT, *to), 1)
    assert "say which one" in said(ask_in(remarked.folder, "feedback", "accept", WRONG, "--document", "more.md"), 2)
    answer = ask_in(remarked.folder, "feedback", "accept", WRONG, "--document", "more.md", *to)
    assert "No run asks it yet" in said(answer, 0)
    assert len(lines_of(remarked, "mine.jsonl")) == 1
    assert [name for name, decision in decisions(remarked).items() if decision] == [WRONG]


def test_a_file_that_cannot_be_written_leaves_all_as_it_was(remarked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = remarked.folder / "questions.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "own", "question": "who?", "expected": [], "principals": ["public"]}')
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert "No space left" in said(ask_in(remarked.folder, "feedback", "accept", HIT), 3)
    nowhere = ask_in(remarked.folder, "feedback", "accept", HIT, "--to", str(remarked.folder / "no" / "q.jsonl"))
    assert "cannot be written" in said(nowhere, 3)
    assert (path.read_bytes(), decisions(remarked)[HIT]) == (before, None)
    assert list(remarked.folder.glob(".*.new")) == []
    path.write_bytes(before + b"\nno JSON")
    assert "questions.jsonl:2" in said(ask_in(remarked.folder, "feedback", "accept", HIT), 2)
    path.write_bytes(before)
    path.chmod(0o640)
    assert "Added" in said(ask_in(remarked.folder, "feedback", "accept", HIT), 0)
    assert path.read_bytes().startswith(before + b"\n")
    assert path.stat().st_mode & 0o777 == 0o640
    assert [question.id for question in read_questions([path])] == ["own", f"feedback-{HIT * 2}"]


def test_one_who_is_stopped_after_the_file_was_written_adds_nothing_twice(
    remarked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise StoreError("stopped here")

    with monkeypatch.context() as patched:
        patched.setattr(Lake, "update", killed)
        assert ask_in(remarked.folder, "feedback", "accept", HIT).code == 3
    assert (len(lines_of(remarked)), decisions(remarked)[HIT]) == (1, None)
    (remarked.folder / ".questions.jsonl.new").write_text("half a li")
    assert "asked already" in said(ask_in(remarked.folder, "feedback", "accept", HIT), 0)
    assert (len(lines_of(remarked)), decisions(remarked)[HIT]) == (1, "accepted")


def test_two_who_accept_at_once_lose_nothing_and_add_nothing_twice(remarked: Project) -> None:
    pipeline = remarked.pipeline()

    def one(name: str) -> bool:
        with Workspace(pipeline, run_id=name) as workspace:
            return accept(workspace, name).was_added

    with ThreadPoolExecutor(4) as people:
        added = list(people.map(one, [HIT, ANSWER, HIT, ANSWER]))
    assert sum(added) == 2
    assert len(read_questions(remarked.pipeline().question_files)) == 2


def test_runs_go_on_while_one_waits_for_a_file_that_questions_are_written_to(
    remarked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chat model writes for hours, and what is withdrawn meanwhile has to go."""
    whole, runs = remarks.writing_to, []

    def waiting(workspace: Workspace, file: Path) -> FileLock:
        other = Lake(workspace.pipeline.lake_root, lock_timeout_seconds=0)
        with other.writing():
            runs.append(file)
        return whole(workspace, file)

    monkeypatch.setattr(remarks, "writing_to", waiting)
    with remarked.workspace() as workspace:
        assert accept(workspace, HIT).was_added
    assert len(runs) == 1


def test_a_question_is_read_as_it_was_written_whatever_signs_it_has(tmp_path: Path) -> None:
    expected = (ExpectedDocument(uri="a\u2028b.md"), ExpectedDocument(document_id="d", quote='"\x85"'))
    asked = [
        Question(f"q{at}", f"is\n{sign} ل it?", expected, ("public",), "")
        for at, sign in enumerate("\u2028\x0c\x1e\\é")
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(line_of(each) + "\n" for each in asked), "utf-8")
    assert list(read_questions([path])) == asked
