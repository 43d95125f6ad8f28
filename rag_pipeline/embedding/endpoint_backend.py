"""Models behind an OpenAI-compatible `/v1/embeddings`, through the `openai` client (extra `endpoint`).

Belongs here: batching, pace, retries, and what each refusal means.
Does not belong here: other protocols.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import numpy.typing as npt

from rag_pipeline.contracts.embedding import EmbeddingModelSpec, EmbeddingSpace
from rag_pipeline.embedding.batching import Rows
from rag_pipeline.embedding.tokens import TokenCounter
from rag_pipeline.errors import EmbeddingError, EndpointUnavailable, ModelUnavailable, SettingsError

if TYPE_CHECKING:
    import openai

MAX_RETRIES = 6
TIMEOUT_SECONDS = 120.0


class EndpointBackend:
    """Asks for `batch_texts` texts at a time, a few requests in flight, never faster than the rate limit.

    Args:
        counter: Cuts texts at the space's limit, since endpoints refuse longer ones.

    Raises:
        SettingsError: The `openai` package or the key is missing.
    """

    workers = 4

    def __init__(self, spec: EmbeddingModelSpec, space: EmbeddingSpace, counter: TokenCounter) -> None:
        self._client = _client(spec)
        self._spec = spec
        self._max_tokens = space.max_tokens
        self._counter = counter
        self._pace = Pace(spec.requests_per_minute)

    def prepare(self, texts: list[str]) -> list[str]:
        """Texts cut at the limit, none of them empty."""
        spans = self._counter.token_spans_batch(texts)
        return [
            (text if len(tokens) <= self._max_tokens else text[: tokens[self._max_tokens - 1][1]]) or " "
            for text, tokens in zip(texts, spans, strict=True)
        ]

    def plan(self, prepared: list[str]) -> list[Rows]:
        """One batch a request, in the order given."""
        starts = range(0, len(prepared), self._spec.batch_texts)
        return [np.arange(start, min(start + self._spec.batch_texts, len(prepared))) for start in starts]

    def compute(self, prepared: list[str], rows: Rows) -> npt.NDArray[np.float64]:
        """What the endpoint answers for these rows, [rows, width]."""
        import openai

        self._pace.wait()
        texts = [prepared[row] for row in rows]
        try:
            # Some compatible servers know no other encoding than plain numbers.
            answer = self._client.embeddings.create(model=self._spec.model, input=texts, encoding_format="float")
        except openai.OpenAIError as error:
            self._refused(error)
        vectors: list[list[float]] = [[] for _ in texts]
        for item in answer.data:
            vectors[item.index] = item.embedding
        widths = {len(vector) for vector in vectors}
        if len(answer.data) != len(texts) or len(widths) != 1:
            raise EmbeddingError(
                f"endpoint {self._spec.base_url} answered {len(answer.data)} vectors of widths {sorted(widths)} to "
                f"{len(texts)} texts. Nothing of this batch was kept. Check that it serves {self._spec.model}.",
                alias=self._spec.alias,
            )
        return np.array(vectors)

    def _refused(self, error: openai.OpenAIError) -> NoReturn:
        import openai

        place = f"endpoint {self._spec.base_url} of embedding model {self._spec.alias}"
        passing = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError)
        if isinstance(error, passing):
            raise EndpointUnavailable(
                f"{place} gave no vectors after {MAX_RETRIES + 1} tries: {error}. What was embedded before is kept; "
                f"run again later, or lower `requests_per_minute`.",
                alias=self._spec.alias,
            ) from error
        raise ModelUnavailable(
            f"{place} refused model {self._spec.model}: {error}. Check `base_url`, `model`, `max_tokens` and the key "
            f"in {self._spec.api_key_variable or 'api_key_variable (none is set)'}.",
            alias=self._spec.alias,
        ) from error


class Pace:
    """Lets requests through at an even pace, from any number of threads."""

    def __init__(self, requests_per_minute: int | None) -> None:
        self._seconds_between = 60 / requests_per_minute if requests_per_minute else 0.0
        self._lock = threading.Lock()
        self._next_at = 0.0

    def wait(self) -> None:
        """Return when the next request may start."""
        with self._lock:
            now = time.monotonic()
            start_at = max(now, self._next_at)
            self._next_at = start_at + self._seconds_between
        time.sleep(start_at - now)


def _client(spec: EmbeddingModelSpec) -> openai.OpenAI:
    try:
        import openai
    except ImportError as error:
        raise SettingsError(
            f"embedding model {spec.alias} is an endpoint, which needs the `openai` package: "
            f"pip install 'rag-pipeline[endpoint]'",
            alias=spec.alias,
        ) from error
    # Local servers take any key, but the client insists on one.
    key = "none" if spec.api_key_variable is None else os.environ.get(spec.api_key_variable)
    if not key:
        raise SettingsError(
            f"embedding model {spec.alias} takes its key from the environment variable {spec.api_key_variable}, "
            f"which is not set",
            alias=spec.alias,
        )
    return openai.OpenAI(api_key=key, base_url=spec.base_url, max_retries=MAX_RETRIES, timeout=TIMEOUT_SECONDS)
