"""Logs without secrets: lines for people, or one JSON object per line, which names the run, asset, source, document and
request that it is about.

Belongs here: the form of a line, and what is under way in this thread.
Does not belong here: what is logged. Standard library only.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

from rag_pipeline.shown import shown

LogFormat = Literal["text", "json"]
FORMAT_VARIABLE = "RAG_PIPELINE_LOG_FORMAT"
TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
FIELDS = ("run", "asset", "source", "document", "request")
_NOTHING: Mapping[str, str] = MappingProxyType({})
_ABOUT: ContextVar[Mapping[str, str]] = ContextVar("about", default=_NOTHING)


@contextmanager
def about(**fields: str | None) -> Iterator[None]:
    """Lines that are logged inside name these; what is None is left as it is."""
    token = _ABOUT.set({**_ABOUT.get(), **{name: value for name, value in fields.items() if value is not None}})
    try:
        yield
    finally:
        _ABOUT.reset(token)


class JsonLines(logging.Formatter):
    """One object per line, whatever stands in a message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": shown(record.getMessage()),
        }
        known = _ABOUT.get()
        for name in FIELDS:
            value = getattr(record, name, None) or known.get(name)
            if value is not None:
                line[name] = str(value)
        if record.exc_info:
            line["exception"] = shown(self.formatException(record.exc_info))
        # ASCII, since some readers end lines at other signs than we do.
        return json.dumps(line)


class TextLines(logging.Formatter):
    """Lines for people, tracebacks among them, without what opens a place."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


def log_format(configured: LogFormat, environment: Mapping[str, str] | None = None) -> LogFormat:
    """How this process logs: the environment decides, then pipeline.yaml."""
    found = (os.environ if environment is None else environment).get(FORMAT_VARIABLE, "").strip().lower()
    return "json" if (found or configured) == "json" else "text"


def is_json() -> bool:
    """Whether this process logs objects."""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers)


def set_up(configured: LogFormat, level: int = logging.INFO) -> None:
    """Log to standard error from now on, in the form that is wished; a handler that is there already stays."""
    root = logging.getLogger()
    was_set_up = bool(root.handlers)
    logging.basicConfig(level=level)
    is_wished = log_format(configured) == "json"
    for handler in root.handlers if is_wished or not was_set_up else ():
        handler.setFormatter(JsonLines() if is_wished else TextLines(TEXT_FORMAT))
