"""A run makes damaged tables again by itself, beside what is served, and says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.defs.summary import RunSummary
from rag_pipeline.refresh.heal import heal_damage
from rag_pipeline.refresh.status import read_status
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.refresh.test_damage import cut, cut_data, cut_log, remove_data, table_folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    project.write("a.md", "# A\n\nThe first lamp.\n")
    project.write("b.md", "# B\n\nThe second lamp.\n")
    assert launch_refresh(project.pipeline()).healed == []
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path)


def whole_check(summary: RunSummary) -> tuple[str, str]:
    [check] = [check for check in summary.checks_failed if check["check"] == "tables_are_whole"]
    return check["severity"], check["description"]


def cut_index(folder: Path) -> None:
    for file in folder.glob("*.lance/data/*"):
        cut(file)


def remove_from_index(folder: Path) -> None:
    next(folder.glob("*.lance/data/*")).unlink()


def scramble(folder: Path) -> None:
    """Other bytes, and as many: no size tells of it."""
    for file in folder.rglob("*.parquet"):
        file.write_bytes(bytes(len(file.read_bytes())))


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        ("silver/chunks", cut_data),
        ("gold/index", cut_index),
        ("silver/chunks", shutil.rmtree),
        ("silver/documents", scramble),
        pytest.param("silver/documents", cut_log, marks=pytest.mark.slow),
        pytest.param("silver/documents", shutil.rmtree, marks=pytest.mark.slow),
        pytest.param("gold/embeddings/*", remove_data, marks=pytest.mark.slow),
        pytest.param("gold/publications", cut_log, marks=pytest.mark.slow),
        pytest.param("gold/index", remove_from_index, marks=pytest.mark.slow),
    ],
)
def test_a_run_heals_what_can_be_made_again_and_says_so(
    project: Project, table: str, damage: Callable[[Path], None]
) -> None:
    before = project.published()
    damage(table_folder(project, table))
    if damage is shutil.rmtree:
        with project.workspace() as workspace:
            assert table in {each.table for each in read_status(workspace).damaged}
    summary = launch_refresh(project.pipeline())
    name = table.removesuffix("/*")
    assert summary.healed == [name], summary
    severity, said = whole_check(summary)
    assert severity == "WARN"
    assert name in said
    assert (summary.success, summary.errors, summary.embeddings_computed) == (True, [], 0)
    assert project.published() == before
    assert project.verify().findings == []
    with project.workspace() as workspace:
        assert heal_damage(workspace).said == ""


def test_bronze_says_what_to_restore_and_stays_as_it_is(project: Project) -> None:
    before = project.published()
    folder = table_folder(project, "bronze/docs")
    cut_data(folder)
    summary = launch_refresh(project.pipeline())
    assert not summary.success
    assert summary.healed == []
    said = [error["message"] for error in summary.errors] + [each["description"] for each in summary.checks_failed]
    assert any("restore the folder" in text and "bronze/docs" in text for text in said)
    assert not (project.folder / "lake" / ".damaged").exists()
    assert project.published() == before


def test_an_unchanged_lake_is_looked_at_and_nothing_is_read_or_written(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("read through without a reason")

    with project.workspace() as workspace:
        heal_damage(workspace)
        monkeypatch.setattr("rag_pipeline.refresh.damage.probe_index", refuse)
        assert heal_damage(workspace).said == ""
        assert workspace.lake.commits == 0


def test_the_sensor_asks_for_the_run_that_heals(project: Project) -> None:
    cut_log(table_folder(project, "gold/publications"))
    repository = build_definitions(project.pipeline()).get_repository_def()
    sensor = repository.get_sensor_def("published_is_behind_bronze")
    resources = {"pipeline": PipelineResource(config_path=str(project.folder / "pipeline.yaml"))}
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, repository_def=repository, resources=resources) as context,
    ):
        requests = sensor.evaluate_tick(context).run_requests
    assert [(request.job_name, request.partition_key) for request in requests or ()] == [("catch_up", "small")]
