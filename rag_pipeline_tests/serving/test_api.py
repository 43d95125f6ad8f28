"""The API over real HTTP: answers, problems, limits, health and metrics."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

import httpx
import pytest

from rag_pipeline import Searcher
from rag_pipeline.errors import NothingPublished, RagPipelineError
from rag_pipeline.serving.app import build_app
from rag_pipeline.serving.questions import ExplainAnswer, SearchAnswer, SourcesAnswer, WindowAnswer
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import PRINCIPALS, Served, known_to, mark_of, running, tokens_for

PROBLEM_FIELDS = {"type", "title", "status", "code", "detail", "request_id"}


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """An answer is a problem of the form that is promised."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert set(found) == PROBLEM_FIELDS
    assert (found["status"], found["code"]) == (status, code)
    assert found["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    return found


def test_a_search_is_what_the_searcher_gives(served: Served, searcher: Searcher) -> None:
    with served.client("bob") as client:
        answer = client.post("/v1/search", json={"query": "key of the hall", "k": 5})
    assert answer.status_code == 200
    hits = searcher.search("key of the hall", principals=PRINCIPALS["bob"], k=5)
    assert [hit["chunk_id"] for hit in answer.json()["hits"]] == [hit.chunk_id for hit in hits]
    assert (
        set(answer.json()["hits"][0])
        == set(hits[0].record())
        == set(SearchAnswer.model_json_schema()["$defs"]["FoundHit"]["properties"])
    )
    SearchAnswer.model_validate(answer.json())


def test_explain_says_what_became_of_a_document(served: Served) -> None:
    with served.client("ann") as client:
        found = client.post("/v1/explain", json={"query": "hall", "k": 1, "document": f"{mark_of(0)}.md"}).json()
        closed = client.post("/v1/explain", json={"query": "hall", "document": f"{mark_of(1)}.md"}).json()
        absent = client.post("/v1/explain", json={"query": "hall", "document": f"{mark_of(25)}.md"}).json()
    ExplainAnswer.model_validate(found)
    assert found["documents"][0]["uri"] == f"docs/{mark_of(0)}.md"
    assert closed["documents"][0] == json.loads(json.dumps(absent["documents"][0]).replace(mark_of(25), mark_of(1)))


def test_a_window_shows_where_its_chunk_stands(served: Served) -> None:
    with served.client("eve") as client:
        hit = client.post("/v1/search", json={"query": f"word {mark_of(2)}", "k": 1}).json()["hits"][0]
        window = client.post("/v1/window", json={"chunk_id": hit["chunk_id"], "by": "tokens"}).json()
    WindowAnswer.model_validate(window)
    assert window["text"][window["chunk_start"] : window["chunk_end"]] == hit["text"]
    assert len(window["text"]) > len(hit["text"])
    # Where it came from is told of the very row that the caller may read.
    assert all(window["lineage"][name] == hit[name] for name in window["lineage"])
    assert window["lineage"].keys() >= {"source", "source_polled_at", "document_id", "start_char", "published_at"}
    with served.client("ann") as client:
        closed = client.post("/v1/window", json={"chunk_id": hit["chunk_id"]})
        absent = client.post("/v1/window", json={"chunk_id": "0" * 32})
    assert assert_problem(closed, 404, "not_there")["detail"] == assert_problem(absent, 404, "not_there")["detail"]


def test_sources_count_what_the_caller_may_read(served: Served) -> None:
    for who, principals in PRINCIPALS.items():
        with served.client(who) as client:
            answer = client.get("/v1/sources").json()
        SourcesAnswer.model_validate(answer)
        assert [source["documents"] for source in answer["sources"]] == [len(known_to(principals))]
        assert answer["sources"][0]["polled_at"] is not None
        assert answer["sources"][0]["is_overdue"] is False


def test_an_administrator_sees_less_and_never_more(served: Served, searcher: Searcher) -> None:
    asked = {"query": "key of the hall", "k": 50}
    with served.client("eve") as client:
        narrow = client.post("/v1/search", json=asked | {"view_as": ["staff"]}).json()
        wider = client.post("/v1/search", json=asked | {"view_as": ["bob"]})
        fewer = client.get("/v1/sources", params={"view_as": "public"}).json()
    hits = searcher.search("key of the hall", principals={"staff"}, k=50)
    assert [hit["chunk_id"] for hit in narrow["hits"]] == [hit.chunk_id for hit in hits]
    assert fewer["sources"][0]["documents"] == len(known_to(frozenset()))
    assert_problem(wider, 403, "forbidden")
    with served.client("bob") as client:
        assert_problem(client.post("/v1/search", json=asked | {"view_as": ["public"]}), 403, "forbidden")


@pytest.mark.parametrize(
    "path", ["/v1/search", "/v1/explain", "/v1/window", "/v1/sources", "/v1/me", "/metrics", "/nowhere"]
)
def test_nobody_that_is_unknown_is_told_anything(served: Served, path: str) -> None:
    with served.client() as client:
        for method in ("GET", "POST"):
            answer = client.request(method, path, content=b"{" if method == "POST" else None)
            assert_problem(answer, 401, "unidentified")
            assert answer.headers["www-authenticate"] == "Bearer"
        wrong = client.get(path, headers={"Authorization": "Bearer ragp_wrong"})
        assert_problem(wrong, 401, "unidentified")


@pytest.mark.parametrize(
    "body",
    [
        {"query": ""},
        {"query": "   "},
        {"query": "a", "k": 0},
        {"query": "a", "k": 101},
        {"query": "a", "mode": "psychic"},
        {"query": "a", "secret": 1},
        {"query": "a", "filters": ["=="]},
        {"query": "a", "since": "0001-01-01T00:00:00+23:00"},
        {"query": "a", "before": "yesterday"},
        {"query": "a", "as_of": "0001-01-01T00:00:00+23:59"},
        {"query": "a", "sources": ["nowhere"]},
        {"query": "a", "filters": ["nothing=1"]},
        {"query": "a", "diversity": 2},
        {"query": "a" * 4_001},
        [],
        None,
    ],
)
def test_what_is_no_question_is_a_problem(served: Served, body: Any) -> None:
    with served.client("ann") as client:
        answer = client.post("/v1/search", json=body)
    assert answer.status_code == 422, answer.text
    assert_problem(answer, 422, answer.json()["code"])


def test_a_body_that_is_not_said_to_be_json_is_told_how_to_say_so(served: Served) -> None:
    with served.client("ann") as client:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = client.post("/v1/search", content=b'{"query": "a"}', headers=headers)
        listed = client.post("/v1/search", json=[])
    assert "Content-Type: application/json" in assert_problem(answer, 422, "bad_request")["detail"]
    assert "Content-Type" not in assert_problem(listed, 422, "bad_request")["detail"]


@pytest.mark.parametrize(
    "content",
    [
        b'{"query": "\\ud800"}',
        b'{"query": "nul \\u0000 byte"}',
        b'{"query": "\\u202e right to left \\u0627\\u0644"}',
        b'{"query": "a", "k": 1e400}',
        b'{"query": "a", "k": 99999999999999999999999999}',
        b'{"query": "a", "as_of": "9999-12-31"}',
        b'{"query": "a", "as_of": "0001-01-01"}',
        b'{"query": "\'; DROP TABLE x; --", "paths": ["\'", "[", "**/**/**", "\\u0000"]}',
        b'{"query": "a", "filters": ["number > 99999999999999999999", "title = \'"]}',
        b'{"query": "a", "languages": ["\'"], "media_types": ["\\u0000"]}',
        b"{" * 2_000,
        b"\xff\xfe",
        b'{"query": "\xe9"}',
        b"\xcc\xa7\xef\x8a",
    ],
)
def test_hostile_bytes_are_no_error_of_the_server(served: Served, content: bytes) -> None:
    with served.client("ann") as client:
        answer = client.post("/v1/search", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 404, 422), answer.text
        # The connection still answers.
        assert client.get("/health").status_code == 200


def test_a_request_that_is_too_large_is_refused(served: Served) -> None:
    with served.client("ann") as client:
        assert_problem(client.post("/v1/search", content=b" " * 70_000), 413, "request_too_large")

        def chunks() -> Any:
            for _ in range(70):
                yield b" " * 1_000

        assert_problem(client.post("/v1/search", content=chunks()), 413, "request_too_large")


def test_what_is_not_there_is_a_problem_too(served: Served) -> None:
    with served.client("ann") as client:
        assert_problem(client.get("/nowhere"), 404, "not_there")
        wrong = client.get("/v1/search")
        assert_problem(wrong, 405, "method_not_allowed")
        assert wrong.headers["allow"] == "POST"
        # Nothing is sent on to an address that the caller's own header names, nor from TLS to none.
        for method, path in (("POST", "/v1/search/"), ("GET", "/v1/sources/"), ("GET", "/page.js/")):
            assert_problem(client.request(method, path, headers={"Host": "evil.example"}), 404, "not_there")


def test_a_request_keeps_its_id_if_it_fits_a_log(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with served.client("ann") as client, caplog.at_level(logging.INFO, "rag_pipeline.serving"):
        assert client.get("/v1/me", headers={"X-Request-ID": "night-7"}).headers["x-request-id"] == "night-7"
        made = client.get("/v1/me", headers={"X-Request-ID": "a b; c=1"}).headers["x-request-id"]
    assert len(made) == 32
    assert "request=night-7 GET /v1/me status=200" in caplog.text


def without_example(described: dict[str, Any]) -> list[str]:
    """Paths whose body can be made from no example: neither the whole has one, nor each field that is needed."""
    found = []
    for path, methods in described["paths"].items():
        if "requestBody" in methods.get("post", {}):
            reference = methods["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            asked = described["components"]["schemas"][reference.rpartition("/")[2]]
            if "examples" not in asked and not all(
                "examples" in asked["properties"][name] for name in asked["required"]
            ):
                found.append(path)
    return found


def test_health_metrics_and_description(served: Served) -> None:
    with served.client() as client:
        assert client.get("/health").json() == {"status": "ok"}
        assert client.get("/ready").json() == {"status": "ready"}
        described = client.get("/openapi.json").json()
    assert {"/v1/search", "/v1/explain", "/v1/window", "/v1/sources"} <= set(described["paths"])
    assert without_example(described) == []
    with served.client("ann") as client:
        client.post("/v1/search", json={"query": "hall"})
        text = client.get("/metrics").text
    assert 'rag_pipeline_requests_total{method="POST",route="/v1/search",status="200"}' in text
    assert "rag_pipeline_request_seconds_bucket" in text
    assert "hall" not in text


def test_the_page_and_every_answer_forbid_what_they_do_not_need(served: Served) -> None:
    with served.client() as client:
        answers = [client.get(path) for path in ("/", "/page.js", "/page.css", "/favicon.svg", "/v1/me")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    page = answers[0].text
    assert "http://" not in page + answers[2].text
    assert "https://" not in page + answers[2].text
    assert " style=" not in page
    assert mark_of(0) not in page


def test_anonymous_callers_are_the_public_where_that_is_switched_on(lake: Project) -> None:
    pipeline = with_serving(lake, anonymous=True)
    with running(build_app(pipeline)) as url, httpx.Client(base_url=url, timeout=60) as client:
        hits = client.post("/v1/search", json={"query": "hall", "k": 50}).json()["hits"]
        assert {hit["title"].split()[-1] for hit in hits} == known_to(frozenset())
        assert client.get("/v1/me").json()["principals"] == ["public"]
        wrong = client.get("/v1/me", headers={"Authorization": "Bearer ragp_wrong"})
        assert_problem(wrong, 401, "unidentified")


def test_who_asks_too_often_waits(lake: Project) -> None:
    pipeline = with_serving(lake, anonymous=True, requests_per_minute=3)
    with running(build_app(pipeline)) as url, httpx.Client(base_url=url, timeout=60) as client:
        assert [client.get("/v1/me").status_code for _ in range(3)] == [200, 200, 200]
        refused = client.get("/v1/me")
        assert_problem(refused, 429, "too_many_requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert client.get("/health").status_code == 200
        wrong = {"Authorization": "Bearer ragp_guess"}
        assert [client.get("/v1/me", headers=wrong).status_code for _ in range(4)] == [401, 401, 401, 429]


def test_more_searches_than_may_wait_are_refused_and_health_is_told_meanwhile(
    lake: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()
    search = Searcher.search

    def slow(self: Searcher, *arguments: Any, **options: Any) -> Any:
        begun.release()
        assert go_on.wait(60)
        return search(self, *arguments, **options)

    monkeypatch.setattr(Searcher, "search", slow)
    pipeline = with_serving(lake, anonymous=True, searches_at_once=1, searches_waiting=0)
    with running(build_app(pipeline)) as url, httpx.Client(base_url=url, timeout=60) as client:
        answers: list[httpx.Response] = []
        first = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{url}/v1/search", json={"query": "hall"}, timeout=60))
        )
        first.start()
        assert begun.acquire(timeout=60)
        refused = client.post("/v1/search", json={"query": "hall"})
        assert_problem(refused, 503, "server_busy")
        assert refused.headers["retry-after"] == "2"
        assert client.get("/health").status_code == 200
        assert "rag_pipeline_searches_running 1.0" in client.get("/metrics").text
        go_on.set()
        first.join(60)
    assert answers[0].status_code == 200


def test_an_error_of_the_server_tells_nothing_and_breaks_no_connection(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd(RagPipelineError):
        """Something of the server is odd."""

        code = "odd"

    failures: list[Exception] = [RuntimeError("secret place /srv/lake"), Odd("secret place /srv/lake")]

    def fail(*_: Any, **__: Any) -> Any:
        raise failures[0]

    monkeypatch.setattr(Searcher, "search", fail)
    with served.client("ann") as client:
        for code in ("internal", "odd"):
            answer = client.post("/v1/search", json={"query": "hall"})
            assert "secret" not in assert_problem(answer, 500, code)["detail"]
            assert client.get("/v1/me").status_code == 200
            failures.pop(0)


def test_what_is_published_or_withdrawn_is_seen_without_a_restart(lake: Project, tmp_path: Any) -> None:
    project = lake.copied(tmp_path)
    tokens = tokens_for(project)
    pipeline = project.pipeline()
    with running(build_app(pipeline)) as url:
        asks = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {tokens['ann']}"}, timeout=60)
        with asks as client:
            before = client.post("/v1/search", json={"query": f"word {mark_of(0)}", "k": 1}).json()["hits"][0]
            assert mark_of(0) in before["uri"]
            (project.folder / "docs" / f"{mark_of(0)}.md").unlink()
            project.refresh()
            threading.Event().wait(1.1)
            after = client.post("/v1/search", json={"query": f"word {mark_of(0)}", "k": 50})
            assert mark_of(0) not in json.dumps(after.json()["hits"])
            assert client.post("/v1/window", json={"chunk_id": before["chunk_id"]}).status_code == 404


def with_serving(project: Project, **values: Any) -> Any:
    """The project's pipeline with other settings of the server."""
    from dataclasses import replace

    pipeline = project.pipeline()
    serving = pipeline.settings.serving.model_copy(update=values)
    return replace(pipeline, settings=pipeline.settings.model_copy(update={"serving": serving}))


@pytest.mark.parametrize("fails", [False, True])
def test_however_many_ask_whether_it_is_ready_one_look_is_made(
    lake: Project, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from rag_pipeline.serving import service

    looks: list[float] = []

    def look(_: object) -> dict[str, object]:
        looks.append(time.monotonic())
        time.sleep(0.1)
        if fails:
            raise NothingPublished("nothing is published yet")
        return {}

    monkeypatch.setattr(service.Service, "try_out", look)
    with running(build_app(lake.pipeline())) as url, ThreadPoolExecutor(8) as callers:
        statuses = set(callers.map(lambda _: httpx.get(f"{url}/ready").status_code, range(16)))
    assert statuses == {503 if fails else 200}
    assert len(looks) <= 1 + (looks[-1] - looks[0]) / 2
