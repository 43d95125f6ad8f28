"""Repositories on a server: what is fetched, and what happens when the server or the mirror does not do its part."""

from __future__ import annotations

import base64
import gc
import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from dulwich.errors import NotGitRepository
from dulwich.repo import Repo
from dulwich.server import Backend
from dulwich.web import make_wsgi_chain

from rag_pipeline.contracts.sources import Source
from rag_pipeline.errors import DocumentError, ExtraMissing, SourceUnavailable
from rag_pipeline.sources.git import mirror
from rag_pipeline_tests.sources.repositories import Maker, git_source


class Quiet(WSGIRequestHandler):
    """Says nothing of requests."""

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


class Served(Backend):
    """Repositories below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.opened: list[Repo] = []

    def open_repository(self, path: str | bytes) -> Repo:
        folder = self._folder / os.fsdecode(path).strip("/")
        if not folder.is_dir():
            raise NotGitRepository(path)
        self.opened.append(Repo(str(folder)))
        return self.opened[-1]


class Server:
    """Repositories of a folder over HTTP, on this machine.

    Attributes:
        requests: Method and path of each request.
        password: What callers must bring as `git`; empty: nothing.
        cut_after: Bytes of packs after which it ends the connection; None: never.
    """

    def __init__(self, folder: Path) -> None:
        self.requests: list[str] = []
        self.password = ""
        self.cut_after: int | None = None
        self._served = Served(folder)
        self._app = make_wsgi_chain(self._served)
        self._server = make_server("127.0.0.1", 0, self._answer, handler_class=Quiet)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for repository in self._served.opened:
            repository.close()

    def _answer(self, environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.requests.append(f"{environment['REQUEST_METHOD']} {environment['PATH_INFO']}")
        wanted = "Basic " + base64.b64encode(f"git:{self.password}".encode()).decode()
        if self.password and environment.get("HTTP_AUTHORIZATION") != wanted:
            start("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="x"')])
            return [b""]
        if self.cut_after is not None and environment["REQUEST_METHOD"] == "POST":
            start = self._cut(start, self.cut_after)
        return self._app(environment, start)

    def _cut(self, start: Callable[..., Any], left: int) -> Callable[..., Any]:
        def started(*arguments: Any) -> Callable[[bytes], None]:
            write = start(*arguments)

            def write_some(part: bytes) -> None:
                nonlocal left
                write(part[:left])
                left -= len(part)
                if left <= 0:
                    raise ConnectionAbortedError

            return write_some

        return started


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "served" / "code.git")


@pytest.fixture
def server(maker: Maker) -> Iterator[Server]:
    server = Server(maker.path.parent)
    yield server
    server.close()


def contents(source: Source) -> dict[str, bytes]:
    return {item.address: source.fetch(item).raw for item in source.list()}


def test_a_remote_repository_is_fetched_once_and_then_what_is_new(
    maker: Maker, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "_MAX_PACKS", 2)
    url, cache = f"{server.url}/code.git", tmp_path / "cache"
    maker.commit({"a.md": b"a", "b.md": b"b"})
    first = maker.commit({"a.md": b"edited", "b.md": b"b"})
    assert contents(git_source(url, cache)) == {"a.md": b"edited", "b.md": b"b"}
    server.requests.clear()
    before = git_source(url, cache).list()
    assert not [each for each in server.requests if each.startswith("POST") and "upload-pack" not in each]
    packs = len([*cache.glob("git/*.git/objects/pack/*.pack")])
    for number in range(4):
        maker.commit({"a.md": f"edit {number}".encode(), "b.md": b"b"})
        source = git_source(url, cache)
        assert contents(source) == {"a.md": f"edit {number}".encode(), "b.md": b"b"}
        # Equal to a first look, times and authors included.
        assert source.list() == git_source(url, tmp_path / f"cache{number}").list()
    assert len([*cache.glob("git/*.git/objects/pack/*.pack")]) <= packs + 2
    # Somebody rewrites what was there, and takes a file away.
    maker.commit({"a.md": b"rewritten"}, parents=[first])
    after = git_source(url, cache).list()
    assert [item.address for item in after] == ["a.md"]
    assert after[0].stamp != before[0].stamp


def test_without_history_only_the_newest_commit_is_fetched(maker: Maker, server: Server, tmp_path: Path) -> None:
    for number in range(9):
        maker.commit({"a.md": f"{number}".encode()})
    source = git_source(f"{server.url}/code.git", tmp_path / "cache", history="none")
    assert contents(source) == {"a.md": b"8"}
    [held] = (tmp_path / "cache" / "git").glob("*.git")
    with Repo(str(held)) as repo:
        assert sum(1 for _ in repo.object_store) == 3
    maker.commit({"a.md": b"9"})
    assert contents(git_source(f"{server.url}/code.git", tmp_path / "cache", history="none")) == {"a.md": b"9"}


def test_a_server_that_is_down_or_lists_nothing_is_never_empty(maker: Maker, server: Server, tmp_path: Path) -> None:
    url, cache = f"{server.url}/code.git", tmp_path / "cache"
    with pytest.raises(SourceUnavailable, match="no commit yet"):
        git_source(url, cache).list()
    maker.commit({"a.md": b"a"})
    assert contents(git_source(url, cache)) == {"a.md": b"a"}
    for wrong, says in (("gone.git", "there is no repository"), ("code.git/deep", "there is no repository")):
        with pytest.raises(SourceUnavailable, match=says):
            git_source(f"{server.url}/{wrong}", cache).list()
    with pytest.raises(SourceUnavailable, match="no ref gone; branches and tags: master"):
        git_source(url, cache, ref="gone").list()
    server.close()
    with pytest.raises(SourceUnavailable, match=r"fetching it failed \(NewConnectionError\)"):
        git_source(url, cache).list()


def test_what_was_listed_is_read_without_the_server(
    maker: Maker, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker.commit({"a.md": b"a"})
    source = git_source(f"{server.url}/code.git", tmp_path / "cache")
    [item] = source.list()
    server.close()
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 3_600)
    assert source.fetch(item).raw == b"a"


def test_credentials_come_from_the_settings_and_are_never_shown(maker: Maker, server: Server, tmp_path: Path) -> None:
    maker.commit({"a.md": b"a"})
    server.password = "b0atb0at"
    url = f"{server.url}/code.git"
    for fields in ({}, {"password": "$WRONG"}):
        with pytest.raises(SourceUnavailable, match="wants other credentials") as raised:
            git_source(url, tmp_path / "cache", **fields).list()
        assert "WRONG" not in raised.value.message
    source = git_source(url, tmp_path / "cache", password="$TOKEN")
    source._repository._password = "b0atb0at"  # type: ignore[attr-defined]
    assert contents(source) == {"a.md": b"a"}
    for path in (tmp_path / "cache").rglob("*"):
        assert not path.is_file() or b"b0atb0at" not in path.read_bytes()


def test_a_fetch_that_is_cut_off_leaves_nothing_that_is_read(maker: Maker, server: Server, tmp_path: Path) -> None:
    url, cache = f"{server.url}/code.git", tmp_path / "cache"
    chance = random.Random(7)
    first = {f"{number}.md": chance.randbytes(2_000) for number in range(20)}
    maker.commit(first)
    assert contents(git_source(url, cache)) == first
    second = {f"{number}.md": chance.randbytes(2_000) for number in range(20)}
    maker.commit(second)
    for cut_after in (0, 1, 9, 300, 5_000, 20_000, 39_999):
        server.cut_after = cut_after
        with pytest.raises(SourceUnavailable, match=r"fetching it failed|ended the connection"):
            git_source(url, cache).list()
        # What a broken connection leaves open would complain now.
        gc.collect()
    server.cut_after = None
    assert contents(git_source(url, cache)) == second


def test_a_process_that_is_killed_while_it_fetches_is_followed_by_one_that_fetches(
    maker: Maker, server: Server, tmp_path: Path
) -> None:
    files = {f"{number}.md": f"text {number}".encode() for number in range(20)}
    maker.commit(files)
    program = textwrap.dedent("""
        import os, sys
        from dulwich.object_store import DiskObjectStore
        from rag_pipeline_tests.sources.repositories import git_source
        add = DiskObjectStore.add_thin_pack
        def killed(self, *arguments, **values):
            add(self, *arguments, **values)
            os.kill(os.getpid(), 9)
        DiskObjectStore.add_thin_pack = killed
        git_source(sys.argv[1], sys.argv[2]).list()
    """)
    url, cache = f"{server.url}/code.git", tmp_path / "cache"
    done = subprocess.run([sys.executable, "-c", program, url, cache], check=False)
    assert done.returncode == -signal.SIGKILL
    # Cut in the middle of what it had written, too.
    for pack in cache.glob("git/*.git/objects/pack/*.pack"):
        pack.chmod(0o644)
        pack.write_bytes(pack.read_bytes()[:200])
    assert contents(git_source(url, cache)) == files


def test_a_mirror_that_lost_something_is_fetched_again(maker: Maker, server: Server, tmp_path: Path) -> None:
    url, cache = f"{server.url}/code.git", tmp_path / "cache"
    files = {"a.md": b"a", "deep/b.md": b"b"}
    maker.commit(files)
    source = git_source(url, cache)
    items = source.list()
    [held] = cache.glob("git/*.git")
    for damage in ("objects", "refs", "HEAD"):
        shutil.rmtree(held / damage) if (held / damage).is_dir() else (held / damage).unlink()
        assert contents(git_source(url, cache)) == files
    shutil.rmtree(held / "objects")
    source._repository.close()  # type: ignore[attr-defined]
    with pytest.raises((DocumentError, SourceUnavailable)):
        source.fetch(items[0])
    assert contents(git_source(url, cache)) == files


def test_a_server_that_says_nothing_is_waited_for_so_long_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr(mirror, "_SILENT_SECONDS", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(SourceUnavailable, match=r"fetching it failed \(\w*Time\w*Error\)"):
            git_source(f"http://127.0.0.1:{silent.getsockname()[1]}/x.git", tmp_path).list()
        assert time.monotonic() - began < 20


def test_without_ssh_or_the_packages_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceUnavailable, match="ssh is not installed"):
        git_source("ssh://git@host.example/docs.git", tmp_path).list()
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(ExtraMissing, match=r"pip install 'rag-pipeline\[git\]'"):
        git_source(tmp_path)
