"""Chat models: one model at one server, with what is asked of it each time.

Belongs here: the values that settings, the client and the key of the cache share.
Does not belong here: asking it (`endpoints/chat.py`), what is asked (`answering/prompt.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rag_pipeline.contracts.ids import fingerprint

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ChatModelSpec:
    """One chat model.

    Attributes:
        alias: Its name in `pipeline.yaml`.
        model: Its name at the server.
        base_url: None: OpenAI itself.
        api_key_variable: Environment variable that holds the key; None for servers that take any.
        max_answer_tokens: The server stops an answer there.
        timeout_seconds: Longest silence of the server before and within an answer.
        deadline_seconds: Longest time of one answer, waiting and all tries included.
        price_per_million_input_tokens, price_per_million_output_tokens: None: unknown, or free.
        budget_per_day, tokens_per_day: What all calls of a day may cost, and read and write; None: no bound.
    """

    alias: str
    model: str
    base_url: str | None = None
    api_key_variable: str | None = None
    requests_per_minute: int | None = None
    temperature: float = 0.0
    max_answer_tokens: int = 800
    timeout_seconds: float = 60.0
    deadline_seconds: float = 120.0
    price_per_million_input_tokens: float | None = None
    price_per_million_output_tokens: float | None = None
    budget_per_day: float | None = None
    tokens_per_day: int | None = None

    @property
    def fingerprint(self) -> str:
        """Names what decides its answers; how it is paced and paid does not."""
        return fingerprint(
            "chat model", self.base_url or "", self.model, repr(self.temperature), str(self.max_answer_tokens)
        )

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """What that many tokens cost, in the currency of the prices; None when it has none."""
        prices = self.price_per_million_input_tokens, self.price_per_million_output_tokens
        if prices == (None, None):
            return None
        return (tokens_in * (prices[0] or 0.0) + tokens_out * (prices[1] or 0.0)) / 1_000_000
