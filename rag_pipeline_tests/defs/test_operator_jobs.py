"""What an operator does from the Launchpad: each job does what its command does, as safely, and says who asked."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run

from rag_pipeline.contracts.tables import CHUNKS
from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.instance import DAGSTER_YAML, opened_instance
from rag_pipeline.defs.words import HAPPENED
from rag_pipeline.refresh import erase
from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline.refresh.workspace import Workspace
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


@pytest.fixture
def quick(project: Project) -> Iterator[dg.DagsterInstance]:
    """One with the same files, opened as `rag-pipeline run` opens them: for runs whose records are not looked at."""
    with opened_instance(project.folder.parent / "home") as instance:
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
        assert naming(needle, tmp_path / "home", project.folder / "lake") == []
    # The records that were cleaned can still be read.
    assert {run.status for run in instance.get_runs()} <= {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
    project.refresh()
    assert len(project.published()) == 1
    assert launched(project, instance, "erase_release", erasure_id=record["rag/erasure_id"], by=BY).success
    project.refresh()
    assert any(SECRET in row["embedded_text"] for row in project.published())


def naming(needle: str, *folders: Path) -> list[Path]:
    """Files that hold a piece of text."""
    needles = Needles([needle.encode()])
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if found_in_file(path, needles)]


def test_an_erasure_that_was_killed_is_finished_by_whoever_comes_next_and_names_nothing(
    project: Project, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whose records are not those of the pipeline's own home: a project of somebody else.
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "another"))
    wanted = {"source": "docs", "address": "keeper.md", "reason": "request 2", "is_meant": True}

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(erase, "_take_from_tables", killed)
        assert not launched(project, instance, "erase", **wanted).success
    assert naming("keeper.md", tmp_path / "home")
    again = launched(project, instance, "erase", **wanted)
    assert again.success, failure(again)
    assert told(again)["rag/documents"] == 1
    assert naming("keeper.md", tmp_path / "home", project.folder / "lake") == []

    # Of a document that came back: now a run comes next.
    assert launched(project, instance, "erase_release", erasure_id=told(again)["rag/erasure_id"]).success
    project.refresh()
    with monkeypatch.context() as patch:
        patch.setattr(erase, "_take_from_tables", killed)
        assert not launched(project, instance, "erase", **wanted).success
    assert naming("keeper.md", tmp_path / "home")
    assert asked(project, instance, "refresh").success
    assert naming("keeper.md", tmp_path / "home", project.folder / "lake") == []


def test_of_somebody_who_is_erased_no_run_says_the_name_and_nobody_else_finishes_it_meanwhile(
    project: Project, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whose = {"principal": "mona.keeperson", "reason": "request 3"}
    held: list[bool] = []
    begin = erase.begin_erasure

    def begun(workspace: Workspace, *arguments: Any, **named: Any) -> Any:
        plan = begin(workspace, *arguments, **named)
        held.append(workspace.lake.is_alone)
        return plan

    monkeypatch.setattr(erase, "begin_erasure", begun)
    assert launched(project, instance, "erase", **whose).success
    assert not launched(project, instance, "erase", source="docs", **whose).success
    assert naming("mona.keeperson", tmp_path / "home")
    assert launched(project, instance, "erase", is_meant=True, **whose).success
    assert held == [True]
    assert naming("mona.keeperson", tmp_path / "home", project.folder / "lake") == []


def test_what_a_person_started_is_not_begun_again_by_the_daemon_when_it_was_killed(
    project: Project, tmp_path: Path
) -> None:
    """A rollback would go back twice, and an erasure stand in the records again by what it erased."""
    (tmp_path / "home" / "dagster.yaml").write_text(DAGSTER_YAML, "utf-8")
    again = {}
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        for job in build_definitions(project.pipeline()).resolve_all_job_defs():
            run = dg.DagsterRun(job.name, status=dg.DagsterRunStatus.FAILURE, tags=job.run_tags)
            instance.run_storage.add_run(run)
            should = auto_reexecution_should_retry_run(instance, run, RunFailureReason.RUN_EXCEPTION)
            if not job.asset_layer.selected_asset_keys:
                again[job.name] = should
            elif job.name == "refresh":
                assert should
    assert {"erase", "models_rollback", "verify", "plan"} <= again.keys()
    assert not any(again.values())


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


def asked(project: Project, instance: dg.DagsterInstance, job: str, **changed: Any) -> dg.ExecuteInProcessResult:
    """One of our jobs of assets, with what the Launchpad fills in and what a person changes of it."""
    resolved = build_definitions(project.pipeline()).resolve_job_def(job)
    config: dict[str, Any] = {}
    if changed:
        config = deepcopy(resolved.partitioned_config.get_run_config_for_partition_key("small"))  # type: ignore[union-attr]
        for op, fields in changed.items():
            assert fields.keys() <= config["ops"][op]["config"].keys()
            config["ops"][op]["config"] |= fields
    return resolved.execute_in_process(
        instance=instance, partition_key="small", run_config=config, raise_on_error=False
    )


def figures(result: dg.ExecuteInProcessResult, *path: str) -> dict[str, Any]:
    [event] = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(path)]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_one_format_is_parsed_and_one_source_cut_again_and_nothing_is_embedded(
    project: Project, quick: dg.DagsterInstance
) -> None:
    before = project.published()
    parsed = asked(project, quick, "parse_again", silver_documents={"parse_again": ["text/markdown"]})
    assert parsed.success
    assert figures(parsed, "silver", "documents")["rag/parsed"] == 2
    assert figures(parsed, "gold", "embeddings")["rag/embeddings_computed"] == 0
    cut = asked(project, quick, "cut_again", silver_chunks={"cut_again": ["docs"]})
    assert cut.success
    assert figures(cut, "silver", "documents")["rag/parsed"] == 0
    assert figures(cut, "silver", "chunks")["rag/documents_cut"] == 2
    assert project.published() == before
    assert project.verify().findings == []
    wrong = asked(project, quick, "parse_again", silver_documents={"parse_again": ["application/pdf"]})
    assert not wrong.success
    assert any("text/markdown" in failure_of(event) for event in wrong.all_events if event.is_step_failure)
    wrong = asked(project, quick, "cut_again", silver_chunks={"cut_again": ["dogs"]})
    assert any("there is no source 'dogs'" in failure_of(event) for event in wrong.all_events if event.is_step_failure)


def failure_of(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data.user_failure_data
    return "" if data is None else str(data.description)


def test_one_source_is_refreshed_and_the_other_left_alone(tmp_path: Path, quick: dg.DagsterInstance) -> None:
    project = Project.create(tmp_path / "two", ["docs", "wiki"])
    project.write("a.md", "# A\n\nThe lamp.\n")
    project.write("b.md", "# B\n\nThe buoy.\n", source="wiki")
    assert asked(project, quick, "refresh_wiki").success
    assert {row["source"] for row in project.published()} == {"wiki"}


def test_the_deletion_guard_is_released_by_somebody_for_a_reason(tmp_path: Path, quick: dg.DagsterInstance) -> None:
    project = Project.create(tmp_path / "many", ["docs"])
    for number in range(30):
        project.write(f"{number}.md", f"# Page {number}\n\nPage number {number}.\n")
    project.refresh()
    for number in range(29):
        (project.folder / "docs" / f"{number}.md").unlink()
    with project.workspace() as workspace:
        refresh_everything(workspace, evaluate=False)
    assert len(project.published()) == 30
    released = asked(
        project,
        quick,
        "release_deletion_guard",
        bronze_docs={"allow_mass_deletion": True, "by": f"{BY}: moved away"},
    )
    assert released.success
    assert len(project.published()) == 1
    [told_by] = [event for event in released.all_events if event.event_type_value == "ASSET_OBSERVATION"]
    assert told_by.asset_key == dg.AssetKey(["bronze", "docs"])
    said = told_by.asset_observation_data.asset_observation
    assert f"{BY}: moved away" in str(said.description)
    assert "29 documents of 30" in str(said.description)
