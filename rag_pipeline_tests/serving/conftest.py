"""One small lake that is published once, and a real server on it in a thread of this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag_pipeline import Searcher
from rag_pipeline_tests.pipeline.project import Project

READERS = ("public", "staff", "board", "staff, board")
SUBJECTS = ("pump", "gate", "lamp", "crane", "rope")


def note(at: int) -> str:
    """A document whose mark stands in its address, title, metadata and text alone."""
    mark = mark_of(at)
    fields = (
        f"title: Note {mark}\nallowed_principals: [{READERS[at % len(READERS)]}]\nfield_{mark}: {mark}\nnumber: {at}"
    )
    subject = SUBJECTS[at % len(SUBJECTS)]
    body = f"The {subject} of the hall is closed at night, and its key hangs beside the door of the porter {at}."
    return (
        f"---\n{fields}\n---\n# Part {mark}\n\n{body}\n\n## Word {mark}\n\nThe word is {mark}. <b>Bold</b> & plain.\n"
    )


def mark_of(at: int) -> str:
    return f"heron{'abcdefghijklmnopqrstuvwxyz'[at]}"


COUNT = 12


def known_to(principals: frozenset[str]) -> frozenset[str]:
    """Marks of the documents that some principals may read."""
    return frozenset(
        mark_of(at) for at in range(COUNT) if (principals | {"public"}) & set(READERS[at % len(READERS)].split(", "))
    )


@dataclass
class Served:
    """A server on a project.

    Attributes:
        tokens: Tokens by name of their holder.
    """

    url: str
    project: Project
    tokens: dict[str, str]

    def client(self, who: str | None = None) -> httpx.Client:
        headers = {} if who is None else {"Authorization": f"Bearer {self.tokens[who]}"}
        # There is no TLS here, and reading the system's certificates takes longer than an answer.
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, verify=False)


def small_project(folder: Path, **serving: Any) -> Project:
    project = Project.create(
        folder,
        deduplication={"near": False},
        boilerplate={"leave_out": False},
        serving={"administrators": ["board"], "requests_per_minute": 1_000_000} | serving,
    )
    project.folder.joinpath("docs").mkdir(exist_ok=True)
    for at in range(COUNT):
        project.write(f"{mark_of(at)}.md", note(at))
    return project


def tokens_for(project: Project) -> dict[str, str]:
    """ann may read what everybody may, bob is of the staff, eve of board and staff."""
    from rag_pipeline.serving.tokens import add_token

    path = project.pipeline().tokens_file
    groups = {"ann": (), "bob": ("staff",), "eve": ("board", "staff")}
    return {name: add_token(path, name, theirs)[0] for name, theirs in groups.items()}


PRINCIPALS = {
    "ann": frozenset({"ann"}),
    "bob": frozenset({"bob", "staff"}),
    "eve": frozenset({"eve", "board", "staff"}),
}


@contextmanager
def running(app: Any) -> Iterator[str]:
    """Serve an application in a thread at a port that is free; gives its address."""
    import uvicorn

    from rag_pipeline.serving.server import KEEP_ALIVE_SECONDS

    options = {"log_config": None, "access_log": False, "proxy_headers": False, "timeout_graceful_shutdown": 2}
    server = uvicorn.Server(uvicorn.Config(app, port=0, timeout_keep_alive=KEEP_ALIVE_SECONDS, **options))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < deadline, "the server did not start in time"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server did not stop"


@pytest.fixture(scope="package")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Built and published once; tests only read it."""
    project = small_project(tmp_path_factory.mktemp("serving"))
    project.refresh()
    return project


@pytest.fixture(scope="package")
def served(lake: Project) -> Iterator[Served]:
    """A server on the lake, for callers with tokens."""
    from rag_pipeline.serving.app import build_app

    tokens = tokens_for(lake)
    with running(build_app(lake.pipeline())) as url:
        yield Served(url, lake, tokens)


@pytest.fixture(scope="package")
def searcher(lake: Project) -> Iterator[Searcher]:
    """What the server has to agree with."""
    with Searcher.open(lake.pipeline()) as opened:
        yield opened


Open = Callable[..., httpx.Client]
