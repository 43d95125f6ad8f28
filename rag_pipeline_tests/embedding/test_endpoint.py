"""Endpoints: batches, order, retries, refusals and costs, against a real HTTP server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding.endpoint_backend import endpoint_of
from rag_pipeline.embedding.open import open_model, resolve_space
from rag_pipeline.endpoints.costs import estimate_cost
from rag_pipeline.errors import EmbeddingError, ModelUnavailable, SettingsError
from rag_pipeline_tests.extras import needs

needs("openai", "needs the extra `endpoint`")


class Endpoint(ThreadingHTTPServer):
    """Answers with the length of each text; `refusals` are (status, headers) to give first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append(body)
            self.server.keys.add(self.headers["Authorization"])
            status, headers = self.server.refusals.pop(0) if self.server.refusals else (200, {})
        data = [
            {"object": "embedding", "index": index, "embedding": [1.0, float(len(text)), 0.5]}
            for index, text in enumerate(body["input"])
        ]
        answer = {
            "object": "list",
            "model": body["model"],
            "data": data[::-1],
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        }
        raw = json.dumps(answer if status == 200 else {"error": {"message": "refused"}}).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def spec_of(endpoint: Endpoint, **changes: Any) -> EmbeddingModelSpec:
    settings = {"dimension": 3, "batch_texts": 10, "max_tokens": 50, **changes}
    return EmbeddingModelSpec("remote", "some-model", kind="endpoint", base_url=endpoint.url, **settings)


def test_texts_go_in_batches_and_vectors_come_back_in_order(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "secret")
    model = open_model(spec_of(endpoint, api_key_variable="SOME_KEY", document_prompt="p:"), tmp_path)
    texts = ["y" * (number * 5 % 23) for number in range(47)]
    vectors = model.embed_documents(texts)
    assert [round(float(vector[1] / vector[0])) for vector in vectors] == [len(text) + 2 for text in texts]
    assert sorted(len(request["input"]) for request in endpoint.requests) == [7, 10, 10, 10, 10]
    assert endpoint.keys == {"Bearer secret"}


def test_an_endpoint_that_asks_for_patience_gets_it(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.refusals = [(429, {"Retry-After": "0.01"}), (503, {"retry-after-ms": "5"})]
    assert open_model(spec_of(endpoint), tmp_path).embed_query("question").shape == (3,)
    assert len(endpoint.requests) == 3


def test_an_endpoint_that_never_recovers_is_worth_another_try_later(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_pipeline.endpoints.client.MAX_RETRIES", 2)
    endpoint.refusals = [(429, {"retry-after-ms": "1"})] * 3
    with pytest.raises(EmbeddingError, match="after 3 tries") as raised:
        open_model(spec_of(endpoint), tmp_path).embed_query("question")
    assert raised.value.retryable


def test_a_refused_model_is_permanent_and_says_what_to_check(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.refusals = [(404, {})]
    with pytest.raises(ModelUnavailable, match="some-model") as raised:
        open_model(spec_of(endpoint), tmp_path).embed_query("question")
    assert not raised.value.retryable


def test_texts_beyond_the_limit_are_cut_and_empty_ones_are_never_sent(endpoint: Endpoint, tmp_path: Path) -> None:
    open_model(spec_of(endpoint), tmp_path).embed_documents(["word " * 80, ""])
    assert endpoint.requests[0]["input"] == [("word " * 50).rstrip(), " "]


def test_a_missing_key_or_address_is_named(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(SettingsError, match="SOME_KEY"):
        open_model(spec_of(endpoint, api_key_variable="SOME_KEY"), tmp_path).embed_query("question")
    with pytest.raises(SettingsError, match="base_url"):
        resolve_space(EmbeddingModelSpec("remote", "m", kind="endpoint", dimension=3), tmp_path)


def test_another_model_at_the_endpoint_is_another_space(endpoint: Endpoint, tmp_path: Path) -> None:
    one = resolve_space(spec_of(endpoint), tmp_path)
    two = resolve_space(
        EmbeddingModelSpec("remote", "other", kind="endpoint", base_url=endpoint.url, dimension=3), tmp_path
    )
    assert one.fingerprint != two.fingerprint


def test_requests_keep_the_pace_of_the_rate_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    from rag_pipeline.endpoints import pace as pacing

    slept: list[float] = []
    monkeypatch.setattr(pacing.time, "monotonic", lambda: 100.0)
    monkeypatch.setattr(pacing.time, "sleep", slept.append)
    pace = pacing.Pace(120)
    for _ in range(3):
        pace.wait()
    assert np.allclose(slept, [0, 0.5, 1.0])


def test_the_cost_is_known_before_anything_is_sent(endpoint: Endpoint) -> None:
    spec = spec_of(endpoint, price_per_million_tokens=0.5, requests_per_minute=30)
    estimate = estimate_cost(endpoint_of(spec), [100] * 25, 10, prompt_tokens=4)
    assert (estimate.texts, estimate.tokens, estimate.requests) == (25, 2_600, 3)
    assert estimate.price == pytest.approx(0.0013)
    assert estimate.minimum_seconds == pytest.approx(6.0)
    assert estimate_cost(endpoint_of(spec_of(endpoint)), [], 10).price is None
