"""Answers a question out of what is published, for whoever asks.

Belongs here: the order of the steps: what may be read, what is kept, the model, the check of its citations.
Does not belong here: the steps themselves.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from rag_pipeline.answering.answer import Answer, AnswerEvent, AnswerText, Finished, GivenSources
from rag_pipeline.answering.asking import chat_client
from rag_pipeline.answering.context import Asked, Context, ContextPlan, context_of
from rag_pipeline.answering.erasing import cache_of
from rag_pipeline.answering.figures import AnswerFigures, Counting
from rag_pipeline.answering.keeping import AnswerCache, Kept, Turns, kept_of, key_of
from rag_pipeline.answering.prompt import ABSTENTION, TASK, messages_of, prompt_fingerprint
from rag_pipeline.answering.writing import Writing
from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.contracts.modes import Mode
from rag_pipeline.endpoints.chat import ChatClient, ChatEnd
from rag_pipeline.endpoints.stop import Stop
from rag_pipeline.errors import AnswerError, SettingsError
from rag_pipeline.retrieval.arguments import checked_principals
from rag_pipeline.retrieval.plan import rules_of
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.settings import Pipeline, load_pipeline
from rag_pipeline.telemetry.tracing import Span, begin

# Hits are looked for beyond the windows that are given, since neighbours share one.
HITS_PER_WINDOW = 2
# Of the fence around documents: nobody guesses it within one request.
FENCE_BYTES = 8
WHAT_TO_WRITE = (
    "no model is configured to answer questions. Write into pipeline.yaml, for a server on this machine: "
    "chat_models: {local: {model: llama3.2, base_url: http://localhost:11434/v1}} and answers: {model: local}"
)


@dataclass(frozen=True, slots=True)
class _Task:
    """One question under way."""

    asked: Asked
    context: Context
    plan_fingerprint: str
    began: float
    stop: Stop | None
    span: Span


class Answerer:
    """Answers questions; many threads may ask one.

    Every call names who asks, and nothing that they may not read reaches the model. `close` it, or use it in a `with`.
    """

    def __init__(
        self,
        searcher: Searcher,
        chat: ChatClient,
        plan: ContextPlan,
        task: str = TASK,
        cache: AnswerCache | None = None,
    ) -> None:
        self._searcher = searcher
        self._chat = chat
        self._plan = plan
        self._task = task
        self._prompt = prompt_fingerprint(task)
        self._own_searcher = False
        self._cache = cache
        self._turns = None if cache is None else Turns(cache)
        self._counting = Counting()

    @classmethod
    def open(cls, target: str | Path | Pipeline, searcher: Searcher | None = None, *, keep: bool = True) -> Answerer:
        """Open a pipeline for answers.

        Args:
            searcher: One that is open, and that stays open when this is closed; None: an own one.
            keep: Use what is kept of answers; else the model is asked each time.

        Raises:
            SettingsError: No model is configured, its key or the `openai` package is missing, or the file of the prompt
                cannot be read.
        """
        pipeline = target if isinstance(target, Pipeline) else load_pipeline(target)
        answers = pipeline.settings.answers
        if answers is None:
            raise SettingsError(WHAT_TO_WRITE)
        task = TASK if answers.prompt is None else _prompt_in(pipeline.folder / Path(answers.prompt).expanduser())
        plan = ContextPlan(
            answers.context_tokens, answers.most_windows, answers.least_relevance, rules_of(pipeline.settings)
        )
        chat = chat_client(pipeline, answers.model)
        cache = cache_of(pipeline) if keep else None
        answerer = cls(searcher or Searcher.open(pipeline), chat, plan, task, cache)
        answerer._own_searcher = searcher is None
        return answerer

    def close(self) -> None:
        """Let go of the server and of what is kept, and of the Searcher if it is an own one."""
        self._chat.close()
        if self._cache is not None:
            self._cache.close()
        if self._own_searcher:
            self._searcher.close()

    def __enter__(self) -> Answerer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def figures(self) -> AnswerFigures:
        """What was answered since it was opened."""
        return self._counting.figures()

    def ask(
        self,
        question: str,
        principals: Iterable[str],
        *,
        k: int | None = None,
        mode: Mode | None = None,
        filters: Filter | None = None,
    ) -> Answer:
        """The answer at once; arguments and errors are those of `stream`."""
        for event in self.stream(question, principals, k=k, mode=mode, filters=filters):
            if isinstance(event, Finished):
                return event.answer
        raise AssertionError("a stream ends with Finished")

    def stream(
        self,
        question: str,
        principals: Iterable[str],
        *,
        k: int | None = None,
        mode: Mode | None = None,
        filters: Filter | None = None,
        stop: Stop | None = None,
    ) -> Iterator[AnswerEvent]:
        """An answer as it is written: what the model is given, text and marks, and at last the whole.

        What can be refused is refused before this returns; what fails later is an answer with the verdict `failed`.
        Closing the iterator closes the model's stream.

        Args:
            principals: Who asks: the caller's own name and groups; `public` is always added.
            k: Hits that windows are made of; None: twice the most windows of `answers`.
            mode: As in a search; None: hybrid.
            filters: What else must hold of a text.
            stop: Ends it from another thread, wherever it waits: the iterator raises `CallStopped`.

        Raises:
            BadQuery: Nobody asks, nothing is asked, or an argument is out of its range.
            NothingPublished: There is no index yet.
        """
        began = time.monotonic()
        names = frozenset(checked_principals(principals))
        hits = HITS_PER_WINDOW * self._plan.most_windows if k is None else k
        asked = Asked(question, names, hits, mode or "hybrid", filters)
        work = begin("answer", mode=asked.mode, k=hits, model=self._chat.spec.alias)
        work.text("query", question)
        try:
            with work.current():
                context = context_of(self._searcher, asked, self._plan)
        except BaseException as error:
            work.failed(error)
            work.end()
            raise
        named = fingerprint("answer plan", context.fingerprint, self._prompt, self._chat.spec.fingerprint)
        work.set(plan=named, sources=len(context.citations))
        return self._told(_Task(asked, context, named, began, stop, work))

    def _told(self, task: _Task) -> Iterator[AnswerEvent]:
        """The events, and at last what became of it for who follows it."""
        try:
            for event in self._events(task):
                if isinstance(event, Finished):
                    answer = event.answer
                    task.span.set(verdict=answer.verdict, citations=len(answer.citations), struck=answer.struck)
                    task.span.set(from_cache=answer.from_cache, cost=answer.cost, problem=answer.problem_code)
                yield event
        except Exception as error:
            task.span.failed(error)
            raise
        finally:
            task.span.end()

    def _events(self, task: _Task) -> Iterator[AnswerEvent]:
        yield GivenSources(task.context.citations)
        if not task.context.citations:
            yield AnswerText(ABSTENTION)
            answer = replace(self._blank(task), text=ABSTENTION, verdict="no_information")
            self._counting.add(answer, called=False)
            yield Finished(answer)
        elif self._turns is None:
            yield from self._written(task)
        else:
            yield from self._in_turn(task, self._turns)

    def _in_turn(self, task: _Task, turns: Turns) -> Iterator[AnswerEvent]:
        """The answer that is kept, or that another one asks for at this moment; else the model's."""
        key = key_of(task.asked.question, task.context.citations, self._prompt, self._chat.spec.fingerprint)
        last: Finished | None = None
        looking = task.span.part("cache")
        with turns.turn(key, self._chat.spec.deadline_seconds, task.stop) as turn:
            kept = turn.kept
            looking.set(hit=kept is not None)
            looking.end()
            for event in self._written(task) if kept is None else ():
                if isinstance(event, Finished):
                    last = event
                    turn.result = kept_of(event.answer, task.context.citations, task.context.publication)
                else:
                    yield event
        # Only now: nobody waits for one who reads slowly, and it is kept before anybody knows that it has ended.
        if kept is not None:
            yield from self._again(task, kept)
        elif last is not None:
            yield last

    def _again(self, task: _Task, kept: Kept) -> Iterator[AnswerEvent]:
        """An answer that was given before, with this asker's own sources."""
        writing = Writing(len(task.context.citations))
        yield from writing.feed(kept.text, end=True)
        answer = replace(
            self._read(task, writing),
            from_cache=True,
            verdict=writing.verdict(is_whole=True),
            cost_saved=self._chat.spec.cost(kept.tokens_in, kept.tokens_out),
            tokens_estimated=kept.tokens_estimated,
        )
        self._counting.add(answer, called=False)
        yield Finished(answer)

    def _written(self, task: _Task) -> Iterator[AnswerEvent]:
        """The answer of the model itself."""
        given = task.context.citations
        messages = messages_of(self._task, task.asked.question, given, secrets.token_hex(FENCE_BYTES))
        writing = Writing(len(given))
        ended: ChatEnd | None = None
        problem: AnswerError | None = None
        call = task.span.part("chat", model=self._chat.spec.alias)
        try:
            with closing(self._chat.stream(messages, task.stop)) as pieces:  # type: ignore[type-var]
                for piece in pieces:
                    if isinstance(piece, ChatEnd):
                        ended = piece
                    else:
                        yield from writing.feed(piece)
        except AnswerError as error:
            problem = error
            call.failed(error)
        finally:
            if ended is not None:
                call.set(tokens_in=ended.tokens_in, tokens_out=ended.tokens_out, end=ended.end)
            call.end()
        yield from writing.feed("", end=True)
        answer = self._finished(task, writing, ended, problem)
        self._counting.add(answer, called=True)
        yield Finished(answer)

    def _finished(self, task: _Task, writing: Writing, ended: ChatEnd | None, problem: AnswerError | None) -> Answer:
        answer = self._read(task, writing)
        if ended is not None:
            cost = self._chat.spec.cost(ended.tokens_in, ended.tokens_out)
            answer = replace(
                answer,
                tokens_in=ended.tokens_in,
                tokens_out=ended.tokens_out,
                tokens_estimated=ended.is_estimated,
                cost=cost,
                verdict=writing.verdict(is_whole=ended.end == "whole"),
            )
            if ended.end == "refused":
                said = "the chat model, or a filter of its server, refused to answer; ask otherwise"
                return replace(answer, verdict="failed", problem=said, problem_code="chat_refused")
        if problem is not None:
            return replace(answer, verdict="failed", problem=problem.message, problem_code=problem.code)
        return answer

    def _read(self, task: _Task, writing: Writing) -> Answer:
        """Text and citations as they were written."""
        by_number = {citation.number: citation for citation in task.context.citations}
        cited = tuple(by_number[number] for number in writing.cited)
        return replace(self._blank(task), text=writing.text, citations=cited, struck=writing.struck)

    def _blank(self, task: _Task) -> Answer:
        return Answer(
            text="",
            citations=(),
            verdict="failed",
            struck=0,
            from_cache=False,
            tokens_in=0,
            tokens_out=0,
            cost=0.0,
            latency_seconds=time.monotonic() - task.began,
            model=self._chat.spec.alias,
            plan_fingerprint=task.plan_fingerprint,
        )


def _prompt_in(path: Path) -> str:
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise SettingsError(f"answers.prompt: {path} cannot be read as text: {error}") from error
    if not text.strip():
        raise SettingsError(f"answers.prompt: {path} is empty; write what the model is there for, or leave it out")
    return text
