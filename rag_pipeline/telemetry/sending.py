"""Sending spans to a collector that may not be there.

Belongs here: giving up quietly, and saying so in one line.
Does not belong here: spans (`tracing.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from rag_pipeline.shown import without_secrets

log = logging.getLogger(__name__)

# Which would say each failure of theirs at length.
_THEIR_LOGS = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.http.transport",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.trace.export",
)


class Patient(SpanExporter):
    """Sends over another one; after a failure it lets spans go for a while, and says so once.

    Args:
        place: The collector, for the log.
        pause_seconds: That while.
    """

    def __init__(self, exporter: SpanExporter, place: str, pause_seconds: float) -> None:
        for name in _THEIR_LOGS:
            logging.getLogger(name).disabled = True
        self._exporter = exporter
        self._place = place
        self._pause_seconds = pause_seconds
        self._silent_until = float("-inf")
        self._has_said = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if time.monotonic() < self._silent_until:
            return SpanExportResult.FAILURE
        why = "it refused them, or did not answer"
        try:
            if self._exporter.export(spans) is SpanExportResult.SUCCESS:
                self._has_said = False
                return SpanExportResult.SUCCESS
        except Exception as error:
            why = type(error).__name__
        self._silent_until = time.monotonic() + self._pause_seconds
        if not self._has_said:
            self._has_said = True
            log.warning("spans do not reach the collector %s (%s); they are let go", without_secrets(self._place), why)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
