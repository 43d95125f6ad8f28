"""Telling people: a sink that did not take a message."""

from __future__ import annotations

from rag_pipeline.errors.base import RagPipelineError


class AlertUndeliverable(RagPipelineError):
    """A sink of `alerts` did not take a message; it is kept and tried again."""

    code = "alert_undeliverable"
    retryable = True
    exit_code = 4
