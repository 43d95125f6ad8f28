"""Problems as RFC 9457 describes them: every answer that is none, with the code of `errors/`.

Belongs here: which status an error has, and what of it is told.
Does not belong here: catching (`middleware.py`, `api.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from rag_pipeline import errors
from rag_pipeline.serving.provider import ProviderUnavailable

MEDIA_TYPE = "application/problem+json"
# A run publishes in less, and a burst is over.
RETRY_SECONDS = 2
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (errors.Unidentified, 401),
    (errors.Forbidden, 403),
    (errors.NotThere, 404),
    (errors.RequestTooLarge, 413),
    (errors.BadQuery, 422),
    (errors.BadRequest, 422),
    (errors.TooManyRequests, 429),
)
# What is told of an error that the caller did not make: what happened here is for the log.
_UNSAID = "an unforeseen error; the server's log has it under this request id"


def problem(status: int, code: str, detail: str, request_id: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that says what is wrong."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
    }
    text = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
    return Response(text, status, dict(headers or {}), MEDIA_TYPE)


def problem_of(error: Exception, request_id: str) -> Response:
    """The problem of an error; what is told of one of the server's own is what kind it is, and no place or name."""
    if isinstance(error, ProviderUnavailable):
        detail = "the identity provider did not say which keys it has; try again"
        return problem(503, "provider_unavailable", detail, request_id, {"Retry-After": str(RETRY_SECONDS)})
    if not isinstance(error, errors.RagPipelineError):
        return problem(500, "internal", _UNSAID, request_id)
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return problem(status, error.code, error.message, request_id, _headers(error))
    if error.retryable or isinstance(error, errors.NothingPublished | errors.StoreError):
        detail = error.message if isinstance(error, errors.ServerBusy) else _said(type(error))
        return problem(503, error.code, detail, request_id, {"Retry-After": str(RETRY_SECONDS)})
    return problem(500, error.code, _said(type(error)), request_id)


def told_of(error: Exception) -> str:
    """The same in a sentence with its code, for an agent."""
    record = json.loads(bytes(problem_of(error, "").body))
    return f"{record['detail']} [{record['code']}]"


def _headers(error: errors.RagPipelineError) -> dict[str, str]:
    if isinstance(error, errors.Unidentified):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, errors.TooManyRequests):
        return {"Retry-After": str(error.facts.get("retry_seconds", RETRY_SECONDS))}
    return {}


def _said(kind: type[Exception]) -> str:
    """What kind of error it is, in the words of its class."""
    return (kind.__doc__ or _UNSAID).strip().split("\n\n")[0]
