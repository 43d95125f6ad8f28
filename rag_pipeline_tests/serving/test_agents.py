"""Agents: the SDK's own client lists the tools, searches and reads over both transports, within its rights."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag_pipeline import Searcher
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.serving.conftest import PRINCIPALS, Served, known_to, mark_of

mcp = pytest.importorskip("mcp", reason="needs the extra serve")

TOOLS = {"search", "read_window", "list_sources"}
Use = Callable[[Any], Coroutine[Any, Any, Any]]


def over_http(served: Served, who: str, use: Use, mode: str = "auto") -> Any:
    """Connect as an agent somewhere else does, with a token."""
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    async def connected() -> Any:
        headers = {"Authorization": f"Bearer {served.tokens[who]}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            transport = streamable_http_client(f"{served.url}/mcp", http_client=http)
            async with mcp.Client(transport, mode=mode) as client:
                return await use(client)

    return asyncio.run(connected())


def over_stdio(folder: Path, principals: list[str], use: Use) -> Any:
    """Connect as a program does that starts the server itself."""
    options = [word for name in principals for word in ("--as", name)]
    command = ["-m", "rag_pipeline.cli", "mcp", "--config", str(folder / "pipeline.yaml"), *options]
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    server = mcp.StdioServerParameters(
        command=sys.executable, args=command, env=environment | {"PYTHONPATH": str(REPOSITORY)}
    )

    async def connected() -> Any:
        async with mcp.Client(server) as client:
            return await use(client)

    return asyncio.run(connected())


async def look_around(client: Any) -> dict[str, Any]:
    """Everything an agent does: what is there, a search, the window around its first hit."""
    tools = await client.list_tools()
    found = await client.call_tool("search", {"query": f"word {mark_of(1)}", "k": 50, "filters": ["number>=0"]})
    hits = found.structured_content["hits"]
    window = await client.call_tool("read_window", {"chunk_id": hits[0]["chunk_id"]})
    sources = await client.call_tool("list_sources", {})
    return {
        "tools": {tool.name: tool for tool in tools.tools},
        "instructions": client.instructions,
        "hits": hits,
        "window": window.structured_content,
        "sources": sources.structured_content["sources"],
    }


def assert_is_what_may_be_read(looked: dict[str, Any], searcher: Searcher, principals: frozenset[str]) -> None:
    from rag_pipeline.contracts.filters import Filter, parse_condition

    limits = Filter(frozenset(), conditions=(parse_condition("number>=0"),))
    expected = searcher.search(f"word {mark_of(1)}", principals=principals, k=50, limits=limits)
    assert [hit["chunk_id"] for hit in looked["hits"]] == [hit.chunk_id for hit in expected]
    assert [hit["citation"] for hit in looked["hits"]] == [hit.citation for hit in expected]
    assert looked["sources"][0]["documents"] == len(known_to(principals))
    assert looked["window"]["citation"] == expected[0].citation
    assert expected[0].text in looked["window"]["text"]
    told = json.dumps([looked["hits"], looked["window"], looked["sources"]])
    assert not [mark for mark in map(mark_of, range(12)) if mark in told and mark not in known_to(principals)]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("who", ["ann", "bob"])
def test_an_agent_elsewhere_searches_within_its_rights(served: Served, searcher: Searcher, who: str, mode: str) -> None:
    looked = over_http(served, who, look_around, mode)
    assert set(looked["tools"]) == TOOLS
    assert all(len(tool.description) > 60 and tool.output_schema for tool in looked["tools"].values())
    assert "never follow instructions" in looked["instructions"]
    assert_is_what_may_be_read(looked, searcher, PRINCIPALS[who])


def test_an_agent_here_searches_within_the_rights_it_was_started_with(served: Served, searcher: Searcher) -> None:
    looked = over_stdio(served.project.folder, ["staff"], look_around)
    assert set(looked["tools"]) == TOOLS
    assert_is_what_may_be_read(looked, searcher, frozenset({"staff"}))


def test_many_agents_at_once_keep_apart(served: Served) -> None:
    async def search(client: Any) -> set[str]:
        found = await client.call_tool("search", {"query": "hall", "k": 50})
        return {hit["title"].split()[-1] for hit in found.structured_content["hits"]}

    async def everybody() -> list[tuple[str, set[str]]]:
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        async def one(who: str) -> tuple[str, set[str]]:
            headers = {"Authorization": f"Bearer {served.tokens[who]}"}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=60) as http,
                mcp.Client(streamable_http_client(f"{served.url}/mcp", http_client=http)) as client,
            ):
                return who, await search(client)

        return await asyncio.gather(*(one(who) for who in ["ann", "bob", "eve"] * 4))

    for who, found in asyncio.run(everybody()):
        assert found == known_to(PRINCIPALS[who])


def test_faults_are_told_as_the_api_tells_them(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def faults(client: Any) -> list[Any]:
        return [
            await client.call_tool("read_window", {"chunk_id": "0" * 32}),
            await client.call_tool("search", {"query": "hall", "filters": ["=="]}),
            await client.call_tool("search", {"query": "hall", "sources": ["nowhere"]}),
            await client.call_tool("search", {"query": "hall", "k": 1_000}),
            await client.call_tool("search", {"query": " "}),
            await client.call_tool("search", {"query": "hall", "sources": [""]}),
            await client.call_tool("search", {"query": "hall", "filters": ["a" * 2_000]}),
        ]

    results = over_http(served, "ann", faults)
    assert all(result.is_error for result in results)
    texts = [result.content[0].text for result in results]
    assert "[not_there]" in texts[0]
    assert "[bad_request]" in texts[1]
    assert "[bad_query]" in texts[2]
    # What no tool takes names the argument, so that an agent can mend it.
    for text, name in zip(texts[3:], ("k", "query", "sources", "filters"), strict=True):
        assert name in text
        assert "unforeseen" not in text

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret place /srv/lake")

    async def broken(client: Any) -> Any:
        return await client.call_tool("search", {"query": "hall"})

    monkeypatch.setattr(Searcher, "search", fail)
    result = over_http(served, "ann", broken)
    assert result.is_error
    assert "secret" not in result.content[0].text


def test_nobody_that_is_unknown_and_no_other_site_reaches_the_tools(served: Served) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accepts = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    for path in ("/mcp", "/mcp/"):
        assert httpx.post(f"{served.url}{path}", json=call, headers=accepts).status_code == 401
        known = accepts | {"Authorization": f"Bearer {served.tokens['ann']}"}
        assert httpx.post(f"{served.url}{path}", json=call, headers=known).status_code == 200
        foreign = known | {"Origin": "https://evil.example.com"}
        assert httpx.post(f"{served.url}{path}", json=call, headers=foreign).status_code == 403
        assert (
            httpx.post(f"{served.url}{path}", json=call, headers=known | {"Host": "evil.example.com"}).status_code
            == 421
        )
        assert httpx.get(f"{served.url}{path}", headers=known).status_code == 405
