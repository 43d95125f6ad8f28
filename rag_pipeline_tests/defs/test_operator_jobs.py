"""What an operator does from the Launchpad: each job does what its command does, as safely, and says who asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from rag_pipeline.contracts.tables import CHUNKS
from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.words import HAPPENED
from rag_pipeline.stores.byte_search import Needles, found_in_file
from rag_pipeline_tests.pipeline.project import Project

SECRET = "quarrelsome lighthouse keeper"
BY = "Ada of the night shift"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built") / "project", ["docs"])
    project.settings["embedding_models"]["other"] = {"kind": "hashing", "model": "hashing", "dimension": 32}
    project.write("a.md", "# A\n\nThe lamp of the harbour.\n")
    project.write("keeper.md", f"# Keeper\n\nThe {SECRET} left in June.\n")
    project.write("empty.txt", "")
    project.refresh(alias="other")
    project.refresh()
    project.write("a.md", "# A\n\nThe second lamp of the harbour.\n")
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return built.copied(tmp_path / "project")


@pytest.fixture
def instance(project: Project) -> Iterator[dg.DagsterInstance]:
    """One with records on disk, as the daemon has."""
    with dg.DagsterInstance.from_config(str(project.folder.parent / "home")) as instance:
        yield instance


def launched(
    project: Project, instance: dg.DagsterInstance, job: str, prefix: str = "", **config: Any
) -> dg.ExecuteInProcessResult:
    """One of our jobs of one op, with what a person fills in."""
    definitions = build_definitions(project.pipeline(), prefix=prefix)
    resolved = definitions.resolve_job_def(f"{prefix}_{job}" if prefix else job)
    [node] = resolved.graph.nodes
    given = {"ops": {node.name: {"config": config}}} if config else {}
    return resolved.execute_in_process(instance=instance, run_config=given, raise_on_error=False)


def told(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Metadata of the op's output, as its run shows it."""
    found = [event.step_output_data.metadata for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    return {name: value.value for name, value in (found[0] if found else {}).items()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    [event] = [event for event in result.all_events if event.is_step_failure]
    return str(event.step_failure_data.user_failure_data.description)  # type: ignore[union-attr]


def test_every_field_that_an_operator_fills_in_is_explained(project: Project) -> None:
    for job in build_definitions(project.pipeline()).resolve_all_job_defs():
        assert job.description or job.name == "__ASSET_JOB", job.name
        for node in job.graph.nodes if not job.asset_layer.selected_asset_keys else ():
            config = node.definition.config_schema.config_type
            for name, field in getattr(config, "fields", {}).items():
                assert field.description, f"{job.name}: {name}"


def test_a_model_is_published_and_readers_sent_back_by_somebody_for_a_reason(
    project: Project, instance: dg.DagsterInstance
) -> None:
    key, check = dg.AssetKey(["gold", "publication"]), "newest_version_may_be_published"

    def allowed() -> bool:
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([dg.AssetCheckKey(key, check)])
        return record[dg.AssetCheckKey(key, check)].event.dagster_event.event_specific_data.passed  # type: ignore[union-attr]

    back = launched(project, instance, "models_rollback", note="it got worse", by=BY)
    assert back.success
    assert told(back) | {"rag/by_whom": BY, "rag/why": "it got worse", "rag/is_held": True} == told(back)
    assert not any("second" in row["embedded_text"] for row in project.published())
    assert not allowed()
    behind = launched(project, instance, "models_publish", alias="other", by=BY)
    assert not behind.success
    assert "behind silver" in failure(behind)
    again = launched(project, instance, "models_publish", alias="small", note="it did not", by=BY)
    assert again.success
    assert any("second" in row["embedded_text"] for row in project.published())
    assert allowed()
    event = instance.get_latest_materialization_event(key)
    assert event is not None
    assert BY in str(event.asset_materialization.description)  # type: ignore[union-attr]
    nothing = launched(project, instance, "models_publish", alias="small", override_gate=True)
    assert "needs a note" in failure(nothing)


def test_what_was_refused_is_tried_again(project: Project, instance: dg.DagsterInstance) -> None:
    assert "not in quarantine" in failure(launched(project, instance, "quarantine_retry", document_ids=["0" * 12]))
    retried = launched(project, instance, "quarantine_retry", by=BY)
    assert told(retried)["rag/released_count"] == 1
    assert BY in told(retried)[HAPPENED]
    with project.workspace() as workspace:
        from rag_pipeline.refresh.quarantine import quarantined

        [row] = quarantined(workspace)
        assert row["next_attempt_at"] is not None


def test_an_erasure_from_the_launchpad_leaves_nothing_even_in_its_own_record(
    project: Project, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    address = "keeper.md"
    asked = launched(project, instance, "erase", source="docs", address=address, reason="request 1", by=BY)
    assert asked.success
    assert told(asked)["rag/documents"] == 1
    assert any(SECRET in row["embedded_text"] for row in project.published())
    for wrong in ({"source": "docs"}, {"document": "x", "principal": "mo"}, {}):
        assert "say what to erase" in failure(launched(project, instance, "erase", reason="r", **wrong))
    done = launched(
        project, instance, "erase", source="docs", address=address, reason="request 1", by=BY, is_meant=True
    )
    assert done.success
    assert not any(SECRET in row["embedded_text"] for row in project.published())
    record = told(done)
    [certificate] = (project.folder / "lake" / "erasures").glob("*.txt")
    assert record["rag/certificate"].startswith(f"erasures/{record['rag/erasure_id']}")
    assert BY in certificate.read_text("utf-8")
    for needle in (SECRET, address):
        needles = Needles([needle.encode()])
        files = [*(tmp_path / "home").rglob("*"), *(project.folder / "lake").rglob("*")]
        assert [path for path in files if path.is_file() and found_in_file(path, needles)] == [], needle
    # The records that were cleaned can still be read.
    assert {run.status for run in instance.get_runs()} <= {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
    project.refresh()
    assert len(project.published()) == 1
    assert launched(project, instance, "erase_release", erasure_id=record["rag/erasure_id"], by=BY).success
    project.refresh()
    assert any(SECRET in row["embedded_text"] for row in project.published())


def test_damage_is_found_and_repaired(project: Project, instance: dg.DagsterInstance) -> None:
    assert launched(project, instance, "verify").success
    # Those of versions before are among them.
    for path in (project.folder / "lake" / CHUNKS.path).rglob("*.parquet"):
        path.unlink()
    found = launched(project, instance, "verify")
    assert not found.success
    assert "rag-pipeline" in failure(found)
    repaired = launched(project, instance, "repair", by=BY, prefix="search")
    assert repaired.success
    assert CHUNKS.path in told(repaired)[HAPPENED]
    assert launched(project, instance, "verify").success
