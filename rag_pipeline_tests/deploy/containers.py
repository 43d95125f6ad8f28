"""A daemon of Docker whose containers are processes of this machine, and services of compose.yaml as such processes.

A process gets what its container would get and nothing else of this environment: the variables of the image, those of
the service or of the run, and the files that are mounted, with each place and address of the containers replaced by the
one it has here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rag_pipeline_tests.deploy.files import image
from rag_pipeline_tests.paths import REPOSITORY

# A busy machine takes a minute for the largest of them.
LONGEST_SECONDS = 240


@dataclass
class Here:
    """How containers are run here.

    Attributes:
        places: What stands for each place and address of a container.
        extra: Variables that all of them get besides, for what tests do differently.
        processes: All that were begun, by the name of the service or the id of the container.
    """

    folder: Path
    places: dict[str, str]
    extra: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def translated(self, text: str) -> str:
        for there in sorted(self.places, key=len, reverse=True):
            text = text.replace(there, self.places[there])
        return text

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        of_image = {name: self.translated(value) for name, value in image().environment.items()}
        of_image["PATH"] = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        # The package is installed in the image, and stands in the tree here.
        of_image |= {"PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
        return of_image | {name: self.translated(str(value)) for name, value in given.items()} | self.extra

    def begin(self, name: str, words: list[str], given: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [self.translated(word) for word in words],
                env=self.environment(given),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def service(self, name: str, service: Mapping[str, Any]) -> None:
        self.begin(name, service.get("command") or image().command, service["environment"])

    def done(self, name: str, service: Mapping[str, Any]) -> None:
        """Run a service that ends by itself."""
        self.service(name, service)
        assert self.processes[name].wait(LONGEST_SECONDS) == 0, self.log(name)

    def healthy(self, name: str, service: Mapping[str, Any]) -> None:
        """Wait until a service's own check says that it is well."""
        test = service.get("healthcheck", {}).get("test") or ["CMD", *image().health]
        deadline = time.monotonic() + LONGEST_SECONDS
        while True:
            assert self.processes[name].poll() is None, self.log(name)
            words = [self.translated(word) for word in test[1:]]
            environment = self.environment(service["environment"])
            done = subprocess.run(words, env=environment, cwd=self.folder, capture_output=True, check=False)
            if done.returncode == 0:
                return
            assert time.monotonic() < deadline, done.stderr.decode() + self.log(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")[-8_000:]

    def end(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()


class Docker:
    """The daemon: containers are made, looked at, begun, stopped and removed over its API.

    Attributes:
        asked: What each container was made from, by its id.
    """

    def __init__(self, here: Here) -> None:
        self.asked: dict[str, dict[str, Any]] = {}
        self._here = here
        daemon = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(*daemon.get(self.path))

            def do_POST(self) -> None:
                said = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._answer(*daemon.post(self.path, said))

            def _answer(self, status: int, said: Any) -> None:
                content = b"" if said is None else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self._server.server_port}"

    def get(self, path: str) -> tuple[int, Any]:
        if path.endswith("/version"):
            return 200, {"ApiVersion": "1.48", "Version": "28.0", "MinAPIVersion": "1.24"}
        found = re.search(r"/containers/([0-9a-f]+)/json", path)
        if found is None or found[1] not in self.asked:
            return 404, {"message": f"no such container: {path}"}
        process = self._here.processes.get(found[1])
        code = None if process is None else process.poll()
        if code is not None and self.asked[found[1]]["HostConfig"]["AutoRemove"]:
            return 404, {"message": "it is removed"}
        state = {"Status": "created" if process is None else "running" if code is None else "exited", "ExitCode": code}
        return 200, {"Id": found[1], "State": state, "Config": self.asked[found[1]], "Image": "sha256:0"}

    def post(self, path: str, said: bytes) -> tuple[int, Any]:
        if "/containers/create" in path:
            name = uuid.uuid4().hex
            self.asked[name] = json.loads(said)
            return 201, {"Id": name, "Warnings": []}
        found = re.search(r"/containers/([0-9a-f]+)/(start|stop)", path)
        if found is None or found[1] not in self.asked:
            return 404, {"message": f"no such container: {path}"}
        name, asked = found[1], self.asked[found[1]]
        if found[2] == "start":
            given = dict(pair.split("=", 1) for pair in asked["Env"])
            self._here.begin(name, asked["Cmd"], given)
        elif name in self._here.processes:
            self._here.processes[name].terminate()
        return 204, None

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
