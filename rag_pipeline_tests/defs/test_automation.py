"""Schedules and jobs: what they hold, when they skip, and what they leave alone in another project."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.automation import HOURLY_JOB, NIGHTLY_JOB, REFRESH_JOB
from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.errors import SettingsError
from rag_pipeline_tests.pipeline.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project", ["docs"])


TICK = datetime(2026, 5, 4, 12, 7, tzinfo=UTC)


def keys_of(definitions: dg.Definitions, job: str) -> set[str]:
    return {key.to_user_string() for key in definitions.resolve_job_def(job).asset_layer.selected_asset_keys}


def with_two_sources(project: Project) -> Project:
    project.settings["sources"]["tickets"] = {**project.settings["sources"]["docs"], "schedule": "*/10 * * * *"}
    return project


def test_hourly_leaves_out_a_source_that_has_its_own_schedule(project: Project) -> None:
    definitions = build_definitions(with_two_sources(project).pipeline())
    assert "bronze/docs" in keys_of(definitions, HOURLY_JOB)
    assert "bronze/tickets" not in keys_of(definitions, HOURLY_JOB)
    assert "bronze/tickets" in keys_of(definitions, "refresh_tickets")
    assert {"bronze/docs", "bronze/tickets"} <= keys_of(definitions, NIGHTLY_JOB)
    assert {"silver/documents", "gold/publication"} <= keys_of(definitions, HOURLY_JOB)


def test_jobs_in_another_project_take_nothing_of_it_and_bring_no_executor(project: Project) -> None:
    @dg.asset(group_name="gold")
    def theirs() -> None:
        """An asset of the host, in a group that we have too."""

    @dg.asset(group_name="bronze")
    def their_source() -> None:
        """Another."""

    ours = build_definitions(project.pipeline())
    assert ours.executor is None
    host = dg.Definitions(assets=[theirs, their_source], executor=dg.multiprocess_executor)
    merged = dg.Definitions.merge(host, ours)
    for job in (REFRESH_JOB, HOURLY_JOB, NIGHTLY_JOB, "catch_up", "keep_in_step"):
        assert not {"theirs", "their_source"} & keys_of(merged, job), job
        assert merged.resolve_job_def(job).executor_def is dg.in_process_executor


def test_checks_of_the_pipeline_run_with_its_jobs(project: Project) -> None:
    definitions = build_definitions(project.pipeline())
    checks = definitions.resolve_job_def(REFRESH_JOB).asset_layer.asset_graph.asset_check_keys
    assert {"bronze/docs", "silver/documents", "gold/index", "gold/publication"} <= {
        check.asset_key.to_user_string() for check in checks
    }


@pytest.mark.parametrize("is_on", [True, False])
def test_automation_starts_by_itself_only_where_it_is_asked_to(project: Project, is_on: bool) -> None:
    project.settings |= {"automation": is_on, "timezone": "Europe/Berlin"}
    repository = build_definitions(project.pipeline()).get_repository_def()
    assert {schedule.execution_timezone for schedule in repository.schedule_defs} == {"Europe/Berlin"}
    running = {schedule.default_status == dg.DefaultScheduleStatus.RUNNING for schedule in repository.schedule_defs}
    running |= {sensor.default_status == dg.DefaultSensorStatus.RUNNING for sensor in repository.sensor_defs}
    assert running == {is_on}


def test_a_time_zone_that_there_is_not_is_refused(project: Project) -> None:
    project.settings["timezone"] = "Europe/Atlantis"
    with pytest.raises(SettingsError, match=r"timezone.*like UTC or Europe/Berlin"):
        project.pipeline()


def test_a_tick_is_skipped_while_a_run_of_the_same_job_has_not_ended(project: Project) -> None:
    pipeline = project.pipeline()
    definitions = build_definitions(pipeline)
    repository = definitions.get_repository_def()
    schedule = next(each for each in repository.schedule_defs if each.name == "hourly_schedule")
    with dg.instance_for_test() as instance:
        job = definitions.resolve_job_def(HOURLY_JOB)
        instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        with dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=TICK,
            repository_def=repository,
            resources={"pipeline": PipelineResource(config_path=str(pipeline.path))},
        ) as context:
            tick = schedule.evaluate_tick(context)
    assert not tick.run_requests
    assert "earlier runs of hourly" in (tick.skip_message or "")
