"""What opens a place is in no output, no log and no record of Dagster, and no message is a megabyte long."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from rag_pipeline.errors import SettingsError
from rag_pipeline_tests.cli.conftest import Answer, ask_in, small_project
from rag_pipeline_tests.pipeline.project import Project

SECRET = "hunter2secret"
MEGABYTE = 2**20
COMMANDS = (
    ["run"],
    ["run", "--json"],
    ["run", "--debug"],
    ["status"],
    ["status", "--json"],
    ["verify"],
    ["verify", "--json"],
    ["search", "lamp", "--as", "public"],
    ["models", "list"],
    ["models", "publish", "small"],
    ["models", "rollback"],
    ["rebuild"],
    ["quarantine", "list"],
    ["sql", "SELECT * FROM silver.documents"],
    ["config", "check"],
    ["config", "show"],
    ["--debug", "status"],
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    return home


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    before = dict(MemoryFileSystem.store), list(MemoryFileSystem.pseudo_dirs)
    filesystem = MemoryFileSystem()
    yield filesystem
    MemoryFileSystem.store.clear()
    MemoryFileSystem.store.update(before[0])
    MemoryFileSystem.pseudo_dirs[:] = before[1]


def assert_nothing_shows(folder: Path) -> None:
    """Byte by byte: databases, logs, Parquet files and whatever else lies there; pipeline.yaml holds it, of course."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "pipeline.yaml"]
    assert files
    assert [str(path) for path in files if SECRET.encode() in path.read_bytes()] == []


def assert_said_without(answers: list[Answer], caplog: pytest.LogCaptureFixture) -> None:
    for answer, command in zip(answers, COMMANDS, strict=True):
        assert SECRET not in answer.out + answer.err, command
    assert SECRET not in caplog.text


def asked(project: Project) -> list[Answer]:
    project.pipeline()
    return [ask_in(project.folder, *command) for command in COMMANDS]


def test_a_source_that_opens_with_a_password_never_shows_it(
    tmp_path: Path, home: Path, memory: MemoryFileSystem, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    location = f"memory://amy:{SECRET}@host/docs"
    memory.pipe_file(f"/amy:{SECRET}@host/docs/lamp.md", b"# Lamp\n\nThe lamp is lit.\n")
    project = Project.create(tmp_path / "project")
    project.settings["sources"]["docs"]["location"] = location
    answers = asked(project)
    assert answers[0].code == 0, answers[0].err
    assert "lamp" in answers[7].out
    assert_said_without(answers, caplog)
    assert_nothing_shows(home)
    assert_nothing_shows(project.folder)


def test_sources_that_fail_do_not_show_it_either(tmp_path: Path, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One that does not answer, and one of a kind that nobody knows: each in every command."""
    caplog.set_level(logging.INFO)
    project = small_project(tmp_path / "project")
    sources = project.settings["sources"]
    sources["people"]["location"] = f"sftp://amy:{SECRET}@127.0.0.1:1/docs"
    sources["unknown"] = sources["people"] | {"location": f"nothing://amy:{SECRET}@host/docs"}
    answers = asked(project)
    assert answers[0].code != 0
    said = answers[0].out + answers[0].err
    assert "people" in said
    assert "unknown" in said
    assert_said_without(answers, caplog)
    assert_nothing_shows(home)
    assert_nothing_shows(project.folder)


def test_a_lake_whose_address_holds_it_is_refused_without_showing_it(
    tmp_path: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    project = small_project(tmp_path / "project")
    project.settings["lake"] = f"nowhere://amy:{SECRET}@host/lake"
    with pytest.raises(SettingsError, match="an address holds no credentials"):
        project.pipeline()
    answers = [ask_in(project.folder, *command) for command in COMMANDS]
    assert all(answer.code for answer in answers)
    assert_said_without(answers, caplog)
    assert not home.exists(), "nothing was recorded of what was refused"


@pytest.mark.parametrize(
    "command",
    [
        ["models", "publish", "X"],
        ["models", "rollback", "--to", "X"],
        ["models", "retire", "X"],
        ["rebuild", "X"],
        ["run", "--model", "X"],
        ["run", "--allow-mass-deletion", "X"],
        ["search", "X", "--as", "public", "--mode", "X"],
        ["search", "lamp", "--as", "public", "--source", "X"],
        ["trace", "X"],
        ["quarantine", "show", "X"],
        ["quarantine", "retry", "X"],
        ["sql", "X"],
        ["X"],
        ["--X"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("json", [False, True])
def test_an_argument_of_a_megabyte_makes_no_message_of_a_megabyte(
    published: Project, command: list[str], json: bool
) -> None:
    long = "x" * MEGABYTE
    answer = ask_in(published.folder, *(word.replace("X", long) for word in command), *(["--json"] if json else []))
    assert len(answer.err) < 20_000
    assert len(answer.out) < 20_000
    assert answer.code in (0, 1, 2, 3)
