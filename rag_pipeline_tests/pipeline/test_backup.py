"""A backup is one moment of the lake, and what is restored is what was backed up, less what was erased since."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rag_pipeline.contracts.tables import BRONZE
from rag_pipeline.errors import LakeDamaged, LakeTooNew, StoreError, UsageError
from rag_pipeline.refresh import erase as erasing
from rag_pipeline.refresh.erase import begin_erasure, finish_erasure
from rag_pipeline.refresh.erase_plan import Wanted
from rag_pipeline.refresh.maintenance import maintain
from rag_pipeline.refresh.restore import RestoreReport, restore
from rag_pipeline.stores import backup as backing
from rag_pipeline.stores.backup import BackupReport, back_up, backups
from rag_pipeline.stores.lake_format import FORMAT_FILE, LAKE_FORMAT
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project

OLD_LAKES = sorted((REPOSITORY / "rag_pipeline_tests" / "pipeline" / "lakes").glob("*.zip"))


@pytest.fixture(autouse=True)
def _nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "POINTER_SECONDS", -erasing.MARGIN_SECONDS)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    for name in ("a", "b", "c"):
        project.write(f"{name}.md", f"# Paper {name}\n\nThe lamp of {name} burns until the morning of day {name}.\n")
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path, polled=True)


def backed_up(project: Project, **options: Any) -> BackupReport:
    with project.workspace() as workspace:
        return back_up(workspace.lake, project.folder / "copies", datetime.now(UTC), **options)


def restored(project: Project, **options: Any) -> RestoreReport:
    chosen = {"to": None, "name": None, "may_replace": True} | options
    return restore(project.pipeline(), project.folder / "copies", **chosen)


def test_what_is_restored_is_what_was_backed_up_and_a_run_finds_nothing_to_do(project: Project) -> None:
    before = project.published()
    first = backed_up(project)
    assert first.copied_files > 0
    again = backed_up(project)
    assert (again.copied_files, again.files) == (0, first.files)
    project.write("d.md", "# Paper d\n\nA fourth paper, on the weather.\n")
    project.refresh()
    third = backed_up(project)
    assert 0 < third.copied_files < third.files
    with pytest.raises(UsageError, match="--replace"):
        restored(project, may_replace=False)
    assert restored(project, name=first.name).findings == 0
    assert project.published() == before
    (project.folder / "docs" / "d.md").unlink()
    project.embedded.clear()
    assert project.refresh() == 0
    assert project.embedded == []
    assert restored(project, to=project.folder / "elsewhere", may_replace=False).backup == third.name
    assert sorted(path.name for path in project.folder.iterdir() if "re" in path.name[4:]) == ["elsewhere"]


def test_a_backup_that_is_cut_short_or_damaged_is_no_backup(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    good = backed_up(project)
    project.write("e.md", "# Paper e\n\nA fifth paper, on the tides.\n")
    project.refresh()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(backing, "_copy", full)
        with pytest.raises(StoreError, match="Older backups there are as they were"):
            backed_up(project)
    assert [path.stem for path in backups(project.folder / "copies")] == [good.name]
    assert not (project.folder / "lake" / backing.SNAPSHOT).exists()
    before = project.published()
    largest = max((project.folder / "copies" / "objects").rglob("*"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1] + b"?")
    with pytest.raises(LakeDamaged, match="does not hold what was backed up"):
        restored(project)
    assert project.published() == before


def test_what_was_erased_does_not_come_back_by_a_restore(project: Project) -> None:
    backed_up(project)
    with project.workspace() as workspace:
        begin_erasure(workspace, Wanted(place=("docs", "b.md")), reason="r", erased_by="w")
        with pytest.raises(StoreError, match="--finish"):
            backed_up(project)
        finish_erasure(workspace)
    report = restored(project)
    assert (report.erased, report.findings) == (1, 0)
    assert [row["uri"] for row in project.published()] == ["docs/a.md", "docs/c.md"]
    assert project.refresh() == 0
    only = backed_up(project, alone=True)
    assert only.removed_backups == 1
    assert restored(project).erased == 0


def test_the_commands_back_up_and_restore(project: Project) -> None:
    project.pipeline()
    copies = str(project.folder / "copies")
    answer = ask_in(project.folder, "backup", copies, "--json")
    assert (answer.code, answer.records[0]["removed_backups"]) == (0, 0)
    assert "Copied now" in ask_in(project.folder, "backup", copies).out
    assert ask_in(project.folder, "restore", copies).code == 2
    answer = ask_in(project.folder, "restore", copies, "--replace", "--json")
    assert (answer.code, answer.records[0]["findings"]) == (0, 0)


def test_a_newer_lake_is_refused_before_anything_is_written(project: Project) -> None:
    path = project.folder / "lake" / FORMAT_FILE
    assert json.loads(path.read_bytes())["format"] == LAKE_FORMAT
    path.write_text('{"format": 99, "written_by": "rag-pipeline 9.0.0"}')
    project.write("f.md", "# Paper f\n\nA sixth paper.\n")
    before = {each: each.stat().st_mtime_ns for each in (project.folder / "lake").rglob("*.parquet")}
    with pytest.raises(LakeTooNew, match="nothing was written"):
        project.refresh()
    assert {each: each.stat().st_mtime_ns for each in (project.folder / "lake").rglob("*.parquet")} == before
    path.write_text("{")
    project.refresh()
    assert json.loads(path.read_bytes())["format"] == LAKE_FORMAT


@pytest.mark.parametrize("packed", OLD_LAKES, ids=lambda path: path.stem)
def test_a_lake_of_each_released_version_is_taken_over_without_embedding_again(packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path)
    project = Project.create(tmp_path)
    before = [row | {"source_modified_at": None} for row in project.published()]
    project.refresh()
    assert project.embedded == []
    # The archive does not keep times as they were.
    assert [row | {"source_modified_at": None} for row in project.published()] == before
    assert project.verify().findings == []
    assert project.refresh() == 0
    assert json.loads((tmp_path / "lake" / FORMAT_FILE).read_bytes())["format"] == LAKE_FORMAT


def test_there_is_a_lake_of_the_released_version() -> None:
    assert [path.stem for path in OLD_LAKES] == ["0.1.0"]
    assert all(path.stat().st_size < 200_000 for path in OLD_LAKES)


@pytest.mark.parametrize(
    ("retention", "left"),
    # The copied project was polled once more, which brought no bytes.
    [
        ({"revisions": 2}, [3, 4]),
        ({"days": 5}, [4]),
        ({"revisions": 1, "days": 30}, [0, 2, 3, 4]),
        (None, [0, 2, 3, 4]),
    ],
)
def test_old_revisions_leave_bronze_with_maintenance(project: Project, retention: Any, left: list[int]) -> None:
    for number in range(3):
        project.write("a.md", f"# Paper a\n\nThis is what the wording number {number} says of lamps.\n")
        project.refresh()
    project.settings["sources"]["docs"] |= {"retention": retention} if retention else {}
    before = project.published()
    with project.workspace() as workspace:
        workspace.now = lambda: datetime.now(UTC) + timedelta(days=10)
        maintain(workspace)
        rows = workspace.lake.read(BRONZE.of("docs"), ["address", "revision", "raw"])
        mine = rows.filter((pl.col("address") == "a.md") & pl.col("raw").is_not_null())
        assert mine["revision"].sort().to_list() == left
    assert project.published() == before
    assert project.verify().findings == []
    assert project.refresh() == 0
