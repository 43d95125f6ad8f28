"""What answers questions: the sections `chat_models` and `answers` of pipeline.yaml.

Belongs here: models, what is put before them, what is kept of their answers.
Does not belong here: asking them (`endpoints/chat.py`), answering (`answering/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from rag_pipeline.contracts.chat import ChatModelSpec
from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.servers import ServerAddress, address_of_server

# A year; what is kept longer answers nobody any more.
_LONGEST_SECONDS = 366 * 86_400
Text = Annotated[str, Field(min_length=1, max_length=4_096)]


class ChatModelSettings(Section):
    """One chat model behind an OpenAI-compatible endpoint: hosted, or one's own (Ollama, vLLM, llama.cpp)."""

    model: str = Field(min_length=1, max_length=4_096)
    """Its name at the server."""
    base_url: str | None = Field(default=None, min_length=1, max_length=4_096)
    """Address of the server, like `http://localhost:11434/v1`; none: OpenAI."""
    api_key_variable: str | None = Field(default=None, min_length=1, max_length=4_096)
    """Environment variable that holds the key; none: the server takes any."""
    requests_per_minute: int | None = Field(default=None, gt=0, le=1_000_000)
    """Rate limit of the server."""
    temperature: float = Field(default=0, ge=0, le=2)
    """How freely it chooses words; 0: always the likeliest."""
    max_answer_tokens: int = Field(default=800, gt=0, le=1_000_000)
    """The server stops an answer there, which then counts as cut short."""
    timeout_seconds: float = Field(default=60, gt=0, le=3_600)
    """Longest silence of the server, before and within an answer."""
    deadline_seconds: float = Field(default=120, gt=0, le=3_600)
    """Longest time of one answer, waiting and all tries included."""
    price_per_million_input_tokens: float | None = Field(default=None, ge=0, le=1_000_000)
    """For the cost of an answer; none: unknown."""
    price_per_million_output_tokens: float | None = Field(default=None, ge=0, le=1_000_000)
    """For the cost of an answer; none: unknown."""
    budget_per_day: float | None = Field(default=None, ge=0, le=1_000_000_000)
    """What all calls of a day (UTC) may cost, by the prices, over all processes of this machine; the model is asked no
    more then until the next day. None: no bound."""
    tokens_per_day: int | None = Field(default=None, ge=0, le=1_000_000_000_000)
    """The same in tokens, read and written. None: no bound."""

    @model_validator(mode="after")
    def _a_budget_has_a_price(self) -> Self:
        if self.budget_per_day is not None and self.spec("").cost(1, 1) is None:
            raise ValueError(
                "budget_per_day is counted by prices, and there are none: say price_per_million_input_tokens and "
                "price_per_million_output_tokens, or bound tokens_per_day"
            )
        return self

    def spec(self, alias: str) -> ChatModelSpec:
        return ChatModelSpec(alias=alias, **self.model_dump())


class AnswerCacheSettings(Section):
    """Answers that are kept, so that an equal question over equal texts asks the model once."""

    keep: bool = True
    """Keep them at all."""
    url: ServerAddress | None = Field(default=None, max_length=4_096)
    """A Redis or Valkey server, like `redis://localhost:6379/0`, shared by all processes; none: a file in the cache
    folder. A value like `$NAME` is read from the environment."""
    max_bytes: int = Field(default=256 * 2**20, ge=2**20, le=2**40)
    """Size of the file; the answers that were not used for the longest time go first."""
    lifetime_seconds: int = Field(default=7 * 86_400, gt=0, le=_LONGEST_SECONDS)
    """How long an answer is kept."""

    def address(self, environment: Mapping[str, str]) -> str | None:
        """The server's address, which is kept secret where it holds a password; None: there is no server.

        Raises:
            SettingsError: It is to be read from a variable that is not set, or that holds no such address.
        """
        return None if self.url is None else address_of_server(self.url, "answers.cache.url", environment)


class AnswersSettings(Section):
    """How questions are answered out of the index, with citations."""

    model: str = Field(min_length=1, max_length=63)
    """Alias of one of `chat_models`."""
    prompt: str | None = Field(default=None, min_length=1, max_length=4_096)
    """File whose text stands in the prompt instead of what it says of the task; rules on citations, abstaining and
    quoted documents are always added. Relative to this file."""
    context_tokens: int = Field(default=3_000, gt=0, le=1_000_000)
    """Budget of all windows of one question, best first, as the embedding model counts."""
    most_windows: int = Field(default=6, gt=0, le=50)
    """Most windows given to the model."""
    least_relevance: float | None = Field(default=None, ge=-1, le=1)
    """Cosine similarity with the question below which a hit that vectors found is left out; when none is left the model
    is not asked. None: whatever is found counts. Mode text has no such figure."""
    questions: tuple[Text, ...] = ()
    """Files of questions that `rag-pipeline eval --answers` asks, JSONL, relative to this file."""
    judge: str | None = Field(default=None, min_length=1, max_length=63)
    """Alias of one of `chat_models` that says whether an answer states a fact; none: facts are not judged."""
    labels: str | None = Field(default=None, min_length=1, max_length=4_096)
    """File of answers and facts that people judged, JSONL, relative to this file; only they make it trusted."""
    cache: AnswerCacheSettings = AnswerCacheSettings()
    """Answers that are kept, so that an equal question over equal texts asks the model once."""
