"""A publication that is refused: the asset stays as it was, its check says how to go on, and housekeeping goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import dagster as dg
import pytest

from rag_pipeline.cli.app import cli
from rag_pipeline.cli.run import exit_code_of, show_summary
from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.instance import dagster_home
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.defs.publication import ALLOWED_CHECK
from rag_pipeline.defs.summary import RunSummary
from rag_pipeline.refresh import index
from rag_pipeline.refresh.publication import rollback
from rag_pipeline_tests.defs.test_evaluation_asset import asked_project
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.pipeline.test_promises import tamper
from rag_pipeline_tests.refresh.test_polls import set_back

PUBLICATION = dg.AssetKey(["gold", "publication"])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Published once, with Dagster's records beside it; tests work on copies."""
    project = asked_project(tmp_path_factory.mktemp("built"))
    launch_refresh(project.pipeline())
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path)


@pytest.fixture
def instance(project: Project) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(dagster_home(project.pipeline()))) as opened:
        yield opened


def make_worse(project: Project) -> None:
    project.write("other.md", "# lantern0\n\nlantern0 lantern0\n")


def break_the_index(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that say something else than silver, and cannot be taken from it again."""
    tamper(project, embedded_text=["Something else."])
    project.write("more.md", "# More\n\nOf everything.\n")
    monkeypatch.setattr(index, "_repair", lambda *_: None)


def refused(summary: RunSummary) -> dict[str, Any]:
    [found] = [check for check in summary.checks_failed if check["check"] == ALLOWED_CHECK]
    return found


def last_publication(instance: dg.DagsterInstance) -> float:
    event = instance.get_latest_materialization_event(PUBLICATION)
    assert event is not None
    return event.timestamp


def test_a_worse_version_is_refused_and_the_asset_is_left_as_it_was(
    project: Project, instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    before, shown = last_publication(instance), project.published()
    make_worse(project)
    summary = launch_refresh(project.pipeline())
    assert (summary.success, exit_code_of(summary)) == (False, 1)
    assert {check["check"]: check["severity"] for check in summary.checks_failed} == {
        "evaluation_not_below_published": "ERROR",
        ALLOWED_CHECK: "WARN",
    }
    assert "--override-gate" in refused(summary)["description"]
    assert "q0" in refused(summary)["description"]
    assert summary.errors == []
    assert last_publication(instance) == before
    assert project.published() == shown
    run = instance.get_run_by_id(summary.run_ids[0])
    assert run is not None
    assert run.status == dg.DagsterRunStatus.SUCCESS
    with click.Context(cli):
        show_summary(summary)
    said = capsys.readouterr()
    assert "passed" not in said.out + said.err
    assert "worse" in said.err
    by_hand = publish_by_hand(project, instance)
    assert (by_hand.passed, by_hand.severity) == (False, dg.AssetCheckSeverity.ERROR)


def publish_by_hand(project: Project, instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
    run = (
        build_definitions(project.pipeline())
        .resolve_job_def("refresh")
        .execute_in_process(
            instance=instance,
            partition_key="small",
            asset_selection=[PUBLICATION],
            run_config={"ops": {"gold_publication": {"config": {"alias": "small"}}}},
        )
    )
    [check] = [found for found in run.get_asset_check_evaluations() if found.check_name == ALLOWED_CHECK]
    return check


def test_a_version_that_fails_its_audit_is_refused_and_maintenance_runs_all_the_same(
    project: Project, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, shown = last_publication(instance), project.published()
    break_the_index(project, monkeypatch)
    # What is refused waits on, and that is said by the asset although it stays as it was.
    project.settings["sources"]["docs"]["searchable_within"] = "1h"
    os.utime(project.folder / "docs" / "more.md", (1_600_000_000, 1_600_000_000))
    set_back(project, timedelta(hours=2))
    job = build_definitions(project.pipeline()).resolve_job_def("nightly")
    run = job.execute_in_process(instance=instance, partition_key="small", raise_on_error=False)
    assert run.success
    failed = {check.check_name: check for check in run.get_asset_check_evaluations() if not check.passed}
    late = failed.pop("changes_are_searchable_in_time")
    assert (late.severity.value, "docs: 1 change not searchable" in str(late.description)) == ("ERROR", True)
    assert {name: check.severity.value for name, check in failed.items()} == {
        "audit_passed": "ERROR",
        "evaluation_not_below_published": "WARN",
        ALLOWED_CHECK: "WARN",
    }
    assert all("rag-pipeline run" in str(check.description) for check in failed.values())
    steps = [event.step_key for event in run.all_events if event.is_step_success]
    assert steps.index("gold_maintenance") > steps.index("gold_publication")
    assert [event.step_key for event in run.all_events if event.is_step_skipped] == []
    assert last_publication(instance) == before
    assert project.published() == shown


def test_readers_that_a_person_holds_at_an_older_version_are_a_warning_with_the_way_out(
    project: Project, instance: dg.DagsterInstance
) -> None:
    project.write("more.md", "# More\n\nOf everything.\n")
    project.refresh(evaluate=True)
    with project.workspace() as workspace:
        rollback(workspace)
    before = last_publication(instance)
    summary = launch_refresh(project.pipeline())
    assert exit_code_of(summary) == 0
    assert refused(summary)["severity"] == "WARN"
    assert "rag-pipeline models publish small" in refused(summary)["description"]
    assert summary.published is not None
    assert summary.published["is_held"]
    assert last_publication(instance) == before


def test_what_was_taken_away_leaves_readers_though_the_publication_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_the_index(project, monkeypatch)
    project.write("1.md", "# Lamp 1\n\nNothing hangs here any more.\n")
    assert "docs/1.md" in {hit.uri for hit in project.search("lantern1", "public", mode="text")}
    summary = launch_refresh(project.pipeline())
    assert "rag-pipeline run" in refused(summary)["description"]
    assert "docs/1.md" not in {hit.uri for hit in project.search("lantern1", "public", mode="text")}
