"""A backup is one moment of the lake, and what is restored is what was backed up, less what was erased since."""

from __future__ import annotations

import json
import os
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filelock import FileLock

from rag_pipeline.contracts.erasures import ERASED_FILE, PENDING_FILE, read_erased
from rag_pipeline.contracts.history import HISTORY_FILE
from rag_pipeline.contracts.tables import BRONZE
from rag_pipeline.defs.scrub import scrub_of
from rag_pipeline.errors import LakeBusy, LakeDamaged, LakeTooNew, StoreError, UsageError
from rag_pipeline.refresh import erase as erasing
from rag_pipeline.refresh.erase import begin_erasure, finish_erasure, release
from rag_pipeline.refresh.erase_plan import Wanted
from rag_pipeline.refresh.maintenance import maintain
from rag_pipeline.refresh.restore import RestoreReport, restore
from rag_pipeline.stores import backup as backing
from rag_pipeline.stores.backup import BackupReport, back_up, backups
from rag_pipeline.stores.lake_format import FORMAT_FILE, LAKE_FORMAT, REPLACED, RESTORING
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


def erased(project: Project, address: str, *, only_begin: bool = False) -> str:
    with project.workspace() as workspace:
        plan = begin_erasure(workspace, Wanted(place=("docs", address)), reason="r", erased_by="w")
        if not only_begin:
            finish_erasure(workspace)
        return plan.erasure_id


def addresses(project: Project) -> list[str]:
    return [row["uri"] for row in project.published()]


def test_backups_of_one_second_sort_by_time(project: Project) -> None:
    folder = project.folder / "copies"
    at = datetime(2026, 3, 1, 2, 0, 0, 5, UTC)
    (folder / "backups").mkdir(parents=True)
    (folder / "backups" / "20260301T020000-3f2a91.json").write_text('{"format": 1, "files": {}}')
    with project.workspace() as workspace:
        names = [back_up(workspace.lake, folder, at + timedelta(microseconds=number)).name for number in range(4)]
    assert [path.stem for path in backups(folder)] == ["20260301T020000-3f2a91", *names]


def test_two_backups_at_once_do_not_take_each_other_s_files(project: Project) -> None:
    for held in (project.folder / "copies", project.folder / "lake"):
        held.mkdir(exist_ok=True)
        with FileLock(held / backing.BACKUP_LOCK), pytest.raises(LakeBusy, match="another backup"):
            backed_up(project)
    assert backups(project.folder / "copies") == []


def test_a_file_that_goes_while_it_is_copied_is_not_left_out(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = backing._copied

    def robbed(snapshot: Path, *arguments: Any) -> Any:
        next(snapshot.rglob("*.parquet")).unlink()
        return copied(snapshot, *arguments)

    monkeypatch.setattr(backing, "_copied", robbed)
    with pytest.raises(StoreError, match="could not be copied"):
        backed_up(project)
    assert backups(project.folder / "copies") == []


def test_the_next_backup_mends_a_damaged_content(project: Project) -> None:
    backed_up(project)
    largest = max((project.folder / "copies" / "objects").rglob("*"), key=lambda path: path.stat().st_size)
    whole, times = largest.read_bytes(), largest.stat()
    largest.write_bytes(whole[:-1] + b"?")
    backed_up(project)
    assert largest.read_bytes() == whole
    # A disk that forgets changes no time: a restore finds it, and the next backup mends it.
    largest.write_bytes(whole[:-1] + b"?")
    os.utime(largest, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(LakeDamaged, match="does not hold what was backed up"):
        restored(project)
    backed_up(project)
    assert largest.read_bytes() == whole
    assert restored(project).findings == 0


def test_a_lost_list_of_what_was_erased_is_made_anew_from_the_certificates(project: Project) -> None:
    first, second = erased(project, "a.md"), erased(project, "b.md")
    with project.workspace() as workspace:
        release(workspace, second)
    listed = project.folder / "lake" / ERASED_FILE
    listed.unlink()
    project.refresh()
    assert addresses(project) == ["docs/b.md", "docs/c.md"]
    with project.workspace() as workspace:
        assert {each.erasure_id for each in read_erased(workspace.lake.root).tombstones} == {first}
    listed.write_text("{")
    with pytest.raises(LakeDamaged, match="Move it away"):
        project.refresh()
    listed.unlink()
    certificate = project.folder / "lake" / "erasures" / f"{first}.json"
    certificate.write_text("{")
    with pytest.raises(LakeDamaged, match=first):
        project.refresh()
    assert addresses(project) == ["docs/b.md", "docs/c.md"]


def test_a_restore_keeps_what_was_erased_since_wherever_it_lay_and_what_was_released(project: Project) -> None:
    moved, second = project.folder / "docs" / "z.md", project.folder / "docs" / "b.md"
    released = erased(project, "b.md")
    backed_up(project)
    (project.folder / "docs" / "a.md").rename(moved)
    with project.workspace() as workspace:
        release(workspace, released)
    project.refresh()
    assert addresses(project) == ["docs/b.md", "docs/c.md", "docs/z.md"]
    gone = [erased(project, "z.md"), erased(project, "c.md")]
    certified = project.folder / "lake" / "erasures"
    before = {name: (certified / f"{name}.json").read_bytes() for name in (released, *gone)}
    report = restored(project, to=project.folder / "elsewhere", may_replace=False)
    assert (report.erased, report.findings) == (2, 0)
    report = restored(project)
    assert (report.erased, report.findings) == (2, 0)
    # One erasure for all, and the certificates of before are there.
    kept = {path.stem: path.read_bytes() for path in certified.glob("*.json")}
    assert len(kept) == 4
    assert before.items() <= kept.items()
    second.touch()
    project.refresh()
    assert addresses(project) == ["docs/b.md"]


def test_a_backup_whose_bronze_is_damaged_does_not_bring_back_what_was_erased(project: Project) -> None:
    damaged = next((project.folder / "lake" / "bronze" / "docs").glob("*.parquet"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:40])
    backed_up(project)
    damaged.write_bytes(whole)
    erased(project, "b.md")
    with pytest.raises(LakeDamaged, match="--backup"):
        restored(project)
    assert addresses(project) == ["docs/a.md", "docs/c.md"]


def test_an_erasure_that_is_not_finished_is_finished_by_a_restore(project: Project) -> None:
    backed_up(project)
    begun = erased(project, "b.md", only_begin=True)
    home = project.pipeline().dagster_home
    home.mkdir(exist_ok=True)
    (home / "out.txt").write_text("took docs/b.md\n")
    with pytest.raises(StoreError, match=r"out\.txt"):
        restored(project)
    assert len(addresses(project)) == 3
    report = restored(project, scrub=scrub_of(home))
    assert (report.erased, report.findings) == (1, 0)
    assert (home / "out.txt").read_text() == "took [erased]\n"
    assert (project.folder / "lake" / "erasures" / f"{begun}.json").exists()
    assert not (project.folder / "lake" / PENDING_FILE).exists()
    assert addresses(project) == ["docs/a.md", "docs/c.md"]
    (project.folder / "lake" / ERASED_FILE).unlink()
    project.refresh()
    assert addresses(project) == ["docs/a.md", "docs/c.md"]


def test_certificates_of_before_say_no_word_of_what_a_restore_erases(project: Project) -> None:
    backed_up(project)
    with project.workspace() as workspace:
        begin_erasure(workspace, Wanted(place=("docs", "a.md")), reason="as docs/b.md says", erased_by="w")
        finish_erasure(workspace)
    erased(project, "b.md", only_begin=True)
    restored(project)
    certificates = sorted((project.folder / "lake" / "erasures").iterdir())
    assert len(certificates) == 4
    assert [path.name for path in certificates if "docs/b.md" in path.read_text()] == []


def test_a_line_that_is_added_while_it_is_copied_ends_no_backup(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, hashed = project.folder / "lake", backing._sha256
    assert (lake / HISTORY_FILE).is_file()
    before = {name: (lake / name).read_bytes() for name in backing.APPENDED if (lake / name).is_file()}

    def added(path: Path) -> str:
        found = hashed(path)
        if path.parent.name == backing.SNAPSHOT and path.name in before:
            with (lake / path.name).open("ab") as file:
                file.write(b"{}\n")
        return found

    monkeypatch.setattr(backing, "_sha256", added)
    backed_up(project)
    monkeypatch.undo()
    restored(project)
    assert {name: (lake / name).read_bytes() for name in before} == before


def test_a_restore_that_cannot_be_put_in_place_puts_the_lake_back(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    backed_up(project)
    erased(project, "b.md")
    rename = Path.replace

    def refused(path: Path, there: Path) -> Path:
        if RESTORING in path.name:
            raise OSError(5, "Input/output error")
        return rename(path, there)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refused)
        with pytest.raises(StoreError, match="could not be restored"):
            restored(project)
    assert addresses(project) == ["docs/a.md", "docs/c.md"]
    # Killed between the two names: the lake of before is beside, and knows what was erased.
    lake = project.folder / "lake"
    lake.rename(project.folder / f"lake{REPLACED}1")
    (project.folder / f"lake{RESTORING}1").mkdir()
    with pytest.raises(LakeDamaged, match=REPLACED):
        project.refresh()
    assert restored(project).erased == 1
    assert [path.name for path in project.folder.glob("lake*")] == ["lake"]
    beside = project.folder / f"lake{REPLACED}2"
    beside.mkdir()
    (beside / "part").write_text("The lamp of c burns until the morning of day c.")
    with pytest.raises(StoreError, match="part"):
        erased(project, "c.md")


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
        # The first round after a long time takes away no more than two days are worth.
        maintain(workspace)
        maintain(workspace)
        rows = workspace.lake.read(BRONZE.of("docs"), ["address", "revision", "raw"])
        mine = rows.filter((pl.col("address") == "a.md") & pl.col("raw").is_not_null())
        assert mine["revision"].sort().to_list() == left
    assert project.published() == before
    assert project.verify().findings == []
    assert project.refresh() == 0


def test_a_backup_made_after_a_clock_was_set_back_is_the_newest(project: Project) -> None:
    now = datetime.now(UTC)
    with project.workspace() as workspace:
        made = [
            back_up(workspace.lake, project.folder / "copies", now + timedelta(days=days)).name
            for days in (0, 1, 0, 0, 2)
        ]
    assert [path.stem for path in backups(project.folder / "copies")] == made
