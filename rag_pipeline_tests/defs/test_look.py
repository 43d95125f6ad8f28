"""What Dagster is told of a run that looked and found nothing to do, and when it runs all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from rag_pipeline.defs import launch
from rag_pipeline.defs.instance import opened_instance
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.defs.look import LOOKED_TAG, look_first
from rag_pipeline.defs.names import ANSWERS_CHECK, POLLED_CHECK, source_key
from rag_pipeline.defs.summary import RunSummary
from rag_pipeline_tests.defs.test_versions import all_versions, unsynced
from rag_pipeline_tests.pipeline.project import Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("looked_at")
    project = Project.create(folder / "project", ["docs", "wiki"])
    project.settings["sources"]["docs"]["content_stale_after"] = "1d"
    os.utime(project.write("a.md", "# A\n\nThe first lamp.\n"), (1_700_000_000, 1_700_000_000))
    project.write("b.md", "# B\n\nThe second lamp.\n", source="wiki")
    return project


@pytest.fixture(autouse=True)
def home(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = project.folder.parent / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return folder


@pytest.fixture(scope="module")
def whole(project: Project) -> RunSummary:
    """The one run that the tests look back at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(project.folder.parent / "dagster"))
        return launch_refresh(project.pipeline())


def as_told(summary: RunSummary) -> RunSummary:
    assert summary.published is not None
    published = summary.published | {"moved": False}
    sources = [each | {"added": 0, "commits": 0} for each in summary.sources]
    same = {"seconds": 0, "work_seconds": 0, "run_ids": [], "embeddings_computed": 0, "commits": 0}
    return replace(summary, published=published, sources=sources, **same)


def test_a_look_tells_what_an_unchanged_run_tells_and_leaves_the_graph_in_step(
    project: Project, whole: RunSummary, home: Path
) -> None:
    versions = all_versions(project, home.parent)
    started = datetime.now(UTC).timestamp()
    looked = [look_first(project.pipeline(), "a launch") for _ in range(2)]
    assert {check["check"] for check in whole.checks_failed} == {"content_is_fresh"}
    for each in looked:
        assert each is not None
        assert as_told(each.summary) == as_told(whole)
        assert each.example is not None
    assert all_versions(project, home.parent) == versions
    assert unsynced(project, home.parent) == {}
    with opened_instance(home) as instance:
        newest, before, last_whole = instance.get_run_records(limit=3)
        assert last_whole.dagster_run.run_id == whole.run_ids[-1]
        assert looked[1] is not None
        assert [newest.dagster_run.run_id] == looked[1].summary.run_ids
        for record in (newest, before):
            assert record.dagster_run.status == dg.DagsterRunStatus.SUCCESS
            assert record.dagster_run.tags[LOOKED_TAG] == whole.run_ids[-1]
            assert record.start_time is not None
            assert record.end_time is not None
            assert started <= record.start_time <= record.end_time
        for name in ("docs", "wiki"):
            event = instance.get_latest_materialization_event(source_key(name))
            assert event is not None
            assert event.timestamp >= started
            # Dagster shows the last event alone, and what the run before said is so still.
            assert event.asset_materialization is not None
            assert {"rag/newest_content", "rag/documents"} <= event.asset_materialization.metadata.keys()
            assert "nothing changed" in str(event.asset_materialization.metadata["rag/what_happened"].value)
            keys = [dg.AssetCheckKey(source_key(name), check) for check in (ANSWERS_CHECK, POLLED_CHECK)]
            latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
            assert all(latest[key].evaluation.passed for key in keys)  # type: ignore[union-attr]
            # The store keeps whole seconds.
            assert all(latest[key].create_timestamp >= int(started) for key in keys)


@pytest.mark.usefixtures("whole")
def test_a_run_that_failed_or_was_lost_since_is_made_up_for(
    project: Project, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened_instance(home) as instance:
        failed = instance.create_run_for_job(dg.GraphDefinition("refresh").to_job())
        instance.report_run_failed(failed)
        assert look_first(project.pipeline(), "") is None
        instance.delete_run(failed.run_id)
    assert look_first(project.pipeline(), "") is not None
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "another"))
    assert look_first(project.pipeline(), "") is None


@pytest.mark.usefixtures("whole")
def test_what_only_the_run_before_found_is_not_told_again(project: Project) -> None:
    project.settings["thresholds"] = {"max_parse_seconds": 0.000_001}
    project.write("slow.md", "# Slow\n\nIt takes its time.\n")
    summary = launch_refresh(project.pipeline())
    assert "no_document_is_slow" in {check["check"] for check in summary.checks_failed}
    assert look_first(project.pipeline(), "") is None


def test_nothing_that_takes_long_to_import_is_needed_to_look() -> None:
    heavy = ("polars", "pyarrow", "numpy", "deltalake", "lancedb", "rag_pipeline.defs.assets")
    code = f"import sys, rag_pipeline.cli.run, rag_pipeline.defs.look; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_what_was_edited_during_a_run_makes_the_next_one_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    project = Project.create(tmp_path / "project")
    project.settings["evaluation"] = {"questions": ["questions.jsonl"]}
    questions = project.folder / "questions.jsonl"
    questions.write_text("", "utf-8")
    project.write("a.md", "# A\n\nThe first lamp.\n")
    runs = launch._runs

    def runs_and_an_edit(*arguments: Any, **values: Any) -> Any:
        found = runs(*arguments, **values)
        questions.write_text('{"question": "lamp"}\n', "utf-8")
        return found

    launch_refresh(project.pipeline())
    assert look_first(project.pipeline(), "") is not None
    with monkeypatch.context() as patch:
        patch.setattr(launch, "_runs", runs_and_an_edit)
        launch_refresh(project.pipeline())
    assert look_first(project.pipeline(), "") is None
