"""Many requests: those that are too many are told to come again, and of those that were answered nothing is kept."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rag_pipeline.serving.app import build_app
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import Served, running, tokens_for

CALLERS = 24
EACH = 6


@pytest.fixture
def narrow(lake: Project, tmp_path: Path) -> Iterator[Served]:
    """A server that takes on little at once."""
    project = lake.copied(tmp_path)
    project.settings["serving"] = project.settings["serving"] | {"searches_at_once": 2, "searches_waiting": 2}
    tokens = tokens_for(project)
    with running(build_app(project.pipeline())) as url:
        yield Served(url, project, tokens)


def test_at_saturation_every_request_is_answered(narrow: Served) -> None:
    def ask(at: int) -> Counter[int]:
        found: Counter[int] = Counter()
        # A connection that it keeps, as long as the server does.
        with narrow.client("bob") as client:
            for number in range(EACH):
                answer = client.post("/v1/search", json={"query": f"the pump of hall {at} {number}"})
                found[answer.status_code] += 1
                if answer.status_code == 503:
                    assert int(answer.headers["Retry-After"]) > 0
                    assert answer.json()["code"] == "server_busy"
        return found

    with ThreadPoolExecutor(CALLERS) as pool:
        codes = sum(pool.map(ask, range(CALLERS)), Counter[int]())
    assert sum(codes.values()) == CALLERS * EACH
    assert set(codes) == {200, 503}
    # Whoever comes again afterwards is answered.
    with narrow.client("bob") as client:
        assert client.post("/v1/search", json={"query": "pump"}).status_code == 200


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads what Linux says of a process")
def test_nothing_is_kept_of_a_request(lake: Project, tmp_path: Path) -> None:
    project = lake.copied(tmp_path)
    project.pipeline()
    command = [sys.executable, "-m", "rag_pipeline_tests.serving.kept", str(project.folder / "pipeline.yaml")]
    told = subprocess.run([*command, tokens_for(project)["bob"]], cwd=REPOSITORY, stdout=subprocess.PIPE, check=True)
    found = json.loads(told.stdout)
    # A text that is kept by each request, or a dictionary, would be one block or more.
    assert found["blocks"] < 0.5, f"{found['grown']}\n{found['where']}"
    assert found["bytes"] < 4_096, found["grown"]
