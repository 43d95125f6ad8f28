"""What every request goes through, from outside in: its id and time, the net, its size, who asks.

Belongs here: the layers around the routes, as plain ASGI, so that cancelling and context variables stay as they are.
Does not belong here: routes (`api.py`), how it is established who asks (`identity.py`).

The net stands inside the layer that gives the id, so that a problem has one too, and it answers itself: an exception
that leaves the application makes the server close the connection, and the next request of the caller would fail.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from contextlib import nullcontext

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag_pipeline.errors import RequestTooLarge, Unidentified
from rag_pipeline.serving.callers import Caller
from rag_pipeline.serving.context import CALLER
from rag_pipeline.serving.identity import Identity
from rag_pipeline.serving.limits import RequestRate
from rag_pipeline.serving.metrics import Metrics
from rag_pipeline.serving.problems import problem_of
from rag_pipeline.serving.provider import ProviderUnavailable
from rag_pipeline.shown import visible
from rag_pipeline.telemetry.logs import about
from rag_pipeline.telemetry.tracing import Span, carried_in, span

log = logging.getLogger(__name__)

REQUEST_ID = "X-Request-ID"
# A caller's own id goes into logs.
_OWN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # What one caller may see, no cache between may show another.
    "Cache-Control": "no-store",
}
# What tells of no document and no caller: the page without its content, its health, its description.
OPEN_PATHS = frozenset({"/", "/page.css", "/page.js", "/favicon.svg", "/health", "/ready", "/openapi.json"})


class Identified:
    """Gives each request an id, measures it, and says in the log that it was answered."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wished = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = wished if _OWN_ID.fullmatch(wished) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        began, status = time.perf_counter(), 0

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                for name, value in _SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        is_followed = scope["path"] not in OPEN_PATHS
        with (
            about(request=request_id),
            carried_in(headers) if is_followed else nullcontext(),
            span("request", request=request_id) if is_followed else nullcontext(Span()) as work,
        ):
            try:
                await self._app(scope, receive, marked)
            finally:
                self._told(scope, request_id, time.perf_counter() - began, status, work)

    def _told(self, scope: Scope, request_id: str, seconds: float, status: int, work: Span) -> None:
        """Metrics, log and span of a request that is over."""
        route = getattr(scope.get("route"), "path", None) or "other"
        self._metrics.requests.labels(route, _method(scope["method"]), str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        caller = scope["state"].get("caller")
        log.info(
            "request=%s %s %s status=%d ms=%.0f caller=%r",
            request_id,
            scope["method"],
            visible(scope["path"])[:200],
            status,
            seconds * 1_000,
            None if caller is None else caller.name,
        )
        name = f"{_method(scope['method'])} {route}"
        work.named(name, http__route=route, http__response__status_code=status)


class Net:
    """Answers every exception with a problem; where the answer has begun, it passes the exception on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = has_begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if has_begun:
                raise
            request_id = scope["state"]["request_id"]
            response = problem_of(error, request_id)
            if response.status_code >= 500:
                log.error("request=%s failed", request_id, exc_info=error)
            await response(scope, receive, send)


class Sized:
    """Takes the whole of a request in before anybody looks at it, up to a bound."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > self._max_bytes:
            raise self._too_large()
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_bytes:
                raise self._too_large()
            more = message.get("more_body", False)
        is_given = False

        async def replayed() -> Message:
            nonlocal is_given
            if is_given:
                return await receive()
            is_given = True
            return {"type": "http.request", "body": b"".join(parts), "more_body": False}

        await self._app(scope, replayed, send)

    def _too_large(self) -> RequestTooLarge:
        return RequestTooLarge(f"the request is larger than {self._max_bytes:,} bytes; ask for less at once")


class Gate:
    """Lets through who is known and has not asked too often; the caller stands in the request's state and context."""

    def __init__(self, app: ASGIApp, identity: Identity, rate: RequestRate) -> None:
        self._app = app
        self._identity = identity
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        caller = await self._caller(scope)
        scope["state"]["caller"] = caller
        token = CALLER.set(caller)
        try:
            await self._app(scope, receive, send)
        finally:
            CALLER.reset(token)

    async def _caller(self, scope: Scope) -> Caller:
        headers = Headers(scope=scope)
        peer = None if scope.get("client") is None else scope["client"][0]
        try:
            if self._identity.may_block(headers):
                caller = await to_thread.run_sync(self._identity.caller, headers, peer)
            else:
                caller = self._identity.caller(headers, peer)
        except (Unidentified, ProviderUnavailable):
            self._rate.count("unidentified", peer or "")
            raise
        self._rate.count(caller.way, peer or "" if caller.way == "anonymous" else caller.name)
        return caller


def _method(method: str) -> str:
    """Methods are few; a caller could make up any number."""
    return method if method in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH") else "other"
