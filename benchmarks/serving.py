"""What HTTP costs beside the search itself: the server's processor time for a request, and the bare Searcher's.

    python -m benchmarks.serving [--chunks 20000] [--requests 100] [--clients 8] [--pairs 12]

Generated documents and a stub embedder; the lake stays in the folder for temporary files. A server runs in this
process and its clients in another one, so that this process' CPU is the server's alone. Requests over HTTP and searches
by as many threads without it take turns in short pairs, and every other pair begins with the searches: what others do
on the machine meanwhile, or a clock that slows down, falls on both alike. What counts is the median of the pairs'
ratios; their quartiles say how far to trust it. Memory is what this process holds after each pair.

The bars: throughput within 20 % of the bare search, so at most 1.25 times its CPU and its time by the clock (exit code
1 above that), no answer but 200, and no more memory than a tenth above what it was after the first pair.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import uvicorn

from benchmarks.search import built
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.serving.app import build_app
from rag_pipeline.serving.server import options_of
from rag_pipeline.settings import Pipeline
from rag_pipeline.settings.load import load_pipeline

TOP = 10
# 1 / 0.8: within 20 %.
MOST_TIMES = 1.25
MOST_GROWN = 1.1
# Seconds by the clock, and of CPU.
Spent = tuple[float, float]
QUESTIONS = ("harbour crane timetable", "engine oil pressure", "ticket refund rules", "night watch handover")
# The process of the clients: so many threads, each with a connection that it keeps. It begins when it reads a line and
# writes one at the end, so that neither its start nor connecting is measured.
CLIENT = """
import collections, http.client, json, sys
from concurrent.futures import ThreadPoolExecutor
port, requests, clients, questions = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
bodies = [json.dumps({"query": question, "k": 10}) for question in questions]
connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=600) for _ in range(clients)]
def ask(at):
    codes = collections.Counter()
    for n in range(at, requests, clients):
        connections[at].request("POST", "/v1/search", bodies[n % len(bodies)], {"Content-Type": "application/json"})
        answer = connections[at].getresponse()
        answer.read()
        codes[answer.status] += 1
    return codes
with ThreadPoolExecutor(clients) as pool:
    for _ in sys.stdin:
        # The server ends those that were silent while others took their turn.
        for connection in connections: connection.close()
        codes = sum(pool.map(ask, range(clients)), collections.Counter())
        assert codes == {200: requests}, codes
        print("done", flush=True)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--requests", type=int, default=100, help="of each side in each pair")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=12)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    work = Path(tempfile.gettempdir()) / f"rag-pipeline-benchmark-serving-{asked.chunks}"
    work.mkdir(parents=True, exist_ok=True)
    built(work, asked.chunks)
    pipeline = open_served(work)
    server = uvicorn.Server(uvicorn.Config(build_app(pipeline), **options_of(pipeline) | {"port": 0}))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    command = [sys.executable, "-c", CLIENT, str(port), str(asked.requests), str(asked.clients), *QUESTIONS]
    http: list[Spent] = []
    bare: list[Spent] = []
    memory: list[int] = []
    with (
        Searcher.open(pipeline) as searcher,
        ThreadPoolExecutor(asked.clients) as pool,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client,
    ):

        def by_hand() -> None:
            list(pool.map(lambda at: search(searcher, at), range(asked.requests)))

        def over_http() -> None:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write("\n")
            client.stdin.flush()
            assert client.stdout.readline() == "done\n", "a request was not answered"

        by_hand()
        over_http()
        for pair in range(asked.pairs):
            sides = [(http, over_http), (bare, by_hand)]
            for times, call in sides if pair % 2 else reversed(sides):
                times.append(spent(call))
            memory.append(resident_bytes())
        assert client.stdin is not None
        client.stdin.close()
    server.should_exit = True
    thread.join()
    cpu, clock, grown = ratios(http, bare, 1), ratios(http, bare, 0), memory[-1] / memory[0]
    print(report(asked.requests, http, bare, cpu, clock, grown))  # noqa: T201
    return int(median(cpu) > MOST_TIMES or median(clock) > MOST_TIMES or grown > MOST_GROWN)


def open_served(work: Path) -> Pipeline:
    """The pipeline as it is served to anybody, without limits that a benchmark would meet."""
    serving = {"ANONYMOUS": "true", "REQUESTS_PER_MINUTE": "10000000"}
    return load_pipeline(
        work / "pipeline.yaml", {f"RAG_PIPELINE__SERVING__{name}": value for name, value in serving.items()}
    )


def search(searcher: Searcher, at: int) -> None:
    searcher.search(QUESTIONS[at % len(QUESTIONS)], principals={PUBLIC}, k=TOP)


def spent(call: Callable[[], object]) -> Spent:
    """Seconds by the clock and of this process' CPU."""
    began, used = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - began, time.process_time() - used


def ratios(http: Sequence[Spent], bare: Sequence[Spent], which: int) -> list[float]:
    """How many times as much each pair took over HTTP, least first."""
    return sorted(one[which] / other[which] for one, other in zip(http, bare, strict=True))


def resident_bytes() -> int:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4_096


def report(
    requests: int, http: Sequence[Spent], bare: Sequence[Spent], cpu: list[float], clock: list[float], grown: float
) -> str:
    lines = ["| | ms of CPU each | each second |", "|---|---|---|"]
    for name, times in (("over HTTP", http), ("bare Searcher", bare)):
        each = 1_000 * median(used for _, used in times) / requests
        lines.append(f"| {name} | {each:.1f} | {requests / median(wall for wall, _ in times):.0f} |")
    figures = (
        f"over {len(cpu)} pairs: CPU ratio {spread(cpu)}, by the clock {spread(clock)}; memory after all pairs "
        f"{grown:.2f} times that after one"
    )
    return "\n".join([*lines, "", figures])


def spread(values: list[float]) -> str:
    """The median and both quartiles."""
    quarter = len(values) // 4
    return f"{median(values):.2f} ({values[quarter]:.2f} to {values[-1 - quarter]:.2f})"


if __name__ == "__main__":
    raise SystemExit(main())
