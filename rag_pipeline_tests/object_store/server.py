"""A real S3 server in a process of its own, that counts requests and can be told to fail or to forget conditions.

In a process of its own, since clients that keep the interpreter to themselves while they wait would wait for ever.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rag_pipeline_tests.paths import REPOSITORY

CONDITIONS = {"create": "HTTP_IF_NONE_MATCH", "replace": "HTTP_IF_MATCH"}
CONTROL = "/__control__"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}


@dataclass
class S3Server:
    """The server as its tests see it."""

    address: str

    @property
    def options(self) -> dict[str, str]:
        """Without credentials, which stand in the environment."""
        return {
            "aws_region": "us-east-1",
            "aws_endpoint": self.address,
            # LanceDB knows the address by this name only.
            "endpoint": self.address,
            "allow_http": "true",
            "aws_virtual_hosted_style_request": "false",
        }

    def bucket(self, name: str, *, keeps_versions: bool = False) -> str:
        """Make a bucket; its address."""
        self._put(name)
        if keeps_versions:
            said = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
            self._put(f"{name}?versioning", said)
        return f"s3://{name}"

    def _put(self, path: str, content: bytes | None = None) -> None:
        request = urllib.request.Request(
            f"{self.address}/{path}", content, {"Content-Type": "application/xml"}, method="PUT"
        )
        urllib.request.urlopen(request).close()

    def behave(
        self,
        *,
        forgets: Iterable[str] = (),
        fails: str = "",
        status: int = 503,
        after: int = 0,
        most: int = -1,
        does: bool = False,
    ) -> None:
        """From now on take no notice of these conditions, and fail at requests that match, like `PUT .*lease`.

        Args:
            after: So many that match are answered as they should be before.
            most: So many fail, and all after them are answered; -1: all fail.
            does: What those ask for is done, and the answer to it is lost.
        """
        told = {"fails": fails, "status": status, "after": after, "most": most, "does": does}
        self._tell({"forgets": list(forgets), **told})

    def asked(self) -> list[tuple[str, str]]:
        """Method and path of each request since the last time."""
        return [(method, path) for method, path in self._tell({"asked": True})]

    def counted(self) -> Counter[str]:
        """The same by method."""
        return Counter(method for method, _ in self.asked())

    def _tell(self, what: dict[str, Any]) -> Any:
        with urllib.request.urlopen(f"{self.address}{CONTROL}", json.dumps(what).encode()) as answer:
            return json.load(answer)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server while the block runs."""
    command = [sys.executable, "-W", "ignore", "-m", "rag_pipeline_tests.object_store.server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        try:
            assert process.stdout is not None
            yield S3Server(process.stdout.readline().strip())
        finally:
            process.kill()


class Misbehaving:
    """The server's application, as it was told to behave."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._asked: list[tuple[str, str]] = []
        self._told: dict[str, Any] = {"forgets": [], "fails": ""}
        # Requests that matched since it was told last; many threads count.
        self._matched = 0
        self._counting = threading.Lock()

    def __call__(self, environment: dict[str, Any], start: Any) -> Iterable[bytes]:
        method, path = environment["REQUEST_METHOD"], environment["PATH_INFO"].encode("latin-1").decode()
        if path == CONTROL:
            return self._controlled(environment, start)
        self._asked.append((method, path))
        if self._is_to_fail(f"{method} {path}"):
            if self._told["does"]:
                for _ in self._app(environment, lambda *_: None):
                    pass
            start(f"{self._told['status']} of no use", [("Content-Length", "0")])
            return [b""]
        for condition in self._told["forgets"]:
            environment.pop(CONDITIONS[condition], None)
        answer: Iterable[bytes] = self._app(environment, start)
        return answer

    def _is_to_fail(self, request: str) -> bool:
        told = self._told
        if not told["fails"] or not re.match(told["fails"], request):
            return False
        with self._counting:
            number = self._matched - told["after"]
            self._matched += 1
        return number >= 0 and (told["most"] < 0 or number < told["most"])

    def _controlled(self, environment: dict[str, Any], start: Any) -> list[bytes]:
        told = json.loads(environment["wsgi.input"].read(int(environment["CONTENT_LENGTH"])))
        answer: Any = None
        if told.pop("asked", False):
            answer, self._asked = self._asked, []
        if "fails" in told:
            self._told, self._matched = told, 0
        content = json.dumps(answer).encode()
        start("200 OK", [("Content-Length", str(len(content)))])
        return [content]


def serve() -> None:
    """Serve until killed; the address is the first line of the output."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    app = Misbehaving(DomainDispatcherApplication(create_backend_app))
    running = make_server("127.0.0.1", 0, app, threaded=True)
    sys.stdout.write(f"http://127.0.0.1:{running.server_port}\n")
    sys.stdout.flush()
    running.serve_forever()


if __name__ == "__main__":
    serve()
