"""Commands on a lake in an object store do what they do on one in a folder, whatever breaks beside them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.erasures import PENDING_FILE
from rag_pipeline.errors import LakeDamaged, StoreError, UsageError
from rag_pipeline.refresh import erase
from rag_pipeline.refresh.erase import begin_erasure, finish_erasure, release
from rag_pipeline.refresh.erase_plan import Wanted
from rag_pipeline.refresh.erase_proof import Certificate
from rag_pipeline.refresh.plan import plan_run
from rag_pipeline.refresh.restore import restore
from rag_pipeline.stores import backup
from rag_pipeline.stores.backup import BackupReport, back_up, backups, read_backup
from rag_pipeline.stores.byte_search import Needles, found_in_file
from rag_pipeline.stores.objects import Objects
from rag_pipeline_tests.object_store.lakes import copied
from rag_pipeline_tests.object_store.server import S3Server
from rag_pipeline_tests.pipeline.project import Project

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def well_behaved(server: S3Server) -> Iterator[None]:
    yield
    server.behave()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_plan_says_what_the_run_then_does_and_leaves_nothing_anywhere(
    server: S3Server, project: Project, temporary: Path
) -> None:
    project.write("lamps.md", "# Lamps\n\nA blue lamp hangs above the door since the green one broke last winter.\n")
    (project.folder / "docs" / "pumps.md").unlink()
    objects = Objects(project.settings["lake"], server.options)
    before = objects.entries()
    server.asked()
    plan = plan_run(project.pipeline(), allow_mass_deletion=["docs"])
    assert {method for method, _ in server.asked()} <= {"GET", "HEAD"}
    assert objects.entries() == before
    assert list(temporary.iterdir()) == []
    (source,) = plan.sources
    assert (source.modified, source.deleted, plan.parsed, plan.models[0].texts) == (1, 1, 1, 1)
    assert [each.uri.rsplit("/", 1)[-1] for each in plan.closes] == ["pumps.md"]
    project.embedded.clear()
    project.refresh()
    assert len(project.embedded) == plan.models[0].texts


def test_a_store_that_fails_in_the_middle_of_a_plan_leaves_no_copy_behind(
    server: S3Server, published: Project, temporary: Path
) -> None:
    server.behave(fails=r"GET .*/silver/chunks/.*\.parquet")
    with pytest.raises(StoreError) as refused:
        plan_run(published.pipeline())
    assert refused.value.retryable
    assert list(temporary.iterdir()) == []


def test_a_lake_that_does_not_fit_is_refused_before_it_is_copied_for_a_plan(
    published: Project, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage: Any = shutil._ntuple_diskusage(2**30, 2**30 - 1000, 1000)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StoreError, match="1,000 bytes left"):
        plan_run(published.pipeline())
    assert list(temporary.iterdir()) == []


# -- erase ------------------------------------------------------------------------------------------------------------

SECRET = "red lever"
PUMPS = Wanted(place=("docs", "pumps.md"))


def erased(project: Project, *, despite_versions: bool = False) -> Certificate:
    with project.workspace("erase") as workspace:
        begin_erasure(workspace, PUMPS, reason="4711", erased_by="me", despite_versions=despite_versions)
        certificate = finish_erasure(workspace)
    assert certificate is not None
    return certificate


def holding(project: Project, folder: Path) -> list[str]:
    """Objects of the lake whose unpacked content has what was erased."""
    objects = Objects(project.settings["lake"], project.settings["lake_options"])
    folder.mkdir(parents=True)
    found = []
    for number, name in enumerate(sorted(objects.entries())):
        path = folder / str(number)
        objects.fetch(name, path)
        if found_in_file(path, Needles((SECRET.encode(),))):
            found.append(name)
    return found


def test_what_is_erased_is_in_no_object_and_does_not_come_back(project: Project, tmp_path: Path) -> None:
    # Older versions, of the tables and of the index, have it too.
    project.write("lamps.md", "# Lamps\n\nA blue lamp hangs above the door since the green one broke last winter.\n")
    project.refresh()
    assert holding(project, tmp_path / "before")
    certificate = erased(project)
    assert certificate.found == []
    assert certificate.removed
    assert holding(project, tmp_path / "after") == []
    project.refresh()
    assert {row["uri"].rsplit("/", 1)[-1] for row in project.published()} == {"lamps.md", "keys.md"}
    with project.workspace("release") as workspace:
        named = {each.address for each in workspace.source("docs").list()}
        assert release(workspace, certificate.erasure_id) == 1
        assert {each.address for each in workspace.source("docs").list()} - named == {"pumps.md"}
    assert not project.verify().findings


@pytest.mark.exhaustive
@pytest.mark.parametrize("step", ["_take_from_tables", "forget_history", "forget_versions", "certified"])
def test_an_erasure_that_was_cut_off_is_finished_by_the_next(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with project.workspace("erase") as workspace, monkeypatch.context() as patched:
        begin_erasure(workspace, PUMPS, reason="4711", erased_by="me")

        def cut_off(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(erase, step, cut_off)
        with pytest.raises(KeyboardInterrupt):
            finish_erasure(workspace)
    # Readers had lost it first.
    assert not any("pumps.md" in row["uri"] for row in project.published())
    with project.workspace("run") as workspace:
        certificate = finish_erasure(workspace)
        assert finish_erasure(workspace) is None
    assert certificate is not None
    assert holding(project, tmp_path / "after") == []


@pytest.mark.exhaustive
def test_a_store_that_fails_while_it_erases_leaves_it_to_the_next(
    server: S3Server, project: Project, tmp_path: Path
) -> None:
    with project.workspace("erase") as workspace:
        begin_erasure(workspace, PUMPS, reason="4711", erased_by="me")
        server.behave(fails=r"(DELETE|POST) .*")
        with pytest.raises(StoreError) as refused:
            finish_erasure(workspace)
        assert refused.value.retryable
        server.behave()
        certificate = finish_erasure(workspace)
    assert certificate is not None
    assert holding(project, tmp_path / "after") == []


@pytest.fixture
def kept(server: S3Server, published: Project, tmp_path: Path) -> Project:
    """One whose bucket keeps what is removed."""
    return copied(published, server, tmp_path / "kept", server.bucket("kept", keeps_versions=True))


def test_in_a_bucket_that_keeps_versions_nothing_is_erased_unasked(server: S3Server, kept: Project) -> None:
    objects = Objects(kept.settings["lake"], server.options)
    before = objects.entries()
    with pytest.raises(UsageError, match="--despite-versions") as refused:
        erased(kept)
    assert "Nothing was erased" in str(refused.value)
    assert objects.read(PENDING_FILE) is None
    assert {name for name in objects.entries() if not name.startswith(".")} >= {
        name for name in before if not name.startswith(".")
    }


@pytest.mark.exhaustive
def test_a_certificate_says_what_a_bucket_keeps(kept: Project, tmp_path: Path) -> None:
    certificate = erased(kept, despite_versions=True)
    assert any(note.startswith("NOT GONE YET") for note in certificate.notes)
    assert holding(kept, tmp_path / "after") == []


# -- backup and restore -----------------------------------------------------------------------------------------------


def backed_up(project: Project, folder: Path) -> BackupReport:
    with project.workspace("backup") as workspace:
        return back_up(workspace.lake, folder, datetime.now(UTC))


def test_a_backup_is_put_back(project: Project, tmp_path: Path) -> None:
    copies, before = tmp_path / "copies", project.published()
    first = backed_up(project, copies)
    # What is written when a lake is first written to at another address was copied twice.
    assert first.copied_files >= first.files > 0
    again = backed_up(project, copies)
    assert again.files == first.files
    # The lease was taken meanwhile, and nothing else was written.
    assert again.copied_files == 0
    (project.folder / "docs" / "keys.md").unlink()
    project.refresh()
    assert project.published() != before
    with pytest.raises(UsageError, match="holds something"):
        restore(project.pipeline(), copies, to=None, name=None, may_replace=False)
    report = restore(project.pipeline(), copies, to=None, name=None, may_replace=True)
    assert (report.erased, report.findings) == (0, 0)
    assert project.published() == before


@pytest.mark.exhaustive
def test_what_was_erased_since_comes_back_neither_into_a_store_nor_into_a_folder(
    project: Project, tmp_path: Path
) -> None:
    copies = tmp_path / "copies"
    left = [row for row in project.published() if "pumps.md" not in row["uri"]]
    backed_up(project, copies)
    certificate = erased(project)
    report = restore(project.pipeline(), copies, to=None, name=None, may_replace=True)
    assert (report.erased, report.findings) == (1, 0)
    assert project.published() == left
    assert holding(project, tmp_path / "after") == []
    assert certificate.erasure_id in str(Objects(report.lake, project.settings["lake_options"]).entries().keys())
    report = restore(project.pipeline(), copies, to=str(tmp_path / "lake"), name=None, may_replace=False)
    assert (report.erased, report.findings) == (1, 0)
    project.settings["lake"] = str(tmp_path / "lake")
    assert project.published() == left


@pytest.mark.exhaustive
@pytest.mark.parametrize("fails", ["PUT .*chunks/.*parquet", "POST .*", "PUT .*chunks/_delta_log.*"])
def test_a_restore_that_breaks_off_shows_readers_a_whole_lake_or_none_and_is_run_again(
    server: S3Server, project: Project, tmp_path: Path, fails: str
) -> None:
    copies, before = tmp_path / "copies", project.published()
    backed_up(project, copies)
    project.write("lamps.md", "# Lamps\n\nA blue lamp hangs above the door since the green one broke last winter.\n")
    project.refresh()
    later = project.published()
    server.behave(fails=fails)
    with pytest.raises(StoreError) as refused:
        restore(project.pipeline(), copies, to=None, name=None, may_replace=True)
    assert refused.value.retryable
    server.behave()
    with project.workspace() as workspace:
        is_published = workspace.lake.last_publication() is not None
    assert not is_published or project.published() == later
    with pytest.raises(LakeDamaged, match="--replace"), project.workspace() as workspace, workspace.lake.writing():
        raise AssertionError
    assert restore(project.pipeline(), copies, to=None, name=None, may_replace=True).findings == 0
    assert project.published() == before
    assert project.refresh() > 0


@pytest.mark.exhaustive
def test_what_changes_while_it_is_backed_up_is_of_one_moment(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = backup._fetched

    def with_a_run_after_the_first_look(*args: Any, **options: Any) -> Any:
        found = fetched(*args, **options)
        if not options:
            project.write("lamps.md", "# Lamps\n\nA blue lamp hangs above the door since the green one broke.\n")
            project.refresh()
        return found

    monkeypatch.setattr(backup, "_fetched", with_a_run_after_the_first_look)
    backed_up(project, tmp_path / "copies")
    report = restore(project.pipeline(), tmp_path / "copies", to=str(tmp_path / "lake"), name=None, may_replace=False)
    assert report.findings == 0
    later = project.published()
    project.settings["lake"] = str(tmp_path / "lake")
    assert project.published() == later


@pytest.mark.exhaustive
def test_a_store_that_fails_leaves_the_older_backups_whole(server: S3Server, project: Project, tmp_path: Path) -> None:
    backed_up(project, tmp_path / "copies")
    project.write("lamps.md", "# Lamps\n\nA blue lamp hangs above the door since the green one broke last winter.\n")
    project.refresh()
    server.behave(fails="GET .*silver/documents/.*parquet")
    with pytest.raises(StoreError) as refused:
        backed_up(project, tmp_path / "copies")
    assert refused.value.retryable
    (only,) = backups(tmp_path / "copies")
    assert read_backup(only)
