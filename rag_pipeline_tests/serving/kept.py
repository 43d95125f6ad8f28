"""A server in a process of its own, many requests to it, and what it keeps of them.

    python -m rag_pipeline_tests.serving.kept PIPELINE_YAML TOKEN

Prints one JSON object. A process of its own, since what libraries that other tests use keep is not what requests keep.
"""

from __future__ import annotations

import gc
import http.client
import json
import logging
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from rag_pipeline.serving.app import build_app
from rag_pipeline.settings.load import load_pipeline
from rag_pipeline_tests.serving.conftest import running

REQUESTS_OF_A_ROUND = 20
# Rounds that fill what is bounded, and those of one stretch.
WARM, ROUNDS = 25, 15
# Polars keeps a little of each of the first hundreds of tables that Arrow hands it, less each time.
WARM_SEARCHES = 150
# Stretches that are compared. Libraries let go of some objects late, so two of five may seem to keep much; what
# requests keep, every stretch does.
STRETCHES = 5


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


class Plain:
    """A client that keeps nothing itself: what it is built on has no caches of addresses and headers."""

    def __init__(self, url: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"))
        self._token = token

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


def where_kept(client: Plain, first: int) -> str:
    """The lines whose blocks of memory became more over one stretch more, for whoever reads that too much is kept."""
    tracemalloc.start(8)
    try:
        before = tracemalloc.take_snapshot()
        for number in range(first, first + ROUNDS):
            a_round(client, number)
        gc.collect()
        found = tracemalloc.take_snapshot().compare_to(before, "traceback")
    finally:
        tracemalloc.stop()
    kept = sorted(found, key=lambda each: -each.count_diff)[:6]
    return "\n".join(f"{each.count_diff} blocks:\n" + "\n".join(each.traceback.format()) for each in kept)


def kept_now() -> tuple[int, int]:
    gc.collect()
    return sys.getallocatedblocks(), resident_bytes()


def measured(url: str, token: str) -> dict[str, Any]:
    """Blocks and bytes that a request leaves behind: the median of all stretches, and where they come from if many."""
    client = Plain(url, token)
    for number in range(WARM_SEARCHES):
        assert client.status("POST", "/v1/search", {"query": f"gate {number % 10}", "k": 3}) == 200
    for number in range(WARM):
        a_round(client, number)
    figures, next_round = [kept_now()], WARM
    for _ in range(STRETCHES):
        for number in range(next_round, next_round + ROUNDS):
            a_round(client, number)
        next_round += ROUNDS
        figures.append(kept_now())
    grown = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(figures)]
    blocks, held = (median(each) / (ROUNDS * REQUESTS_OF_A_ROUND) for each in zip(*grown, strict=True))
    where = where_kept(client, next_round)
    client.close()
    return {"blocks": blocks, "bytes": held, "grown": grown, "where": where}


if __name__ == "__main__":
    # As `rag-pipeline serve` logs; else a library would choose.
    logging.basicConfig(level=logging.WARNING)
    with running(build_app(load_pipeline(Path(sys.argv[1])))) as address:
        sys.stdout.write(json.dumps(measured(address, sys.argv[2])))
