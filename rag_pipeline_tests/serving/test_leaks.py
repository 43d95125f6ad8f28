"""No entry of the server tells of what its caller may not read; each gives what the Searcher gives that caller."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp.server.mcpserver.exceptions import ToolError

from rag_pipeline import Searcher
from rag_pipeline.contracts.filters import Filter, parse_condition
from rag_pipeline.contracts.modes import MODES
from rag_pipeline.errors import RagPipelineError
from rag_pipeline.retrieval.search import Hit
from rag_pipeline.serving.agents import Agents, Work
from rag_pipeline.serving.callers import Caller
from rag_pipeline.serving.service import Service
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import COUNT, PRINCIPALS, Served, known_to, mark_of

EXAMPLES = int(os.environ.get("RAG_PIPELINE_TEST_EXAMPLES", "60"))


@pytest.fixture(scope="module")
def everything(searcher: Searcher) -> list[Hit]:
    hits = searcher.search("heron note of the hall", principals={"staff", "board"}, k=100)
    assert len({hit.document_id for hit in hits}) == COUNT
    return hits


def expected(searcher: Searcher, who: frozenset[str], asked: dict[str, Any]) -> list[str] | None:
    """Chunks that the Searcher finds for the caller; None: it refuses."""
    limits = Filter(
        frozenset(),
        paths=tuple(asked["paths"]) if asked["paths"] else None,
        conditions=tuple(map(parse_condition, asked["filters"])),
    )
    plain = {name: asked[name] for name in ("query", "k", "mode", "per_document", "diversity", "sources")}
    try:
        return [hit.chunk_id for hit in searcher.search(**plain, limits=limits, principals=who)]
    except RagPipelineError:
        return None


def question(draw: Any, secret: str) -> dict[str, Any]:
    """A search that may name what is secret to its caller."""
    return {
        "query": draw(st.sampled_from([f"word {secret}", "the pump of the hall", "key beside the door", secret])),
        "mode": draw(st.sampled_from(MODES)),
        "k": draw(st.sampled_from([1, 3, 50])),
        "per_document": draw(st.sampled_from([None, 1])),
        "diversity": draw(st.sampled_from([0.0, 0.5])),
        "sources": draw(st.sampled_from([None, ["docs"], ["nowhere"]])),
        "filters": draw(st.sampled_from([[], ["number>=4"], [f"field_{secret}={secret}"], [f"field_{secret}"]])),
        "paths": draw(st.sampled_from([None, [f"{secret}.md"], ["**"]])),
    }


def assert_nothing_closed(told: str, seen: frozenset[str], typed: str) -> None:
    """Nothing is told of a document that is closed, but for what was typed."""
    for closed in {mark_of(at) for at in range(COUNT)} - known_to(seen) - {typed}:
        assert closed not in told


EXHAUSTIVE = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VIEWS: list[list[str] | None] = [None, None, [], ["staff"], ["board"], ["public"], ["hr"], ["board", "staff"]]


def viewed(draw: Any) -> tuple[str, dict[str, Any], frozenset[str] | None]:
    """A caller, what their request says of whom they look as, and whose rights count; None: it is to be refused."""
    who, view = draw(st.sampled_from(sorted(PRINCIPALS))), draw(st.sampled_from(VIEWS))
    if view is None:
        return who, {}, PRINCIPALS[who]
    if who != "eve" or not set(view) <= PRINCIPALS[who] | {"public"}:
        return who, {"view_as": view}, None
    return who, {"view_as": view}, frozenset(view) | {"public"}


@EXHAUSTIVE
@given(data=st.data())
def test_searches_and_explanations_are_those_of_the_searcher(
    served: Served, searcher: Searcher, everything: list[Hit], data: st.DataObject
) -> None:
    draw = data.draw
    secret = mark_of(draw(st.integers(0, COUNT - 1)))
    who, view, seen = viewed(draw)
    asked = question(draw, secret)
    names = [f"{secret}.md", f"docs/{secret}.md", "**", everything[0].document_id]
    way, more = draw(st.sampled_from([("search", {})] + [("explain", {"document": name}) for name in names]))
    with served.client(who) as client:
        answer = client.post(f"/v1/{way}", json=asked | view | more)
    if seen is None:
        assert answer.status_code == 403
        assert_nothing_closed(answer.text, frozenset(), "")
        return
    found = expected(searcher, seen, asked)
    assert_nothing_closed(answer.text, seen, secret)
    if found is None:
        assert answer.status_code == 422
        return
    hits = answer.json()["hits"]
    assert [hit["chunk_id"] for hit in hits] == found
    assert_nothing_closed(json.dumps(hits), seen, "")


@EXHAUSTIVE
@given(data=st.data())
def test_windows_sources_and_errors_tell_of_nothing_closed(
    served: Served, searcher: Searcher, everything: list[Hit], data: st.DataObject
) -> None:
    draw = data.draw
    who, view, seen = viewed(draw)
    hit = draw(st.sampled_from(everything))
    by = draw(st.sampled_from(["section", "tokens"]))
    with served.client(who) as client:
        window = client.post("/v1/window", json={"chunk_id": hit.chunk_id, "by": by} | view)
        sources = client.get("/v1/sources", params=view)
        nowhere = client.get(f"/v1/{mark_of(0)}")
    assert nowhere.status_code == 404
    if seen is None:
        assert window.status_code == 403
        return
    assert (window.status_code == 200) == bool(searcher.windows([hit], principals=seen, by=by))
    assert window.status_code in (200, 404)
    assert_nothing_closed(window.text, seen, "")
    # An address cannot say "as nobody": no value is no wish.
    rights = PRINCIPALS[who] if view == {"view_as": []} else seen
    assert_nothing_closed(sources.text, rights, "")
    assert [source["documents"] for source in sources.json()["sources"]] == [len(known_to(rights))]


class Agent:
    """The tools in this process, for a caller who may be another one at each call."""

    def __init__(self, service: Service) -> None:
        self.principals: frozenset[str] = frozenset()
        self.tools = Agents(service, self._asked, self._written, self._caller)

    async def _asked(self, work: Work) -> dict[str, Any]:
        return work()

    async def _written(self, *_: Any) -> dict[str, Any]:
        raise AssertionError("no model is configured, so there is no tool that asks one")

    def _caller(self) -> Caller:
        return Caller("agent", self.principals | {"public"}, "process")


@pytest.fixture(scope="module")
def agent(lake: Project) -> Iterator[Agent]:
    service = Service(lake.pipeline())
    yield Agent(service)
    service.close()


@EXHAUSTIVE
@given(data=st.data())
def test_agents_get_what_the_searcher_gives(
    agent: Agent, searcher: Searcher, everything: list[Hit], data: st.DataObject
) -> None:
    draw = data.draw
    agent.principals = draw(st.frozensets(st.sampled_from(["ann", "staff", "board", "hr"])))
    seen = agent.principals | {"public"}
    secret = mark_of(draw(st.integers(0, COUNT - 1)))
    asked = question(draw, secret) | {"per_document": None, "diversity": 0.0, "paths": None}
    given = {name: asked[name] for name in ("query", "k", "mode", "sources", "filters")}
    found = expected(searcher, seen, asked)
    try:
        answer = asyncio.run(agent.tools.search(**given))
    except ToolError as error:
        assert found is None
        assert_nothing_closed(str(error), seen, secret)
    else:
        assert [hit.chunk_id for hit in answer.hits] == found
        assert_nothing_closed(answer.model_dump_json(), seen, "")
    hit = draw(st.sampled_from(everything))
    try:
        window = asyncio.run(agent.tools.read_window(hit.chunk_id)).model_dump_json()
    except ToolError as error:
        window = str(error)
    assert ("[not_there]" in window) != bool(searcher.windows([hit], principals=seen))
    assert_nothing_closed(window, seen, "")
    assert asyncio.run(agent.tools.list_sources()).sources[0].documents == len(known_to(seen))
