"""The edge of the command line: exit codes, errors as one paragraph, a quick start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rag_pipeline.cli.app import CommandLine, cli
from rag_pipeline.errors import AuditFailed, BadQuery, LakeBusy, NothingPublished, RagPipelineError, SettingsError
from rag_pipeline_tests.cli.conftest import Ask, ask_in
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project

GROUPS = ["Set up", "Keep up to date", "Find", "Measure", "Watch", "Look closer and repair", "Take out and keep safe"]


def failing_with(error: BaseException) -> CommandLine:
    @click.group(cls=CommandLine)
    def group() -> None: ...

    @group.command()
    def fail() -> None:
        raise error

    return group


def started(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"RAG_PIPELINE_CONFIG": str(folder / "pipeline.yaml"), "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AuditFailed("found"), 1),
        (SettingsError("settings"), 2),
        (BadQuery("query"), 2),
        (NothingPublished("nothing"), 3),
        (RagPipelineError("any"), 3),
        (LakeBusy("busy"), 4),
        (ValueError("a fault"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_exit_code_says_what_kind_of_error_it_was(error: BaseException, code: int) -> None:
    assert CliRunner().invoke(failing_with(error), ["fail"]).exit_code == code


def test_an_error_is_one_paragraph_with_its_code_and_no_traceback() -> None:
    result = CliRunner().invoke(
        failing_with(NothingPublished("nothing has been published; run: rag-pipeline run")), ["fail"]
    )
    assert result.stdout == ""
    assert result.stderr == "Error (nothing_published): nothing has been published; run: rag-pipeline run\n"


def test_a_fault_of_the_program_is_named_as_one_and_asks_for_debug() -> None:
    result = CliRunner().invoke(failing_with(ValueError("seven is not a door")), ["fail"])
    assert "ValueError: seven is not a door" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text("sources: 3\n", "utf-8")
    for arguments in (["--debug", "config", "check"], ["config", "check", "--debug"]):
        answer = ask_in(tmp_path, *arguments)
        assert answer.code == 2
        assert "Traceback" in answer.err
    assert "Traceback" not in ask_in(tmp_path, "config", "check").err


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["search"], ["search", "x"], ["search", "x", "--as"], ["status", "x"]]
)
def test_wrong_usage_ends_with_two(ask: Ask, arguments: list[str]) -> None:
    answer = ask(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert "Error: " in answer.err


def test_a_missing_pipeline_ends_with_two_and_says_how_to_name_one(tmp_path: Path) -> None:
    for command in (["status"], ["run"], ["search", "x", "--as", "public"], ["sql", "SELECT 1"]):
        answer = ask_in(tmp_path, *command)
        assert answer.code == 2
        assert "--config" in answer.err


def test_config_is_taken_before_and_after_the_command(published: Project, tmp_path: Path) -> None:
    path = str(published.folder / "pipeline.yaml")
    assert ask_in(tmp_path, "--config", path, "config", "check").code == 0
    assert ask_in(tmp_path, "config", "check", "--config", path).code == 0


def test_help_lists_every_command_once_in_the_group_of_what_it_is_for() -> None:
    text = CliRunner().invoke(cli, ["--help"]).stdout
    places = [text.index(f"\n{title}:\n") for title in GROUPS]
    assert places == sorted(places)
    for name in cli.commands:
        assert text.count(f"\n  {name} ") == 1, name
    assert max(map(len, text.splitlines())) <= 80
    assert "\nCommands:\n" in CliRunner().invoke(cli, ["models", "--help"]).stdout


def test_help_of_the_server_for_agents_names_each_tool_that_there_is() -> None:
    text = (cli.commands["mcp"].help or "").lower()
    # As serving/agents.py offers them, `ask` where a chat model is configured.
    for tool in ("search", "ask", "window", "list sources", "answers"):
        assert tool in text


def test_every_command_has_help_with_an_example() -> None:
    for name, command in cli.commands.items():
        leaves = command.commands.values() if isinstance(command, click.Group) else [command]
        for leaf in leaves:
            assert "Example: rag-pipeline" in (leaf.help or ""), name


def test_it_starts_as_a_module(published: Project) -> None:
    listed = started("-m", "rag_pipeline.cli", "models", "list", "--json", folder=published.folder)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.count("\n") == 2
    assert started("-m", "rag_pipeline.cli", "nonsense", folder=published.folder).returncode == 2


def test_a_search_imports_neither_orchestrator_nor_torch(published: Project) -> None:
    program = (
        "import atexit, sys\n"
        "sys.argv = ['rag-pipeline', 'search', 'pump', '--as', 'public', '--json']\n"
        "from rag_pipeline.cli import main\n"
        "heavy = {'dagster', 'torch', 'duckdb'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr, flush=True))\n"
        "main()\n"
    )
    ended = started("-c", program, folder=published.folder)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.strip() == "[]"


def test_help_imports_no_data_library(published: Project) -> None:
    program = (
        "import sys\n"
        "import rag_pipeline.cli.app\n"
        "print(sorted({'dagster', 'torch', 'polars', 'lancedb', 'deltalake', 'pydantic'} & set(sys.modules)))\n"
    )
    assert started("-c", program, folder=published.folder).stdout.strip() == "[]"
