"""Beginning a pipeline in an empty folder."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import click
import pytest
import yaml

from rag_pipeline.cli import init
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.sources.repositories import Maker


@pytest.fixture(autouse=True)
def without_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    for name, value in {"KIND": "hashing", "MODEL": "hashing", "DIMENSION": "64"}.items():
        monkeypatch.setenv(f"RAG_PIPELINE__EMBEDDING_MODELS__MINILM__{name}", value)


def test_an_empty_folder_becomes_a_pipeline_that_runs_and_answers(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    begun = ask_in(folder, "init", "Team Notes", "--readers", "crew")
    assert begun.code == 0, begun.err
    assert "rag-pipeline run" in begun.err
    assert "--as crew" in begun.err
    assert "Team Notes, so it was made" in " ".join(begun.err.split())
    before = ask_in(folder, "status")
    assert "Tables" not in before.out
    assert "not known" not in before.err
    assert "sources test team_notes" in ask_in(folder, "run").err
    (folder / "Team Notes" / "ferry.md").write_text("# Ferry\n\nThe last ferry leaves at half past nine.\n")
    assert ask_in(folder, "run").code == 0
    assert "half past nine" in ask_in(folder, "search", "last ferry", "--as", "crew").out
    assert "half past nine" not in ask_in(folder, "search", "last ferry", "--as", "public").out


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text("lake: mine\n")
    answer = ask_in(tmp_path, "init")
    assert answer.code == 2
    assert "is there already" in answer.err
    assert (tmp_path / "pipeline.yaml").read_text() == "lake: mine\n"
    assert not (tmp_path / "docs").exists()


def test_values_that_may_not_be_leave_nothing_behind(tmp_path: Path) -> None:
    for arguments in (["docs", "--name", "No Name"], ["docs", "--readers", " "]):
        answer = ask_in(tmp_path, "init", *arguments)
        assert answer.code == 2
        assert list(tmp_path.iterdir()) == []


def test_readers_are_staff_and_not_everybody_unless_said(tmp_path: Path) -> None:
    assert ask_in(tmp_path, "init", "--json").records[0]["allowed_principals"] == ["staff"]
    written = yaml.safe_load((tmp_path / "pipeline.yaml").read_text())
    assert written["sources"] == {"docs": {"location": "docs", "allowed_principals": ["staff"]}}


def test_a_password_in_an_address_is_written_and_never_shown(tmp_path: Path) -> None:
    answer = ask_in(tmp_path, "init", "sftp://amy:hunter2secret@host/Manuals", "--json")
    assert answer.code == 0
    assert "hunter2secret" not in answer.out + answer.err
    assert "hunter2secret" in (tmp_path / "pipeline.yaml").read_text()


def test_a_source_of_any_kind_is_begun_and_tried(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "handbook.git")
    maker.commit({"docs/a.md": b"# Ferry\n\nThe last ferry leaves at half past nine."})
    fields = ["--kind", "git", "--set", "include=docs/**", "--set", "ref=master"]
    begun = ask_in(tmp_path, "init", "handbook.git", *fields, "--readers", "crew")
    assert begun.code == 0, begun.err
    written = yaml.safe_load((tmp_path / "pipeline.yaml").read_text())
    assert written["sources"] == {
        "handbook": {
            "kind": "git",
            "location": "handbook.git",
            "include": ["docs/**"],
            "ref": "master",
            "allowed_principals": ["crew"],
        }
    }
    [listed, fetched] = ask_in(tmp_path, "sources", "test", "handbook", "--json").records
    assert listed["address"] == "docs/a.md"
    assert fetched["allowed_principals"] == ["crew"]
    assert "half past nine" in fetched["chunks"][0][0]
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["t.db", "--kind", "sql", "--set", "query=SELECT 1", "--set", "text=body"], "sources.t_db.key"),
        (["x", "--kind", "pigeon"], "no kind of source 'pigeon'"),
        (["x", "--kind", "git", "--set", "branch=main"], "sources.x.branch: unknown key"),
        (["x", "--set", "include"], "want FIELD=VALUE"),
    ],
)
def test_a_source_that_cannot_be_is_refused_and_leaves_nothing(tmp_path: Path, arguments: list[str], says: str) -> None:
    answer = ask_in(tmp_path, "init", *arguments)
    assert answer.code == 2
    assert says in answer.err
    assert list(tmp_path.iterdir()) == []


def test_a_query_is_taken_as_it_stands(tmp_path: Path) -> None:
    query = "SELECT id, body FROM tickets WHERE kind = 'a: b'"
    fields = ["--set", f"query={query}", "--set", "key=id", "--set", "text=[body]"]
    assert ask_in(tmp_path, "init", "t.db", "--kind", "sql", *fields).code == 0
    [source] = yaml.safe_load((tmp_path / "pipeline.yaml").read_text())["sources"].values()
    assert (source["query"], source["key"], source["text"]) == (query, ["id"], ["body"])


def test_at_a_terminal_it_asks_for_what_the_kind_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"query": "SELECT id, body FROM tickets", "key": "id"}
    terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(init, "sys", terminal)
    monkeypatch.setattr(click, "prompt", lambda text: answers[text.partition(" ")[0]])
    assert ask_in(tmp_path, "init", "t.db", "--kind", "sql", "--set", "text=[body]").code == 0
    [source] = yaml.safe_load((tmp_path / "pipeline.yaml").read_text())["sources"].values()
    assert (source["query"], source["key"]) == (answers["query"], ["id"])
