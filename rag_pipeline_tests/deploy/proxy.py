"""nginx as deploy/machine/nginx.conf sets it up, before a real `rag-pipeline serve`: with other ports and folders."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag_pipeline_tests.deploy.files import DEPLOY
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.test_server import free_port, wait_for

CONFIGURATION = DEPLOY / "machine" / "nginx.conf"
NAME = "search.example.com"
SECRET = "5ec7e7-of-the-proxy"
PASSWORDS = {"alice": "lantern", "bob": "bell", "olga": "wrench"}
GROUPS = {"alice": "hr,staff"}
AROUND = """\
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/rag-pipeline.conf;
}}
"""


@dataclass(frozen=True)
class Served:
    """A server behind the proxy.

    Attributes:
        direct: Address of the server itself.
        through: Address of the proxy, with TLS.
        plain: That without.
        certificate: What its certificate is checked by.
        process: The server.
    """

    direct: str
    through: str
    plain: str
    certificate: Path
    process: subprocess.Popen[bytes]

    def client(self, who: str | None = None, **headers: str) -> httpx.Client:
        """Somebody who asks through the proxy, under its name."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        login = None if who is None else (who, PASSWORDS[who])
        transport = AtThisMachine(verify=context)
        return httpx.Client(base_url=self.through, auth=login, headers=headers, transport=transport, timeout=60)


class AtThisMachine(httpx.HTTPTransport):
    """Finds the proxy's name at this machine, and checks its certificate by that name."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["sni_hostname"] = NAME
        request.url = request.url.copy_with(host="127.0.0.1")
        return super().handle_request(request)


@contextmanager
def served(project: Project, folder: Path, dagster: int = 1, **directives: str) -> Iterator[Served]:
    """The server and nginx before it, each a process of its own.

    Args:
        folder: Empty.
        dagster: Port at which the Dagster UI listens, where there is one.
        directives: Of nginx.conf, with another value.
    """
    for program in ("nginx", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    folder.mkdir()
    port, secure, plain = free_port(), free_port(), free_port()
    configure(folder, {"127.0.0.1:8321": port, "127.0.0.1:3000": dagster}, {80: plain, 443: secure}, directives)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "RAG_PIPELINE_PROXY_SECRET": SECRET}
    command = [sys.executable, "-m", "rag_pipeline.cli", "serve", "--port", str(port)]
    command += ["--config", str(project.pipeline().path)]
    with ExitStack() as stack:
        log = stack.enter_context((folder / "serve.log").open("wb"))
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        stack.callback(ended, process)
        nginx = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=log)
        stack.callback(ended, nginx)
        wait_for(f"http://127.0.0.1:{port}", process)
        direct, through = f"http://127.0.0.1:{port}", f"https://{NAME}:{secure}"
        made = Served(direct, through, f"http://127.0.0.1:{plain}", folder / "rag-pipeline.crt", process)
        with made.client() as client:
            until_answered(client, nginx)
        yield made


def configure(
    folder: Path, backends: Mapping[str, int], ports: Mapping[int, int], directives: Mapping[str, str]
) -> None:
    """The documented file with this test's ports and folder, and the files that it includes."""
    text = CONFIGURATION.read_text("utf-8")
    for written, port in backends.items():
        text = replaced(text, f"server {written};", f"server 127.0.0.1:{port};")
    for documented, port in ports.items():
        text = replaced(text, f"listen {documented}", f"listen 127.0.0.1:{port}")
    for name, value in directives.items():
        written = re.findall(rf"^    {name} [^;]*;", text, re.M)
        assert len(written) == 1, name
        text = text.replace(written[0], f"    {name} {value};")
    text = text.replace("/etc/nginx/rag-pipeline-", f"{folder}/").replace("/etc/ssl/", f"{folder}/")
    (folder / "rag-pipeline.conf").write_text(text)
    # Workers of a server that root starts are somebody else, who may not look into a test's folder.
    user = "" if os.geteuid() else "user root;"
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=user))
    (folder / "secret").write_text(f"proxy_set_header X-Proxy-Secret {SECRET};")
    (folder / "groups").write_text("".join(f'"{name}" "{groups}";\n' for name, groups in GROUPS.items()))
    lines = {name: f"{name}:{_hashed(password)}\n" for name, password in PASSWORDS.items()}
    (folder / "people").write_text("".join(lines.values()))
    (folder / "operators").write_text(lines["olga"])
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={NAME}", "-days", "2"]
    made += ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(folder / "rag-pipeline.key")]
    subprocess.run([*made, "-out", str(folder / "rag-pipeline.crt")], check=True, capture_output=True)


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def _hashed(password: str) -> str:
    made = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
    )
    return made.stdout.strip()


def until_answered(client: httpx.Client, nginx: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert nginx.poll() is None, "nginx ended"
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail("nginx did not answer in time")


def ended(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
