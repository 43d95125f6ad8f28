"""Asking a chat model, over the `openai` package: what streams in, and our own errors for all that goes wrong.

Belongs here: tries, waiting, the deadline, and telling a whole answer from one that broke off.
Does not belong here: what is asked, and what is made of the answer (`answering/`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from rag_pipeline.contracts.chat import ChatModelSpec, Message
from rag_pipeline.endpoints.budget import DailyBudget
from rag_pipeline.endpoints.client import Endpoint, opened
from rag_pipeline.endpoints.pace import Pace
from rag_pipeline.endpoints.stop import Stop
from rag_pipeline.errors import AnswerError, ChatGarbled, ChatRefused, ChatUnavailable

if TYPE_CHECKING:
    import openai

# A person waits for the answer: three tries are over within seconds.
MAX_TRIES = 3
FIRST_WAIT_SECONDS = 0.5
# Servers without a count of tokens: English has about four characters a token.
CHARS_PER_TOKEN = 4
# No token is as long, but for a run of blanks: a server that says more takes no notice of `max_answer_tokens`.
MOST_CHARS_A_TOKEN = 40
# No model reads or writes as many in one answer: whoever says so has not counted.
MOST_TOKENS = 1_000_000_000
# A refusal that quotes a page is no message.
MOST_SAID_CHARS = 300

End = Literal["whole", "cut_short", "refused"]
_ENDS: dict[str, End] = {"stop": "whole", "length": "cut_short", "content_filter": "refused"}


@dataclass(frozen=True, slots=True)
class ChatEnd:
    """How an answer ended.

    Attributes:
        end: `cut_short` at its limit of tokens, `refused` by the model or the server's filter.
        is_estimated: The server counted no tokens; these are guessed from characters.
    """

    end: End
    tokens_in: int
    tokens_out: int
    is_estimated: bool


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer at once."""

    text: str
    ended: ChatEnd


class ChatClient:
    """Asks one chat model, from any number of threads.

    Args:
        budget: What it may cost a day; None: no bound.

    Raises:
        SettingsError: The `openai` package or the key is missing.
    """

    def __init__(
        self, spec: ChatModelSpec, sleep: Callable[[float], None] = time.sleep, budget: DailyBudget | None = None
    ) -> None:
        self.spec = spec
        self._budget = budget
        endpoint = Endpoint(
            f"chat model {spec.alias}",
            spec.alias,
            spec.model,
            spec.base_url,
            spec.api_key_variable,
            spec.requests_per_minute,
        )
        # Its own tries sleep through any deadline: a server may ask for two minutes.
        self._client = opened(endpoint, 0, min(spec.timeout_seconds, spec.deadline_seconds))
        self._pace = Pace(spec.requests_per_minute)
        self._sleep = sleep
        self._counts_tokens = True
        self._knows_schemas = True

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def complete(self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
        """The whole answer; raises what `stream` does.

        Args:
            schema: JSON schema that the server holds the answer to, where it can; it is no promise.
        """
        parts: list[str] = []
        for piece in self.stream(messages, schema=schema):
            if isinstance(piece, ChatEnd):
                return Completion("".join(parts), piece)
            parts.append(piece)
        raise AssertionError("a stream ends with a ChatEnd or an error")

    def stream(
        self, messages: Sequence[Message], stop: Stop | None = None, *, schema: Mapping[str, Any] | None = None
    ) -> Iterator[str | ChatEnd]:
        """Pieces of the answer as they come, and how it ended; closing the iterator closes the connection.

        It is tried again until the first piece has come, since what was shown cannot be taken back.

        Args:
            stop: Ends the call from another thread, also while the server is silent.
            schema: See `complete`.

        Raises:
            ChatUnavailable: The server did not answer in time, broke off, or asked for more patience than there is.
            ChatRefused: It refused the request.
            ChatGarbled: What it sent is no answer.
            BudgetReached: It may cost no more today; it was not asked.
            CallStopped: `stop` was set.
        """
        sleep = self._sleep if stop is None else stop.wait
        deadline = time.monotonic() + self.spec.deadline_seconds
        if self._budget is not None:
            self._budget.check()
        for tried in range(1, MAX_TRIES + 1):
            self._pace.wait(sleep)
            said = False
            try:
                for piece in self._pieces(messages, deadline, stop, schema):
                    said = True
                    yield piece
                return
            except AnswerError as error:
                if stop is not None:
                    stop.check()
                if said:
                    error.facts["has_begun"] = True
                if said or not error.retryable or tried == MAX_TRIES:
                    raise
                self._wait(error, FIRST_WAIT_SECONDS * 2 ** (tried - 1), deadline, sleep)

    def _wait(self, error: AnswerError, seconds: float, deadline: float, sleep: Callable[[float], None]) -> None:
        """Wait until the next try, as long as the server asks, unless that is past the deadline."""
        asked = error.facts.get("retry_after")
        seconds = max(seconds, float(asked or 0))
        if time.monotonic() + seconds >= deadline:
            raise error
        sleep(seconds)

    def _pieces(
        self, messages: Sequence[Message], deadline: float, stop: Stop | None, schema: Mapping[str, Any] | None
    ) -> Iterator[str | ChatEnd]:
        """One try."""
        import openai

        reading = _Reading(self.spec, sum(len(message.content) for message in messages))
        try:
            with closing(self._opened(messages, stop, schema)) as stream:
                for chunk in stream:
                    text = reading.read(chunk)
                    if text:
                        yield text
                    if reading.is_endless:
                        break
                    if time.monotonic() > deadline:
                        raise ChatUnavailable(
                            f"{self._place} was still answering after {self.spec.deadline_seconds:g} s; raise "
                            f"`chat_models.NAME.deadline_seconds`, or ask for a shorter answer"
                        )
        except (openai.OpenAIError, ValueError, OSError, RecursionError) as error:
            raise self._translated(error) from error
        except Exception as error:
            # The client lets some errors of its transport through.
            if type(error).__module__.split(".")[0] not in ("httpx2", "httpcore2"):
                raise
            raise ChatUnavailable(f"{self._place} broke off: {_said(error)}; try again") from error
        finally:
            if stop is not None:
                stop.forget()
            # What broke off, or that nobody read to its end, is paid as well.
            if self._budget is not None and reading.has_begun:
                self._budget.add(*reading.tokens()[:2])
        yield reading.ended(self._place)

    def _opened(
        self, messages: Sequence[Message], stop: Stop | None, schema: Mapping[str, Any] | None
    ) -> openai.Stream[Any]:
        import openai

        with nullcontext() if stop is None else stop.opening():
            # What a server does not know it is asked without, and never again.
            while True:
                try:
                    return self._request(messages, schema)
                except openai.BadRequestError as error:
                    if self._counts_tokens and "stream_options" in str(error):
                        self._counts_tokens = False
                    elif self._knows_schemas and schema is not None and "response_format" in str(error):
                        self._knows_schemas = False
                    else:
                        raise

    def _request(self, messages: Sequence[Message], schema: Mapping[str, Any] | None) -> openai.Stream[Any]:
        more: dict[str, Any] = {"stream_options": {"include_usage": True}} if self._counts_tokens else {}
        if schema is not None and self._knows_schemas:
            named = {"name": "answer", "strict": True, "schema": dict(schema)}
            more["response_format"] = {"type": "json_schema", "json_schema": named}
        stream = self._client.chat.completions.create(
            model=self.spec.model,
            messages=cast(Any, [{"role": message.role, "content": message.content} for message in messages]),
            temperature=self.spec.temperature,
            max_tokens=self.spec.max_answer_tokens,
            stream=True,
            **more,
        )
        return cast("openai.Stream[Any]", stream)

    @property
    def _place(self) -> str:
        return f"the server {self.spec.base_url or 'of OpenAI'} of chat model {self.spec.alias}"

    def _translated(self, error: Exception) -> AnswerError:
        import openai

        if isinstance(error, openai.APITimeoutError):
            return ChatUnavailable(
                f"{self._place} was silent for {self.spec.timeout_seconds:g} s; raise "
                f"`chat_models.NAME.timeout_seconds`, or see whether it is overloaded"
            )
        if isinstance(error, openai.APIConnectionError | OSError):
            return ChatUnavailable(f"{self._place} does not answer, or broke off: {_said(error)}; is it running?")
        if isinstance(error, openai.RateLimitError):
            wait = _retry_after(error)
            asked = f" and asks to wait {wait:g} s" if wait else ""
            return ChatUnavailable(
                f"{self._place} is asked too often{asked}; try again later, or lower `requests_per_minute`",
                retry_after=wait,
                status=error.status_code,
            )
        if isinstance(error, openai.InternalServerError):
            return ChatUnavailable(
                f"{self._place} failed: {_said(error)}; try again later",
                retry_after=_retry_after(error),
                status=error.status_code,
            )
        if isinstance(error, openai.APIStatusError):
            return ChatRefused(
                f"{self._place} refused model {self.spec.model}: {_said(error)}. Check `base_url`, `model`, the key in "
                f"{self.spec.api_key_variable or 'api_key_variable (none is set)'} and `answers.context_tokens`.",
                status=error.status_code,
            )
        if isinstance(error, openai.APIError):
            return ChatUnavailable(f"{self._place} reported a fault within its answer: {_said(error)}; try again")
        return ChatGarbled(f"{self._place} sent what cannot be read: {_said(error)}. Check `base_url`.")


class _Reading:
    """What one stream has said so far."""

    def __init__(self, spec: ChatModelSpec, chars_in: int) -> None:
        self._spec = spec
        self._chars_in = chars_in
        self._chars_out = 0
        self._half = ""
        self._reason: str | None = None
        self._is_refusal = False
        self._usage: Any = None
        self.has_begun = False

    def read(self, chunk: Any) -> str:
        """The text of one piece."""
        self._usage = getattr(chunk, "usage", None) or self._usage
        choices = getattr(chunk, "choices", None)
        if not isinstance(choices, list):
            raise ValueError("a piece without choices")
        self.has_begun = True
        if not choices:
            return ""
        delta = getattr(choices[0], "delta", None)
        self._reason = getattr(choices[0], "finish_reason", None) or self._reason
        self._is_refusal = self._is_refusal or bool(getattr(delta, "refusal", None))
        text = getattr(delta, "content", None)
        if text is not None and not isinstance(text, str):
            raise ValueError("a piece whose content is no text")
        text = self._joined(text or "")
        self._chars_out += len(text)
        return text

    @property
    def is_endless(self) -> bool:
        """Whether the server has said more than it was allowed to, and would go on."""
        return self._chars_out > MOST_CHARS_A_TOKEN * self._spec.max_answer_tokens

    def _joined(self, text: str) -> str:
        """A text whose characters are whole: servers that count in UTF-16 cut some in two, one half in each piece.

        A half that the other one never follows is no character, and nothing that is written takes it.
        """
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def ended(self, place: str) -> ChatEnd:
        """How it ended; a server that just stops talking has not."""
        if self.is_endless:
            return ChatEnd("cut_short", *self.tokens())
        if self._reason is None and not self._chars_out:
            raise ChatGarbled(f"{place} sent no answer at all, as a web page does; check `base_url`")
        if self._reason is None:
            raise ChatUnavailable(f"{place} broke off in the middle of its answer; ask again")
        end: End = "refused" if self._is_refusal else _ENDS.get(str(self._reason), "refused")
        return ChatEnd(end, *self.tokens())

    def tokens(self) -> tuple[int, int, bool]:
        """Tokens read and written so far, and whether they are guessed from characters."""
        counted_in = _count(getattr(self._usage, "prompt_tokens", None))
        counted_out = _count(getattr(self._usage, "completion_tokens", None))
        if counted_in is not None and counted_out is not None:
            return counted_in, counted_out, False
        return self._chars_in // CHARS_PER_TOKEN, -(-self._chars_out // CHARS_PER_TOKEN), True


def _count(said: object) -> int | None:
    """Tokens as a server counts them; None: it does not, or what it says is no count."""
    if isinstance(said, bool) or not isinstance(said, int):
        return None
    return said if 0 <= said <= MOST_TOKENS else None


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds that the server asks to be left alone for; None: it does not say, or says a date."""
    headers = error.response.headers
    for name, scale in (("retry-after-ms", 1_000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) / scale)
        except (KeyError, ValueError):
            continue
    return None


def _said(error: Exception) -> str:
    # What follows is our own punctuation.
    text = " ".join(str(error).split()).removesuffix(".") or type(error).__name__
    return text if len(text) <= MOST_SAID_CHARS else f"{text[:MOST_SAID_CHARS]} …"
