"""What was revoked while bronze could not hold it stays revoked in the nights after, whatever breaks in them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.polls import POLLS_FILE
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.errors import StoreError
from rag_pipeline.refresh import polls
from rag_pipeline.sources.local import LocalFiles
from rag_pipeline.stores.lake import Lake
from rag_pipeline_tests.faults.test_revoking import run, seen
from rag_pipeline_tests.pipeline.project import Project

TWO = {name: {"kind": "hashing", "model": "hashing", "dimension": n} for name, n in (("small", 64), ("large", 96))}
REVOKED = ("menu", "salaries", "xyzzy")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("nights"), ("docs", "other"), embedding_models=TWO)
    project.write("menu.md", "# Menu\n\nThe secret menu of Monday.\n")
    project.write("salaries.md", "# Salaries\n\nThe secret salaries of the board.\n")
    project.write("door.md", "# Door\n\nThe secret code is xyzzy.\n")
    project.write("lamp.md", "# Lamp\n\nA secret lamp stays where it is.\n")
    project.write("other.md", "# Other\n\nAnother secret.\n", source="other")
    for alias in ("large", "small"):
        project.refresh(alias=alias)
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    shutil.copytree(built.folder, tmp_path / "project", copy_function=shutil.copy2)
    return Project(tmp_path / "project", built.settings)


def revoke_unrecorded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file goes, one is for hr now and one says something else, in a night in which bronze cannot be written."""
    (project.folder / "docs" / "menu.md").unlink()
    project.write("salaries.md.meta.yaml", "allowed_principals: [hr]\n")
    project.write("door.md", "# Door\n\nA secret door.\n")
    append = Lake.append

    def full(lake: Lake, table: TableContract, *rest: Any, **named: Any) -> Any:
        if table.path == "bronze/docs":
            raise StoreError("no space left", table=table.path)
        return append(lake, table, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "append", full)
        run(project)
    assert_revoked(project)


def assert_revoked(project: Project) -> None:
    public = seen(project, "public")
    assert [word for word in REVOKED if word in public] == []
    # Everything else stays, so that nothing passes by showing nothing.
    assert "lamp" in public
    assert "Another" in public


def not_mounted(project: Project, _: pytest.MonkeyPatch) -> None:
    (project.folder / "docs").rename(project.folder / "away")


def listing_raises(error: Exception) -> Callable[[Project, pytest.MonkeyPatch], None]:
    def breaks(_: Project, patch: pytest.MonkeyPatch) -> None:
        lists = LocalFiles.list

        def listed(source: LocalFiles) -> Any:
            if source.name == "docs":
                raise error
            return lists(source)

        patch.setattr(LocalFiles, "list", listed)

    return breaks


DOWN = {"not mounted": not_mounted, "no rights": listing_raises(PermissionError(13, "denied"))}


@pytest.mark.parametrize("down", DOWN)
def test_a_source_that_is_down_the_nights_after_shows_nothing_again(
    project: Project, monkeypatch: pytest.MonkeyPatch, down: str
) -> None:
    revoke_unrecorded(project, monkeypatch)
    with monkeypatch.context() as patch:
        DOWN[down](project, patch)
        for night in range(2):
            project.write("other.md", f"# Other\n\nAnother secret of night {night}.\n", source="other")
            run(project)
            assert_revoked(project)
            assert f"night {night}" in seen(project, "public")


def test_what_a_source_says_when_it_is_back_is_published(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    revoke_unrecorded(project, monkeypatch)
    not_mounted(project, monkeypatch)
    run(project)
    (project.folder / "away").rename(project.folder / "docs")
    run(project)
    assert_revoked(project)
    assert "secret door" in seen(project, "public")
    assert "salaries" in seen(project, "hr")
    assert project.published() == project.rebuilt()


def test_another_model_published_meanwhile_shows_nothing_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoke_unrecorded(project, monkeypatch)
    not_mounted(project, monkeypatch)
    run(project)
    project.refresh(alias="large", poll=False)
    assert_revoked(project)


def polls_removed(path: Path) -> None:
    path.unlink()


def entry_damaged(path: Path) -> None:
    record = json.loads(path.read_bytes())
    record["sources"]["docs"]["attempted_at"] = "yesterday"
    path.write_text(json.dumps(record))


@pytest.mark.parametrize("lose", [polls_removed, entry_damaged, None])
def test_the_record_of_polls_is_not_all_that_keeps_it_away(
    project: Project, monkeypatch: pytest.MonkeyPatch, lose: Callable[[Path], None] | None
) -> None:
    def full(*_: object) -> None:
        raise StoreError("no space left")

    with monkeypatch.context() as patch:
        if lose is None:
            patch.setattr(polls, "write_polls", full)
        revoke_unrecorded(project, monkeypatch)
    if lose is not None:
        lose(project.folder / "lake" / POLLS_FILE)
    project.refresh(poll=False)
    assert_revoked(project)
    not_mounted(project, monkeypatch)
    run(project)
    assert_revoked(project)


def test_a_source_that_was_recorded_is_asked_no_more(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    revoke_unrecorded(project, monkeypatch)
    with project.workspace() as workspace:
        assert polls.unrecorded_sources(workspace) == {"docs"}
    run(project)
    with project.workspace() as workspace:
        assert polls.unrecorded_sources(workspace) == set()
    (project.folder / "lake" / POLLS_FILE).unlink()
    with project.workspace() as workspace:
        assert polls.unrecorded_sources(workspace) == set()
