"""Whoever hangs up, and a server that stops, end answers at once, also where the model says nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from rag_pipeline.answering.keeping import Turns
from rag_pipeline.endpoints.stop import Stop
from rag_pipeline.errors import CallStopped
from rag_pipeline.serving.app import build_app
from rag_pipeline_tests.answering.conftest import answering_project
from rag_pipeline_tests.answering.scripted import Quiet, Scripted, says, scripted_server
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import running
from rag_pipeline_tests.serving.test_ask import QUESTION, events_of
from rag_pipeline_tests.serving.test_server import free_port, wait_for

# Far beyond what a test waits: what ends sooner was ended.
SILENCE = 60.0


@pytest.fixture(scope="module")
def model() -> Iterator[Scripted]:
    with scripted_server() as server:
        yield server


@pytest.fixture(scope="module")
def project(model: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = answering_project(tmp_path_factory.mktemp("quiet"), model.url, cache={"keep": False})
    project.settings["chat_models"]["scripted"] |= {"timeout_seconds": SILENCE, "deadline_seconds": SILENCE}
    project.settings["serving"] = {"answers_at_once": 1, "anonymous": True, "stop_seconds": 1}
    project.refresh()
    return project


@pytest.fixture(scope="module")
def url(project: Project) -> Iterator[str]:
    with running(build_app(project.pipeline())) as url:
        yield url


@contextmanager
def posted(url: str, question: dict[str, Any]) -> Iterator[None]:
    """Ask, and hang up at the end of the block, whatever has come by then."""
    address, body = urlsplit(url), json.dumps(question).encode()
    head = f"POST /v1/ask HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((address.hostname, address.port), 60) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        yield


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("with_headers", [True, False])
def test_hanging_up_on_a_silent_model_frees_the_one_slot_at_once(
    url: str, model: Scripted, stream: bool, with_headers: bool
) -> None:
    quiet = Quiet(SILENCE, with_headers=with_headers)
    model.script(lambda _: quiet, says("Pull it [1]."))
    question = {"query": QUESTION, "stream": stream}
    with httpx.Client(base_url=url, timeout=60) as other:
        with posted(url, question):
            assert quiet.asked.wait(30), "the model was not asked"
            assert other.post("/v1/ask", json=question).json()["code"] == "server_busy"
        began = time.monotonic()
        while (again := other.post("/v1/ask", json=question | {"stream": False})).status_code == 503:
            assert time.monotonic() - began < 5, "the slot of one who hung up is not free"
            time.sleep(0.01)
        assert quiet.left.wait(5), "the model still writes for nobody"
    assert again.json()["text"] == "Pull it [1]."


def test_one_who_waits_for_an_equal_question_stops_waiting_and_leaves_the_other_one_alone() -> None:
    class Nothing:
        def get(self, _: str) -> None: ...
        def put(self, *_: object) -> None: ...
        def claim(self, *_: object) -> bool:
            return True

        def renew(self, *_: object) -> None: ...
        def release(self, *_: object) -> None: ...
        def close(self) -> None: ...

    turns, stop, waits = Turns(Nothing()), Stop(), threading.Event()

    def second() -> None:
        waits.set()
        with turns.turn("key", SILENCE, stop):
            raise AssertionError("it was nobody's turn")

    with ThreadPoolExecutor(1) as threads, turns.turn("key", SILENCE) as first:
        waiting = threads.submit(second)
        assert waits.wait(5)
        stop.set()
        with pytest.raises(CallStopped):
            waiting.result(5)
        assert first.kept is None


def test_what_was_said_before_a_call_was_opened_counts(project: Project, model: Scripted) -> None:
    from rag_pipeline.answering.answerer import Answerer

    model.script(says("Pull it [1]."))
    with Answerer.open(project.pipeline(), keep=False) as answerer:
        stop = Stop()
        events = answerer.stream(QUESTION, ["public"], stop=stop)
        next(events)
        stop.set()
        with pytest.raises(CallStopped):
            next(events)
        assert model.asked == []
        assert answerer.ask(QUESTION, ["public"]).verdict == "answered"


@pytest.mark.slow
def test_a_server_that_stops_lets_answers_end_and_cuts_those_off_that_do_not(project: Project, model: Scripted) -> None:
    port, quiet = free_port(), [Quiet(SILENCE, with_headers=True) for _ in range(2)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "RAG_PIPELINE__SERVING__ANSWERS_AT_ONCE": "4"}
    project.pipeline()
    command = [sys.executable, "-m", "rag_pipeline.cli", "serve", "--config", str(project.folder / "pipeline.yaml")]
    process = subprocess.Popen([*command, "--port", str(port)], env=environment, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process)
        model.script(says(*["word "] * 8, "[1]", pause=0.1), lambda _: quiet[0], lambda _: quiet[1])

        def ask(at: int) -> httpx.Response:
            question = {"query": f"{QUESTION} {at}", "stream": at < 2}
            return httpx.post(f"{url}/v1/ask", json=question, timeout=SILENCE)

        with ThreadPoolExecutor(3) as callers:
            asking = []
            for at in range(3):
                asking.append(callers.submit(ask, at))
                while len(model.asked) <= at:
                    time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            whole, cut, at_once = (each.result(30) for each in asking)
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert time.monotonic() - began < 15, "the process did not end with its grace"
    assert process.returncode in (0, -signal.SIGTERM, 143)
    assert b"Traceback" not in said, said.decode()
    assert events_of(whole.text)[-1][0] == "done"
    name, problem = events_of(cut.text)[-1]
    assert (name, problem["code"]) == ("problem", "server_busy")
    assert "being stopped" in problem["detail"]
    assert (at_once.status_code, json.loads(at_once.text)["code"]) == (503, "server_busy")
    assert all(each.left.wait(5) for each in quiet)
