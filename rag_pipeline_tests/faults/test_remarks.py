"""What callers said of hits may be damaged: deletions reach readers all the same, and what is lost is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rag_pipeline.contracts.feedback import FEEDBACK, Remark
from rag_pipeline.errors import LakeDamaged
from rag_pipeline.refresh.heal import heal_damage
from rag_pipeline_tests.pipeline.project import Project


def log_cut(folder: Path) -> None:
    sorted((folder / "_delta_log").glob("*.json"))[-1].write_text("{nonsense")


def files_gone(folder: Path) -> None:
    for path in folder.glob("*.parquet"):
        path.unlink()


def folder_gone(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("no folder")


@pytest.fixture(scope="module")
def remarked(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("remarked"))
    for number in range(4):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe lamp of berth {number} burns.\n")
    project.refresh()
    with project.workspace() as workspace, workspace.lake.writing():
        for name in ("first", "second"):
            now = datetime.now(UTC)
            said = Remark(name, "lamp", "hybrid", 1, "c", "d", "docs/0.md", "up", "", "ann", ("ann",), 0, now)
            workspace.lake.append(FEEDBACK, FEEDBACK.frame([said.row()]))
    return project


@pytest.mark.parametrize(("damage", "left"), [(log_cut, ["first", "second"]), (files_gone, []), (folder_gone, [])])
def test_damaged_remarks_hold_up_no_deletion_and_their_loss_is_said(
    remarked: Project, tmp_path: Path, damage: Callable[[Path], None], left: list[str]
) -> None:
    project = remarked.copied(tmp_path)
    damage(tmp_path / "lake" / FEEDBACK.path)
    (tmp_path / "docs" / "0.md").unlink()
    project.refresh()
    assert {hit.uri for hit in project.search("lamp", "public")} == {f"docs/{at}.md" for at in (1, 2, 3)}
    with project.workspace() as workspace:
        with pytest.raises(LakeDamaged, match=r"stands nowhere else: restore .*rebuild gold\.feedback"):
            workspace.lake.read(FEEDBACK)
        report = heal_damage(workspace)
        assert FEEDBACK.path in report.tables
        assert f"Rows of {FEEDBACK.path} that stood in damaged files alone are in no layer below" in report.said
        assert sorted(workspace.lake.read(FEEDBACK)["feedback_id"]) == left
