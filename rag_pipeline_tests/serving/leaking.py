"""A lake of random documents and readers that changes from night to night, with every entry open on it.

Each document has two words of its own. The mark stands in its address, title, metadata and text, and questions may name
it. The secret stands in its text alone, changes when it is edited, and nobody types it.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from starlette.responses import Response

from rag_pipeline import Searcher
from rag_pipeline.answering.answerer import Answerer
from rag_pipeline.refresh.embeddings import refresh_embeddings
from rag_pipeline.refresh.index import refresh_index
from rag_pipeline.retrieval.published import POINTER_SECONDS
from rag_pipeline.serving import stdio
from rag_pipeline.serving.agents import Agents
from rag_pipeline.serving.app import build_app
from rag_pipeline.serving.callers import Caller
from rag_pipeline.serving.service import Service
from rag_pipeline.serving.tokens import add_token
from rag_pipeline.stores.kept import open_version
from rag_pipeline_tests.answering.scripted import Scripted, says, scripted_server
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import running

COUNT = 30
SWINGING = 6
SOURCES = ("docs", "files")
PRINCIPALS = ("public", "staff", "board", "hr", "dora")
SUBJECTS = ("pump", "gate", "lamp", "crane", "rope")
ADMINISTRATORS = "board"
# Names of token holders and their groups; who is of the board may look as less.
HOLDERS: dict[str, tuple[str, ...]] = {
    "ann": (),
    "bob": ("staff",),
    "dora": (),
    "eve": ("board", "staff"),
    "hal": ("hr",),
    "max": ("board", "staff", "hr", "dora"),
}
_WORDS = re.compile(r"(?:heron|egret)[a-z]{5}")
NOWHERE = "heronqqqqq"


def word(kind: str, number: int) -> str:
    """`heron` or `egret` with a number in letters; none is the beginning of another."""
    letters = "".join(chr(ord("a") + number // 26**power % 26) for power in range(4))
    return f"{kind}x{letters}"


# Another embedding model, whose index stays as it was on the first night.
BEHIND = "behind"


@dataclass(frozen=True)
class State:
    """One document on one night."""

    readers: frozenset[str]
    secret: str


@dataclass
class Night:
    """What readers may know after a publication, by number of the document; what is deleted is not there."""

    documents: dict[int, State]
    published_at: datetime


def tells_everything(asked: dict[str, Any]) -> Response:
    """A model that repeats all that it was given."""
    return says(asked["messages"][-1]["content"], " [1]")(asked)


@dataclass
class World:
    """The lake, and what is open on it.

    Attributes:
        nights: What was published until now; the last one is what readers have.
        chunks: All chunks that there ever were, by id: the number of their document, or None where they are gone.
    """

    project: Project
    seed: int
    model: Scripted
    nights: list[Night] = field(default_factory=list)
    chunks: dict[str, int | None] = field(default_factory=dict)
    clients: dict[str, httpx.Client] = field(default_factory=dict)
    searcher: Searcher = None  # type: ignore[assignment]
    answerer: Answerer = None  # type: ignore[assignment]
    agents: Agents = None  # type: ignore[assignment]
    agent: frozenset[str] = frozenset()

    @property
    def config(self) -> Path:
        return self.project.folder / "pipeline.yaml"

    def readable(self, principals: Iterable[str], night: int | None = None) -> dict[int, State]:
        """Documents that somebody may know now, as they were on a night."""
        names = {*principals, "public"}
        since = self.nights[-1:] if night is None else self.nights[night:]
        shown = [{at for at, state in each.documents.items() if names & state.readers} for each in since]
        return {at: since[0].documents[at] for at in set.intersection(*shown)}

    def told(self, text: str, readable: dict[int, State], typed: str = "") -> None:
        """Assert that a text holds no word of anything else, but for what was typed."""
        known = {word("heron", at) for at in readable} | {state.secret for state in readable.values()} | {typed}
        assert not set(_WORDS.findall(text.lower())) - known

    def turn(self) -> None:
        """Another night: documents are edited, closed, opened, taken away and added; then it is published."""
        before = self.nights[-1].documents if self.nights else {}
        after = dict(before)
        number = len(self.nights)
        chance = random.Random(f"{self.seed} {number}")
        for at in range(COUNT) if not before else chance.sample(range(COUNT), COUNT // 2):
            state, what = after.get(at), chance.choice(("readers", "readers", "text", "gone"))
            readers = frozenset(chance.sample(PRINCIPALS, chance.choice((0, 1, 1, 2))))
            if state is None or what == "readers":
                after[at] = State(readers, state.secret if state else word("egret", at + COUNT * number))
            elif what == "text":
                after[at] = State(state.readers, word("egret", at + COUNT * number))
            else:
                del after[at]
        for at in range(0, COUNT, SWINGING):
            # Closed, and opened again with the same text.
            after[at] = State(frozenset({("staff", "board")[number % 2]}), word("egret", at))
        for at in range(COUNT):
            path = self.project.folder / _source(at) / _name(at)
            if at not in after:
                path.unlink(missing_ok=True)
            elif after[at] != before.get(at):
                path.write_text(_text(at, after[at]), "utf-8")
        self.project.refresh()
        time.sleep(POINTER_SECONDS)
        self.nights.append(Night(after, datetime.now(UTC)))
        with self.project.workspace() as workspace:
            last = workspace.lake.last_publication()
            assert last is not None
            rows = open_version(workspace.vectors, last).read(["uri", "chunk_id"])
        places = {f"{_source(at)}/{_name(at)}": at for at in after}
        assert set(rows["uri"]) == set(places)
        self.chunks = dict.fromkeys(self.chunks) | {name: places[uri] for uri, name in rows.iter_rows()}


def _source(at: int) -> str:
    return SOURCES[at % 2]


def _name(at: int) -> str:
    return f"{word('heron', at)}.md"


def _text(at: int, state: State) -> str:
    mark, subject = word("heron", at), SUBJECTS[at % len(SUBJECTS)]
    fields = [f"title: Note {mark}", f"allowed_principals: {json.dumps(sorted(state.readers))}", f"number: {at}"]
    fields.append(f"field_{mark}: {mark}")
    if at % 3 == 2:
        # Readers of the one need not be those of the other.
        fields.append(f"supersedes: {_name(at - 2)}")
    body = f"The {subject} of the hall is closed at night, and its key hangs beside the door of the porter {at % 7}."
    head = "\n".join(fields)
    return f"---\n{head}\n---\n# Part {mark}\n\n{body}\n\n## Word {mark}\n\nThe word of the hall is {state.secret}.\n"


@contextmanager
def opened_world(folder: Path, seed: int) -> Iterator[World]:
    """The first night, and everything that answers from it, which stays open through those that follow."""
    with ExitStack() as stack:
        model = stack.enter_context(scripted_server()).script(tells_everything)
        project = Project.create(folder, SOURCES, cache="cache", deduplication={"near": False})
        project.settings |= {
            "boilerplate": {"leave_out": False},
            "serving": {"administrators": [ADMINISTRATORS], "requests_per_minute": 10_000_000},
            "chat_models": {"scripted": {"model": "some-model", "base_url": model.url}},
            "answers": {"model": "scripted"},
        }
        project.settings["embedding_models"][BEHIND] = {"kind": "hashing", "model": "hashing", "dimension": 96}
        world = World(project, seed, model)
        world.turn()
        with project.workspace() as workspace:
            refresh_embeddings(workspace, BEHIND)
            refresh_index(workspace, BEHIND)
        pipeline = project.pipeline()
        world.searcher = stack.enter_context(Searcher.open(pipeline))
        world.answerer = stack.enter_context(Answerer.open(pipeline, world.searcher))
        service = Service(pipeline)
        stack.callback(service.close)
        world.agents = Agents(
            service, stdio._asked, stdio._written, lambda: Caller("agent", world.agent | {"public"}, "process")
        )
        tokens = {name: add_token(pipeline.tokens_file, name, groups)[0] for name, groups in HOLDERS.items()}
        url = stack.enter_context(running(build_app(pipeline)))
        for name, token in tokens.items():
            headers = {"Authorization": f"Bearer {token}"}
            world.clients[name] = stack.enter_context(
                httpx.Client(base_url=url, headers=headers, timeout=60, verify=False)
            )
        world.clients[""] = stack.enter_context(httpx.Client(base_url=url, timeout=60, verify=False))
        yield world
