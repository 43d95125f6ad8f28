"""What is done by command line stands in the history of the asset, where Dagster is in use."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest

from rag_pipeline.cli.records import recorded_releases
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.defs.specs import INDEX_KEY, PUBLICATION_KEY, bronze_key
from rag_pipeline.refresh.bronze import update_source
from rag_pipeline_tests.cli.conftest import ask_in, small_project
from rag_pipeline_tests.pipeline.project import Project


def history(home: Path) -> list[dg.AssetMaterialization]:
    """Materializations of gold/publication, newest first."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        records = instance.fetch_materializations(PUBLICATION_KEY, limit=10).records
    return [record.asset_materialization for record in records if record.asset_materialization is not None]


def observed(home: Path, key: dg.AssetKey) -> list[dg.AssetObservation]:
    """Observations of an asset that no run made, newest first."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        records = instance.fetch_observations(key, limit=10).records
    return [r.asset_observation for r in records if r.asset_observation is not None and not r.run_id]


def shown(event: dg.AssetMaterialization | dg.AssetObservation) -> dict[str, object]:
    return {name: value.value for name, value in event.metadata.items()}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    return home


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("built")
    project = small_project(folder / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder / "dagster"))
        assert launch_refresh(project.pipeline(), alias="wide-2").success
    return project


@pytest.fixture
def launched(built: Project, tmp_path: Path, home: Path) -> Project:
    """Published by a run of Dagster, with a second model beside."""
    shutil.copytree(built.folder.parent / "dagster", home)
    return built.copied(tmp_path / "project")


def test_publications_by_command_are_in_the_history_with_version_why_and_by_whom(launched: Project, home: Path) -> None:
    by_run = shown(history(home)[0])
    published = ask_in(launched.folder, "models", "publish", "wide-2", "--note", "it finds more", "--json").records[0]
    event = history(home)[0]
    assert event.description is not None
    assert "it finds more" in event.description
    found = shown(event)
    for name in ("alias", "sequence", "table_name", "table_version", "rows", "documents", "space_fingerprint"):
        assert found[f"rag/{name}"] == published[name], name
    assert (found["rag/why"], found["rag/how"]) == ("it finds more", "rag-pipeline models publish")
    assert "@" in str(found["rag/by_whom"])
    # The UI shows the facts of the last event only, so none may be missing but what tells of the run itself.
    of_the_run = {name for name in by_run if name.startswith("rag/run_cost_")} | {"rag/work_seconds"}
    assert set(by_run) - of_the_run <= set(found)

    ask_in(launched.folder, "models", "rollback", "--note", "it finds less")
    back = history(home)[0]
    assert (shown(back)["rag/alias"], shown(back)["rag/why"]) == ("small", "it finds less")
    assert len(history(home)) == 3
    # The next run finds what it was told: nothing below the pointer is out of step for it.
    launch_refresh(launched.pipeline())
    newest, before = history(home)[:2]
    assert newest.tags is not None
    assert before.tags is not None
    assert newest.tags["dagster/data_version"] == before.tags["dagster/data_version"] == "2"


def test_what_changes_nothing_is_no_event(launched: Project, home: Path) -> None:
    ask_in(launched.folder, "models", "publish", "small")
    assert ask_in(launched.folder, "models", "rollback", "--to", "wide-2").code != 0
    assert len(history(home)) == 1


def test_without_a_dagster_home_a_publication_makes_none(own: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    own.refresh(alias="wide-2")
    assert ask_in(own.folder, "models", "rollback").code == 0
    assert not (own.folder / ".dagster").exists()


def test_damaged_records_hold_nothing_up(own: Project, home: Path) -> None:
    own.refresh(alias="wide-2")
    home.mkdir()
    (home / "dagster.yaml").write_text("storage: [this is no setting]\n", "utf-8")
    answer = ask_in(own.folder, "models", "rollback", "--json")
    assert answer.code == 0
    assert answer.records[0]["alias"] == "small"
    assert str(home) in answer.err.replace("\n", "")
    retired = ask_in(own.folder, "models", "retire", "wide-2", "--json")
    assert (retired.code, retired.records[0]["alias"]) == (0, "wide-2")
    assert str(home) in retired.err.replace("\n", "")


def test_a_model_retired_by_command_is_in_the_history_of_its_partition(own: Project, home: Path) -> None:
    home.mkdir()
    own.refresh(alias="wide-2")
    assert ask_in(own.folder, "models", "rollback", "--to", "small").code == 0
    assert ask_in(own.folder, "models", "retire", "wide-2").code == 0
    [event] = observed(home, INDEX_KEY)
    assert event.partition == "wide-2"
    assert event.description is not None
    assert "rag-pipeline models retire" in event.description
    assert "@" in str(shown(event)["rag/by_whom"])
    assert ask_in(own.folder, "models", "retire", "small").code != 0
    assert len(observed(home, INDEX_KEY)) == 1


def test_losses_let_go_by_command_are_in_the_history_of_the_source(tmp_path: Path, home: Path) -> None:
    project = Project.create(tmp_path / "project", sources=("docs", "people"))
    project.settings["sources"]["docs"]["max_deleted_floor"] = 2
    for number in range(12):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe lamp number {number}.\n")
    project.write("a.md", "# A\n\nOne.\n", source="people")
    project.refresh()
    for number in range(11):
        (project.folder / "docs" / f"{number}.md").unlink()
    with project.workspace() as workspace:
        assert update_source(workspace, "docs").held == 11
    # What is not let go is no event, nor what was never held.
    with recorded_releases(project.pipeline(), ["docs", "people"]):
        pass
    assert ask_in(project.folder, "run", "--allow-mass-deletion", "docs", "--allow-mass-deletion", "people").code == 0
    assert observed(home, bronze_key("people")) == []
    [event] = observed(home, bronze_key("docs"))
    found = shown(event)
    assert (found["rag/released_count"], found["rag/released_of_count"]) == (11, 12)
    assert found["rag/how"] == "rag-pipeline run --allow-mass-deletion docs"
    assert "11" in str(event.description)
