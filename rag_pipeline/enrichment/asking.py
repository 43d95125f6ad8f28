"""A chat model reads texts: what becomes of its answer, and when it is asked no more.

Belongs here: one try again with what was wrong, several texts at once, stopping cleanly.
Does not belong here: what an answer must be (`schema.py`), the words (`prompt.py`), the client (`endpoints/chat.py`),
tables (`refresh/`).

Documents can order nothing, whatever a model makes of them: it has no tools, is asked about one text at a time, and
only labels and values of the schema come out of its answer, onto the documents that have this very text.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from rag_pipeline.contracts.chat import Message
from rag_pipeline.contracts.enrichments import Enrichment, value_text
from rag_pipeline.endpoints.chat import ChatClient, ChatEnd, Completion
from rag_pipeline.enrichment.prompt import messages_of
from rag_pipeline.enrichment.schema import NotValid, value_of
from rag_pipeline.errors import AnswerError, BudgetReached, ChatRefused, ChatUnavailable

# After so many texts in a row that nothing came of, the server is asked about none of them, to see whether it answers.
MOST_FAILURES = 3
# HTTP statuses of a server that takes this one request for bad: too long, mostly.
_OF_THE_REQUEST = frozenset({400, 413, 422})
# HTTP statuses of a server that has too much to do, whatever it is asked; 529 is what some hosts send for that.
_BUSY = frozenset({429, 503, 529})
# Of an answer that is not valid, what its model is shown when it is asked again: a short one whole, and no book.
_MOST_SHOWN_CHARS = 4_000
# What any model reads that reads at all.
_EASY = "This is a short text."
# What comes of a text without a valid reading, by reason code.
REASONS = {
    "reading_not_valid": "twice the model did not answer as the schema says: {why}. Change the prompt, or the model",
    "reading_cut_short": "the answer was too long: raise `chat_models.NAME.max_answer_tokens`",
    "reading_refused": "the model, or a filter of its server, refused to answer",
    "request_refused": "the server refused the request, as too long mostly: lower `most_chars`",
    "server_failed": "the server failed at this text each time, and answered others: it is asked again a day later",
}


class Text(NamedTuple):
    """A text to read, or a part of it."""

    input_hash: str
    title: str | None
    text: str
    part: str = ""


@dataclass(slots=True)
class _Outcome:
    """What came of one text: columns of silver/enrichments, or nothing yet.

    Attributes:
        may_be_its_fault: The server failed; it may do so at this text alone.
    """

    input_hash: str
    row: dict[str, Any] | None = None
    may_be_its_fault: bool = False


class ChatReader:
    """Has one chat model read texts for one enrichment, in one run.

    Args:
        client: Is asked within the model's budget.
        clock: Seconds; for how long a run may ask.
    """

    def __init__(self, enrichment: Enrichment, client: ChatClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._enrichment = enrichment
        self._client = client
        self._clock = clock
        self._until = clock() + enrichment.most_seconds
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._failures = 0
        self._has_read = False
        self._stopped: AnswerError | None = None
        self.last_error: AnswerError | None = None
        """Of a text that waits for the next run, though others were read."""
        self.tokens = 0
        """Read and written up to now."""
        self.price: float | None = 0.0
        """What that cost; None: not known."""

    @property
    def batch_texts(self) -> int:
        """What is read and committed together: a kill loses so many calls at most."""
        return 4 * self._enrichment.concurrency

    def read(self, texts: Sequence[Text]) -> tuple[list[dict[str, Any]], AnswerError | None]:
        """Columns of silver/enrichments for those texts that are done, and why no more should be asked.

        Texts without a row are asked again by the next run.
        """
        with ThreadPoolExecutor(self._enrichment.concurrency, thread_name_prefix="enrich") as pool:
            outcomes = list(pool.map(self._outcome, texts))
        self._set_aside(outcomes)
        rows = [outcome.row for outcome in outcomes if outcome.row is not None]
        if self._stopped is None and not self._has_read and len(rows) >= MOST_FAILURES:
            refused = [row for row in rows if row["reason_code"] == "request_refused"]
            if len(refused) == len(rows):
                # What no text is taken with is no fault of any text.
                return [], ChatRefused(f"the server refuses every request: {refused[-1]['detail']}")
        return rows, self._stopped

    def _set_aside(self, outcomes: Sequence[_Outcome]) -> None:
        """Give a reason to the texts that the server fails at, if it still answers when it is asked about another."""
        suspects = [outcome for outcome in outcomes if outcome.may_be_its_fault]
        if suspects and self._stopped is None and self._answers():
            for outcome in suspects:
                outcome.row = self._row(outcome.input_hash, None, "server_failed")
            self.last_error = None if all(outcome.row for outcome in outcomes) else self.last_error

    def _answers(self) -> bool:
        """Whether the server answers at all; what it says to a text of no document is of no interest."""
        try:
            self._answer(messages_of(self._enrichment, None, _EASY, _EASY if self._enrichment.reads_windows else ""))
        except AnswerError as error:
            self._stop(error)
        return self._stopped is None

    def _outcome(self, text: Text) -> _Outcome:
        if self._stopped is None and self._clock() > self._until:
            self._stop(_no_time(self._enrichment))
        if self._stopped is not None:
            return _Outcome(text.input_hash)
        try:
            row = self._asked(text)
        except BudgetReached as error:
            self._stop(error)
            return _Outcome(text.input_hash)
        except AnswerError as error:
            self._failed(error)
            return _Outcome(text.input_hash, may_be_its_fault=_may_be_of_a_text(error))
        with self._lock:
            self._failures = 0
            self._has_read = self._has_read or row["reason_code"] != "request_refused"
        return _Outcome(text.input_hash, row)

    def _stop(self, error: AnswerError) -> None:
        self._stopped = self._stopped or error

    def _failed(self, error: AnswerError) -> None:
        with self._lock:
            self._failures += 1
            self.last_error = error
            if isinstance(error, ChatRefused) or (self._failures >= MOST_FAILURES and not _may_be_of_a_text(error)):
                # A key that is wrong is so for every text.
                self._stop(error)
            elif self._failures >= MOST_FAILURES and self._stopped is None and self._answers():
                self._failures = 0

    def _asked(self, text: Text) -> dict[str, Any]:
        messages = messages_of(self._enrichment, text.title, text.text, text.part)
        usage: list[ChatEnd] = []
        value, reason, why = None, "", ""
        for _ in range(2):
            try:
                answer = self._answer(messages)
            except ChatRefused as error:
                if error.facts.get("status") not in _OF_THE_REQUEST:
                    raise
                reason = "request_refused"
                break
            usage.append(answer.ended)
            value, reason, why = self._judged(answer)
            if reason != "reading_not_valid":
                break
            messages = [*messages, Message("assistant", answer.text[:_MOST_SHOWN_CHARS]), Message("user", _again(why))]
        return self._row(text.input_hash, value, reason, why, usage)

    def _row(
        self, input_hash: str, value: str | None, reason: str, why: str = "", usage: Sequence[ChatEnd] = ()
    ) -> dict[str, Any]:
        tokens_in, tokens_out = sum(each.tokens_in for each in usage), sum(each.tokens_out for each in usage)
        return {
            "input_hash": input_hash,
            "value": None if reason else value,
            "reason_code": reason or None,
            "detail": REASONS[reason].format(why=why) if reason else None,
            "tokens": tokens_in + tokens_out,
            "price": self._client.spec.cost(tokens_in, tokens_out),
        }

    def _answer(self, messages: Sequence[Message]) -> Completion:
        try:
            answer = self._client.complete(messages, self._enrichment.schema)
        except ChatUnavailable as error:
            if not error.facts.get("has_begun"):
                raise
            # It broke off in the middle, which its own tries do not cover; nobody has seen the first half.
            answer = self._client.complete(messages, self._enrichment.schema)
        ended = answer.ended
        price = self._client.spec.cost(ended.tokens_in, ended.tokens_out)
        with self._counting:
            self.tokens += ended.tokens_in + ended.tokens_out
            self.price = None if price is None or self.price is None else self.price + price
        return answer

    def _judged(self, answer: Completion) -> tuple[str | None, str, str]:
        """The value, or the reason why there is none, and what of the answer is wrong."""
        if answer.ended.end == "refused":
            return None, "reading_refused", ""
        try:
            return value_text(value_of(self._enrichment, answer.text)), "", ""
        except NotValid as error:
            reason = "reading_cut_short" if answer.ended.end == "cut_short" else "reading_not_valid"
            return None, reason, str(error)


def _may_be_of_a_text(error: AnswerError) -> bool:
    """Whether a server that is well may fail like this at one text: it broke down at it, or took too long."""
    facts = error.facts
    return isinstance(error, ChatUnavailable) and facts.get("status") not in _BUSY and not facts.get("retry_after")


def _no_time(enrichment: Enrichment) -> AnswerError:
    return AnswerError(
        f"this run has asked for {enrichment.most_seconds:g} s (`enrichments.{enrichment.name}.most_seconds`); the "
        f"next one goes on"
    )


def _again(why: str) -> str:
    return f"That is not valid: {why}. Answer again, with one JSON object of the schema and nothing else."
