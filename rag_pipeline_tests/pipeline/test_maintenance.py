"""Housekeeping removes what nothing needs after its time, notices a changed model, and is noticed by no reader."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_pipeline.refresh.maintenance import MaintenanceReport, is_maintenance_due, maintain
from rag_pipeline_tests.pipeline.project import Project


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    for name in ("a", "b", "c"):
        project.write(f"{name}.md", f"# {name}\n\nThe lamp of {name}.\n")
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path, polled=True)


def maintained(project: Project, days_later: int) -> MaintenanceReport:
    with project.workspace() as workspace:
        workspace.now = lambda: datetime.now(UTC) + timedelta(days=days_later)
        return maintain(workspace)


def test_a_vector_is_kept_for_its_retention_after_its_last_use_and_then_removed(project: Project) -> None:
    text = (project.folder / "docs" / "b.md").read_text("utf-8")
    (project.folder / "docs" / "b.md").unlink()
    project.refresh()
    assert maintained(project, 0).vectors_unused == 1
    assert maintained(project, 80).vectors_removed == 0
    project.embedded.clear()
    project.write("b.md", text)
    project.refresh()
    assert project.embedded == []
    assert maintained(project, 100).vectors_unused == 0
    (project.folder / "docs" / "b.md").unlink()
    project.refresh()
    assert maintained(project, 100).vectors_unused == 1
    # Nothing that a clock which jumped, or a long pause, makes old at once goes in the first round.
    assert maintained(project, 191).vectors_removed == 0
    assert maintained(project, 192).vectors_removed == 1
    project.embedded.clear()
    project.write("b.md", text)
    project.refresh()
    assert len(project.embedded) == 1
    assert project.verify().findings == []


def test_maintenance_changes_nothing_a_reader_sees(project: Project) -> None:
    before = project.published()
    maintained(project, 400)
    assert project.published() == before
    assert project.verify().findings == []
    assert project.refresh() == 0


def test_a_model_that_gives_other_vectors_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert maintained(project, 0).drifted == []
    assert maintained(project, 1).drifted == []
    from rag_pipeline.embedding import canary

    original = canary.canary_vectors

    def changed(model: Any) -> np.ndarray:
        vectors: np.ndarray = original(model)
        return np.roll(vectors, 1, axis=1)

    monkeypatch.setattr(canary, "canary_vectors", changed)
    assert maintained(project, 2).drifted == ["small"]


def test_retention_starts_anew_after_each_use(project: Project) -> None:
    path = project.folder / "docs" / "b.md"
    text = path.read_text("utf-8")
    path.unlink()
    project.refresh()
    assert maintained(project, 0).vectors_unused == 1
    project.write("b.md", text)
    project.refresh()
    path.unlink()
    project.refresh()
    assert maintained(project, 91).vectors_removed == 0


def test_maintenance_is_due_a_day_after_the_first_build_and_after_each_round(project: Project) -> None:
    def due(hours: int) -> bool:
        with project.workspace() as workspace:
            workspace.now = lambda: datetime.now(UTC) + timedelta(hours=hours)
            return is_maintenance_due(workspace)

    assert not due(23)
    assert due(25)
    maintained(project, 1)
    assert not due(26)
    assert due(49)


def test_a_lake_that_was_never_built_is_not_due(tmp_path: Path) -> None:
    with Project.create(tmp_path).workspace() as workspace:
        assert not is_maintenance_due(workspace)


def test_a_clock_that_was_ahead_once_puts_no_round_off(project: Project) -> None:
    maintained(project, 400)
    with project.workspace() as workspace:
        assert not is_maintenance_due(workspace), "the first build was just now"
        workspace.now = lambda: datetime.now(UTC) + timedelta(hours=25)
        assert is_maintenance_due(workspace)
        maintain(workspace)
        assert not is_maintenance_due(workspace)
