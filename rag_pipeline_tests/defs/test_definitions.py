"""The Dagster definitions load anywhere, keep the rules of the house, and do what the command line does."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.automation import CATCH_UP_JOB, KEEP_IN_STEP_JOB, NIGHTLY_JOB
from rag_pipeline.defs.bronze import GUARD_CHECK
from rag_pipeline.defs.build import build_runs
from rag_pipeline.defs.instance import dagster_home
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.defs.names import REFRESH_JOB
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.defs.specs import EVALUATION_KEY, PUBLICATION_KEY
from rag_pipeline.errors import CommitConflict, EmbeddingSpaceMismatch, RagPipelineError
from rag_pipeline.refresh.generations import living_aliases
from rag_pipeline.settings import load_pipeline
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project

# Half past two of a night in which clocks change.
TICK = datetime(2026, 3, 29, 2, 30, tzinfo=UTC)
BIN = Path(sys.executable).parent
SOURCES = ("handbook", "website", "tickets", "code", "reports", "meetings", "notes")
EXPECTED = {
    *(f"{layer}/{name}" for layer in ("source", "bronze") for name in SOURCES),
    *(
        f"silver/{name}"
        for name in ("principals", "revocations", "documents", "quarantine", "duplicates", "boilerplate", "chunks")
    ),
    *(f"gold/{name}" for name in ("embeddings", "index", "evaluation", "publication", "maintenance")),
}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(load_pipeline(REPOSITORY / "pipeline.yaml", {}))


def specs(definitions: dg.Definitions) -> list[dg.AssetSpec]:
    return list(definitions.resolve_all_asset_specs())


def test_the_assets_are_these(definitions: dg.Definitions) -> None:
    assert {spec.key.to_user_string() for spec in specs(definitions)} == EXPECTED


def test_a_typed_command_runs_the_jobs_of_all_definitions_and_builds_nothing_that_starts_runs(
    definitions: dg.Definitions,
) -> None:
    runs = build_runs(load_pipeline(REPOSITORY / "pipeline.yaml", {}))
    assert not runs.schedules
    assert not runs.sensors
    names = [REFRESH_JOB, NIGHTLY_JOB, CATCH_UP_JOB, KEEP_IN_STEP_JOB]
    snapshots = [[each.resolve_job_def(name).get_job_snapshot_id() for name in names] for each in (runs, definitions)]
    assert snapshots[0] == snapshots[1]


def test_every_asset_is_described_owned_fresh_and_checked(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for spec in specs(definitions):
        name = spec.key.to_user_string()
        assert spec.description, name
        assert spec.owners, name
        assert spec.kinds, name
        assert spec.group_name == spec.key.path[0], name
        assert spec.freshness_policy is not None, name
        assert [key for key in graph.asset_check_keys if key.asset_key == spec.key], f"{name} has no check"


def test_tables_show_their_columns(definitions: dg.Definitions) -> None:
    for spec in specs(definitions):
        # A source is no table, and neither is maintenance.
        if spec.key.path[0] != "source" and spec.key.path[-1] != "maintenance":
            if spec.key in (PUBLICATION_KEY, EVALUATION_KEY):
                # Dagster draws columns above all figures, and here people look for these.
                assert "dagster/column_schema" not in spec.metadata, spec.key
                assert "- **run_id** (" in spec.metadata["rag/columns"].value, spec.key
            else:
                assert spec.metadata["dagster/column_schema"].columns, spec.key


@pytest.mark.parametrize("prefix", ["", "search"])
def test_every_asset_links_to_the_line_that_defines_it(project: Project, prefix: str) -> None:
    for spec in specs(build_definitions(project.pipeline(), prefix=prefix)):
        [reference] = spec.metadata["dagster/code_references"].code_references
        path = Path(reference.file_path)
        assert path.parent == REPOSITORY / "rag_pipeline" / "defs", spec.key
        assert path.read_text("utf-8").split("\n")[reference.line_number - 1].lstrip().startswith(("@dg.", "def "))


def test_every_job_resolves_and_every_schedule_names_a_partition(project: Project) -> None:
    pipeline = project.pipeline()
    definitions = build_definitions(pipeline)
    for name in ("refresh", "hourly", "nightly", "catch_up", "keep_in_step"):
        assert definitions.resolve_job_def(name).partitions_def is not None
    repository = definitions.get_repository_def()
    assert {schedule.name for schedule in repository.schedule_defs} == {"hourly_schedule", "nightly_schedule"}
    resources = {"pipeline": PipelineResource(config_path=str(pipeline.path))}
    for schedule in repository.schedule_defs:
        with (
            dg.instance_for_test() as instance,
            dg.build_schedule_context(
                instance=instance, scheduled_execution_time=TICK, repository_def=repository, resources=resources
            ) as context,
        ):
            request = schedule.evaluate_tick(context).run_requests[0]  # type: ignore[index]
        assert request.partition_key == "small"
        assert request.run_key == TICK.isoformat()


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    bare = {"PATH": f"{BIN}:{os.defpath}", "HOME": os.environ["HOME"]}
    return subprocess.run(command, cwd=REPOSITORY, env=bare | environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_dg_check_defs_passes() -> None:
    done = run(str(BIN / "dg"), "check", "defs")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_workspace_yaml_is_valid_for_the_webserver() -> None:
    done = run(str(BIN / "dagster"), "definitions", "validate", "-w", "workspace.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_definitions_load_with_an_empty_environment_and_open_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from rag_pipeline.definitions import defs; defs.get_repository_def();"
        "print([m for m in ('torch', 'lancedb', 'openvino', 'sentence_transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    project = Project.create(tmp_path / "project", ["docs", "wiki"])
    project.write("a.md", "# A\n\nThe first lamp.\n")
    project.write("b.md", "# B\n\nThe second lamp.\n", source="wiki")
    return project


def test_a_run_refreshes_everything_and_a_second_one_does_nothing(project: Project) -> None:
    first = launch_refresh(project.pipeline())
    assert first.success, first
    assert (first.documents, first.chunks, first.embeddings_computed) == (2, 2, 2)
    assert first.published is not None
    assert first.published["moved"]
    assert first.checks_failed == []
    second = launch_refresh(project.pipeline())
    assert second.success
    assert (second.embeddings_computed, second.commits) == (0, 0)
    assert second.published is not None
    assert not second.published["moved"]
    assert project.verify().findings == []


def test_a_source_that_nobody_may_read_is_told(project: Project) -> None:
    del project.settings["sources"]["docs"]["allowed_principals"]
    summary = launch_refresh(project.pipeline())
    assert summary.success
    found = {(check["asset"], check["check"]): check["description"] for check in summary.checks_failed}
    assert found == {("bronze/docs", "somebody_may_read_it"): "nobody may read 1 of 1 objects; set allowed_principals"}


def test_a_source_that_is_down_is_red_alone_and_everything_else_goes_on_in_the_same_run(project: Project) -> None:
    project.refresh()
    (project.folder / "wiki").rename(project.folder / "gone")
    project.write("a.md", "# A\n\nThe third lamp.\n")
    summary = launch_refresh(project.pipeline())
    assert not summary.success
    assert [(error["code"], error["exit_code"]) for error in summary.errors] == [("source_unavailable", 4)]
    assert len(summary.run_ids) == 1
    assert summary.published is not None
    assert summary.published["moved"]
    texts = {row["embedded_text"] for row in project.published()}
    assert any("third lamp" in text for text in texts)
    assert any("second lamp" in text for text in texts)
    with dg.DagsterInstance.from_config(str(dagster_home(project.pipeline()))) as instance:
        [run_id] = summary.run_ids
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.status == dg.DagsterRunStatus.SUCCESS
        made = materialized(instance, run_id)
    assert "source/wiki" not in made
    assert {"source/docs", "bronze/docs", "bronze/wiki", "silver/documents", "gold/publication"} <= made
    assert launch_refresh(project.pipeline()).commits == 0


def test_who_may_read_a_source_that_is_down_is_decided_by_the_settings_of_now(project: Project) -> None:
    project.refresh()
    (project.folder / "wiki").rename(project.folder / "gone")
    project.settings["sources"]["wiki"]["allowed_principals"] = ["board"]
    launch_refresh(project.pipeline())
    assert {row["uri"] for row in project.published() if "public" in row["allowed_principals"]} == {"docs/a.md"}


def materialized(instance: dg.DagsterInstance, run_id: str) -> set[str]:
    events = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    return {record.event_log_entry.dagster_event.asset_key.to_user_string() for record in events}  # type: ignore[union-attr]


def test_an_operator_goes_back_and_retires_from_the_ui(project: Project) -> None:
    project.settings["embedding_models"]["other"] = {"kind": "hashing", "model": "hashing", "dimension": 32}
    for alias in ("other", "small"):
        project.refresh(alias=alias)
    project.write("a.md", "# A\n\nThe fourth lamp.\n")
    project.refresh()
    definitions = build_definitions(project.pipeline())
    back = definitions.resolve_job_def("models_rollback").execute_in_process(
        run_config={"ops": {"roll_back": {"config": {"note": "the fourth lamp is wrong"}}}}
    )
    assert back.success
    assert not any("fourth" in row["embedded_text"] for row in project.published())
    retire = definitions.resolve_job_def("models_retire")
    config = {"ops": {"retire_model": {"config": {"alias": "other"}}}}
    retired = retire.execute_in_process(run_config=config)
    assert retired.success
    [told] = [event for event in retired.all_events if event.event_type == dg.DagsterEventType.ASSET_OBSERVATION]
    assert (told.asset_key, told.partition) == (dg.AssetKey(["gold", "index"]), "other")
    with project.workspace() as workspace:
        assert living_aliases(workspace) == ["small"]
    refused = {"ops": {"retire_model": {"config": {"alias": "small"}}}}
    assert not retire.execute_in_process(run_config=refused, raise_on_error=False).success


def test_the_deletion_guard_is_released_for_one_run(project: Project) -> None:
    for number in range(30):
        project.write(f"{number}.md", f"# Page {number}\n\nPage number {number}.\n")
    project.refresh()
    for number in range(30):
        (project.folder / "docs" / f"{number}.md").unlink()
    held = launch_refresh(project.pipeline())
    assert [check["check"] for check in held.checks_failed if check["severity"] == "ERROR"] == [GUARD_CHECK]
    assert [(hold["source"], hold["held_documents"], hold["of_documents"]) for hold in held.held] == [("docs", 30, 31)]
    assert len(project.published()) == 32
    assert launch_refresh(project.pipeline(), allow_mass_deletion=["docs"]).success
    assert len(project.published()) == 2


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (EmbeddingSpaceMismatch("the model changed"), 1),
        (CommitConflict("another writer"), 3),
    ],
)
def test_only_errors_that_a_retry_can_cure_are_retried(error: RagPipelineError, attempts: int) -> None:
    tried = []

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=2))
    def failing() -> None:
        tried.append(1)
        with as_dagster_failure():
            raise error

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([failing], instance=instance, raise_on_error=False)
    assert len(tried) == attempts
