"""Whether a server's memory stays bounded over many requests of every kind.

    python -m benchmarks.serving_memory [--requests 100000] [--clients 8] [--chunks 400]

Generated documents, a stub embedder, and a model for answers that is a process of its own. The server runs in this
process and its clients in another one. Of twenty requests one searches, one asks for an answer, one reads a window, two
list sources, one says who asks, and the others are refused: nobody asks, nothing is there, a filter or a body is none.
Nearly each has a question, a request id or a path of its own, so that whatever is kept by request is kept anew.

The bars: no connection fails, no status but those wanted, and after the first fifth memory grows by less than 1 MiB in
10,000 requests, as a straight line through what is held at each hundredth.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import uvicorn

from benchmarks.search import built
from benchmarks.serving import resident_bytes
from rag_pipeline.serving.app import build_app
from rag_pipeline.serving.server import options_of
from rag_pipeline.serving.tokens import add_token
from rag_pipeline.settings.load import load_pipeline

SAMPLES = 100
WARM_SHARE = 0.2
MIB = 2**20
# The model: it cites the first text it is given, at once.
CHAT = r"""
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        cited = {"delta": {"content": "It is so [1]."}, "finish_reason": None}
        ended = {"delta": {}, "finish_reason": "stop"}
        whole = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        events = [json.dumps(whole | {"choices": [{"index": 0} | piece]}) for piece in (cited, ended)]
        body = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *_):
        pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
print(server.server_port, flush=True)
server.serve_forever()
"""
# The clients: so many threads, each with a connection of its own; prints how often each status came.
CLIENT = """
import collections, http.client, itertools, json, sys, threading
port, token, requests, clients = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
chunks = json.loads(sys.argv[5])
words = "harbour crane timetable engine oil pressure ticket refund rules night watch handover".split()
count, seen, lock = itertools.count(), collections.Counter(), threading.Lock()
def request(n):
    known = {"Authorization": "Bearer " + token, "Content-Type": "application/json", "X-Request-ID": f"r{n}"}
    question = f"{words[n % 11]} {words[n // 11 % 11]} {n}"
    kind, body = n % 20, {"query": question, "k": 5, "mode": "hybrid" if n % 40 else "text"}
    if kind == 0:
        return "POST", "/v1/search", body, known, 200
    if kind == 1:
        asked = {"query": f"{words[n // 20 % 11]} {n // 20 % 3000}", "k": 2, "stream": False}
        return "POST", "/v1/ask", asked, known, 200
    if kind == 2:
        return "POST", "/v1/window", {"chunk_id": chunks[n % len(chunks)], "max_tokens": 200}, known, 200
    if kind == 3:
        return "POST", "/v1/window", {"chunk_id": f"none-{n}"}, known, 404
    if kind == 4:
        return "POST", "/v1/search", body | {"filters": [f"field{n}=1"]}, known, 422
    if kind < 7:
        return "GET", "/v1/sources", None, known, 200
    if kind == 7:
        return "GET", "/v1/me", None, known, 200
    if kind < 12:
        return "POST", "/v1/search", body, known | {"Authorization": f"Bearer rp_{n}"}, 401
    if kind < 16:
        return "GET", f"/v1/nothing-{n}", None, known, 404
    return "POST", "/v1/search", {"query": question, f"field{n}": n}, known, 422
def work():
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    while (n := next(count)) < requests:
        method, path, body, headers, wanted = request(n)
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        answer.read()
        with lock:
            seen[f"{path.split('-')[0]} {answer.status}"] += 1
            if answer.status != wanted:
                seen["not as wanted"] += 1
            if sum(seen.values()) % max(1, requests // 100) == 0:
                print("sample", flush=True)
threads = [threading.Thread(target=work) for _ in range(clients)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(seen), flush=True)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--chunks", type=int, default=400)
    asked = parser.parse_args()
    # As a server logs, to nowhere.
    logging.basicConfig(level=logging.INFO, filename=os.devnull)
    chat = subprocess.Popen([sys.executable, "-c", CHAT], stdout=subprocess.PIPE, text=True)
    try:
        assert chat.stdout is not None
        with tempfile.TemporaryDirectory(prefix="rag-pipeline-benchmark-") as folder:
            samples, counts, seconds = measured(
                Path(folder), f"http://127.0.0.1:{int(chat.stdout.readline())}/v1", asked
            )
    finally:
        chat.kill()
        chat.wait()
    print(report(asked.requests, samples, counts, seconds))  # noqa: T201
    return 0


def measured(work: Path, model: str, asked: argparse.Namespace) -> tuple[list[tuple[int, int]], dict[str, int], float]:
    """Bytes that this process holds and objects that Python keeps, at each sample; statuses; seconds of CPU."""
    built(work, asked.chunks)
    path = work / "pipeline.yaml"
    more = {
        "cache": str(work / "cache"),
        "serving": {"requests_per_minute": 10_000_000},
        "chat_models": {"stub": {"model": "m", "base_url": model}},
        "answers": {"model": "stub"},
    }
    # JSON is YAML, too.
    path.write_text(path.read_text("utf-8") + "".join(f"{name}: {json.dumps(value)}\n" for name, value in more.items()))
    pipeline = load_pipeline(path, {})
    token, _ = add_token(pipeline.tokens_file, "bench", ("public",))
    server = uvicorn.Server(uvicorn.Config(build_app(pipeline), **options_of(pipeline) | {"port": 0}))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    chunks = chunk_ids(pipeline)
    command = [sys.executable, "-c", CLIENT, str(port), token, str(asked.requests), str(asked.clients)]
    used = time.process_time()
    samples: list[tuple[int, int]] = []
    last = ""
    with subprocess.Popen([*command, json.dumps(chunks)], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        for line in client.stdout:
            last = line
            if line.startswith("sample"):
                samples.append((resident_bytes(), len(gc.get_objects())))
    assert client.returncode == 0, "a connection failed"
    used = time.process_time() - used
    server.should_exit = True
    thread.join()
    return samples, json.loads(last), used


def chunk_ids(pipeline: object) -> list[str]:
    from rag_pipeline.retrieval.search import Searcher

    with Searcher.open(pipeline) as searcher:  # type: ignore[arg-type]
        return [hit.chunk_id for hit in searcher.search("harbour", principals={"public"}, k=200)]


def slope(values: list[int], requests: int) -> float:
    """Growth in 10,000 requests, along the straight line nearest to values that are equally far apart."""
    each = requests / SAMPLES
    line = statistics.linear_regression([at * each for at in range(len(values))], values)
    return line.slope * 10_000


def report(requests: int, samples: list[tuple[int, int]], counts: dict[str, int], seconds: float) -> str:
    warm = samples[int(len(samples) * WARM_SHARE) :]
    at = {f"{share:.0%}": samples[min(len(samples) - 1, int(share * len(samples)))] for share in (0.01, 0.2, 0.5, 0.99)}
    lines = ["| after | MiB | objects |", "|---|---|---|"]
    lines += [f"| {name} | {held / MIB:.1f} | {objects:,} |" for name, (held, objects) in at.items()]
    grown = slope([held for held, _ in warm], requests) / MIB
    objects = slope([objects for _, objects in warm], requests)
    lines += ["", f"per 10,000 requests after the first fifth: {grown:+.2f} MiB, {objects:+.0f} objects"]
    lines += [f"{1_000 * seconds / requests:.2f} ms of the server's CPU each; statuses: {json.dumps(counts)}"]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
