"""From what goes wrong in a run to a message: by the command, by Dagster's sensor, and by both."""

from __future__ import annotations

import errno
import json
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from rag_pipeline.alerts import cycle
from rag_pipeline.cli.alerts import telling
from rag_pipeline.cli.app import cli
from rag_pipeline.contracts.alerts import Finding, Message
from rag_pipeline.defs import alerts, alerts_after_run, build_definitions
from rag_pipeline.defs.alerts_after_run import tell_after_run
from rag_pipeline.defs.instance import dagster_home, opened_instance
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.errors import DagsterUnusable, LakeDamaged, StoreError
from rag_pipeline.refresh.erase import _take_small_files
from rag_pipeline.refresh.look import read_settled
from rag_pipeline.refresh.publication import publish
from rag_pipeline.refresh.status import read_status
from rag_pipeline.stores.byte_search import Needles
from rag_pipeline_tests.alerts.receiver import Receiver
from rag_pipeline_tests.defs.test_evaluation_asset import asked_project
from rag_pipeline_tests.defs.test_refused_publication import make_worse
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.refresh.test_polls import set_back


class Duty:
    """A project whose only sink is a webhook, and what was received."""

    def __init__(self, project: Project, receiver: Receiver) -> None:
        self.project = project
        self.receiver = receiver

    def pipeline(self) -> Any:
        pipeline = self.project.pipeline()
        pipeline.environment["HOOK"] = self.receiver.url  # type: ignore[index]
        return pipeline

    def run(self) -> None:
        launch_refresh(self.pipeline())
        tell_after_run(self.pipeline(), launched=True)

    def told(self) -> list[tuple[str, list[str]]]:
        """What was received since it was last asked: state and keys of each message."""
        got, self.receiver.got = self.receiver.got, []
        return [(body["state"], [alert["key"] for alert in body["alerts"]]) for _, _, body in got]


GONE = Finding("check:gold/evaluation:answers_are_good:wide", 1.0, is_bad=True, title="wide")
ALERTS = {"sinks": {"ops": {"kind": "webhook", "url_variable": "HOOK"}}}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Published once, with Dagster's records beside it; tests work on copies."""
    project = Project.create(tmp_path_factory.mktemp("built"), ["docs", "wiki"], alerts=ALERTS)
    project.settings["sources"]["wiki"]["owners"] = ["team:wiki"]
    project.write("a.md", "# A\n\nThe first lamp shines.\n")
    project.write("b.md", "# B\n\nThe second lamp shines.\n", source="wiki")
    launch_refresh(project.pipeline())
    tell_after_run(project.pipeline(), launched=True)
    return project


@pytest.fixture
def duty(built: Project, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Duty:
    monkeypatch.setenv("HOOK", receiver.url)
    return Duty(built.copied(tmp_path), receiver)


def test_a_source_that_is_down_is_told_once_by_whoever_looks_first(duty: Duty) -> None:
    """The command and the sensor look in turn, and the receiver is down meanwhile: nothing is lost or told twice."""
    wiki = duty.project.folder / "wiki"
    wiki.rename(duty.project.folder / "away")
    duty.receiver.answer = (503, {})
    duty.run()
    assert len(duty.told()) == 1
    with duty.project.workspace() as workspace:
        [undelivered] = read_status(workspace).undelivered
    assert (undelivered.sink, undelivered.waiting, undelivered.dropped) == ("ops", 1, 0)
    assert "answered 503" in undelivered.error
    duty.receiver.answer = (200, {})
    tick(duty)
    assert duty.told() == [], "it is not due yet"
    make_due(duty)
    tick(duty)
    assert duty.told() == [("opened", ["check:source/wiki:source_answers"])]
    tick(duty)
    duty.run()
    assert duty.told() == []
    (duty.project.folder / "away").rename(wiki)
    launch_refresh(duty.pipeline())
    tick(duty)
    duty.run()
    assert duty.told() == [("resolved", ["check:source/wiki:source_answers"])]


def test_what_is_refused_for_good_keeps_nothing_after_it_from_being_told(duty: Duty) -> None:
    set_back(duty.project, timedelta(days=1), source="wiki")
    duty.receiver.answer = (400, {})
    with duty.project.workspace() as workspace:
        workspace.pipeline.environment["HOOK"] = duty.receiver.url  # type: ignore[index]
        told = cycle.tell(workspace)
        # That a sink takes nothing is open, too; there is no other one to be told of it.
        assert (told.sent, told.waiting, told.open) == (0, 0, 2)
        [undelivered] = read_status(workspace).undelivered
        assert (undelivered.waiting, undelivered.dropped) == (0, 1)
        duty.told()
        duty.receiver.answer = (200, {})
        set_back(duty.project, timedelta(days=1), source="docs")
        assert cycle.tell(workspace).sent == 1
    assert duty.told() == [("opened", ["check:source/docs:polled_in_time"])]


def test_a_sink_that_takes_a_trial_is_known_to_be_well(duty: Duty) -> None:
    """Nothing waits for it: without the trial it would be open until something else turns."""
    set_back(duty.project, timedelta(days=1), source="wiki")
    config = {"RAG_PIPELINE_CONFIG": str(duty.pipeline().path)}
    open_before = []
    for code in (400, 200):
        duty.receiver.answer = (code, {})
        with duty.project.workspace() as workspace:
            workspace.pipeline.environment["HOOK"] = duty.receiver.url  # type: ignore[index]
            cycle.tell(workspace)
            open_before.append("sink:ops" in cycle.alert_file(workspace.pipeline).read().open)
        tried = CliRunner().invoke(cli, ["alerts", "test", "ops"], env=config)
        assert tried.exit_code == (0 if code == 200 else 4), tried.output
    assert open_before == [True, True]
    assert "sink:ops" not in cycle.alert_file(duty.pipeline()).read().open


def test_a_model_that_is_gone_has_nothing_open_and_an_erasure_loses_no_message(duty: Duty) -> None:
    duty.receiver.answer = (503, {})
    gone = replace(GONE, found="Pay of Ada is too old")
    with duty.project.workspace() as workspace:
        workspace.pipeline.environment["HOOK"] = duty.receiver.url  # type: ignore[index]
        assert cycle.tell(workspace, [gone, replace(gone, key="check:source/docs:source_answers")]).waiting == 1
        before = cycle.alert_file(workspace.pipeline).read()
        _take_small_files(workspace, Needles((b"Pay of Ada",)))
        after = cycle.alert_file(workspace.pipeline).read()
        assert b"Pay of Ada" not in Path(workspace.lake.root, "alerts.json").read_bytes()
        assert [message.id for message in after.outbox] == [message.id for message in before.outbox]
        assert after.told == before.told
    tell_after_run(duty.pipeline())
    assert gone.key not in cycle.alert_file(duty.pipeline()).read().open


def test_a_moment_in_which_the_state_cannot_be_read_tells_nothing_twice(
    duty: Duty, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_back(duty.project, timedelta(days=1), source="wiki")
    with duty.project.workspace() as workspace:
        workspace.pipeline.environment["HOOK"] = duty.receiver.url  # type: ignore[index]
        assert cycle.tell(workspace).sent == 1
        before = cycle.alert_file(workspace.pipeline).read()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", unreadable)
            with pytest.raises(StoreError, match="cannot be read"):
                cycle.tell(workspace)
            assert cycle.tell_quietly(workspace) == cycle.Told()
            assert tell_after_run(duty.pipeline()) == cycle.Told()
            [undelivered] = read_status(workspace).undelivered
            assert "alerts.json cannot be read" in undelivered.error
        assert cycle.alert_file(workspace.pipeline).read() == before
        assert cycle.tell(workspace).sent == 0


def unreadable(path: Path) -> bytes:
    if path.name == "alerts.json":
        raise OSError(errno.EIO, "Input/output error")
    with path.open("rb") as file:
        return file.read()


def test_a_workspace_that_does_not_open_is_no_end_of_a_run(
    duty: Duty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LakeDamaged("no lake")

    monkeypatch.setattr(alerts_after_run, "Workspace", broken)
    assert tell_after_run(duty.pipeline(), launched=True) == cycle.Told()
    assert "no lake" in caplog.text


def test_a_run_that_only_looked_tells_what_is_left_to_tell_and_else_opens_nothing(
    duty: Duty, monkeypatch: pytest.MonkeyPatch
) -> None:
    duty.run()
    pipeline = duty.pipeline()
    settled = read_settled(pipeline)
    assert settled is not None
    told: list[bool] = []
    monkeypatch.setattr(alerts_after_run, "tell_after_run", lambda *_, **__: told.append(True))

    def looked() -> int:
        with telling(pipeline) as after:
            after.unchanged_since = settled.since.timestamp()
        return len(told)

    assert looked() == 0
    set_back(duty.project, timedelta(days=1), source="wiki")
    duty.receiver.answer = (503, {})
    with duty.project.workspace() as workspace:
        workspace.pipeline.environment["HOOK"] = duty.receiver.url  # type: ignore[index]
        assert cycle.tell(workspace).waiting == 1
    assert looked() == 1, "the source is no longer overdue"
    told.clear()
    with telling(pipeline):
        pass
    assert len(told) == 1, "a whole run tells what it left"


def tick(duty: Duty) -> None:
    pipeline = duty.pipeline()
    definitions = build_definitions(pipeline)
    sensor = definitions.resolve_sensor_def("alerts")
    with (
        opened_instance(dagster_home(pipeline)) as instance,
        dg.build_sensor_context(instance=instance, definitions=definitions, resources=definitions.resources) as context,
    ):
        found = sensor.evaluate_tick(context)
    assert "open" in (found.skip_message or "")


def make_due(duty: Duty) -> None:
    file = cycle.alert_file(duty.pipeline())
    file.change(lambda state: replace(state, outbox=tuple(replace(message, next_at=0) for message in state.outbox)))


def test_a_killed_sender_sends_at_most_once_more_and_a_damaged_file_loses_nothing(duty: Duty) -> None:
    set_back(duty.project, timedelta(days=1), source="wiki")
    sent: list[str] = []

    class Killed(BaseException):
        pass

    def killed(message: Message) -> None:
        sent.append(message.id)
        raise Killed

    with duty.project.workspace() as workspace:
        with pytest.raises(Killed):
            cycle.tell(workspace, sender=killed)
        cycle.tell(workspace, sender=lambda message: sent.append(message.id))
        cycle.tell(workspace, sender=lambda message: sent.append(message.id))
        assert len(sent) == 2
        assert len(set(sent)) == 1
        Path(workspace.lake.root, "alerts.json").write_text('{"open": [')
        cycle.tell(workspace, sender=lambda message: sent.append(message.id))
        assert len(sent) == 3


def test_failed_steps_and_launches_are_told_and_end_with_the_next_good_run(
    duty: Duty, monkeypatch: pytest.MonkeyPatch
) -> None:

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("https://user:hunter2@models.example.com does not answer")

    with monkeypatch.context() as patched:
        duty.project.write("c.md", "# C\n\nThe third lamp shines.\n")
        patched.setattr("rag_pipeline.refresh.chunks.refresh_chunks", broken)
        duty.run()
        tell_after_run(duty.pipeline(), launched=True, error=DagsterUnusable("the records cannot be opened"))
    assert "hunter2" not in json.dumps(duty.receiver.got)
    assert duty.receiver.got[0][2]["alerts"][0]["found"].startswith("RuntimeError; ")
    assert duty.told() == [("opened", ["step:silver_chunks"]), ("opened", ["run:launch"])]
    duty.run()
    assert duty.told() == [("resolved", ["step:silver_chunks", "run:launch"])]


def test_a_killed_run_is_told(duty: Duty) -> None:
    with opened_instance(dagster_home(duty.pipeline())) as instance:
        run = dg.DagsterRun("refresh", run_id="8c7d7c0e-5c5f-4d0c-9a3f-0b8f2f0f3a11")
        instance.add_run(run)
        instance.report_run_failed(run, "killed")
    tell_after_run(duty.pipeline())
    assert duty.told() == [("opened", ["run:refresh"])]
    duty.run()
    assert duty.told() == [("resolved", ["run:refresh"])]


def test_failures_behind_many_runs_are_told_and_those_of_other_projects_are_not(
    duty: Duty, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.asset(key=["other", "table"])
    def broken() -> None:
        raise RuntimeError("another project's")

    @dg.asset(key=["source", "docs"])
    def ours() -> None:
        raise RuntimeError("ours")

    other = dg.Definitions(assets=[broken]).resolve_implicit_global_asset_job_def()
    both = dg.Definitions(assets=[broken, ours]).resolve_implicit_global_asset_job_def()
    # The first look in a folder of records begins with the newest run.
    tell_after_run(duty.pipeline())
    # As many as are looked at in one look were made since the last one.
    monkeypatch.setattr(alerts, "RUNS_LOOKED_AT", 3)
    with opened_instance(dagster_home(duty.pipeline())) as instance:
        killed = dg.DagsterRun("refresh", run_id="8c7d7c0e-5c5f-4d0c-9a3f-0b8f2f0f3a11")
        instance.add_run(killed)
        instance.report_run_failed(killed, "killed")
        for _ in range(3):
            assert not other.execute_in_process(instance=instance, raise_on_error=False).success
    tell_after_run(duty.pipeline())
    assert duty.told() == [("opened", ["run:refresh"])]
    tell_after_run(duty.pipeline())
    assert duty.told() == []
    with opened_instance(dagster_home(duty.pipeline())) as instance:
        assert not both.execute_in_process(instance=instance, raise_on_error=False).success
    tell_after_run(duty.pipeline())
    tell_after_run(duty.pipeline())
    assert duty.told() == [("opened", ["step:source__docs"])]


def test_what_was_forced_on_readers_is_told_once(tmp_path: Path, receiver: Receiver) -> None:
    project = asked_project(tmp_path)
    project.settings["alerts"] = ALERTS
    duty = Duty(project, receiver)
    duty.run()
    assert duty.told() == []
    make_worse(project)
    duty.run()
    [(state, keys)] = duty.told()
    assert state == "opened"
    assert "check:gold/publication:newest_version_may_be_published" in keys
    assert "check:gold/evaluation:evaluation_not_below_published:small" in keys
    with project.workspace() as workspace:
        publish(workspace, "small", note="the lamp is sold", by_hand=True, override_gate=True)
    tell_after_run(duty.pipeline())
    tell_after_run(duty.pipeline())
    assert duty.told() == [("opened", ["forced"])]


def test_the_command_tries_lists_and_sends(duty: Duty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_PIPELINE_CONFIG", str(duty.project.pipeline().path))

    def typed(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, ["alerts", *arguments])
        return result.exit_code, result.output

    assert typed("test", "ops")[0] == 0
    assert duty.told() == [("opened", ["test"])]
    assert typed("test", "nobody")[0] == 2
    assert typed("list")[0] == 0
    duty.receiver.answer = (500, {})
    assert typed("test")[0] == 4
    set_back(duty.project, timedelta(days=1), source="wiki")
    code, _ = typed("send")
    assert code == 1
    code, output = typed("list", "--json")
    assert code == 1
    sink, opened, waiting = map(json.loads, output.splitlines())
    assert (opened["key"], opened["owners"]) == ("check:source/wiki:polled_in_time", ["team:wiki"])
    assert sink["key"] == "sink:ops"
    assert (waiting["sink"], waiting["attempts"]) == ("ops", 1)


def test_a_run_that_failed_after_a_clock_was_set_back_is_told(duty: Duty) -> None:
    """The last look was a day ahead, and so is the moment up to which runs were read."""
    tell_after_run(duty.pipeline())
    file = cycle.alert_file(duty.pipeline())
    file.change(lambda state: replace(state, looked={name: at + 86_400 for name, at in state.looked.items()}))
    with opened_instance(dagster_home(duty.pipeline())) as instance:
        run = dg.DagsterRun("refresh", run_id=str(uuid.uuid4()))
        instance.add_run(run)
        instance.report_run_failed(run, "killed")
    tick(duty)
    assert duty.told() == [("opened", ["run:refresh"])]
    tick(duty)
    assert duty.told() == []
