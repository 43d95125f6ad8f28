"""What is told of what is under way: the sections `telemetry` and `logging` of pipeline.yaml.

Belongs here: where spans go, and the form of a line in the log.
Does not belong here: sending and logging (`rag_pipeline/telemetry/`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.serving import Url


class TelemetrySettings(Section):
    """Spans of searches, answers and refreshes for a collector of OpenTelemetry (OTLP over HTTP)."""

    endpoint: Url | None = None
    """The collector, like `http://localhost:4318`; none: `OTEL_EXPORTER_OTLP_ENDPOINT`, else nothing is sent."""
    headers_from_env: str | None = Field(default=None, min_length=1, max_length=256)
    """Environment variable with headers for it, like `Authorization=Bearer TOKEN,Other=value`."""
    service_name: str | None = Field(default=None, min_length=1, max_length=256)
    """What this pipeline is called there; none: as `OTEL_SERVICE_NAME` says, else `rag-pipeline`."""
    texts: bool = False
    """Whether spans hold what was asked, which may be anybody's secret."""


class LoggingSettings(Section):
    """How `run` and `serve` log."""

    format: Literal["text", "json"] = "text"
    """`json`: one object per line; the variable `RAG_PIPELINE_LOG_FORMAT` decides where it is set."""
