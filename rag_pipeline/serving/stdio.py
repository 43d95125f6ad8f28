"""The server for agents over standard input and output: one caller, who starts it and says who they are.

Belongs here: opening a service for it and running it.
Does not belong here: the tools (`agents.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from anyio import to_thread

from rag_pipeline.retrieval.arguments import checked_principals
from rag_pipeline.serving.agents import Agents, Work
from rag_pipeline.serving.answers import Begun, UnderWay, record_of
from rag_pipeline.serving.callers import Caller
from rag_pipeline.serving.service import Service
from rag_pipeline.settings import Pipeline


def serve_agent(pipeline: Pipeline, principals: Iterable[str]) -> None:
    """Answer one agent until it hangs up.

    Raises:
        BadQuery: A principal is none.
    """
    names = checked_principals(principals)
    caller = Caller(", ".join(sorted(names)), frozenset(names), "process")
    service = Service(pipeline)
    try:
        Agents(service, _asked, _written, lambda: caller).server.run("stdio")
    finally:
        service.close()


async def _asked(work: Work) -> dict[str, object]:
    return await to_thread.run_sync(work)


async def _written(begun: Begun) -> dict[str, Any]:
    answer = UnderWay()
    try:
        await to_thread.run_sync(answer.begin, begun)
        return record_of(await to_thread.run_sync(answer.whole, abandon_on_cancel=True))
    finally:
        answer.hang_up()
