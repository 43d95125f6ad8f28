"""Taking away itself fails: on a disk that others have filled there is room kept for it, and else it is said."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.errors import DagsterUnusable, LakeDamaged, StoreError
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.unsettled import finish_revocations
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.stores.reserve import RESERVE_BYTES, RESERVE_NAME, keep_reserve, spend_reserve
from rag_pipeline.stores.vectors import VectorTable
from rag_pipeline_tests.pipeline.project import Project

DISK_MIB = 60
BLOCK_BYTES = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only who may mount file systems can have a small disk here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, left_bytes: int) -> None:
    """Take all room but so much."""
    with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
        for _ in range((shutil.disk_usage(disk).free - left_bytes) // BLOCK_BYTES):
            file.write(b"x" * BLOCK_BYTES)


def seen(project: Project) -> list[str]:
    with Searcher.open(project.pipeline()) as searcher:
        return sorted(hit.uri for hit in searcher.search("secret", principals=["public"], mode="text", k=100))


@pytest.mark.parametrize(("left_bytes", "records"), [(0, "beside"), (300_000, "beside"), (0, "elsewhere")])
def test_what_was_revoked_leaves_readers(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_bytes: int, records: str
) -> None:
    if records == "elsewhere":
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    project = Project.create(disk / "project", ("docs", "vault"))
    project.write("menu.md", "# Menu\n\nThe secret menu of Monday.\n")
    project.write("salaries.md", "# Salaries\n\nThe secret salaries of the board.\n")
    project.write("lamp.md", "# Lamp\n\nA secret lamp stays where it is.\n")
    project.write("cellar.md", "# Cellar\n\nThe secret cellar under the house.\n", source="vault")
    project.refresh()
    assert len(seen(project)) == 4
    (project.folder / "docs" / "menu.md").unlink()
    project.write(
        "salaries.md", "---\nallowed_principals: [hr]\n---\n# Salaries\n\nThe secret salaries of the board.\n"
    )
    project.settings["sources"]["vault"]["allowed_principals"] = ["board"]
    project.pipeline()
    fill(disk, left_bytes)
    with suppress(*FAULTS):
        launch_refresh(project.pipeline())
    assert seen(project) == ["docs/lamp.md"]
    (disk / "ballast").unlink()
    assert launch_refresh(project.pipeline()).success
    assert seen(project) == ["docs/lamp.md"]
    assert project.verify().findings == []
    assert project.published() == project.rebuilt()
    # The next full disk finds it there again.
    assert (project.folder / "lake" / RESERVE_NAME).stat().st_size == RESERVE_BYTES


def test_where_there_is_no_room_at_all_nobody_is_told_that_it_left(disk: Path) -> None:
    project = Project.create(disk / "project")
    project.write("menu.md", "# Menu\n\nThe secret menu of Monday.\n")
    project.refresh()
    (project.folder / "docs" / "menu.md").unlink()
    project.write("lamp.md", "# Lamp\n")
    (project.folder / "lake" / RESERVE_NAME).unlink()
    fill(disk, 0)
    with pytest.raises(DagsterUnusable, match="READERS MAY STILL SEE WHAT WAS REVOKED") as raised:
        launch_refresh(project.pipeline(), allow_mass_deletion=["docs"])
    assert "Make room" in raised.value.message
    (disk / "ballast").unlink()
    assert launch_refresh(project.pipeline(), allow_mass_deletion=["docs"]).success
    assert seen(project) == []


def test_the_room_is_given_up_on_a_full_disk_only(disk: Path) -> None:
    keep_reserve(disk / "lake")
    reserve = disk / "lake" / RESERVE_NAME
    assert not spend_reserve(disk / "lake")
    assert reserve.exists()
    fill(disk, BLOCK_BYTES)
    assert spend_reserve(disk / "lake")
    assert not spend_reserve(disk / "lake")
    keep_reserve(disk / "lake")
    assert not reserve.exists()
    (disk / "ballast").unlink()
    keep_reserve(disk / "lake")
    assert reserve.stat().st_size == RESERVE_BYTES


@pytest.mark.parametrize("error", [LakeDamaged("half of it"), StoreError("no"), OSError("broken")])
def test_an_index_that_readers_can_open_and_nobody_can_write_is_not_taken_for_one_that_shows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    project = Project.create(tmp_path)
    project.write("menu.md", "# Menu\n\nThe secret menu of Monday.\n")
    project.refresh()
    (project.folder / "docs" / "menu.md").unlink()
    project.write("lamp.md", "# Lamp\n")

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch, project.workspace() as workspace:
        patch.setattr(VectorTable, "delete", fail)
        patch.setattr(VectorTable, "update_columns", fail)
        refresh_source(workspace, "docs", allow_mass_deletion=True)
        assert str(error) in finish_revocations(workspace)
    with project.workspace() as workspace:
        assert finish_revocations(workspace) == ""
    assert seen(project) == []
