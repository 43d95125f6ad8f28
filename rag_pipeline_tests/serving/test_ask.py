"""Answers over HTTP, on the page and for agents, from a scripted model: streamed, cited, refused, hung up on."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag_pipeline.answering.prompt import ABSTENTION
from rag_pipeline.contracts.feedback import FEEDBACK
from rag_pipeline.serving.app import build_app
from rag_pipeline.stores.lake import Lake
from rag_pipeline_tests.answering.conftest import GUIDE, answering_project
from rag_pipeline_tests.answering.scripted import Scripted, refuses, says, scripted_server
from rag_pipeline_tests.serving.browser import CHROMIUM, browsing
from rag_pipeline_tests.serving.conftest import Served, running
from rag_pipeline_tests.serving.test_agents import over_stdio
from rag_pipeline_tests.serving.test_api import assert_problem

QUESTION = "How is the pump stopped with the red lever?"


@pytest.fixture(scope="module")
def model() -> Iterator[Scripted]:
    with scripted_server() as server:
        yield server


@pytest.fixture(scope="module")
def asked(model: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that answers, for ann, who may read what is public, and hugo, who is of hr."""
    from rag_pipeline.serving.tokens import add_token

    project = answering_project(tmp_path_factory.mktemp("asked"), model.url, cache={"keep": False})
    project.settings["serving"] = {"answers_at_once": 2, "requests_per_minute": 100_000}
    project.refresh()
    path = project.pipeline().tokens_file
    tokens = {"ann": add_token(path, "ann", ())[0], "hugo": add_token(path, "hugo", ("hr",))[0]}
    with running(build_app(project.pipeline())) as url:
        yield Served(url, project, tokens)


def events_of(text: str) -> list[tuple[str, Any]]:
    found = []
    for part in text.strip().split("\n\n"):
        name, data = part.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_an_answer_comes_as_it_is_written_or_at_once(asked: Served, model: Scripted) -> None:
    with asked.client("ann") as client:
        assert client.get("/v1/me").json()["answers"] is True
        model.script(says("Pull the ", "red lever twice [", "1]."))
        streamed = client.post("/v1/ask", json={"query": QUESTION})
        at_once = client.post("/v1/ask", json={"query": QUESTION, "stream": False}).json()
        metrics = client.get("/metrics").text
    assert streamed.headers["content-type"].startswith("text/event-stream")
    events = events_of(streamed.text)
    assert events[0][0] == "sources"
    assert events[-1][0] == "done"
    said = "".join(
        content["text"] if name == "text" else f"[{content['number']}]"
        for name, content in events
        if name in ("text", "citation")
    )
    assert said == events[-1][1]["text"] == at_once["text"] == "Pull the red lever twice [1]."
    assert at_once["verdict"] == "answered"
    assert [citation["uri"] for citation in at_once["citations"]] == ["docs/guide.md"]
    assert 'rag_pipeline_answers_total{from_cache="false",verdict="answered"} 2.0' in metrics
    assert 'rag_pipeline_answer_tokens_total{way="written"} 40.0' in metrics


def test_what_is_kept_is_counted_with_the_money_that_it_saved(asked: Served, model: Scripted, tmp_path: Path) -> None:
    project = asked.project.copied(tmp_path)
    project.settings["answers"] = project.settings["answers"] | {"cache": {"keep": True}}
    model.script(says("Pull the red lever twice [1]."))
    with running(build_app(project.pipeline())) as url, Served(url, project, asked.tokens).client("ann") as client:
        for is_kept in (False, True):
            answer = client.post("/v1/ask", json={"query": QUESTION, "stream": False}).json()
            assert answer["from_cache"] is is_kept
        metrics = client.get("/metrics").text
    assert len(model.asked) == 1
    assert 'rag_pipeline_answers_total{from_cache="true",verdict="answered"} 1.0' in metrics
    assert 'rag_pipeline_answers_total{from_cache="false",verdict="answered"} 1.0' in metrics
    (saved,) = re.findall(r"^rag_pipeline_answer_cost_saved_total (\S+)$", metrics, re.MULTILINE)
    (cost,) = re.findall(r"^rag_pipeline_answer_cost_total (\S+)$", metrics, re.MULTILINE)
    assert float(saved) == float(cost) == pytest.approx(0.0003)


def test_the_model_is_given_what_the_caller_may_read(asked: Served, model: Scripted) -> None:
    model.script(says("Twelve [1]."))
    question = {"query": "What does a pump keeper earn in gold coins?", "stream": False}
    for who, may in (("ann", False), ("hugo", True)):
        with asked.client(who) as client:
            answer = client.post("/v1/ask", json=question)
        assert answer.status_code == 200
        assert ("twelve gold coins" in model.prompt) == may
        assert ("salaries.md" in answer.text) == may
    with asked.client("ann") as client:
        assert_problem(client.post("/v1/ask", json=question | {"view_as": ["hr"]}), 403, "forbidden")
        assert_problem(client.post("/v1/ask", json=question | {"sources": ["nowhere"]}), 422, "bad_query")
        for limit in ({"before": "1990-01-01"}, {"sources": ["people"]}):
            nothing = client.post("/v1/ask", json=question | limit).json()
            assert (nothing["verdict"], nothing["text"], nothing["citations"]) == ("no_information", ABSTENTION, [])
    assert_problem(httpx.post(f"{asked.url}/v1/ask", json=question), 401, "unidentified")


def test_a_model_that_fails_is_said_without_its_words(asked: Served, model: Scripted) -> None:
    model.script(refuses(400, "hidden place /srv/model"))
    with asked.client("ann") as client:
        answer = client.post("/v1/ask", json={"query": QUESTION, "stream": False})
        streamed = client.post("/v1/ask", json={"query": QUESTION})
    assert answer.status_code == 200
    assert answer.json()["verdict"] == "failed"
    assert answer.json()["problem_code"]
    assert "hidden" not in answer.text + streamed.text
    assert model.url not in answer.text + streamed.text


def test_whoever_hangs_up_ends_the_writing_and_too_many_are_refused(asked: Served, model: Scripted) -> None:
    model.script(says(*["word "] * 400, pause=0.05))
    clients = [asked.client("ann") for _ in range(2)]
    streams = [
        client.send(client.build_request("POST", "/v1/ask", json={"query": QUESTION}), stream=True)
        for client in clients
    ]
    lines = [stream.iter_lines() for stream in streams]
    assert [next(each) for each in lines] == ["event: sources"] * 2
    with asked.client("ann") as client:
        refused = client.post("/v1/ask", json={"query": QUESTION})
        assert_problem(refused, 503, "server_busy")
        assert client.post("/v1/search", json={"query": QUESTION}).status_code == 200
        for stream in streams:
            stream.close()
        model.script(says("Pull it [1]."))
        deadline = time.monotonic() + 10
        while (again := client.post("/v1/ask", json={"query": QUESTION, "stream": False})).status_code == 503:
            assert time.monotonic() < deadline, "those who hung up are still answered"
            time.sleep(0.05)
        assert again.json()["verdict"] == "answered"
    for client in clients:
        client.close()


def kept(asked: Served) -> list[dict[str, Any]]:
    return Lake(asked.project.pipeline().lake_root).read(FEEDBACK).sort("given_at").to_dicts()


def test_a_remark_on_an_answer_is_a_row_of_what_it_cites(asked: Served, model: Scripted) -> None:
    model.script(says("Twelve [1], and the lever [2]."))
    question = {"query": "What does a pump keeper earn who pulls the red lever?", "stream": False}
    with asked.client("hugo") as client:
        answer = client.post("/v1/ask", json=question).json()
        cited = [citation["chunk_id"] for citation in answer["citations"]]
        about = {"chunk_ids": cited, "plan_fingerprint": answer["plan_fingerprint"], "model": answer["model"]}
        remark = {"query": question["query"], "answer": about, "verdict": "down", "comment": "too much"}
        given = client.post("/v1/feedback", json=remark)
        before = len(kept(asked))
        wrong = (
            {"chunk_id": cited[0]},
            {"answer": None},
            {"rank": 1},
            {"answer": about | {"plan_fingerprint": "<b>"}},
            {"answer": about | {"chunk_ids": ["x"] * 101}},
        )
        for each in wrong:
            assert_problem(client.post("/v1/feedback", json=remark | each), 422, "bad_request")
        elsewhere = client.post("/v1/feedback", json=remark | {"answer": about | {"model": "other"}})
        assert_problem(elsewhere, 404, "not_there")
    assert given.status_code == 201
    row = kept(asked)[-1]
    assert len(cited) == 2
    assert (row["query"], row["caller"], row["verdict"], row["comment"]) == (
        question["query"],
        "hugo",
        "down",
        "too much",
    )
    assert (row["cited_chunk_ids"], row["plan_fingerprint"], row["chat_model"]) == (
        cited, answer["plan_fingerprint"], "scripted",
    )  # fmt: skip
    assert row["cited_document_ids"] == [citation["document_id"] for citation in answer["citations"]]
    assert (row["chunk_id"], row["document_id"], row["rank"], row["decision"]) == (None, None, None, None)
    with asked.client("ann") as client:
        closed = client.post("/v1/feedback", json=remark)
        absent = client.post("/v1/feedback", json=remark | {"answer": about | {"chunk_ids": ["0" * 32]}})
        silent_one = client.post("/v1/feedback", json=remark | {"answer": about | {"chunk_ids": []}})
    assert assert_problem(closed, 404, "not_there")["detail"] == assert_problem(absent, 404, "not_there")["detail"]
    assert silent_one.status_code == 201
    assert len(kept(asked)) == before + 1


def test_without_a_model_there_are_no_answers(served: Served) -> None:
    with served.client("ann") as client:
        assert client.get("/v1/me").json()["answers"] is False
        assert_problem(client.post("/v1/ask", json={"query": "hall"}), 404, "not_there")


async def called_by_an_agent(asked: Served) -> tuple[set[str], Any]:
    """Names of the tools, and the result of `ask`."""
    import httpx2

    mcp = pytest.importorskip("mcp", reason="needs the extra serve")
    from mcp.client.streamable_http import streamable_http_client

    headers = {"Authorization": f"Bearer {asked.tokens['ann']}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        mcp.Client(streamable_http_client(f"{asked.url}/mcp", http_client=http)) as client,
    ):
        names = {tool.name for tool in (await client.list_tools()).tools}
        return names, await client.call_tool("ask", {"query": QUESTION})


def answers_of(asked: Served, verdict: str) -> float:
    with asked.client("ann") as client:
        lines = client.get("/metrics").text.splitlines()
    name = f'rag_pipeline_answers_total{{from_cache="false",verdict="{verdict}"}} '
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def test_an_agent_asks_and_is_counted(asked: Served, model: Scripted) -> None:
    model.script(says("Pull the red lever twice [1]."))
    before = answers_of(asked, "answered")
    names, found = asyncio.run(called_by_an_agent(asked))
    answer = found.structured_content
    assert answers_of(asked, "answered") == before + 1
    assert "ask" in names
    assert answer["verdict"] == "answered"
    assert answer["citations"][0]["citation"].startswith("docs/guide.md")


def test_an_agent_that_started_the_server_asks_too(asked: Served, model: Scripted) -> None:
    model.script(says("Pull the red lever twice [1]."))

    async def ask(client: Any) -> Any:
        return await client.call_tool("ask", {"query": QUESTION})

    found = over_stdio(asked.project.folder, ["public"], ask)
    answer = found.structured_content
    assert answer is not None, found.content
    assert answer["verdict"] == "answered"
    assert answer["citations"][0]["citation"].startswith("docs/guide.md")


def test_answers_for_agents_are_among_those_that_are_written_at_once(asked: Served, model: Scripted) -> None:
    model.script(says(*["word "] * 400, pause=0.05))
    clients = [asked.client("ann") for _ in range(2)]
    streams = [
        client.send(client.build_request("POST", "/v1/ask", json={"query": QUESTION}), stream=True)
        for client in clients
    ]
    lines = [stream.iter_lines() for stream in streams]
    assert [next(each) for each in lines] == ["event: sources"] * 2
    _, found = asyncio.run(called_by_an_agent(asked))
    for each in (*streams, *clients):
        each.close()
    assert found.is_error
    assert "server_busy" in found.content[0].text


def test_the_page_shows_an_answer_while_it_is_written(asked: Served, model: Scripted) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
    if not CHROMIUM.exists():
        pytest.skip(f"needs a browser at {CHROMIUM}")
    model.script(says("Pull <img src=x onerror=alert(1)> the ", "red lever ", "twice [1].", pause=0.05))
    assert "red lever twice" in GUIDE
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        with browsing(browser, asked.url, asked.tokens["ann"]) as browsed:
            page = browsed.page
            # By keys alone.
            page.get_by_label("What do you want to know?").fill(QUESTION)
            page.keyboard.press("Tab")
            page.keyboard.press("Tab")
            sync_api.expect(page.get_by_role("button", name="Answer")).to_be_focused()
            page.keyboard.press("Enter")
            sync_api.expect(page.locator("#answer-note")).to_have_text("Answer complete.")
            said = page.locator("#answer-text").inner_text()
            assert said == "Pull <img src=x onerror=alert(1)> the red lever twice [1]."
            assert page.locator("#answer-text img").count() == 0
            page.get_by_label("Comment on the answer").fill("clear")
            page.get_by_role("button", name="Answers the question (the answer)").click()
            sync_api.expect(page.locator("#status")).to_contain_text("Thank you")
            sync_api.expect(page.locator("#answer-thumbs button[aria-pressed=true]")).to_have_count(1)
            browsed.assert_accessible()
            page.get_by_role("button", name="Citation 1").click()
            sync_api.expect(page.get_by_role("dialog").locator(".chunk")).to_contain_text("red lever")
        browser.close()
    row = kept(asked)[-1]
    assert (row["query"], row["verdict"], row["comment"], row["chat_model"]) == (QUESTION, "up", "clear", "scripted")
    assert len(row["cited_chunk_ids"]) == 1
