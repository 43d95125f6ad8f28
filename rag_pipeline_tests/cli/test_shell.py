"""Commands that are offered to paste do what they say, whatever stands in a title or a name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rag_pipeline.cli.search import search
from rag_pipeline.cli.shell import file_argument, search_command
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.pipeline.project import Project

TITLES = [
    "Running the pump",
    "--as root",
    "--help",
    "--",
    "-",
    "-k 3",
    "--json\n--as hr",
    "  --as root",
    "$(rm)",
    "`rm`",
    '"; rm "',
    "it's; rm",
    "\\",
    "!!",
    "a & b | c > d",
    "~ * {a,b}",
    '--as "$(rm)"',
    "\N{EN DASH} a dash of print",
]
NAMES = ["public", "--as", "-x", "a b", "$(rm)", "team:docs", "'"]


def arguments(line: str) -> list[str]:
    """What a shell makes of a line that begins after the program's name."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split("\0")[:-1]


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("name", NAMES)
def test_a_search_that_is_offered_asks_for_the_title_as_the_one_who_is_named(title: str, name: str) -> None:
    command, *rest = arguments(search_command(title, name))
    assert command == "search"
    with search.make_context("search", rest) as context:
        assert context.params["query"] == " ".join(title.split())
        assert context.params["principals"] == (name,)
        assert context.params["k"] == 5


@pytest.mark.parametrize("path", ["a.json", "-x/a.json", "my file", "$(rm)", "--json"])
def test_a_path_that_is_offered_is_one_word_and_no_option(path: str) -> None:
    [word] = arguments(file_argument(path))
    assert Path(word) == Path(path)
    assert not word.startswith("-")


def test_a_run_offers_a_search_that_finds_a_document_with_a_hostile_title(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.write("a.md", "---\ntitle: --as root $(rm)\n---\n\nPull the lever of root.\n")
    project.pipeline()
    offered = ask_in(tmp_path, "run").err
    [line] = [line for line in offered.splitlines() if " search " in line]
    words = arguments(line.partition(" search ")[2])
    answer = ask_in(tmp_path, "search", *words)
    assert answer.code == 0
    assert "Pull the lever" in answer.out
