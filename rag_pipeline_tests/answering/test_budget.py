"""What a chat model may cost a day: counted over processes, whatever becomes of a call, and refused beyond."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rag_pipeline.answering.answerer import Answerer
from rag_pipeline.contracts.chat import ChatModelSpec, Message
from rag_pipeline.endpoints.budget import DailyBudget, Spent
from rag_pipeline.endpoints.chat import ChatClient
from rag_pipeline.errors import BudgetReached, ChatUnavailable, SettingsError
from rag_pipeline_tests.answering.conftest import answering_project
from rag_pipeline_tests.answering.scripted import Scripted, page, says
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project

# A call of the scripted server reads 100 tokens and writes 20: 300 by these prices in a million.
SPEC = ChatModelSpec(
    "small",
    "m",
    timeout_seconds=2,
    price_per_million_input_tokens=1.0,
    price_per_million_output_tokens=10.0,
    budget_per_day=0.0005,
)
ONE = 0.0003
ASKED = [Message("user", "How is the pump stopped? " * 20)]
EVENING = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = EVENING

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def client(server: Scripted, path: Path, clock: Clock, spec: ChatModelSpec = SPEC) -> ChatClient:
    asked = replace(spec, base_url=server.url)
    return ChatClient(asked, budget=DailyBudget(asked, path, clock))


def test_a_model_is_asked_until_its_budget_is_reached_and_again_the_next_day(
    server: Scripted, tmp_path: Path, clock: Clock
) -> None:
    server.script(says("Pull it."))
    chat = client(server, tmp_path / "spent.sqlite", clock)
    assert [chat.complete(ASKED).text for _ in range(2)] == ["Pull it."] * 2
    with pytest.raises(BudgetReached, match="chat model small") as refused:
        chat.complete(ASKED)
    assert refused.value.facts["retry_after"] == 3_600
    assert len(server.asked) == 2
    clock.now += timedelta(hours=1)
    assert chat.complete(ASKED).text == "Pull it."


def test_tokens_bound_a_model_that_has_no_price(server: Scripted, tmp_path: Path, clock: Clock) -> None:
    server.script(says("Pull it."))
    free = ChatModelSpec("free", "m", timeout_seconds=2, tokens_per_day=121)
    chat = client(server, tmp_path / "spent.sqlite", clock, free)
    for _ in range(2):
        chat.complete(ASKED)
    with pytest.raises(BudgetReached, match=r"240 of 121 tokens"):
        chat.complete(ASKED)


def test_what_breaks_off_or_is_not_read_to_its_end_is_counted_and_what_never_began_is_not(
    server: Scripted, tmp_path: Path, clock: Clock
) -> None:
    chat = client(server, tmp_path / "spent.sqlite", clock, replace(SPEC, budget_per_day=1.0))
    budget = DailyBudget(chat.spec, tmp_path / "spent.sqlite", clock)
    server.script(page())
    with pytest.raises(Exception, match="base_url"):
        chat.complete(ASKED)
    assert budget.spent() == Spent()
    server.script(says("Pull it", finish=None))
    with pytest.raises(ChatUnavailable):
        chat.complete(ASKED)
    broken = budget.spent()
    assert broken.tokens == len(ASKED[0].content) // 4 + 2
    server.script(says("Pull ", "it.", pause=0.01))
    pieces = chat.stream(ASKED)
    assert next(pieces) == "Pull "
    pieces.close()  # type: ignore[attr-defined]
    assert budget.spent().tokens > broken.tokens


SPEND = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from rag_pipeline.contracts.chat import ChatModelSpec
from rag_pipeline.endpoints.budget import DailyBudget
spec = ChatModelSpec("small", "m", price_per_million_input_tokens=1.0, price_per_million_output_tokens=10.0)
budget = DailyBudget(spec, Path(sys.argv[1]), lambda: datetime(2026, 3, 28, 23, 0, tzinfo=UTC))
for _ in range(10):
    budget.add(100, 20)
"""


def test_what_processes_spend_at_the_same_time_is_one_sum(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "spent.sqlite"
    command = [sys.executable, "-c", SPEND, str(path)]
    started = [subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    spent = DailyBudget(SPEC, path, clock).spent()
    assert spent.tokens == 30 * 120
    assert spent.cost == pytest.approx(30 * ONE)
    other = replace(SPEC, alias="other")
    assert DailyBudget(other, path, clock).spent() == Spent(), "each model has its own"


def test_a_file_that_cannot_be_used_leaves_what_this_process_spent(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "spent.sqlite"
    budget = DailyBudget(SPEC, path, clock)
    budget.add(100, 20)
    path.write_bytes(b"no database at all" * 1_000)
    with caplog.at_level(logging.WARNING):
        budget.add(100, 20)
    assert "cannot be used" in caplog.text
    with pytest.raises(BudgetReached):
        budget.check()
    budget.add(0, 0)
    assert DailyBudget(SPEC, path, clock).spent().tokens == 240, "the file is begun anew, from what is known"
    path.unlink()
    path.mkdir()
    assert budget.spent().tokens == 240
    budget.add(100, 20)
    assert budget.spent().tokens == 360


def test_a_file_that_another_one_holds_costs_one_wait_and_is_made_up_for(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rag_pipeline.endpoints.budget.BUSY_SECONDS", 0.01)
    path = tmp_path / "spent.sqlite"
    budget = DailyBudget(SPEC, path, clock)
    budget.add(100, 20)
    holder = sqlite3.connect(path)
    holder.execute("begin exclusive")
    with caplog.at_level(logging.WARNING):
        budget.add(50, 10)
        budget.add(50, 10)
        assert budget.spent().tokens == 240
    assert len(caplog.records) == 1, "calls that come together wait for it once"
    holder.rollback()
    holder.close()
    monkeypatch.setattr(budget, "_rests_until", 0.0)
    budget.add(100, 20)
    assert DailyBudget(SPEC, path, clock).spent().tokens == 360


def test_an_answer_beyond_the_budget_says_so_and_what_is_kept_is_still_answered(
    server: Scripted, tmp_path: Path
) -> None:
    project = answering_project(tmp_path, server.url)
    project.settings["chat_models"]["scripted"]["tokens_per_day"] = 100
    project.refresh()
    server.script(says("Pull it [1]."))
    with Answerer.open(project.pipeline()) as answerer:
        first = answerer.ask("How is the pump stopped?", {"public"})
        assert first.verdict == "answered"
        again = answerer.ask("How is the pump stopped?", {"public"})
        assert (again.text, again.from_cache) == (first.text, True)
    # Another process of the same machine, too.
    with Answerer.open(project.pipeline()) as answerer:
        refused = answerer.ask("What colour is the valve?", {"public"})
        assert (refused.verdict, refused.problem_code) == ("failed", "budget_reached")
    assert len(server.asked) == 1


def test_a_budget_in_money_needs_a_price(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.settings["chat_models"] = {"local": {"model": "m", "budget_per_day": 1}}
    with pytest.raises(SettingsError, match="price_per_million_input_tokens"):
        project.pipeline()
