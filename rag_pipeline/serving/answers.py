"""Answers for a caller: written while they are read, or at once.

Belongs here: an answer's events as records, and that so many are written at a time.
Does not belong here: answering (`answering/`), routes (`api.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from anyio import CancelScope, CapacityLimiter, move_on_after, to_thread
from pydantic_core import to_json
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from rag_pipeline.answering.answer import Answer, AnswerCitation, AnswerEvent, AnswerText, Finished, GivenSources
from rag_pipeline.answering.answerer import Answerer
from rag_pipeline.endpoints.stop import Stop
from rag_pipeline.errors import NotThere, ServerBusy
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.serving.callers import Caller
from rag_pipeline.serving.metrics import Metrics
from rag_pipeline.serving.problems import problem_of
from rag_pipeline.serving.questions import AskQuestion
from rag_pipeline.settings import Pipeline

log = logging.getLogger(__name__)

# A caller who does not read gets no farewell.
FAREWELL_SECONDS = 0.5


Begun = Callable[[Stop], Iterator[AnswerEvent]]


class Answers:
    """Questions to the configured model; none is configured where `is_open` is false."""

    def __init__(self, pipeline: Pipeline, searcher: Searcher) -> None:
        self._answerer = None
        if pipeline.settings.answers is not None:
            self._answerer = Answerer.open(pipeline, searcher)

    @property
    def is_open(self) -> bool:
        return self._answerer is not None

    def close(self) -> None:
        """Let go of the model's server."""
        if self._answerer is not None:
            self._answerer.close()

    def begin(self, caller: Caller, asked: AskQuestion, stop: Stop) -> Iterator[AnswerEvent]:
        """Find what the caller may read, and begin to answer from it; what can be refused is refused here.

        Args:
            caller: Who asks, as who they see.
            stop: Set once they hang up.

        Raises:
            NotThere: No model is configured.
            BadRequest, BadQuery: What is asked is no question.
            NothingPublished: There is no index yet.
        """
        if self._answerer is None:
            raise NotThere("no model is configured here to answer questions; searches are answered")
        return self._answerer.stream(
            asked.query,
            caller.principals,
            k=asked.k,
            mode=asked.mode,
            filters=asked.limits(with_sources=True),
            stop=stop,
        )


class UnderWay:
    """One answer that is read by one thread at a time, and that can be hung up on wherever it is."""

    def __init__(self) -> None:
        self.stop = Stop()
        self._events: Iterator[AnswerEvent] = iter(())
        self._reading = Lock()

    def begin(self, begun: Begun) -> None:
        """Find what it is made from; raises what `Answers.begin` does."""
        self._events = begun(self.stop)

    def next(self) -> AnswerEvent | None:
        """The next event; None: that was the last one.

        Raises:
            CallStopped: It was hung up on.
        """
        try:
            with self._reading:
                self.stop.check()
                return next(self._events, None)
        finally:
            if self.stop.is_set:
                self._close()

    def whole(self) -> Answer:
        """The answer when it is written; raises what `next` does."""
        while not isinstance(event := self.next(), Finished):
            if event is None:
                raise AssertionError("an answer ends with Finished")
        return event.answer

    def hang_up(self) -> None:
        """End it; where a thread reads from the model, that one wakes up and closes it."""
        self.stop.set()
        self._close()

    def _close(self) -> None:
        # Whoever is reading now comes by here once more.
        if self._reading.acquire(blocking=False):
            try:
                close = getattr(self._events, "close", None)
                if close is not None:
                    close()
            finally:
                self._reading.release()


def record_of(answer: Answer) -> dict[str, Any]:
    """An answer as plain values; what went wrong behind a failed one is for the log, and its code for the caller."""
    record = answer.record()
    if answer.problem is not None:
        log.warning("an answer failed: %s", answer.problem)
        record["problem"] = "the model did not answer"
    return record


class Writing:
    """Counts what is being written in this process.

    Args:
        at_once: So many answers; more of them are refused, since each may take minutes.
    """

    def __init__(self, at_once: int, metrics: Metrics) -> None:
        self._threads = CapacityLimiter(max(1, at_once))
        self._at_once = at_once
        self._metrics = metrics
        self._under_way = 0

    def begin(self) -> None:
        """Count one more.

        Raises:
            ServerBusy: As many are written as may be.
        """
        if self._under_way >= self._at_once:
            raise ServerBusy(f"{self._under_way:,} answers are being written already; try again in a moment")
        self._under_way += 1

    def end(self) -> None:
        """Count one less."""
        self._under_way -= 1

    async def at_once(self, answer: UnderWay) -> dict[str, Any]:
        """The answer as a record; whoever cancels it need not wait for the model."""
        found = await to_thread.run_sync(answer.whole, limiter=self._threads, abandon_on_cancel=True)
        self._metrics.count_answer(found)
        return record_of(found)

    async def as_events(self, answer: UnderWay, request_id: str) -> AsyncIterator[bytes]:
        """Its events as they are sent; a fault after the first one is an event, too."""
        try:
            while (event := await self._next(answer)) is not None:
                if isinstance(event, Finished):
                    self._metrics.count_answer(event.answer)
                yield _sent(event)
        except Exception as error:
            log.exception("request=%s failed while it was answered", request_id)
            yield problem_event(error, request_id)

    async def _next(self, answer: UnderWay) -> AnswerEvent | None:
        return await to_thread.run_sync(answer.next, limiter=self._threads, abandon_on_cancel=True)


@contextmanager
def while_connected(receive: Receive) -> Iterator[None]:
    """Cancel what runs inside as soon as the caller hangs up, and go on after it."""
    scope = CancelScope()

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    listening = asyncio.ensure_future(listen())
    try:
        with scope:
            yield
    finally:
        listening.cancel()


class EventStream(StreamingResponse):
    """Server-sent events of one answer; whoever hangs up ends its writing, and so does a server that stops."""

    def __init__(self, answer: UnderWay, writing: Writing, request_id: str) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        pieces = writing.as_events(answer, request_id)
        super().__init__(pieces, media_type="text/event-stream", headers=headers)
        self._answer = answer
        self._writing = writing
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        try:
            with while_connected(receive):
                await self.stream_response(send)
        except asyncio.CancelledError:
            # The grace of a server that stops is over, and the connection still stands.
            self._answer.hang_up()
            with move_on_after(FAREWELL_SECONDS, shield=True):
                last = problem_event(stopping(), self._request_id)
                await send({"type": "http.response.body", "body": last, "more_body": False})
        finally:
            self._answer.hang_up()
            self._writing.end()


def stopping() -> ServerBusy:
    """What callers are told whose answer a stopping server cuts off."""
    return ServerBusy("the server is being stopped, and this answer was not done in time; ask again in a moment")


def problem_event(error: Exception, request_id: str) -> bytes:
    """What went wrong, as the last event."""
    return b"event: problem\ndata: " + bytes(problem_of(error, request_id).body) + b"\n\n"


def _sent(event: AnswerEvent) -> bytes:
    name, content = _named(event)
    return b"event: " + name.encode() + b"\ndata: " + to_json(content) + b"\n\n"


def _named(event: AnswerEvent) -> tuple[str, Any]:
    if isinstance(event, GivenSources):
        return "sources", {"citations": event.citations}
    if isinstance(event, AnswerText):
        return "text", {"text": event.text}
    if isinstance(event, AnswerCitation):
        return "citation", {"number": event.number}
    return "done", record_of(event.answer)
