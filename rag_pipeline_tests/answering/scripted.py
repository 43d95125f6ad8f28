"""An OpenAI-compatible chat server over real HTTP whose behaviour a test sets; it keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from anyio import move_on_after
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Reply = Callable[[dict[str, Any]], Response]


def says(*pieces: str, finish: str | None = "stop", usage: bool = True, pause: float = 0.0) -> Reply:
    """Streams these pieces; without `finish` it stops in the middle."""

    def reply(asked: dict[str, Any]) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield event({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
                await asyncio.sleep(pause)
            if finish is not None:
                yield event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
                if usage and "stream_options" in asked:
                    yield event(
                        {"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}}
                    )
                yield b"data: [DONE]\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    return reply


def event(content: dict[str, Any]) -> bytes:
    whole = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "scripted", **content}
    return f"data: {json.dumps(whole)}\n\n".encode()


def raw(body: bytes) -> Reply:
    """Streams bytes that may be anything."""
    return lambda _: Response(body, media_type="text/event-stream")


def page() -> Reply:
    return lambda _: HTMLResponse("<html><body>Sign in</body></html>")


def refuses(status: int, message: str = "no", **headers: str) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: JSONResponse({"error": {"message": message}}, status, names)


def silent(seconds: float) -> Reply:
    """Says nothing for so long."""

    def reply(_: dict[str, Any]) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            await asyncio.sleep(seconds)
            yield b""

        return StreamingResponse(stream(), media_type="text/event-stream")

    return reply


class Quiet(Response):
    """Says nothing for so long, before or after its headers; `left` is set once its client has hung up."""

    def __init__(self, seconds: float, *, with_headers: bool) -> None:
        super().__init__(media_type="text/event-stream")
        self._seconds = seconds
        self._with_headers = with_headers
        self.asked = threading.Event()
        self.left = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        if self._with_headers:
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        self.asked.set()
        with move_on_after(self._seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()


def obeys(asked: dict[str, Any]) -> Response:
    """Says what a document orders after `ORDER:`, and cites what it was not given."""
    found = re.search(r"ORDER: (.*)", asked["messages"][-1]["content"])
    return says(f"{found[1]} [9]." if found else "Nothing ordered.")(asked)


@dataclass
class Scripted:
    """A server under way.

    Attributes:
        replies: What it does, one for each request; the last one stays.
        asked: Bodies of all requests.
    """

    replies: list[Reply] = field(default_factory=lambda: [says("I don't have that information.")])
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def script(self, *replies: Reply) -> Scripted:
        self.replies, self.asked = list(replies), []
        return self

    async def _answer(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.asked.append(body)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return reply(body)

    @property
    def prompt(self) -> str:
        """All that the model was told last."""
        return "\n".join(message["content"] for message in self.asked[-1]["messages"])


@contextmanager
def scripted_server() -> Iterator[Scripted]:
    server = Scripted()
    with serving(server._answer) as url:
        server.url = url
        yield server


@contextmanager
def serving(answer: Callable[[Request], Awaitable[Response]]) -> Iterator[str]:
    """Serve chat completions on a free port; gives the address."""
    app = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
    config = uvicorn.Config(app, port=0, log_level="critical", timeout_graceful_shutdown=1, lifespan="off")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}/v1"
    running.should_exit = True
    running.force_exit = True
    thread.join()
