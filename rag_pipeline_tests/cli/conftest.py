"""A small real project that is published once, and calling the command line on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rag_pipeline.cli.app import cli
from rag_pipeline_tests.pipeline.project import Project

GUIDE = "# Running the pump\n\nHow to start the pump.\n\n## Stopping it\n\nPull the red lever twice, then wait.\n"
SALARIES = "# Salary bands\n\nA pump keeper earns twelve gold coins a month.\n"


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Ask = Callable[..., Answer]


def ask_in(folder: Path, *arguments: str, columns: int = 100) -> Answer:
    """Call the command line on the pipeline.yaml of a folder."""
    variables = {"RAG_PIPELINE_CONFIG": str(folder / "pipeline.yaml"), "COLUMNS": str(columns)}
    result = CliRunner().invoke(cli, list(arguments), env=variables)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


def small_project(folder: Path) -> Project:
    project = Project.create(folder, sources=("docs", "people"))
    project.settings["sources"]["people"]["allowed_principals"] = ["hr"]
    project.settings["embedding_models"]["wide-2"] = {"kind": "hashing", "model": "hashing", "dimension": 128}
    project.write("guide.md", GUIDE)
    project.write("copy-of-guide.md", GUIDE)
    project.write("nothing.txt", "")
    project.write("salaries.md", SALARIES, source="people")
    return project


@pytest.fixture(scope="package")
def published(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Built and published once; tests only read it."""
    project = small_project(tmp_path_factory.mktemp("published"))
    project.refresh()
    return project


@pytest.fixture
def ask(published: Project) -> Ask:
    """Call the command line on the published project."""

    def call(*arguments: str, columns: int = 100) -> Answer:
        return ask_in(published.folder, *arguments, columns=columns)

    return call


@pytest.fixture
def own(published: Project, tmp_path: Path) -> Project:
    """A published project of the test's own, to change."""
    return published.copied(tmp_path)
