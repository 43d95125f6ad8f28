"""Change hints in Dagster and on the command line: what they ask for, and what uses them up."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.hints import Asked
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.pipeline.project import Project

TEXT = "# Bells\n\nThe bell in the tower is rung by hand at noon.\n"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("hinted"), ("docs", "people"), hints={"folder": "hints"})
    project.write("a.md", "# Lamps\n\nA green lamp hangs above the door.\n")
    project.write("b.md", "# Keys\n\nThe keys hang behind the clock.\n", source="people")
    project.refresh()
    return project


@pytest.fixture
def project(published: Project, tmp_path: Path) -> Project:
    return published.copied(tmp_path, polled=True)


def hint(project: Project, source: str) -> None:
    folder = project.folder / "hints"
    folder.mkdir(exist_ok=True)
    (folder / f"{source}.json").write_text(json.dumps({"source": source, "address": "new.md"}))


def tick(project: Project, instance: dg.DagsterInstance, cursor: str | None = None) -> tuple[object, str | None]:
    definitions = build_definitions(project.pipeline())
    sensor = definitions.resolve_sensor_def("hints_wait")
    resource = PipelineResource(config_path=str(project.folder / "pipeline.yaml"))
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, definitions=definitions, resources={"pipeline": resource}
    ) as context:
        return sensor(context), context.cursor


def found(project: Project, question: str) -> list[str]:
    return [hit.uri.rsplit("/", 1)[-1] for hit in project.search(question, "public", mode="text")]


def test_a_hint_asks_for_its_source_alone_and_the_run_uses_it_up(project: Project) -> None:
    project.write("new.md", TEXT)
    project.write("other.md", "# Ropes\n\nA rope for the well.\n", source="people")
    with dg.DagsterInstance.ephemeral() as instance:
        skipped, _ = tick(project, instance)
        assert isinstance(skipped, dg.SkipReason)
        hint(project, "docs")
        hint(project, "nobody")
        asked, cursor = tick(project, instance)
        assert isinstance(asked, dg.RunRequest)
        assert asked.run_key is None
        assert asked.asset_selection is not None
        keys = {key.to_user_string() for key in asked.asset_selection}
        assert {"bronze/docs", "source/docs", "gold/publication"} <= keys
        assert "bronze/people" not in keys
        # While nothing has used it up, the same hint is not asked for with each tick.
        again, _ = tick(project, instance, cursor)
        assert isinstance(again, dg.SkipReason)
        ran = (
            build_definitions(project.pipeline())
            .resolve_job_def("refresh")
            .execute_in_process(
                instance=instance,
                partition_key=asked.partition_key,
                asset_selection=list(asked.asset_selection),
                tags=dict(asked.tags),
            )
        )
        assert ran.success
        # The one object that was named was looked at, so the source is as fresh as it was.
        made = {event.asset_key.to_user_string() for event in ran.get_asset_materialization_events() if event.asset_key}
        assert ("bronze/docs" in made, "source/docs" in made) == (True, False)
        done, _ = tick(project, instance, cursor)
        assert isinstance(done, dg.SkipReason)
        assert done.skip_message == "no hint waits"
    assert found(project, "bell tower noon") == ["new.md"]
    assert found(project, "rope well") == []


def test_a_source_that_came_after_the_job_was_made_keeps_no_other_hint_waiting(project: Project) -> None:
    definitions = build_definitions(project.pipeline())
    sensor = definitions.resolve_sensor_def("hints_wait")
    project.settings["sources"]["late"] = {"location": "late", "allowed_principals": ["public"]}
    project.pipeline()
    resources = {"pipeline": PipelineResource(config_path=str(project.folder / "pipeline.yaml"))}

    def tock(instance: dg.DagsterInstance) -> SensorExecutionData:
        with dg.build_sensor_context(instance=instance, definitions=definitions, resources=resources) as context:
            return sensor.evaluate_tick(context)

    with dg.DagsterInstance.ephemeral() as instance:
        hint(project, "late")
        alone = tock(instance)
        assert (alone.run_requests, "late" in (alone.skip_message or "")) == ([], True)
        hint(project, "docs")
        [asked] = tock(instance).run_requests or []
    assert asked.asset_selection is not None
    assert {key.path[-1] for key in asked.asset_selection} >= {"docs", "publication"}
    assert dg.AssetKey(["bronze", "late"]) not in asked.asset_selection


def test_a_run_of_hinted_sources_that_all_fail_is_followed_by_no_empty_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("k")

    monkeypatch.setattr("rag_pipeline.refresh.hinted.poll_hinted", broken)
    summary = launch_refresh(project.pipeline(), only=["docs"])
    assert [error["step"] for error in summary.errors] == ["bronze_docs"]
    assert len(summary.run_ids) == 1


def test_a_stream_that_does_not_answer_is_said_and_keeps_no_file_waiting(project: Project) -> None:
    pytest.importorskip("redis", reason="needs the extra `redis`")
    # Nobody listens at this port.
    project.settings["hints"] = {"folder": "hints", "stream": {"url": "redis://:hunter2@127.0.0.1:1/0"}}
    with dg.DagsterInstance.ephemeral() as instance:
        skipped, _ = tick(project, instance)
        assert isinstance(skipped, dg.SkipReason)
        assert "are not read" in str(skipped.skip_message)
        assert "hunter2" not in str(skipped.skip_message)
        hint(project, "docs")
        asked, _ = tick(project, instance)
        assert isinstance(asked, dg.RunRequest)
    shutil.rmtree(project.folder / "hints")
    answer = ask_in(project.folder, "run", "--hints")
    assert "are not read" in answer.err
    assert "hunter2" not in answer.err


def test_hints_that_are_left_behind_are_asked_for_less_and_less() -> None:
    now = time.time()
    first = Asked.of("no cursor of ours").again(newest=now - 1, now=now)
    assert first is not None
    assert first.again(newest=now - 1, now=now + first.wait_seconds - 1) is None
    second = first.again(newest=now - 1, now=now + first.wait_seconds + 1)
    assert second is not None
    assert second.wait_seconds == 2 * first.wait_seconds
    # A new one is asked for at once, and so is one after the clock was set back.
    assert second.again(newest=second.at + 1, now=second.at + 2) == Asked(second.at + 2, first.wait_seconds)
    assert second.again(newest=0, now=second.at - 1_000) is not None


def test_the_command_looks_where_hints_say_under_the_same_guard(project: Project) -> None:
    project.settings["sources"]["docs"] |= {"max_deleted_share": 0.1, "max_deleted_floor": 0}
    project.pipeline()
    nothing = ask_in(project.folder, "run", "--hints")
    assert nothing.code == 0
    assert "No hint waits" in nothing.err
    (project.folder / "docs" / "a.md").unlink()
    project.write("other.md", "# Ropes\n\nA rope for the well.\n", source="people")
    hint(project, "docs")
    held = ask_in(project.folder, "run", "--hints", "--json").records[0]
    assert [source["source"] for source in held["sources"]] == ["docs"]
    assert held["held_because"]
    assert found(project, "green lamp") == ["a.md"]
    assert found(project, "rope well") == []
    hint(project, "people")
    assert ask_in(project.folder, "plan", "--json").code == 0
    # What it may lose is said of a source that no hint names, too.
    assert ask_in(project.folder, "run", "--hints", "--allow-mass-deletion", "docs", "--json").code in (0, 1)
    assert found(project, "green lamp") == ["a.md"]
    assert found(project, "rope well") == ["other.md"]


def test_without_a_folder_there_is_no_sensor_and_the_command_says_what_to_write(published: Project) -> None:
    project = Project(published.folder, {key: value for key, value in published.settings.items() if key != "hints"})
    definitions = build_definitions(project.pipeline())
    assert "hints_wait" not in {sensor.name for sensor in definitions.sensors or []}
    answer = ask_in(published.folder, "run", "--hints")
    assert answer.code == 2
    assert "hints" in answer.err
    published.pipeline()
