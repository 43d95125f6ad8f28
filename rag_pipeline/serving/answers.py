"""Answers for a caller: written while they are read, or at once.

Belongs here: an answer's events as records, and that so many are written at a time.
Does not belong here: answering (`answering/`), routes (`api.py`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

from anyio import CapacityLimiter, to_thread
from pydantic_core import to_json
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from rag_pipeline.answering.answer import Answer, AnswerCitation, AnswerEvent, AnswerText, Finished, GivenSources
from rag_pipeline.answering.answerer import Answerer
from rag_pipeline.errors import NotThere, ServerBusy
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.serving.callers import Caller
from rag_pipeline.serving.metrics import Metrics
from rag_pipeline.serving.problems import problem_of
from rag_pipeline.serving.questions import AskQuestion
from rag_pipeline.settings import Pipeline

log = logging.getLogger(__name__)


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

    def begin(self, caller: Caller, asked: AskQuestion) -> Iterator[AnswerEvent]:
        """Find what the caller may read, and begin to answer from it; what can be refused is refused here.

        Args:
            caller: Who asks, as who they see.

        Raises:
            NotThere: No model is configured.
            BadRequest, BadQuery: What is asked is no question.
            NothingPublished: There is no index yet.
        """
        if self._answerer is None:
            raise NotThere("no model is configured here to answer questions; searches are answered")
        return self._answerer.stream(
            asked.query, caller.principals, k=asked.k, mode=asked.mode, filters=asked.limits(with_sources=True)
        )


def whole(events: Iterator[AnswerEvent]) -> Answer:
    """The answer when it is written."""
    return next(event.answer for event in events if isinstance(event, Finished))


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

    async def at_once(self, events: Iterator[AnswerEvent]) -> dict[str, Any]:
        """The answer as a record."""
        answer = await to_thread.run_sync(whole, events, limiter=self._threads)
        self._metrics.count_answer(answer)
        return record_of(answer)

    async def as_events(self, events: Iterator[AnswerEvent], request_id: str) -> AsyncIterator[bytes]:
        """Its events as they are sent; a fault after the first one is an event, too."""
        try:
            while (event := await to_thread.run_sync(next, events, None, limiter=self._threads)) is not None:
                if isinstance(event, Finished):
                    self._metrics.count_answer(event.answer)
                yield _sent(event)
        except Exception as error:
            log.exception("request=%s failed while it was answered", request_id)
            yield b"event: problem\ndata: " + bytes(problem_of(error, request_id).body) + b"\n\n"


class EventStream(StreamingResponse):
    """Server-sent events of one answer; whoever hangs up ends its writing.

    The thread that waits for the next piece is waited for, so nobody closes what is still being read.
    """

    def __init__(self, pieces: AsyncIterator[bytes], events: Iterator[AnswerEvent], writing: Writing) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(pieces, media_type="text/event-stream", headers=headers)
        self._events = events
        self._writing = writing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            close_events(self._events)
            self._writing.end()


def close_events(events: Iterator[AnswerEvent]) -> None:
    """End an answer that nobody reads any more."""
    close = getattr(events, "close", None)
    if close is not None:
        close()


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
