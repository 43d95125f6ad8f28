"""The HTTP API: routes and what OpenAPI says of them.

Belongs here: one route for each thing that can be asked; each hands the caller on and says what came back.
Does not belong here: answering (`service.py`), who asks and limits (`middleware.py`).
"""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from anyio import Lock, to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.security import HTTPBearer
from pydantic_core import to_json

from rag_pipeline.answering.answer import Answer
from rag_pipeline.serving.answers import Begun, EventStream, UnderWay, Writing, stopping, while_connected
from rag_pipeline.serving.callers import Caller
from rag_pipeline.serving.hints import Notification, ValidationAnswer
from rag_pipeline.serving.limits import Turnstile
from rag_pipeline.serving.metrics import Metrics
from rag_pipeline.serving.pictures import PictureQuestion, PicturesAnswer, PicturesQuestion, as_file
from rag_pipeline.serving.problems import MEDIA_TYPE, problem_of
from rag_pipeline.serving.questions import (
    MOST_VALUES,
    AskQuestion,
    CallerAnswer,
    ExplainAnswer,
    ExplainQuestion,
    FeedbackAnswer,
    FeedbackQuestion,
    HintAnswer,
    HintQuestion,
    Problem,
    Question,
    SearchAnswer,
    SearchQuestion,
    SourcesAnswer,
    Value,
    WindowAnswer,
    WindowQuestion,
)
from rag_pipeline.serving.service import Service
from rag_pipeline.shown import visible

_WHY = {
    401: "Nobody that is known asks.",
    403: "The caller may not look as somebody else, or not give hints.",
    413: "The request is too large.",
    422: "What is asked is not as described here, or names what nothing has that the caller may read.",
    429: "The caller asks too often; `Retry-After` says when to try again.",
    500: "An error of the server; its log has it under the request id.",
    503: "The server is busy or has nothing published; `Retry-After` says when to try again.",
}
_EVENTS = (
    "Events: `sources` with what the model was given, `text` and `citation` as the answer is written, `done` with the "
    "whole answer; `problem` where that failed. With `stream` off, the whole answer as JSON."
)
T = TypeVar("T")
# So long a look at the index counts for those who watch the server's health, seconds.
READY_SECONDS = 2.0
# Longer than any name of a host.
MOST_ORIGIN_CHARS = 253
# What the log and the metrics say of a request whose caller hung up; nobody reads it.
HUNG_UP = 499


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problems that a route may answer with, for OpenAPI."""
    schema = {"$ref": "#/components/schemas/Problem"}
    said = _WHY | {404: "There is nothing of that name for the caller."}
    return {status: {"description": said[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses}


ASKED = described(401, 403, 413, 422, 429, 500, 503)
# Says in OpenAPI how callers show who they are; `middleware.py` has established it by then.
bearer = HTTPBearer(
    auto_error=False, description="A token that `rag-pipeline tokens add` made, or one of the provider."
)


def caller_of(request: Request) -> Caller:
    """Who asks."""
    caller: Caller = request.state.caller
    return caller


Asker = Annotated[Caller, Depends(caller_of)]


class Api:
    """The routes on one service.

    Attributes:
        turnstile, writing: What searches and answers go through; made when the server's loop runs.
    """

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics
        self.turnstile = Turnstile(0, 0)
        self.writing = Writing(0, metrics)
        self._looking = Lock()
        self._looked_at = float("-inf")
        self._unready: Exception | None = None

    def router(self) -> APIRouter:
        """What is asked by somebody."""
        asked = APIRouter(prefix="/v1", dependencies=[Depends(bearer)], responses=ASKED)
        asked.add_api_route("/search", self.search, methods=["POST"], response_model=SearchAnswer)
        asked.add_api_route("/explain", self.explain, methods=["POST"], response_model=ExplainAnswer)
        asked.add_api_route(
            "/ask",
            self.ask,
            methods=["POST"],
            response_model=Answer,
            responses={
                **described(404),
                200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": _EVENTS},
            },
        )
        asked.add_api_route(
            "/window", self.window, methods=["POST"], response_model=WindowAnswer, responses=described(404)
        )
        asked.add_api_route(
            "/pictures", self.pictures, methods=["POST"], response_model=PicturesAnswer, responses=described(404)
        )
        asked.add_api_route(
            "/picture",
            self.picture,
            methods=["POST"],
            response_class=Response,
            responses={**described(404), 200: {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}},
        )
        asked.add_api_route(
            "/feedback",
            self.feedback,
            methods=["POST"],
            status_code=201,
            response_model=FeedbackAnswer,
            responses=described(404),
        )
        asked.add_api_route(
            "/hints",
            self.hint,
            methods=["POST"],
            status_code=202,
            response_model=HintAnswer,
            responses=described(404),
        )
        asked.add_api_route(
            "/hints/notifications",
            self.notification,
            methods=["POST"],
            status_code=202,
            response_model=HintAnswer | ValidationAnswer,
            responses=described(404),
        )
        # CloudEvents ask so before they come.
        asked.add_api_route("/hints/notifications", self.allowed, methods=["OPTIONS"], include_in_schema=False)
        asked.add_api_route("/sources", self.sources, methods=["GET"], response_model=SourcesAnswer)
        asked.add_api_route("/me", self.me, methods=["GET"], response_model=CallerAnswer)
        return asked

    def watching(self) -> APIRouter:
        """What is asked by those who watch the server."""
        router = APIRouter()
        router.add_api_route("/health", self.health, methods=["GET"], response_model=dict[str, str])
        router.add_api_route(
            "/ready", self.ready, methods=["GET"], response_model=dict[str, str], responses=described(500, 503)
        )
        router.add_api_route(
            "/metrics",
            self.scraped,
            methods=["GET"],
            response_class=Response,
            dependencies=[Depends(bearer)],
            responses={**described(401, 429), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        )
        return router

    async def search(self, asked: SearchQuestion, caller: Asker) -> Response:
        """Chunks that answer a question and that the caller may read, best first."""
        answer = await self.answered(lambda: self._service.search(caller, asked))
        self._metrics.hits.labels("search").inc(len(answer["hits"]))
        self._metrics.searches.labels(str(bool(answer["hits"])).lower()).inc()
        return as_json(answer)

    async def ask(self, asked: AskQuestion, caller: Asker, request: Request) -> Response:
        """An answer with citations, made from what the caller may read: as it is written, or at once."""
        if not asked.stream:
            try:
                with while_connected(request.receive):
                    return as_json(await self.written(lambda stop: self._service.ask(caller, asked, stop)))
            except CancelledError:
                # Not by the caller: the grace of a server that stops is over.
                return problem_of(stopping(), request.state.request_id)
            return Response(status_code=HUNG_UP)
        self.writing.begin()
        answer, is_handed_on = UnderWay(), False
        try:
            await self.answered(lambda: answer.begin(lambda stop: self._service.ask(caller, asked, stop)))
            is_handed_on = True
            return EventStream(answer, self.writing, request.state.request_id)
        finally:
            if not is_handed_on:
                answer.hang_up()
                self.writing.end()

    async def explain(self, asked: ExplainQuestion, caller: Asker) -> Response:
        """The hits of a search, and why one document is a hit or none."""
        return as_json(await self.answered(lambda: self._service.explain(caller, asked)))

    async def window(self, asked: WindowQuestion, caller: Asker) -> Response:
        """The text around a chunk, up to a budget of tokens."""
        return as_json(await self.answered(lambda: self._service.window(caller, asked)))

    async def pictures(self, asked: PicturesQuestion, caller: Asker) -> Response:
        """The pictures of a document, with the address of each."""
        return as_json(await self.answered(lambda: self._service.pictures(caller, asked)))

    async def picture(self, asked: PictureQuestion, caller: Asker) -> Response:
        """A picture within a document, as a file."""
        found, content = await self.answered(lambda: self._service.picture(caller, asked))
        return as_file(content, found.media_type, f"picture-{found.number}")

    async def feedback(self, asked: FeedbackQuestion, caller: Asker) -> Response:
        """Say of a hit or an answer whether it answers the question; it becomes a row of gold/feedback."""
        return as_json(await self.answered(lambda: self._service.feedback(caller, asked)), 201)

    async def hint(self, asked: HintQuestion, caller: Asker) -> Response:
        """Say that sources are worth a look now, for callers who may (`hints.allowed_principals`)."""
        return as_json(await self.answered(lambda: self._service.hint(caller, asked)), 202)

    async def notification(self, told: Notification, caller: Asker) -> Response:
        """Take a notification of an object store as it comes, from callers who may give hints; it may concern none."""
        answer = await self.answered(lambda: self._service.notify(caller, told.root))
        return as_json(answer, 200 if "validationResponse" in answer else 202)

    async def allowed(self, request: Request) -> Response:
        """That whoever is known may send notifications."""
        origin = request.headers.get("webhook-request-origin", "")
        return Response(headers={"WebHook-Allowed-Origin": visible(origin)[:MOST_ORIGIN_CHARS]} if origin else {})

    async def sources(
        self, caller: Asker, view_as: Annotated[list[Value] | None, Query(max_length=MOST_VALUES)] = None
    ) -> Response:
        """Sources of which the caller may read anything, with their freshness."""
        asked = Question(view_as=view_as)
        return as_json(await self.answered(lambda: self._service.sources(caller, asked)))

    async def me(self, caller: Asker) -> Response:
        """Who asks, as the server understands it."""
        caller = await to_thread.run_sync(self._service.known, caller)
        return as_json(
            {
                "name": caller.name,
                "principals": sorted(caller.principals),
                "is_administrator": caller.is_administrator,
                "answers": self._service.answers.is_open,
            }
        )

    async def health(self) -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    async def ready(self) -> dict[str, str]:
        """Whether searches are answered: something is published, and its model opens."""
        # Anybody may ask, so all who do are told of one look.
        async with self._looking:
            if time.monotonic() - self._looked_at > READY_SECONDS:
                self._unready = None
                try:
                    await self.answered(self._service.try_out)
                except Exception as error:
                    self._unready = error
                self._looked_at = time.monotonic()
        if self._unready is not None:
            raise self._unready.with_traceback(None)
        return {"status": "ready"}

    async def scraped(self) -> Response:
        """Metrics as Prometheus reads them."""
        self._watch()
        return Response(self._metrics.text(), media_type=self._metrics.content_type)

    async def answered(self, work: Callable[[], T]) -> T:
        """The result of work in a thread, when its turn comes."""
        self._watch()
        try:
            return await self.turnstile.run(work)
        finally:
            self._watch()

    async def written(self, begun: Begun) -> dict[str, Any]:
        """A whole answer, begun when its turn comes and counted among those that are written."""
        self.writing.begin()
        answer = UnderWay()
        try:
            await self.answered(lambda: answer.begin(begun))
            return await self.writing.at_once(answer)
        finally:
            answer.hang_up()
            self.writing.end()

    def _watch(self) -> None:
        self._metrics.searching.set(self.turnstile.running)
        self._metrics.waiting.set(self.turnstile.waiting)


def as_json(content: Any, status: int = 200) -> Response:
    """An answer that is not checked again: what makes it is typed, and a test holds it to what OpenAPI says."""
    return Response(to_json(content), status, media_type="application/json")


PROBLEM_SCHEMA = Problem.model_json_schema()
