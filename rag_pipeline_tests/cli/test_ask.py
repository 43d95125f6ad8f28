"""`ask`: what a person and a script see of an answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag_pipeline.answering.prompt import ABSTENTION
from rag_pipeline_tests.answering.conftest import answering_project
from rag_pipeline_tests.answering.scripted import Scripted, page, refuses, says, scripted_server
from rag_pipeline_tests.cli.conftest import Ask, ask_in
from rag_pipeline_tests.pipeline.project import Project

QUESTION = ("ask", "How is the pump stopped with the red lever?", "--as", "public")


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    with scripted_server() as running:
        yield running


@pytest.fixture(scope="module")
def project(server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = answering_project(tmp_path_factory.mktemp("ask"), server.url, cache={"keep": False})
    made.refresh()
    return made


def test_an_answer_names_its_sources(project: Project, server: Scripted) -> None:
    server.script(says("Pull it \x1b[2J twice [1]."))
    answer = ask_in(project.folder, *QUESTION)
    assert answer.code == 0
    assert answer.out.startswith("Pull it ·[2J twice [1].\n[1] ")
    assert "docs/guide.md" in answer.out
    assert "\x1b" not in answer.out
    assert "100 tokens in, 20 out, cost 0.000300" in answer.err


def test_json_is_one_object_with_stable_keys(project: Project, server: Scripted) -> None:
    server.script(says("Pull it [1] [8]."))
    answer = ask_in(project.folder, *QUESTION, "--json")
    (record,) = answer.records
    assert answer.code == 0
    assert set(record) == {
        "text", "citations", "verdict", "struck", "from_cache", "tokens_in", "tokens_out", "cost", "latency_seconds",
        "model", "plan_fingerprint", "problem", "problem_code", "cost_saved", "tokens_estimated",
    }  # fmt: skip
    assert (record["text"], record["struck"]) == ("Pull it [1].", 1)
    assert record["citations"][0]["uri"] == "docs/guide.md"


def test_the_exit_code_says_whether_there_is_an_answer(project: Project, server: Scripted) -> None:
    for reply, code in (
        (says(ABSTENTION), 1),
        (says("Just pull."), 1),
        (refuses(401), 3),
        (page(), 3),
        (says("Pull", finish=None), 4),
    ):
        server.script(reply)
        assert ask_in(project.folder, *QUESTION).code == code
    assert ask_in(project.folder, *QUESTION, "--source", "odd").code == 2


def test_without_a_model_it_says_what_to_write(ask: Ask) -> None:
    answer = ask(*QUESTION)
    assert answer.code == 2
    assert "chat_models:" in answer.err
