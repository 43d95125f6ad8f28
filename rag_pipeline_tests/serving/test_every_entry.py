"""No entry tells anybody of what they may not read now: title, text, address, field or count, in any byte it gives."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import pytest
from mcp.server.mcpserver.exceptions import ToolError

from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.modes import MODES
from rag_pipeline.errors import RagPipelineError
from rag_pipeline.serving.questions import SearchQuestion
from rag_pipeline_tests.cli.conftest import Answer, ask_in
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.levels import tries
from rag_pipeline_tests.serving.leaking import (
    ADMINISTRATORS,
    BEHIND,
    COUNT,
    HOLDERS,
    NOWHERE,
    PRINCIPALS,
    SOURCES,
    World,
    opened_world,
    word,
)

needs("openai", "needs the extra `answers`")

NIGHTS = 3
SHARE_BY_TOKEN = 0.6
EXAMPLES = int(os.environ.get("RAG_PIPELINE_TEST_EXAMPLES", tries(150, 240)))
# A lake of other documents and readers for each so many examples.
SEEDS = range(1 + (EXAMPLES - 1) // 2_000)
VIEWS: list[list[str] | None] = [None, None, None, [], ["staff"], ["board"], ["hr", "staff"], ["dora"], ["public"]]
QUERIES = ("the pump of the hall", "key beside the door", "which word is it", "porter 3")


@pytest.fixture(scope="module", params=SEEDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened_world(tmp_path_factory.mktemp("leaking"), request.param) as opened:
        yield opened


@dataclass
class Case:
    """One question of somebody.

    Attributes:
        mark: What it may name; typed is what it does name.
        night: Whose state is searched; None: now.
    """

    world: World
    chance: random.Random
    mark: str
    principals: frozenset[str]
    night: int | None = None

    def one(self, *values: Any) -> Any:
        return self.chance.choice(values)

    @property
    def as_of(self) -> datetime | None:
        return None if self.night is None else self.world.nights[self.night].published_at

    def question(self) -> dict[str, Any]:
        """What else must hold of a text, as the API takes it."""
        mark = self.mark
        return {
            "query": self.one(*QUERIES, f"word {mark}", mark),
            "mode": self.one(*MODES),
            "sources": self.one(None, None, None, ["docs"], ["files"], ["nowhere"]),
            "filters": self.one([], [], ["number>=10"], [f"field_{mark}={mark}"], [f"field_{mark}"], ["nothing=1"]),
            "paths": self.one(None, None, ["**"], [f"**/{mark}.md"]),
        }

    def search(self) -> dict[str, Any]:
        more = {
            "k": self.one(1, 4, 100),
            "per_document": self.one(None, None, 1),
            "diversity": self.one(0.0, 0.5),
            "as_of": None if self.as_of is None else self.as_of.isoformat(),
            "space": self.one(None, None, BEHIND) if self.as_of is None else None,
        }
        return self.question() | more

    def told(self, text: str, principals: frozenset[str] | None = None, typed: str | None = None) -> None:
        """Assert that a text holds nothing closed."""
        known = self.world.readable(self.principals if principals is None else principals, self.night)
        self.world.told(text, known, self.mark if typed is None else typed)


class Asker(Case):
    """The same by a holder of a token, who may look as less than they are."""

    def __init__(self, world: World, chance: random.Random, mark: str, night: int | None) -> None:
        self.who = chance.choice(sorted(HOLDERS))
        own = frozenset({self.who, "public", *HOLDERS[self.who]})
        self.wish = chance.choice(VIEWS)
        seen = own if self.wish is None else frozenset(self.wish) | {"public"}
        self.is_refused = self.wish is not None and not (ADMINISTRATORS in own and seen <= own)
        super().__init__(world, chance, mark, frozenset() if self.is_refused else seen, night)
        self.view = {} if self.wish is None else {"view_as": self.wish}
        self.client: httpx.Client = world.clients[self.who]

    def post(self, path: str, asked: dict[str, Any]) -> httpx.Response:
        answer = self.client.post(f"/v1/{path}", json=asked | self.view)
        assert answer.status_code == 403 or not self.is_refused
        assert answer.status_code < 500
        return answer


def http_search(asker: Asker) -> None:
    asked = asker.search()
    way = asker.one("search", "explain")
    mark = asker.mark
    if way == "explain":
        asked["document"] = asker.one(f"{mark}.md", f"docs/{mark}.md", "**", "files/*", None)
    answer = asker.post(way, asked)
    asker.told(answer.text)
    found = answer.json().get("hits", [])
    # What was typed is said of no hit.
    asker.told(json.dumps(found), typed="")
    is_whole = asked["k"] == 100 and asked["mode"] != "text" and not asked["filters"] and asker.night is None
    is_whole = is_whole and asked["space"] is None
    if answer.status_code == 200 and is_whole and asked["paths"] != [f"**/{mark}.md"] and asked["sources"] is None:
        known = {word("heron", at) for at in asker.world.readable(asker.principals)}
        assert {hit["uri"].rpartition("/")[2].removesuffix(".md") for hit in found} == known
    known = asker.world.readable(asker.principals, asker.night)
    if mark not in asked["query"] and mark not in {word("heron", at) for at in known}:
        assert_is_told_as_of_nothing(asker, way, asked, answer)


def assert_is_told_as_of_nothing(asker: Asker, way: str, asked: dict[str, Any], answer: httpx.Response) -> None:
    """Of what is closed the same is told as of what there never was."""
    other = asker.post(way, json.loads(json.dumps(asked).replace(asker.mark, NOWHERE)))
    assert other.status_code == answer.status_code
    first, second = answer.json(), json.loads(other.text.replace(NOWHERE, asker.mark))
    for name in ("detail", "documents", "hits"):
        assert first.get(name) == second.get(name)


def http_ask(asker: Asker) -> None:
    asker.night = None
    asked = asker.question() | {"k": asker.one(None, 3), "stream": asker.one(True, False)}
    del asker.world.model.asked[:]
    answer = asker.post("ask", asked)
    asker.told(answer.text)
    asker.told(json.dumps([body["messages"] for body in asker.world.model.asked]))


def http_chunk(asker: Asker) -> None:
    """Windows and remarks."""
    asker.night = None
    chunk, document = asker.one(*asker.world.chunks.items())
    if asker.one(True, True, False):
        answer = asker.post("window", {"chunk_id": chunk, "by": asker.one("section", "tokens")})
    else:
        asked = {"query": asker.one(*QUERIES), "chunk_id": chunk, "verdict": "up"}
        answer = asker.post("feedback", asked)
    asker.told(answer.text, typed="")
    if not asker.is_refused:
        is_open = document in asker.world.readable(asker.principals)
        assert answer.status_code in ((200, 201) if is_open else (404,))


def http_sources(asker: Asker) -> None:
    asker.night = None
    answer = asker.client.get("/v1/sources", params=asker.view)
    if asker.wish == []:
        # An address cannot say "as nobody": no value is no wish.
        asker.principals = frozenset({asker.who, "public", *HOLDERS[asker.who]})
    elif asker.is_refused:
        assert answer.status_code == 403
        asker.told(answer.text, typed="")
        return
    asker.told(answer.text, typed="")
    counts = {source["source"]: source["documents"] for source in answer.json()["sources"]}
    assert counts == counted(asker)


def counted(case: Case) -> dict[str, int]:
    known = case.world.readable(case.principals)
    found = {name: sum(SOURCES[at % 2] == name for at in known) for name in SOURCES}
    return {name: count for name, count in found.items() if count}


def http_anything(asker: Asker) -> None:
    """What tells of no document, and errors."""
    mark, client = asker.mark, asker.client
    path = asker.one("/", "/page.js", "/page.css", "/openapi.json", "/v1/me", "/metrics", "/ready", "/health", "/v1/it")
    asker.told(client.get(path).text, frozenset(), typed="")
    wrong = asker.one({"query": mark, "k": mark}, {"query": mark, mark: mark}, {"query": "", "mode": mark}, [mark])
    refused = client.post(f"/v1/{asker.one('search', 'explain', 'ask', 'window', 'feedback')}", json=wrong)
    assert refused.status_code == 422
    asker.told(refused.text, frozenset())
    unknown = asker.world.clients[""].post("/v1/search", json={"query": mark})
    assert unknown.status_code == 401
    asker.told(unknown.text, frozenset(), typed="")


def http_agent(asker: Asker) -> None:
    """The tools over streamable HTTP, as their protocol sends them."""
    asker.night, asker.principals = None, frozenset({asker.who, "public", *HOLDERS[asker.who]})
    name = asker.one("search", "read_window", "list_sources", "ask")
    given = {name: value for name, value in asker.question().items() if name != "paths"}
    arguments = {
        "search": given | {"k": 50},
        "ask": given,
        "read_window": {"chunk_id": asker.one(*asker.world.chunks)},
        "list_sources": {},
    }[name]
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    accepts = {"Accept": "application/json, text/event-stream"}
    answer = asker.client.post("/mcp", json=call, headers=accepts)
    assert answer.status_code == 200
    asker.told(answer.text, typed="" if name in ("read_window", "list_sources") else None)


def agent(case: Case) -> None:
    """The tools as standard input and output reach them."""
    case.night = None
    world, tools = case.world, case.world.agents
    world.agent = case.principals
    given = {name: value for name, value in case.question().items() if name != "paths"}
    name = case.one("search", "ask", "read_window", "list_sources")
    try:
        if name == "read_window":
            text = asyncio.run(tools.read_window(case.one(*world.chunks))).model_dump_json()
        elif name == "list_sources":
            found = asyncio.run(tools.list_sources())
            assert {source.source: source.documents for source in found.sources} == counted(case)
            text = found.model_dump_json()
        else:
            text = asyncio.run(getattr(tools, name)(**given)).model_dump_json()
    except ToolError as error:
        text = str(error)
    case.told(text)


def command_line(case: Case) -> None:
    """Searches and answers at a terminal and as JSON."""
    way = case.one("search", "search", "ask")
    case.night = None if way == "ask" else case.night
    asked = case.search()
    words = [way, asked["query"], "--mode", asked["mode"]]
    for name in sorted(case.principals | {"public"}):
        words += ["--as", name]
    for name, option in (("sources", "--source"), ("filters", "--filter"), ("paths", "--path")):
        words += [part for value in asked[name] or () for part in (option, value)]
    if way == "search":
        words += ["--k", str(asked["k"]), "--diversity", str(asked["diversity"])]
        words += [] if asked["as_of"] is None else ["--as-of", asked["as_of"]]
        words += case.one([], ["--explain"], ["--why", f"{case.mark}.md"], ["--why", "**"])
        words += case.one([], ["--window", "500"], ["--window", "9", "--window-by", "tokens"], ["--verify"])
    words += case.one([], ["--json"])
    answer: Answer = ask_in(case.world.project.folder, *words)
    assert answer.code in (0, 1, 2)
    case.told(answer.out + answer.err)


def filter_of(asked: dict[str, Any]) -> Filter:
    named = ("query", "mode", "sources", "filters", "paths", "k", "per_document", "diversity", "as_of")
    return SearchQuestion(**{name: asked[name] for name in named if name in asked}).limits(with_sources=True)


def python(case: Case) -> None:
    """The Searcher and the Answerer, whatever they raise included."""
    world, asked = case.world, case.search()
    limits = filter_of(asked)
    plain = {name: asked[name] for name in ("query", "mode", "k", "per_document", "diversity", "space")}
    try:
        if case.one(True, False):
            hits = world.searcher.search(**plain, limits=limits, principals=case.principals, as_of=case.as_of)
            windows = world.searcher.windows(hits, principals=case.principals, as_of=case.as_of)
            # What is asked for again may be asked for by another.
            others = world.searcher.windows(hits, principals={"public"})
            case.told(repr((hits, windows)))
            world.told(repr(others), world.readable({"public"}))
        else:
            case.night = None
            case.told(repr(list(world.answerer.stream(asked["query"], case.principals, filters=limits))))
    except RagPipelineError as error:
        case.told(f"{error!r} {error.message} {error.facts}")


def framework(case: Case) -> None:
    """The retrievers of LangChain, LlamaIndex and Haystack."""
    case.night = None
    asked, searcher = case.search(), case.world.searcher
    k, mode, window_tokens = asked["k"], asked["mode"], case.one(None, 500)
    try:
        way = case.one("langchain", "llama_index", "haystack")
        if way == "langchain":
            from rag_pipeline.adapters import langchain

            options = {"k": k, "mode": mode, "window_tokens": window_tokens, "filters": filter_of(asked)}
            retriever = langchain.PipelineRetriever(searcher=searcher, principals=case.principals, **options)
            text = repr(retriever.invoke(asked["query"]))
        elif way == "llama_index":
            from rag_pipeline.adapters import llama_index

            other = llama_index.PipelineRetriever(searcher, case.principals, k, mode, window_tokens, filter_of(asked))
            text = repr([(node.to_dict(), node.text) for node in other.retrieve(asked["query"])])
        else:
            from rag_pipeline.adapters import haystack

            third = haystack.PipelineRetriever(str(case.world.config), case.principals, k, mode, window_tokens)
            third._searcher = searcher
            text = repr([document.to_dict() for document in third.run(asked["query"])["documents"]])
    except RagPipelineError as error:
        text = f"{error!r} {error.message} {error.facts}"
    case.told(text)


BY_TOKEN: tuple[Callable[[Asker], None], ...] = (
    *(http_search, http_search, http_ask, http_ask),
    *(http_chunk, http_chunk, http_sources, http_anything, http_agent),
)
BY_NAME: tuple[Callable[[Case], None], ...] = (agent, command_line, python, python, framework)


@pytest.mark.parametrize("night", range(NIGHTS))
def test_no_entry_tells_of_what_is_closed(world: World, night: int) -> None:
    """Each night is that of the one before with other documents and readers, and all entries stay open."""
    while len(world.nights) <= night:
        ask_all(world)
        world.turn()
    ask_all(world)
    for number in range(-(-EXAMPLES // len(SEEDS) // NIGHTS)):
        # Made from a text, it is the same in every run and another one in each.
        chance = random.Random(f"{world.seed} {night} {number}")
        mark = chance.choice([*(word("heron", at) for at in range(COUNT)), NOWHERE])
        then = chance.choice([None, *range(night + 1)])
        if chance.random() < SHARE_BY_TOKEN:
            chance.choice(BY_TOKEN)(Asker(world, chance, mark, then))
        else:
            names = frozenset(chance.sample(PRINCIPALS, chance.randint(1, 3)))
            chance.choice(BY_NAME)(Case(world, chance, mark, names, then))


def ask_all(world: World) -> None:
    """Everybody asks the same questions, so that answers are kept; none tells of what was closed since it was kept."""
    for who, client in world.clients.items():
        known = world.readable({who, *HOLDERS.get(who, ())})
        for query in QUERIES[:1] if who else ():
            answers = [client.post("/v1/ask", json={"query": query, "stream": False}) for _ in range(2)]
            assert all(answer.status_code == 200 for answer in answers)
            assert answers[1].json()["from_cache"] or not known
            for answer in answers:
                world.told(answer.text, known)
