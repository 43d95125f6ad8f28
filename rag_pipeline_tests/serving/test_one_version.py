"""Each request is answered from one published version, wherever the pointer moves meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from rag_pipeline.contracts.feedback import FEEDBACK
from rag_pipeline.retrieval import published
from rag_pipeline.serving.app import build_app
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.selection import Selection
from rag_pipeline_tests.answering.conftest import answering_project
from rag_pipeline_tests.answering.scripted import Reply, Scripted, event, says, scripted_server
from rag_pipeline_tests.serving.conftest import Served, running
from rag_pipeline_tests.serving.test_agents import over_http, over_stdio
from rag_pipeline_tests.serving.test_ask import QUESTION, events_of

OLD, NEW = "red lever twice", "green cord"
WRITTEN = "# Running the pump\n\n## Stopping it\n\nThe pump is stopped with the green cord, not with the red lever.\n"


@pytest.fixture(scope="module")
def model() -> Iterator[Scripted]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def moving(model: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server on a lake of its own that sees each publication at once."""
    from rag_pipeline.serving.tokens import add_token

    monkeypatch.setattr(published, "POINTER_SECONDS", 0.0)
    project = answering_project(tmp_path, model.url, cache={"keep": False})
    project.settings["serving"] = {"requests_per_minute": 100_000}
    # An answer waits here for a run, which takes as long as it takes.
    project.settings["chat_models"]["scripted"] |= {"timeout_seconds": 120, "deadline_seconds": 120}
    project.refresh()
    tokens = {"ann": add_token(project.pipeline().tokens_file, "ann", ())[0]}
    with running(build_app(project.pipeline())) as url:
        yield Served(url, project, tokens)


def publish_new(served: Served) -> None:
    served.project.write("guide.md", WRITTEN)
    served.project.refresh()


def halfway(asked: threading.Event, moved: threading.Event) -> Reply:
    """Says half of its answer, and the rest once the pointer has moved."""

    def reply(_: dict[str, Any]) -> Response:
        from starlette.responses import StreamingResponse

        def part(text: str, finish: str | None = None) -> bytes:
            return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})

        async def stream() -> Any:
            yield part("Pull the ")
            asked.set()
            await asyncio.to_thread(moved.wait, 120)
            yield part("red lever [1].", "stop")
            yield b"data: [DONE]\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    return reply


def over_api(served: Served) -> tuple[str, str]:
    """What the answer says, and the text that it cites, as each was sent."""
    with served.client("ann") as client:
        events = events_of(client.post("/v1/ask", json={"query": QUESTION, "k": 1}).text)
    given, answer = events[0][1]["citations"], events[-1][1]
    assert events[0][0] == "sources"
    assert events[-1][0] == "done"
    assert [each["text"] for each in given] == [each["text"] for each in answer["citations"]]
    return answer["text"], given[0]["text"]


async def ask_as_agent(client: Any) -> Any:
    return (await client.call_tool("ask", {"query": QUESTION})).structured_content


def told_to_agent(answer: Any) -> tuple[str, str]:
    return answer["text"], answer["citations"][0]["citation"]


def agent_over_http(served: Served) -> tuple[str, str]:
    return told_to_agent(over_http(served, "ann", ask_as_agent))


def agent_over_stdio(served: Served) -> tuple[str, str]:
    return told_to_agent(over_stdio(served.project.folder, ["public"], ask_as_agent))


@pytest.mark.slow
@pytest.mark.parametrize("ask", [over_api, agent_over_http, agent_over_stdio])
def test_an_answer_stays_on_the_version_where_it_began(
    moving: Served, model: Scripted, ask: Callable[[Served], tuple[str, str]]
) -> None:
    asked, moved = threading.Event(), threading.Event()
    model.script(halfway(asked, moved), says("Pull the cord [1]."))
    with ThreadPoolExecutor(1) as threads:
        answering = threads.submit(ask, moving)
        assert asked.wait(120), "the model was not asked"
        assert OLD in model.prompt
        publish_new(moving)
        with moving.client("ann") as client:
            now = client.post("/v1/search", json={"query": QUESTION}).json()["hits"]
        moved.set()
        text, cited = answering.result(120)
    assert text == "Pull the red lever [1]."
    assert any(NEW in hit["text"] for hit in now)
    assert NEW not in cited
    assert "Running the pump > Stopping it" in cited or OLD in cited
    # The next one is wholly of the new version.
    text, cited = over_api(moving)
    assert text == "Pull the cord [1]."
    assert NEW in model.prompt
    assert OLD not in model.prompt + cited


@pytest.fixture
def moves_after_a_read(moving: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Once called, the next read of the index is followed by a publication, before whoever read goes on."""
    read, is_armed = Selection.read, [False]

    def followed(self: Selection, *arguments: Any, **named: Any) -> Any:
        found = read(self, *arguments, **named)
        if is_armed[0]:
            is_armed[0] = False
            with ThreadPoolExecutor(1) as run:
                run.submit(publish_new, moving).result()
        return found

    monkeypatch.setattr(Selection, "read", followed)

    def armed() -> None:
        is_armed[0] = True

    yield armed
    assert not is_armed[0], "nothing was read"


@pytest.mark.slow
def test_windows_sources_and_remarks_are_of_one_version(moving: Served, moves_after_a_read: Callable[[], None]) -> None:
    with moving.client("ann") as client:
        hit = client.post("/v1/search", json={"query": QUESTION}).json()["hits"][0]
        before = client.get("/v1/sources").json()["published_at"]
        moves_after_a_read()
        window = client.post("/v1/window", json={"chunk_id": hit["chunk_id"]})
        assert window.status_code == 200
        assert OLD in window.json()["text"]
        assert client.get("/v1/sources").json()["published_at"] > before
        hit = client.post("/v1/search", json={"query": QUESTION}).json()["hits"][0]
        lake = Lake(moving.project.pipeline().lake_root)
        served = lake.publications()[-1].sequence
        moving.project.write("valve.md", "# Notes\n\nThe valve is red.\n")
        moves_after_a_read()
        remark = {"query": QUESTION, "chunk_id": hit["chunk_id"], "verdict": "up"}
        assert client.post("/v1/feedback", json=remark).status_code == 201
        assert lake.publications()[-1].sequence > served
        assert lake.read(FEEDBACK)["publication"].to_list() == [served]
