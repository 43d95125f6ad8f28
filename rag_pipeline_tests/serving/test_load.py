"""Many requests: those that are too many are told to come again, and of those that were answered nothing is kept."""

from __future__ import annotations

import gc
import http.client
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.serving.app import build_app
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import Served, running, tokens_for

CALLERS = 24
EACH = 6
# Rounds of `a_round`, the first of which fill what is bounded.
# Stretches of requests that are compared.
PARTS = 4
WARM, ROUNDS = 25, 60


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


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


class Plain:
    """A client that keeps nothing itself: what it is built on has no caches of addresses and headers."""

    def __init__(self, served: Served) -> None:
        self._connection = http.client.HTTPConnection(served.url.removeprefix("http://"))
        self._token = served.tokens["bob"]

    def close(self) -> None:
        self._connection.close()

    def status(self, method: str, path: str, body: Any = None, request_id: str = "", token: str = "") -> int:
        headers = {"Authorization": f"Bearer {token or self._token}", "X-Request-ID": request_id}
        headers["Content-Type"] = "application/json"
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status


def a_round(client: Plain, number: int) -> None:
    """Twenty requests, each with something of its own: an id, a path, a field, a token.

    Words that are searched are few, since models remember so many of them.
    """
    for each in range(number * 20, number * 20 + 20):
        kind, own = each % 20, f"own-{each}"
        if kind == 0:
            found = client.status("POST", "/v1/search", {"query": f"pump {number % 10}", "k": 3}, own)
        elif kind < 3:
            found = client.status("POST", "/v1/window", {"chunk_id": f"none-{each}"}, own)
        elif kind < 5:
            found = client.status("POST", "/v1/search", {"query": "pump", "filters": [f"field{each}=1"]}, own)
        elif kind < 7:
            found = client.status("GET", "/v1/sources", None, own)
        elif kind == 7:
            found = client.status("GET", f"/v1/sources?view_as=x{each}", None, own)
        elif kind < 12:
            found = client.status("POST", "/v1/search", {f"f{each}": each}, own)
        elif kind < 16:
            found = client.status("GET", f"/v1/nowhere-{each}", None, own)
        else:
            found = client.status("GET", "/v1/me", None, own, f"ragp_{each}")
        wanted = {0: 200, 1: 404, 2: 404, 3: 422, 4: 422, 5: 200, 6: 200, 7: 403}
        assert found == wanted.get(kind, 422 if kind < 12 else 404 if kind < 16 else 401)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads what Linux says of this process")
def test_nothing_is_kept_of_a_request(served: Served) -> None:
    def kept() -> tuple[int, int]:
        gc.collect()
        return sys.getallocatedblocks(), resident_bytes()

    client = Plain(served)
    for number in range(WARM):
        a_round(client, number)
    figures = [kept()]
    each = ROUNDS // PARTS
    for part in range(PARTS):
        for number in range(WARM + part * each, WARM + (part + 1) * each):
            a_round(client, number)
        figures.append(kept())
    client.close()
    # Libraries let go of some objects late, so one part may seem to keep much; what requests keep, every part does.
    grown = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(figures)]
    # A text that is kept by each request, or a dictionary, would be one block or more.
    assert min(blocks for blocks, _ in grown) < each * 20 / 2
    assert min(held for _, held in grown) < each * 20 * 4_096
