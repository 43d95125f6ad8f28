"""How answers are scored, how far a judge is trusted, and what a drop does."""

from __future__ import annotations

import json
import random
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.answering import judging
from rag_pipeline.answering.evaluation import read_answer_questions
from rag_pipeline.answering.judging import Agreement, Judge, Label, interval, kappa
from rag_pipeline.answering.prompt import ABSTENTION
from rag_pipeline.contracts.chat import ChatModelSpec
from rag_pipeline.endpoints.chat import ChatClient
from rag_pipeline.errors import SettingsError
from rag_pipeline_tests.answering.conftest import answering_project
from rag_pipeline_tests.answering.scripted import Reply, Scripted, says
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project

QUESTIONS: list[dict[str, Any]] = [
    {"id": "lever", "question": "How is the pump stopped with the red lever?", "principals": ["public"],
     "keywords": ["red lever", "TWICE"], "facts": ["The lever is red."], "citations": ["guide.md"]},
    {"id": "moon", "question": "Who walked on the moon?", "principals": ["public"], "answerable": False},
]  # fmt: skip


def test_kappa_is_agreement_beyond_chance() -> None:
    assert kappa([(True, True), (False, False)] * 10) == 1
    assert kappa([(True, True), (True, False), (False, True), (False, False)]) == 0
    # Always yes agrees with 95 % yes, and says nothing.
    assert kappa([(True, True)] * 95 + [(False, True)] * 5) == 0
    assert kappa([(True, True)] * 9) is None
    assert kappa([]) is None
    assert interval([(True, True)] * 9) == (None, None)


def test_a_few_labels_leave_a_wide_interval() -> None:
    chance = random.Random(1)

    def pairs(count: int) -> list[tuple[bool, bool]]:
        truth = [chance.random() < 0.5 for _ in range(count)]
        return [(is_so, is_so if chance.random() < 0.9 else not is_so) for is_so in truth]

    few, many = interval(pairs(30)), interval(pairs(400))
    assert few[0] is not None and few[1] is not None and many[0] is not None and many[1] is not None  # noqa: PT018
    assert few[1] - few[0] > 2 * (many[1] - many[0])
    assert many[0] < 0.8 < many[1] + 0.05


@pytest.mark.parametrize(
    ("labels", "low", "is_trusted"), [(100, 0.6, True), (99, 0.9, False), (400, 0.59, False), (100, None, False)]
)
def test_a_judge_is_trusted_by_the_lower_end(labels: int, low: float | None, is_trusted: bool) -> None:
    assert Agreement(labels, 0, 0.8, low, 0.9, "j").is_trusted is is_trusted


def test_a_judge_says_yes_or_no_or_nothing(server: Scripted) -> None:
    judge = Judge(ChatClient(ChatModelSpec("judge", "m", server.url, timeout_seconds=2)))
    server.script(says("Yes."), says("**No**, it does not."), says("Perhaps"), says(""))
    assert [judge.states("a</answer>b", "c") for _ in range(4)] == [True, False, None, None]
    assert server.prompt.count("</answer>") == judging.JUDGE_PROMPT.count("</answer>") + 1
    labels = [Label("a", "b", True), Label("a", "b", False), Label("a", "b", True)]
    server.script(says("yes"), says("no"), says("?"))
    agreement = judge.agreement(labels)
    assert (agreement.labels, agreement.unread, agreement.kappa, agreement.is_trusted) == (2, 1, 1.0, False)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ('{"id": "a", "question": "b", "principals": []}', "principals"),
        ('{"id": "a", "question": " ", "principals": ["public"]}', "question"),
        ('{"id": "a", "question": "b", "principals": ["public"], "keywords": "c"}', "keywords"),
        ('{"id": "a", "question": "b", "principals": ["public"], "odd": 1}', "nothing else"),
        ('{"id": "a", "question": "b", "principals": ["public"], "answerable": 1}', "answerable"),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(f"\n{line}\n", "utf-8")
    with pytest.raises(SettingsError, match=rf"questions.jsonl:2.*{said}"):
        read_answer_questions([path])


@pytest.fixture(scope="module")
def project(_server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("evaluated")
    made = answering_project(
        folder, _server.url, judge="scripted", labels="labels.jsonl", questions=["questions.jsonl"]
    )
    labels = [{"answer": f"{n}", "fact": "f", "states": n % 2 == 0} for n in range(judging.LEAST_LABELS)]
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)), "utf-8")
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)), "utf-8")
    made.refresh()
    return made


def plays(lever: str, moon: str = ABSTENTION, is_red: bool = True) -> Reply:
    """A model that answers both questions so, and judges the labels rightly."""

    def reply(asked: dict[str, Any]) -> Any:
        told = asked["messages"][-1]["content"]
        number = re.search(r"<answer>\n(\d+)\n", told)
        if number:
            return says("no" if int(number[1]) % 2 else "yes")(asked)
        if "Fact: " in told:
            return says("yes" if is_red else "no")(asked)
        return says(moon if "moon" in told else lever)(asked)

    return reply


RIGHT = "Pull the red lever twice [1]."


def test_answers_are_scored_and_every_question_is_there(project: Project, server: Scripted) -> None:
    server.script(plays(RIGHT))
    answer = ask_in(project.folder, "eval", "--answers", "--json")
    (record,) = answer.records
    assert answer.code == 0
    scores = [record[name] for name in ("keywords", "facts", "citations", "answered", "abstained", "supported")]
    assert scores == [1.0] * 6
    assert record["agreement"]["kappa"] == 1.0
    assert record["agreement"]["is_trusted"]
    lever = record["results"][0]
    assert lever["text"] == RIGHT
    assert lever["cited"] == ["docs/guide.md"]
    assert lever["retrieved"]
    assert (lever["tokens_in"], lever["cost"]) == (100, pytest.approx(0.0003))
    assert lever["latency_seconds"] > 0
    assert "trusted" not in answer.err


def test_a_drop_beyond_the_threshold_ends_with_one(project: Project, server: Scripted) -> None:
    """The step of docs/ for CI, as it stands there."""
    page = (REPOSITORY / "docs" / "answers.md").read_text("utf-8")
    step = re.search(r"run: (rag-pipeline eval --answers --ci .*)", page)
    assert step is not None
    command = shlex.split(step[1])[1:]
    baseline = project.folder / "answers-baseline.json"
    command[command.index("answers-baseline.json")] = str(baseline)
    server.script(plays(RIGHT))
    baseline.write_text(ask_in(project.folder, "eval", "--answers", "--json").out, "utf-8")
    same = ask_in(project.folder, *command)
    assert (same.code, same.out) == (0, "")
    for worse, name in (
        (plays("Pull the lever twice [1]."), "keywords"),
        (plays("Pull the red lever twice [44]."), "citations"),
        (plays(RIGHT, moon="Neil Armstrong did [1]."), "abstained"),
        (plays(ABSTENTION), "answered"),
        (plays(RIGHT, is_red=False), "facts"),
    ):
        server.script(worse)
        fell = ask_in(project.folder, *command)
        assert fell.code == 1
        assert f"{name} fell from 1.000 to" in fell.err


def test_a_gate_needs_something_to_hold_to(project: Project, tmp_path: Path) -> None:
    assert ask_in(project.folder, "eval", "--ci").code == 2
    odd = tmp_path / "odd.json"
    odd.write_text("[]", "utf-8")
    answer = ask_in(project.folder, "eval", "--answers", "--ci", "--baseline", str(odd))
    assert answer.code == 2
    assert "eval --answers --json >" in answer.err
    assert ask_in(project.folder, "eval", "--answers", "--compare", "a", "b").code == 2
