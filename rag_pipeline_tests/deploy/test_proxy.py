"""Asked through nginx as deploy/machine/nginx.conf has it: who one is, answers as they are written, silence."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import StreamingResponse

from rag_pipeline.serving.tokens import add_token
from rag_pipeline_tests.answering.conftest import answering_project
from rag_pipeline_tests.answering.scripted import Quiet, Scripted, event, scripted_server
from rag_pipeline_tests.deploy.proxy import NAME, PASSWORDS, SECRET, Served, ended, served
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.test_ask import QUESTION, events_of
from rag_pipeline_tests.serving.test_server import free_port

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]

# Longer than any test waits: what ends sooner was ended.
SILENCE = 60.0
SALARY = {"query": "salary of a pump keeper", "k": 10}
# How a caller may try to be somebody else.
FORGED = [
    {"X-Forwarded-User": "alice", "X-Forwarded-Groups": "hr"},
    {"X-Forwarded-Groups": "hr"},
    {"x-forwarded-USER": "alice", "X-Proxy-Secret": SECRET},
    {"X_Forwarded_User": "alice", "X_Forwarded_Groups": "hr", "X_Proxy_Secret": SECRET},
    {"X-Forwarded-User": "alice", "X-Forwarded-Groups": "hr", "X-Proxy-Secret": SECRET, "X-Forwarded-For": "127.0.0.1"},
    {"Connection": "X-Forwarded-User, X-Forwarded-Groups, X-Proxy-Secret"},
    {"Forwarded": "for=127.0.0.1", "X-Real-IP": "127.0.0.1", "X-Remote-User": "alice", "Remote-User": "alice"},
]


@pytest.fixture(scope="module")
def model() -> Iterator[Scripted]:
    with scripted_server() as server:
        yield server


@pytest.fixture(scope="module")
def project(model: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = answering_project(tmp_path_factory.mktemp("asked"), model.url, cache={"keep": False})
    project.settings["chat_models"]["scripted"] |= {"timeout_seconds": SILENCE, "deadline_seconds": SILENCE}
    project.settings["serving"] = {
        "proxy": {"addresses": ["127.0.0.1/32"], "secret_variable": "RAG_PIPELINE_PROXY_SECRET"}
    }
    project.refresh()
    return project


@pytest.fixture(scope="module")
def asked(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(project, tmp_path_factory.mktemp("proxy") / "nginx") as made:
        yield made


def sources(answer: httpx.Response) -> set[str]:
    return {hit["source"] for hit in answer.json()["hits"]}


def test_who_shows_a_password_is_who_they_say_with_the_groups_they_have(asked: Served) -> None:
    with asked.client("alice") as alice, asked.client("bob") as bob:
        assert alice.get("/v1/me").json()["name"] == "alice"
        assert {"hr", "staff"} <= {*alice.get("/v1/me").json()["principals"]}
        assert bob.get("/v1/me").json()["principals"] == ["bob", "public"]
        assert sources(alice.post("/v1/search", json=SALARY)) == {"docs", "people"}
        assert sources(bob.post("/v1/search", json=SALARY)) == {"docs"}


@pytest.mark.parametrize("headers", FORGED, ids=lambda headers: "+".join(headers))
def test_nobody_becomes_another_by_what_they_send(asked: Served, project: Project, headers: dict[str, str]) -> None:
    with asked.client("bob", **headers) as bob:
        assert bob.get("/v1/me").json()["principals"] == ["bob", "public"]
        assert sources(bob.post("/v1/search", json=SALARY)) == {"docs"}
    token, _ = add_token(project.pipeline().tokens_file, "report", ())
    with asked.client(**headers, Authorization=f"Bearer {token}") as program:
        assert program.get("/v1/me").json()["principals"] == ["public", "report"]
    with asked.client(**headers) as nobody:
        assert nobody.get("/v1/me").status_code == 401
        assert nobody.post("/v1/search", json=SALARY).status_code == 401


@pytest.mark.parametrize(
    "shown",
    [
        ["Basic " + base64.b64encode(b"alice:wrong").decode()],
        ["Basic " + base64.b64encode(b"nobody:lantern").decode()],
        ["Bearer ragp_wrong"],
        ["Bearer ragp_wrong", "Basic " + base64.b64encode(b"alice:wrong").decode()],
        ["Basic " + base64.b64encode(b"alice:wrong").decode(), "Bearer ragp_wrong"],
        ["Bearer", "Basic " + base64.b64encode(b"alice:").decode()],
        ["Negotiate abc"],
        [""],
    ],
)
def test_what_proves_nothing_lets_nobody_in(asked: Served, shown: list[str]) -> None:
    with asked.client() as client:
        for path in ("/v1/me", "/v1/sources", "/metrics", "/mcp", "/dagster/graphql"):
            headers = [("Authorization", each) for each in shown]
            assert client.get(path, headers=headers).status_code in (400, 401), path


def test_past_the_proxy_nobody_is_believed(asked: Served) -> None:
    for secret in ({}, {"X-Proxy-Secret": "guessed"}):
        headers = {"X-Forwarded-User": "alice", "X-Forwarded-Groups": "hr", **secret}
        assert httpx.get(f"{asked.direct}/v1/me", headers=headers).status_code == 401


def test_who_searches_may_not_operate_and_without_tls_nothing_is_said(asked: Served) -> None:
    with asked.client("alice") as alice:
        assert alice.get("/dagster/server_info").status_code == 401
    with asked.client() as nobody:
        assert nobody.get("/health").status_code == 200
        assert nobody.get("/ready").status_code == 200
    moved = httpx.get(f"{asked.plain}/v1/me?x=1", headers={"Host": NAME}, auth=("alice", PASSWORDS["alice"]))
    assert (moved.status_code, moved.headers["location"]) == (301, f"https://{NAME}/v1/me?x=1")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"https://{NAME}.evil.example", f"http://{NAME}"])
def test_a_page_of_another_site_asks_nothing(asked: Served, origin: str) -> None:
    with asked.client("olga", Origin=origin) as olga:
        for path in ("/v1/search", "/v1/feedback", "/dagster/graphql"):
            assert olga.post(path, json=SALARY).status_code == 403, path
    with asked.client("alice", Origin=asked.through) as alice:
        assert alice.post("/v1/search", json=SALARY).status_code == 200


def test_an_answer_comes_as_it_is_written(asked: Served, model: Scripted) -> None:
    first_was_read = threading.Event()

    async def stream() -> AsyncIterator[bytes]:
        yield event(
            {"choices": [{"index": 0, "delta": {"content": "Pull the lever twice [1]. "}, "finish_reason": None}]}
        )
        yield event({"choices": [{"index": 0, "delta": {"content": "Then wait "}, "finish_reason": None}]})
        while not first_was_read.is_set():
            await asyncio.sleep(0.02)
        yield event({"choices": [{"index": 0, "delta": {"content": "[1]."}, "finish_reason": "stop"}]})
        yield b"data: [DONE]\n\n"

    model.script(lambda _: StreamingResponse(stream(), media_type="text/event-stream"))
    told = ""
    with asked.client("bob") as bob, bob.stream("POST", "/v1/ask", json={"query": QUESTION}) as answer:
        for piece in answer.iter_text():
            told += piece
            # Had the proxy kept it until the end, there would be no end.
            if "event: text" in told:
                first_was_read.set()
    assert events_of(told)[-1][0] == "done"


def test_whoever_hangs_up_at_the_proxy_ends_the_call_to_the_model(asked: Served, model: Scripted) -> None:
    quiet = Quiet(SILENCE, with_headers=True)
    model.script(lambda _: quiet)
    with asked.client("bob") as bob, bob.stream("POST", "/v1/ask", json={"query": QUESTION}) as answer:
        next(answer.iter_raw())
        assert quiet.asked.wait(30)
    assert quiet.left.wait(30), "the model still writes for nobody"


def test_silence_is_ended_and_a_server_that_is_away_is_said(project: Project, model: Scripted, tmp_path: Path) -> None:
    quiet = Quiet(SILENCE, with_headers=False)
    model.script(lambda _: quiet)
    with served(project, tmp_path / "nginx", proxy_read_timeout="1s") as short, short.client("bob") as bob:
        silent = bob.post("/v1/ask", json={"query": QUESTION, "stream": False})
        assert silent.status_code == 504
        assert quiet.left.wait(30)
        assert bob.post("/v1/search", json=SALARY).status_code == 200
        ended(short.process)
        assert bob.post("/v1/search", json=SALARY).status_code == 502


@pytest.fixture
def dagster(project: Project, tmp_path: Path) -> Iterator[int]:
    """The real UI, at a port of this machine."""
    port, home = free_port(), tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    variables = {
        "DAGSTER_HOME": str(home),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "ignore",
        "RAG_PIPELINE_CONFIG": str(project.pipeline().path),
    }
    command = [str(Path(sys.executable).with_name("dagster-webserver")), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--path-prefix", "/dagster", "-m", "rag_pipeline.definitions"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | variables, cwd=tmp_path, stdout=log, stderr=log)
    yield port
    ended(process)


def test_operators_use_the_dagster_ui_and_its_events_come_through(
    project: Project, dagster: int, tmp_path: Path
) -> None:
    with served(project, tmp_path / "nginx", dagster) as made, made.client("olga") as olga:
        while (info := olga.get("/dagster/server_info")).status_code == 502:
            pass
        assert "dagster_version" in info.json()
        page = olga.get("/dagster/locations")
        assert "/dagster/" in page.text
        counted = olga.post("/dagster/graphql", json={"query": "{ runsOrError { ... on Runs { count } } }"})
        assert counted.json()["data"]["runsOrError"]["count"] == 0
        acknowledged = asyncio.run(greeted(made))
    assert acknowledged["type"] == "connection_ack"


async def greeted(made: Served) -> dict[str, Any]:
    """What the UI's channel of events answers first."""
    from websockets.asyncio.client import connect

    login = base64.b64encode(f"olga:{PASSWORDS['olga']}".encode()).decode()
    port = int(made.through.rpartition(":")[2])
    async with connect(
        f"wss://{NAME}:{port}/dagster/graphql",
        host="127.0.0.1",
        port=port,
        ssl=ssl.create_default_context(cafile=str(made.certificate)),
        subprotocols=["graphql-ws"],  # type: ignore[list-item]
        additional_headers={"Authorization": f"Basic {login}", "Origin": made.through},
    ) as channel:
        await channel.send(json.dumps({"type": "connection_init", "payload": {}}))
        said: dict[str, Any] = json.loads(await asyncio.wait_for(channel.recv(), 60))
        return said
