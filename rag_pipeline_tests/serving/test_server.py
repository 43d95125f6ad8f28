"""The commands: making tokens, and a server in a process of its own that stops when it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from rag_pipeline.serving import extra
from rag_pipeline.serving.metrics import SHARED_FOLDER
from rag_pipeline.serving.tokens import add_token, revoke_token
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project


def test_tokens_are_made_listed_and_revoked(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.pipeline()
    made = ask_in(tmp_path, "tokens", "add", "alice", "--group", "staff", "--days", "3", "--json").records[0]
    assert made["token"].startswith("ragp_")
    plain = ask_in(tmp_path, "tokens", "add", "bob")
    assert len(plain.out.splitlines()) == 1
    listed = ask_in(tmp_path, "tokens", "list", "--json").records
    assert [(each["name"], each["groups"]) for each in listed] == [("alice", ["staff"]), ("bob", [])]
    assert made["token"] not in json.dumps(listed)
    assert ask_in(tmp_path, "tokens", "revoke", made["token_id"]).code == 0
    assert ask_in(tmp_path, "tokens", "revoke", made["token_id"]).code == 2
    assert "bob" in ask_in(tmp_path, "tokens", "list").out


def test_a_file_of_tokens_inside_a_source_is_no_document(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.settings["sources"]["docs"]["location"] = "."
    project.write("a.md", "Nobody reads tokens here.\n")
    assert ask_in(project.pipeline().folder, "tokens", "add", "alice").code == 0
    assert "tokens.json" in project.pipeline().source_spec("docs").own_globs


def test_without_the_extra_the_command_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Project.create(tmp_path).pipeline()
    monkeypatch.setattr(extra, "PACKAGES", ("fastapi", "no_such_package"))
    answer = ask_in(tmp_path, "serve")
    assert answer.code == 3
    assert "pip install 'rag-pipeline[serve]'" in answer.err


COUNTING = """
import os, signal, sys
from rag_pipeline.serving.metrics import Metrics
metrics = Metrics()
metrics.searching.inc(3)
metrics.hits.labels("search").inc(2)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
print(metrics.text().decode())
"""


def test_what_a_killed_worker_had_under_way_counts_no_longer_and_what_it_did_still_does(tmp_path: Path) -> None:
    def counted(way: str) -> str:
        command = [sys.executable, "-c", COUNTING, way]
        environment = os.environ | {SHARED_FOLDER: str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=way == "ends").stdout

    assert counted("killed") == ""
    lines = counted("ends").splitlines()
    assert "rag_pipeline_searches_running 3.0" in lines
    assert 'rag_pipeline_hits_total{way="search"} 4.0' in lines


def test_a_port_that_is_taken_is_said(lake: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr("logging.basicConfig", lambda **_: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = ask_in(lake.folder, "serve", "--port", str(taken.getsockname()[1]))
    assert answer.code == 3
    assert "--port 0" in answer.err


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            if httpx.get(f"{url}/ready", timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail("the server did not start in time")


PER_MINUTE = 30


def status_of(url: str, token: str) -> int:
    """Of one request over a connection of its own, so that each process has its turn."""
    return httpx.get(f"{url}/v1/me", headers={"Authorization": f"Bearer {token}"}, timeout=60, verify=False).status_code


def assert_every_worker_knows_tokens(project: Project, url: str) -> None:
    """A token that is made while they run is taken by each, and one that is revoked by none."""
    made, kept = add_token(project.pipeline().tokens_file, "late", ())
    assert {status_of(url, made) for _ in range(8)} == {200}
    revoke_token(project.pipeline().tokens_file, kept.token_id)
    assert {status_of(url, made) for _ in range(8)} == {401}


def assert_each_worker_counts_by_itself(project: Project, url: str, workers: int) -> None:
    """So many requests of one caller get through as a minute has for each process, and no more."""
    made, _ = add_token(project.pipeline().tokens_file, "eager", ())
    began = time.monotonic()
    # Twice what may come through.
    found = Counter(status_of(url, made) for _ in range(2 * PER_MINUTE * workers + 15))
    minutes = (time.monotonic() - began) / 60
    assert set(found) == {200, 429}
    # One process may have had them all; and as a minute slides on, each takes as many more as went out of it.
    assert PER_MINUTE <= found[200] <= workers * (PER_MINUTE * (1 + minutes) + 1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_answers_counts_over_its_workers_and_stops(lake: Project, workers: int, tmp_path: Path) -> None:
    project, port = lake.copied(tmp_path), free_port()
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "RAG_PIPELINE__SERVING__ANONYMOUS": "true"}
    environment["RAG_PIPELINE__SERVING__REQUESTS_PER_MINUTE"] = str(PER_MINUTE)
    project.pipeline()
    command = [sys.executable, "-m", "rag_pipeline.cli", "serve", "--config", str(project.folder / "pipeline.yaml")]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--workers", str(workers)],
        env=environment,
        stderr=subprocess.PIPE,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, process)
        for _ in range(6):
            # A connection of its own each time, so that both processes have their turn.
            assert httpx.post(f"{url}/v1/search", json={"query": "hall"}, timeout=60).status_code == 200
        counted = 'rag_pipeline_requests_total{method="POST",route="/v1/search",status="200"} 6.0'
        assert counted in httpx.get(f"{url}/metrics", timeout=60).text
        assert_every_worker_knows_tokens(project, url)
        assert_each_worker_counts_by_itself(project, url, workers)
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGTERM, 143)
    assert b"Traceback" not in said
