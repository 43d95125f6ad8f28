"""Spans reach a real collector over HTTP and say nothing of what was asked; without one they cost nothing."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag_pipeline.answering.answerer import Answerer
from rag_pipeline.contracts.notices import said_by
from rag_pipeline.errors import ExtraMissing, SettingsError, SourceUnavailable
from rag_pipeline.serving.app import build_app
from rag_pipeline.settings.telemetry import TelemetrySettings
from rag_pipeline.shown import keep_secret
from rag_pipeline.telemetry import tracing as module
from rag_pipeline.telemetry.logs import (
    FORMAT_VARIABLE,
    TEXT_FORMAT,
    JsonLines,
    LogFormat,
    TextLines,
    about,
    log_format,
    set_up,
)
from rag_pipeline.telemetry.tracing import span, tracing
from rag_pipeline_tests.answering.conftest import answering_project
from rag_pipeline_tests.answering.scripted import Scripted, says, scripted_server
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import running
from rag_pipeline_tests.serving.test_ask import QUESTION

pytest.importorskip("opentelemetry.sdk", reason="needs the extra telemetry")

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@dataclass
class Sent:
    """One span as it arrived."""

    name: str
    span: str
    parent: str
    trace: str
    facts: dict[str, Any]
    failed: bool


@dataclass
class Collector:
    """What arrived; `headers` are those of the last request."""

    url: str = ""
    spans: list[Sent] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    service: str = ""

    def named(self, name: str) -> list[Sent]:
        return [each for each in self.spans if each.name == name]

    def take(self, body: bytes) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for each in (each for scope in resource.scope_spans for each in scope.spans):
                facts = {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in each.attributes}
                ids = each.span_id.hex(), each.parent_span_id.hex(), each.trace_id.hex()
                self.spans.append(Sent(each.name, *ids, facts, each.status.code == 2))


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.headers = {name.lower(): value for name, value in self.headers.items()}
            assert self.path == "/v1/traces"
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def model() -> Iterator[Scripted]:
    with scripted_server() as server:
        yield server


@pytest.fixture(scope="module")
def project(model: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = answering_project(tmp_path_factory.mktemp("traced"), model.url)
    project.settings["serving"] = {"anonymous": True}
    project.write("empty.md", "")
    return project


def test_a_refresh_is_one_trace_of_its_steps(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTOR_HEADERS", "Authorization=Bearer abc def,X-Other = 1")
    with collecting() as collector:
        told = TelemetrySettings(endpoint=collector.url, headers_from_env="COLLECTOR_HEADERS", service_name="handbook")
        with tracing(told):
            project.refresh()
    assert (collector.service, collector.headers["authorization"], collector.headers["x-other"]) == (
        "handbook", "Bearer abc def", "1",
    )  # fmt: skip
    steps = {each.facts["rag.asset"]: each for each in collector.spans if "rag.asset" in each.facts}
    assert {"bronze/docs", "bronze/people", "silver/documents", "silver/chunks", "gold/index"} <= set(steps)
    assert {each.facts["rag.run"] for each in steps.values()} == {"test"}
    assert len({each.trace for each in steps.values()}) == 1
    assert steps["bronze/docs"].facts["rag.source"] == "docs"
    assert steps["bronze/docs"].facts["rag.added"] == 3
    documents = steps["silver/documents"].facts
    assert (documents["rag.documents"], documents["rag.quarantined"]) == (3, 1)
    assert not any(each.failed for each in collector.spans)
    project.settings["sources"]["docs"]["location"] = "nowhere"
    told = TelemetrySettings()
    with (
        collecting() as collector,
        pytest.raises(SourceUnavailable),
        tracing(told, {"OTEL_EXPORTER_OTLP_ENDPOINT": "set", "OTEL_SDK_DISABLED": "true"}),
        tracing(TelemetrySettings(endpoint=collector.url)),
    ):
        project.refresh()
    project.settings["sources"]["docs"]["location"] = "docs"
    lost = collector.named("refresh bronze/docs")[0]
    assert (lost.failed, lost.facts["error.type"]) == (True, "source_unavailable")
    assert collector.service == "rag-pipeline"
    project.refresh()


def test_an_answer_is_a_trace_from_the_request_to_its_citations(project: Project, model: Scripted) -> None:
    model.script(says("Pull the red lever twice [1]."))
    with collecting() as collector:
        project.settings["telemetry"] = {"endpoint": f"{collector.url}/v1/traces"}
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "my-own-id"}
        with running(build_app(project.pipeline())) as url, httpx.Client(base_url=url, headers=headers) as client:
            streamed = client.post("/v1/ask", json={"query": QUESTION}, timeout=60)
            again = client.post("/v1/ask", json={"query": QUESTION, "stream": False}, timeout=60)
            client.get("/health")
        del project.settings["telemetry"]
    assert (streamed.status_code, again.json()["from_cache"]) == (200, True)
    assert {each.trace for each in collector.spans} == {TRACE}
    by_id = {each.span: each for each in collector.spans}
    first, second = collector.named("POST /v1/ask")
    assert first.parent == PARENT
    assert (first.facts["rag.request"], first.facts["http.response.status_code"]) == ("my-own-id", 200)

    def under(top: Sent) -> dict[str, Sent]:
        found = {}
        for each in collector.spans:
            above = each
            while above.parent in by_id:
                above = by_id[above.parent]
                if above is top:
                    found[each.name] = each
        return found

    asked, kept = under(first), under(second)
    assert set(asked) == {"answer", "search", "retrieve", "cache", "chat"}
    assert set(kept) == {"answer", "search", "retrieve", "cache"}
    assert (asked["cache"].facts["rag.hit"], kept["cache"].facts["rag.hit"]) == (False, True)
    assert (asked["chat"].facts["rag.tokens_in"], asked["chat"].facts["rag.tokens_out"]) == (100, 20)
    answer = asked["answer"].facts
    assert (answer["rag.verdict"], answer["rag.citations"], answer["rag.model"]) == ("answered", 1, "scripted")
    assert by_id[asked["retrieve"].parent].name == "search"
    assert asked["retrieve"].facts["rag.vector"] > 0
    assert asked["search"].facts["rag.hits"] > 0
    said = b"".join(collector.bodies)
    for text in (b"lever", b"guide.md", QUESTION[:12].encode()):
        assert text not in said
    with (
        collecting() as collector,
        tracing(TelemetrySettings(endpoint=collector.url, texts=True)),
        Answerer.open(project.pipeline(), keep=False) as answerer,
    ):
        answerer.ask("red lever", ["public"])
    assert [each.facts.get("rag.query") for each in collector.named("answer")] == ["red lever"]


def test_a_collector_that_is_not_there_costs_nothing_and_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine the thread that sends may need longer than a process that ends gives it.
    monkeypatch.setattr(module, "FAREWELL_SECONDS", 20.0)
    began = time.monotonic()
    with tracing(TelemetrySettings(endpoint="http://user:hidden-word@127.0.0.1:9")):
        for _ in range(3_000):
            with span("work", count=1):
                pass
    assert time.monotonic() - began < 15
    [line] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "do not reach the collector" in line
    assert "hidden-word" not in line


def test_where_nothing_is_configured_nothing_is_loaded() -> None:
    code = (
        "import sys\n"
        "from rag_pipeline.settings.telemetry import TelemetrySettings\n"
        "from rag_pipeline.telemetry.tracing import begin, carried_in, span, tracing\n"
        "with tracing(TelemetrySettings(), {}), carried_in({'traceparent': 'x'}), span('work', run_id='r') as work:\n"
        "    work.set(count=1)\n"
        "    with begin('answer').part('chat').current():\n"
        "        pass\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_what_is_configured_wrongly_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for value in (None, "no pair", "=x"):
        told = TelemetrySettings(endpoint="http://127.0.0.1:9", headers_from_env="H")
        with pytest.raises(SettingsError, match="variable H"), tracing(told, {} if value is None else {"H": value}):
            pass
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ExtraMissing, match=r"rag-pipeline\[telemetry\]"), tracing(told, {"H": "a=b"}):
        pass
    with tracing(TelemetrySettings(), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}), span("work"):
        pass
    assert "not installed" in caplog.text


def test_where_spans_are_not_needed_what_keeps_them_from_being_sent_is_said_and_nothing_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_said", set())
    said: list[str] = []
    told = TelemetrySettings(endpoint="http://127.0.0.1:9")
    with said_by(said.append):
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
                with tracing(told, is_needed=False), span("work"):
                    pass
            with monkeypatch.context() as patch:
                patch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
                with tracing(told, is_needed=False), span("work"):
                    pass
    assert [line.partition(": ")[0] for line in said] == ["this run is not traced"] * 2
    assert ("max_queue_size" in said[0], "trace_exporter" in said[1]) == (True, True)


def test_a_traceback_in_a_line_shows_no_secret() -> None:
    keep_secret(["hidden-word"])
    try:
        raise OSError("https://user:other-word@host/path says hidden-word")
    except OSError:
        record = logging.LogRecord("rag", logging.ERROR, "f", 1, "it failed", (), sys.exc_info())
    text = JsonLines().format(record)
    assert "hidden-word" not in text
    assert "other-word" not in text
    line = json.loads(text)
    assert "https://host/path" in line["exception"]
    assert "Traceback" in line["exception"]
    # What people read hides it, too.
    text = TextLines(TEXT_FORMAT).format(record)
    assert "hidden-word" not in text
    assert "other-word" not in text
    assert "Traceback" in text


@pytest.mark.parametrize(("wished", "form"), [("text", TextLines), ("json", JsonLines)])
def test_a_process_that_logs_nothing_yet_logs_without_secrets(
    wished: LogFormat, form: type[logging.Formatter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FORMAT_VARIABLE, raising=False)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    set_up(wished)
    assert [type(handler.formatter) for handler in root.handlers] == [form]


def test_a_line_of_the_log_is_one_object_with_what_it_is_about() -> None:
    record = logging.LogRecord("rag", logging.INFO, "f", 1, "two\nlines \u2028 %s", ("here",), None)
    record.document = "d1"
    with about(run="r", source="docs"), about(asset="bronze/docs", request=None):
        text = JsonLines().format(record)
    assert len(text.splitlines()) == 1
    line = json.loads(text)
    assert {name: line.get(name) for name in ("run", "asset", "source", "document", "request")} == {
        "run": "r", "asset": "bronze/docs", "source": "docs", "document": "d1", "request": None,
    }  # fmt: skip
    assert log_format("text", {"RAG_PIPELINE_LOG_FORMAT": "JSON"}) == "json"
    assert log_format("json", {"RAG_PIPELINE_LOG_FORMAT": "text"}) == "text"


@pytest.mark.slow
def test_a_run_logs_objects_that_name_their_run_asset_source_and_document(tmp_path: Path) -> None:
    import os

    from rag_pipeline_tests.paths import REPOSITORY

    project = Project.create(tmp_path, logging={"format": "json"})
    project.write("lamp.md", "# A lamp\n\nIt burns.\n")
    project.write("empty.md", "")
    project.pipeline()
    command = [sys.executable, "-m", "rag_pipeline.cli", "run", "--json", "--config", str(tmp_path / "pipeline.yaml")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "DAGSTER_HOME": str(tmp_path / "dagster")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1), done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    appended = next(line for line in lines if line["message"].startswith("appended table=bronze/docs"))
    assert (appended["asset"], appended["source"]) == ("bronze/docs", "docs")
    assert appended["run"]
    refused = [line for line in lines if line.get("document")]
    assert {(line["asset"], line["source"]) for line in refused} == {("silver/documents", "docs")}


def test_a_request_is_named_in_every_line_that_it_makes(
    project: Project, model: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[dict[str, Any]] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(JsonLines().format(record)))

    handler = Keeping()
    logging.getLogger("rag_pipeline").addHandler(handler)
    caplog.set_level(logging.INFO)
    model.script(says(finish=None))
    try:
        with running(build_app(project.pipeline())) as url:
            question = {"query": f"{QUESTION} Really?", "stream": False}
            answer = httpx.post(f"{url}/v1/ask", json=question, headers={"X-Request-ID": "r-1"}, timeout=60)
    finally:
        logging.getLogger("rag_pipeline").removeHandler(handler)
    assert answer.json()["verdict"] == "failed"
    told = [line for line in lines if "an answer failed" in line["message"] or "status=200" in line["message"]]
    assert [line["request"] for line in told] == ["r-1", "r-1"]
