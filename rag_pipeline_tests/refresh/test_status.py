"""Figures of the lake: what waits, and whether readers are behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.documents import refresh_documents
from rag_pipeline.refresh.publication import rollback
from rag_pipeline.refresh.status import bronze_versions, example_search, is_behind, read_status
from rag_pipeline_tests.pipeline.project import Project


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    project.write("guide.md", "# Running the pump\n\nPull the lever.\n")
    project.write("empty.txt", "")
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path, polled=True)


def behind(project: Project) -> bool:
    with project.workspace() as workspace:
        return is_behind(workspace)


def test_an_empty_lake_is_not_behind(tmp_path: Path) -> None:
    assert not behind(Project.create(tmp_path))


def test_readers_of_a_finished_run_are_not_behind(project: Project) -> None:
    assert not behind(project)


@pytest.mark.parametrize("change", ["edit", "delete", "rename", "permissions", "delete refused"])
def test_every_change_that_only_bronze_knows_waits(project: Project, change: str) -> None:
    docs = project.folder / "docs"
    if change == "edit":
        project.write("guide.md", "# Running the pump\n\nPush the lever.\n")
    elif change == "delete":
        (docs / "guide.md").unlink()
    elif change == "rename":
        (docs / "guide.md").rename(docs / "pump.md")
    elif change == "permissions":
        project.settings["sources"]["docs"]["allowed_principals"] = ["staff"]
        (docs / "empty.txt").unlink()
    else:
        (docs / "empty.txt").unlink()
    with project.workspace() as workspace:
        refresh_source(workspace, "docs", allow_mass_deletion=True)
        assert sum(source.waiting for source in read_status(workspace).sources) >= 1
    assert behind(project)
    project.refresh()
    assert not behind(project)


def test_silver_ahead_of_the_index_is_behind(project: Project) -> None:
    project.write("more.md", "# More\n\nOf everything.\n")
    with project.workspace() as workspace:
        refresh_source(workspace, "docs")
        refresh_documents(workspace)
        refresh_chunks(workspace)
        assert [source.waiting for source in read_status(workspace).sources] == [0]
    assert behind(project)


def test_readers_that_were_rolled_back_are_held_and_not_behind(project: Project) -> None:
    project.write("more.md", "# More\n\nOf everything.\n")
    project.refresh()
    with project.workspace() as workspace:
        rollback(workspace)
    assert not behind(project)


def test_the_name_of_bronzes_state_changes_with_bronze_only(project: Project) -> None:
    with project.workspace() as workspace:
        before = bronze_versions(workspace)
    project.refresh()
    with project.workspace() as workspace:
        assert bronze_versions(workspace) == before
    project.write("more.md", "# More\n\nOf everything.\n")
    project.refresh()
    with project.workspace() as workspace:
        assert bronze_versions(workspace) != before


def test_runs_are_told_newest_first_with_their_tables(project: Project) -> None:
    project.write("more.md", "# More\n\nOf everything.\n")
    with project.workspace(run_id="second") as workspace:
        refresh_source(workspace, "docs")
        runs = read_status(workspace).last_runs
    assert [run.run_id for run in runs] == ["second", "test"]
    assert (runs[0].commits, runs[0].tables) == (1, ["bronze/docs"])


def test_an_example_search_asks_what_its_reader_may_find(project: Project) -> None:
    with project.workspace() as workspace:
        assert example_search(workspace) == ("Running the pump", "public")
    assert project.search("Running the pump", "public")


def test_a_lake_without_titles_has_no_example(tmp_path: Path) -> None:
    with Project.create(tmp_path).workspace() as workspace:
        assert example_search(workspace) is None
