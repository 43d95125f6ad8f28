"""Spans of what is under way, sent to a collector of OpenTelemetry where one is configured.

Belongs here: spans, who is a part of whom, and that a collector which does not answer costs nothing.
Does not belong here: what is worth a span. Nothing of `opentelemetry` is imported unless a collector is configured.

A span holds numbers, names out of pipeline.yaml and ids; texts of questions only where `telemetry.texts` says so.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.notices import say
from rag_pipeline.errors import ExtraMissing, RagPipelineError, SettingsError
from rag_pipeline.settings.telemetry import TelemetrySettings
from rag_pipeline.shown import keep_secret, shown

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OpenSpan

log = logging.getLogger(__name__)

INSTALL = "pip install 'rag-pipeline[telemetry]'"
ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
# Spans are sent in the background; one try waits no longer, and after one that failed none is made for a while.
SEND_SECONDS = 1.5
AFTER_FAILURE_SECONDS = 30.0
# So long does a process that ends wait for its last spans.
FAREWELL_SECONDS = 2.0
_TRACE_PATH = "/v1/traces"

Fact = str | int | float | bool


class Span:
    """One piece of work; says nothing where no collector is configured."""

    def __init__(self, span: OpenSpan | None = None, *, with_texts: bool = False) -> None:
        self._span = span
        self._with_texts = with_texts

    def set(self, **facts: Fact | None) -> None:
        """Say more of it; what is None is left out. Names stand under `rag.`."""
        if self._span is not None:
            for name, value in facts.items():
                if value is not None:
                    self._span.set_attribute(f"rag.{name}", value)

    def text(self, name: str, value: str) -> None:
        """Say what was asked, where texts are switched on."""
        if self._with_texts:
            self.set(**{name: value})

    def named(self, name: str, **attributes: Fact) -> None:
        """Call it otherwise, and say what the conventions of OpenTelemetry have names for, `_` for a point."""
        if self._span is not None:
            self._span.update_name(name)
            for key, value in attributes.items():
                self._span.set_attribute(key.replace("__", "."), value)

    def failed(self, error: BaseException) -> None:
        """Say that it failed, with the error's code: its message may quote a document."""
        if self._span is not None:
            from opentelemetry.trace import Status, StatusCode

            code = error.code if isinstance(error, RagPipelineError) else type(error).__name__
            self._span.set_attribute("error.type", code)
            self._span.set_status(Status(StatusCode.ERROR, code))

    def end(self) -> None:
        """It is over; again is nothing more."""
        if self._span is not None and self._span.is_recording():
            self._span.end()

    def part(self, name: str, **facts: Fact | None) -> Span:
        """A part of it that begins now; whoever asks for it ends it."""
        if self._span is None or _tracing is None:
            return _SILENT
        from opentelemetry.trace import set_span_in_context

        return _tracing.begun(name, set_span_in_context(self._span), facts)

    @contextmanager
    def current(self) -> Iterator[None]:
        """What begins inside, in this thread and in those that take its context over, is a part of it."""
        if self._span is None:
            yield
            return
        from opentelemetry.trace import use_span

        with use_span(self._span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            yield


_SILENT = Span()


class _Tracing:
    """A way to one collector, and how many use it."""

    def __init__(self, provider: TracerProvider, *, with_texts: bool) -> None:
        self.provider = provider
        self.users = 1
        self._with_texts = with_texts
        self._tracer = provider.get_tracer("rag_pipeline")

    def begun(self, name: str, context: Context | None, facts: Mapping[str, Fact | None]) -> Span:
        span = Span(self._tracer.start_span(name, context), with_texts=self._with_texts)
        span.set(**facts)
        return span


_tracing: _Tracing | None = None
_lock = threading.Lock()
_said: set[str] = set()


@contextmanager
def tracing(
    settings: TelemetrySettings, environment: Mapping[str, str] | None = None, *, is_needed: bool = True
) -> Iterator[None]:
    """Send spans meanwhile, where a collector is configured; inside another such block that one's goes on.

    Args:
        is_needed: What keeps spans from being sent is raised; otherwise it is said, once, and the work goes on without.

    Raises:
        ExtraMissing: pipeline.yaml names a collector and the packages are not installed.
        SettingsError: The variable that is to hold the headers is not set, or holds none.
    """
    try:
        mine = _joined(settings, os.environ if environment is None else environment)
    except Exception as error:
        if is_needed:
            raise
        _say_once(f"this run is not traced: {error.message if isinstance(error, RagPipelineError) else error}")
        mine = None
    try:
        yield
    finally:
        _leave(mine)


def _joined(settings: TelemetrySettings, environment: Mapping[str, str]) -> _Tracing | None:
    """The way to the collector that is open, or a new one."""
    global _tracing
    with _lock:
        if _tracing is not None:
            _tracing.users += 1
        else:
            provider = _provider(settings, environment)
            _tracing = None if provider is None else _Tracing(provider, with_texts=settings.texts)
        return _tracing


def _leave(mine: _Tracing | None) -> None:
    global _tracing
    if mine is None:
        return
    with _lock:
        mine.users -= 1
        is_last = not mine.users
        if is_last:
            _tracing = None
    if is_last:
        _say_farewell(mine.provider)


def _say_once(text: str) -> None:
    """One command may make several runs, and nothing changes between them."""
    if text not in _said:
        _said.add(text)
        say(shown(text))


@contextmanager
def span(name: str, *, run_id: str | None = None, **facts: Fact | None) -> Iterator[Span]:
    """Work inside the block, as a part of what is under way here.

    Args:
        run_id: Where nothing is under way here: the run that it is a part of, whichever process does the others.
    """
    if _tracing is None:
        yield _SILENT
        return
    begun = _tracing.begun(name, None if run_id is None else _within_run(run_id), facts)
    try:
        with begun.current():
            yield begun
    except BaseException as error:
        begun.failed(error)
        raise
    finally:
        begun.end()


def begin(name: str, **facts: Fact | None) -> Span:
    """Work that begins now and goes on elsewhere; whoever asks for it ends it."""
    return _SILENT if _tracing is None else _tracing.begun(name, None, facts)


@contextmanager
def carried_in(headers: Mapping[str, str]) -> Iterator[None]:
    """What begins inside is a part of what the caller's `traceparent` names (W3C)."""
    if _tracing is None or "traceparent" not in headers:
        yield
        return
    from opentelemetry import context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    given = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
    token = context.attach(TraceContextTextMapPropagator().extract(given))
    try:
        yield
    finally:
        context.detach(token)


def _within_run(run_id: str) -> Context | None:
    """One trace for all steps of a run: steps may be processes of their own that know nothing else of each other."""
    from opentelemetry import trace

    if trace.get_current_span().get_span_context().is_valid:
        return None
    named = digest("trace", run_id)
    parent = trace.SpanContext(
        int(named[:32], 16), int(named[32:48], 16), is_remote=True, trace_flags=trace.TraceFlags(1)
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))


def _provider(settings: TelemetrySettings, environment: Mapping[str, str]) -> TracerProvider | None:
    named = settings.endpoint or next((environment[name] for name in ENDPOINT_VARIABLES if environment.get(name)), None)
    if named is None or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if importlib.util.find_spec("opentelemetry") is None or importlib.util.find_spec("opentelemetry.sdk") is None:
        said = f"spans for a collector need packages that are not installed: {INSTALL}"
        if settings.endpoint is not None:
            raise ExtraMissing(said)
        # The variable may be meant for all programs of a machine.
        log.warning("%s", said)
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from rag_pipeline.telemetry.sending import Patient

    exporter = OTLPSpanExporter(
        endpoint=None if settings.endpoint is None else _address(settings.endpoint),
        headers=_headers(settings, environment),
        timeout=None if environment.get("OTEL_EXPORTER_OTLP_TIMEOUT") else SEND_SECONDS,
    )
    named_service = settings.service_name or environment.get("OTEL_SERVICE_NAME") or "rag-pipeline"
    provider = TracerProvider(resource=Resource.create({"service.name": named_service}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Patient(exporter, named, AFTER_FAILURE_SECONDS)))
    return provider


def _address(endpoint: str) -> str:
    return endpoint if endpoint.rstrip("/").endswith(_TRACE_PATH) else endpoint.rstrip("/") + _TRACE_PATH


def _headers(settings: TelemetrySettings, environment: Mapping[str, str]) -> dict[str, str] | None:
    variable = settings.headers_from_env
    if variable is None:
        return None
    pairs = [part.partition("=") for part in environment.get(variable, "").split(",") if part.strip()]
    if not pairs or not all(name.strip() and mark for name, mark, _ in pairs):
        raise SettingsError(
            f"telemetry.headers_from_env: the variable {variable} is to hold headers like "
            f"Authorization=Bearer TOKEN,Other=value, and "
            + ("holds something else" if environment.get(variable) else "is not set")
        )
    headers = {name.strip(): value.strip() for name, _, value in pairs}
    keep_secret(headers.values())
    return headers


def _say_farewell(provider: TracerProvider) -> None:
    """Send what is left, for a moment."""
    ending = threading.Thread(target=provider.shutdown, daemon=True)
    ending.start()
    ending.join(FAREWELL_SECONDS)
