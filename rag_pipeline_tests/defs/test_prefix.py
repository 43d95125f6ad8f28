"""Our definitions in another Dagster project, twice even: nothing collides, and all of it runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.errors import SettingsError
from rag_pipeline_tests.pipeline.project import Project

OURS = {"search": ("search",), "team/support": ("team", "support")}
JOBS = ("refresh", "hourly", "nightly", "catch_up", "keep_in_step", "models_rollback", "models_retire")
TICK = datetime(2026, 5, 4, 12, 7, tzinfo=UTC)


class Theirs(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A resource of the host under the key that ours has without a prefix."""

    url: str = "theirs"


def host() -> dg.Definitions:
    """A project whose every name is one of ours, as a project with layers will have them."""

    @dg.asset(key=["silver", "documents"], group_name="silver", op_tags={"of": "host"})
    def silver_documents(pipeline: Theirs) -> None:
        assert pipeline.url == "theirs"

    @dg.asset(key=["gold", "publication"], group_name="gold", deps=[["silver", "documents"]], name=None)
    def gold_publication() -> None:
        """Theirs."""

    @dg.asset_check(asset=["gold", "publication"], name="pointer_resolves")
    def pointer_resolves() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    @dg.op
    def roll_back() -> None:
        """Theirs."""

    @dg.job
    def models_rollback() -> None:
        roll_back()

    refresh = dg.define_asset_job("refresh", selection=dg.AssetSelection.assets(["silver", "documents"]))
    schedule = dg.ScheduleDefinition(name="hourly_schedule", job=refresh, cron_schedule="@daily")

    @dg.sensor(name="published_is_behind_bronze", job=refresh)
    def behind() -> dg.SkipReason:
        return dg.SkipReason("never")

    return dg.Definitions(
        assets=[silver_documents, gold_publication],
        asset_checks=[pointer_resolves],
        jobs=[refresh, models_rollback],
        schedules=[schedule],
        sensors=[behind],
        resources={"pipeline": Theirs()},
        executor=dg.multiprocess_executor,
    )


@pytest.fixture
def projects(tmp_path: Path) -> dict[str, Project]:
    found = {}
    for prefix in OURS:
        project = Project.create(tmp_path / prefix, ["docs"])
        project.write("a.md", f"# A\n\nThe lamp of {prefix}.\n")
        found[prefix] = project
    return found


@pytest.fixture
def merged(projects: dict[str, Project]) -> dg.Definitions:
    ours = [build_definitions(project.pipeline(), prefix=prefix) for prefix, project in projects.items()]
    return dg.Definitions.merge(host(), *ours)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def stored() -> Iterator[dg.DagsterInstance]:
    """One with storage on disk, which schedules open by its reference."""
    with dg.instance_for_test() as instance:
        yield instance


def named(prefix: str, name: str) -> str:
    return "_".join([*OURS[prefix], name])


def keys(definitions: dg.Definitions) -> set[str]:
    return {spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs()}


def test_every_name_carries_the_prefix_and_nothing_of_the_host_is_taken(
    merged: dg.Definitions, projects: dict[str, Project]
) -> None:
    plain = build_definitions(projects["search"].pipeline())
    plain_checks = {str(check) for check in plain.resolve_asset_graph().asset_check_keys}
    repository = merged.get_repository_def()
    assert keys(merged) == {"silver/documents", "gold/publication"} | {
        f"{prefix}/{key}" for prefix in OURS for key in keys(plain)
    }
    assert len(merged.resolve_asset_graph().asset_check_keys) == 1 + 2 * len(plain_checks)
    for prefix in OURS:
        for name in JOBS:
            job = merged.resolve_job_def(named(prefix, name))
            taken = {key.to_user_string() for key in job.asset_layer.selected_asset_keys}
            assert all(key.startswith(f"{prefix}/") for key in taken), name
            assert not name.startswith("models") or not taken
        assert repository.has_sensor_def(named(prefix, "published_is_behind_bronze"))
        assert repository.has_schedule_def(named(prefix, "hourly_schedule"))
    assert merged.executor is dg.multiprocess_executor
    assert merged.resolve_job_def("refresh").executor_def is dg.multiprocess_executor
    for spec in merged.resolve_all_asset_specs():
        if spec.key.path[0] not in ("search", "team"):
            continue
        assert all(dep.asset_key.path[0] == spec.key.path[0] for dep in spec.deps), spec.key
    groups = {spec.group_name for spec in merged.resolve_all_asset_specs() if spec.key.path[0] == "search"}
    assert groups == {"search_source", "search_bronze", "search_silver", "search_gold"}


@pytest.mark.parametrize("prefix", OURS)
def test_it_runs_there_under_its_own_names(
    merged: dg.Definitions, projects: dict[str, Project], instance: dg.DagsterInstance, prefix: str
) -> None:
    job = merged.resolve_job_def(named(prefix, "refresh"))
    result = job.execute_in_process(instance=instance, partition_key="small")
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}  # type: ignore[union-attr]
    assert f"{prefix}/source/docs" in made
    assert f"{prefix}/gold/publication" in made
    assert all(key.startswith(f"{prefix}/") for key in made)
    evaluations = result.get_asset_check_evaluations()
    assert evaluations
    assert all(found.asset_key.to_user_string().startswith(f"{prefix}/") for found in evaluations)
    assert any(f"lamp of {prefix}" in row["embedded_text"] for row in projects[prefix].published())
    [event] = [
        e for e in result.get_asset_materialization_events()
        if e.asset_key is not None and e.asset_key.path[-2:] == ["silver", "documents"]
    ]  # fmt: skip
    lineage = event.materialization.metadata["dagster/column_lineage"].value
    assert isinstance(lineage, dg.TableColumnLineage)
    sources = {dep.asset_key.to_user_string() for deps in lineage.deps_by_column.values() for dep in deps}
    assert sources == {f"{prefix}/bronze/docs"}

    projects[prefix].write("a.md", "# A\n\nAnother lamp.\n")
    assert job.execute_in_process(instance=instance, partition_key="small").success
    back = merged.resolve_job_def(named(prefix, "models_rollback")).execute_in_process(
        instance=instance,
        run_config={"ops": {named(prefix, "roll_back"): {"config": {"note": "it is wrong"}}}},
    )
    key = dg.AssetKey([*OURS[prefix], "gold", "publication"])
    assert [e.asset_key for e in back.all_events if e.event_type_value == "ASSET_MATERIALIZATION"] == [key]
    # The host's asset of the same plain name has no part in any of it.
    assert instance.get_latest_materialization_event(dg.AssetKey(["gold", "publication"])) is None


def test_schedules_and_sensors_ask_for_their_own_jobs(
    merged: dg.Definitions, projects: dict[str, Project], stored: dg.DagsterInstance
) -> None:
    repository = merged.get_repository_def()
    for prefix, project in projects.items():
        resources = {named(prefix, "pipeline"): PipelineResource(config_path=str(project.pipeline().path))}
        schedule = repository.get_schedule_def(named(prefix, "nightly_schedule"))
        with dg.build_schedule_context(
            instance=stored, scheduled_execution_time=TICK, repository_def=repository, resources=resources
        ) as at:
            tick = schedule.evaluate_tick(at)
        assert [request.partition_key for request in tick.run_requests or ()] == ["small"]
        assert schedule.job_name == named(prefix, "nightly")
        with project.workspace() as workspace:
            from rag_pipeline.refresh.bronze import refresh_source

            refresh_source(workspace, "docs")
        sensor = repository.get_sensor_def(named(prefix, "published_is_behind_bronze"))
        with dg.build_sensor_context(instance=stored, repository_def=repository, resources=resources) as asked:
            requests = sensor.evaluate_tick(asked).run_requests
        assert [request.job_name for request in requests or ()] == [named(prefix, "catch_up")]


def test_the_hosts_jobs_stay_its_own(merged: dg.Definitions, instance: dg.DagsterInstance) -> None:
    result = merged.resolve_job_def("models_rollback").execute_in_process(instance=instance)
    assert result.success
    assert merged.resolve_job_def("refresh").asset_layer.selected_asset_keys == {dg.AssetKey(["silver", "documents"])}


@pytest.mark.parametrize("prefix", ["my-team", "tëam", "a b", ["ok", ""], ["x" * 61], "team."])
def test_a_prefix_that_dagster_would_refuse_is_refused_with_what_is_allowed(
    tmp_path: Path, prefix: str | list[str]
) -> None:
    with pytest.raises(SettingsError, match="letters without accents"):
        build_definitions(Project.create(tmp_path).pipeline(), prefix=prefix)
