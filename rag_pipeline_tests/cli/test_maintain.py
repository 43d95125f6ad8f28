"""Housekeeping by a command, and by runs of their own accord."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from rag_pipeline.contracts.tables import CANARIES
from rag_pipeline.refresh import maintenance
from rag_pipeline.refresh.look import SETTLED_FILE
from rag_pipeline_tests.cli.conftest import ask_in, small_project
from rag_pipeline_tests.pipeline.project import Project


def rounds(project: Project) -> int:
    with project.workspace() as workspace:
        return workspace.lake.read(CANARIES).height


def test_the_command_says_what_it_did_and_a_run_does_it_when_a_day_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = small_project(tmp_path)
    project.pipeline()
    assert ask_in(tmp_path, "run", "--json").code == 0
    assert rounds(project) == 0
    answer = ask_in(tmp_path, "maintain", "--json")
    assert answer.code == 0
    assert answer.records[0]["drifted"] == []
    assert answer.records[0]["runs_forgotten"] == 0
    assert rounds(project) == 1
    assert "Tables" in ask_in(tmp_path, "maintain").out
    assert ask_in(tmp_path, "run", "--json").code == 0
    assert rounds(project) == 2
    monkeypatch.setattr(maintenance, "MAINTAINED_EVERY", timedelta(0))
    # It says when the next round is due, as of then.
    (tmp_path / "lake" / SETTLED_FILE).unlink()
    assert ask_in(tmp_path, "run", "--json").code == 0
    assert rounds(project) == 3
    assert project.verify().findings == []
