"""A web server of this machine whose answers a test writes, and that counts how it is asked."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    at: float
    method: str = "GET"
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    """What is answered.

    Attributes:
        pieces: Sent one by one after the body, with a pause before each, without a length.
        promised: Length that is promised, whatever is sent.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: Iterator[bytes] | None = None
    pause: float = 0
    promised: int | None = None


def html(text: str, title: str = "", **headers: str) -> Reply:
    """A page."""
    return Reply(
        f"<html><head><title>{title}</title></head><body>{text}</body></html>".encode(), headers=_html(headers)
    )


def redirect(to: str, status: int = 302) -> Reply:
    return Reply(status=status, headers={"Location": to})


def _html(more: Mapping[str, str]) -> dict[str, str]:
    return {"Content-Type": "text/html; charset=utf-8"} | {name.replace("_", "-"): more[name] for name in more}


Handler = Callable[[Asked], Reply]


class Site:
    """Paths with their answers. A path with its query is looked for first, then without it, then `fallback`."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.pages: dict[str, Reply | Handler] = {}
        self.fallback: Handler = lambda _: Reply(b"not found", 404)
        self.asked: list[Asked] = []
        # Requests that waited at once for the first byte of their answer: of a body that the client gave up halfway
        # a server learns late, maybe after the next request.
        self.most_at_once = 0
        # How long each answer takes to begin, so that requests that overlap are seen to.
        self.thinks_seconds = 0.0
        self.gives_etags = True
        self._at_once = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((host, 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def paths(self) -> list[str]:
        """Paths that were asked for, in order."""
        return [each.path for each in self.asked]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, asked: Asked) -> Reply:
        found = self.pages.get(asked.path) or self.pages.get(asked.path.partition("?")[0]) or self.fallback
        reply = found if isinstance(found, Reply) else found(asked)
        if self.gives_etags and reply.status == 200 and reply.pieces is None and reply.promised is None:
            etag = f'"{hashlib.sha256(reply.body).hexdigest()[:16]}"'
            if asked.headers.get("if-none-match") == etag:
                return Reply(status=304, headers={"ETag": etag})
            return Reply(reply.body, 200, {**reply.headers, "ETag": etag})
        return reply

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handles(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Else each answer waits for an acknowledgement that is put off.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                sent = self.rfile.read(int(headers.get("content-length", 0)))
                asked = Asked(self.path, headers, time.monotonic(), self.command, sent)
                with site._counted():
                    with site._lock:
                        site.asked.append(asked)
                    time.sleep(site.thinks_seconds)
                    reply = site.answer(asked)
                try:
                    self._send(reply)
                except OSError:
                    # The client hung up, as it should where there is too much.
                    self.close_connection = True

            do_POST = do_GET

            def _send(self, reply: Reply) -> None:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.pieces is None:
                    length = len(reply.body) if reply.promised is None else reply.promised
                    if reply.status != 304:
                        self.send_header("Content-Length", str(length))
                    self.close_connection = reply.promised is not None
                else:
                    self.send_header("Connection", "close")
                    self.close_connection = True
                self.end_headers()
                self.wfile.write(reply.body)
                for piece in reply.pieces or ():
                    time.sleep(reply.pause)
                    self.wfile.write(piece)
                    self.wfile.flush()

            def log_message(self, format: str, *values: Any) -> None:
                """Nothing: a test looks at `asked`."""

        return Handles


class Mute:
    """A server of this machine that takes connections and says nothing."""

    def __init__(self) -> None:
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self) -> None:
        # Closing alone does not wake whoever accepts.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
