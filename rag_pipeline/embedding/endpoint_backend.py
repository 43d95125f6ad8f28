"""Models behind an OpenAI-compatible `/v1/embeddings`.

Belongs here: batches, and what a right answer looks like.
Does not belong here: keys, pace, retries and refusals (`endpoints/`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rag_pipeline.contracts.embedding import EmbeddingModelSpec, EmbeddingSpace
from rag_pipeline.contracts.tokens import TokenCounter
from rag_pipeline.embedding.batching import Rows
from rag_pipeline.embedding.tokens import HuggingFaceTokenCounter
from rag_pipeline.endpoints.client import Endpoint, EndpointClient
from rag_pipeline.errors import EmbeddingError


def endpoint_of(spec: EmbeddingModelSpec) -> Endpoint:
    """Where the model of `spec` is asked."""
    return Endpoint(
        user=f"embedding model {spec.alias}",
        alias=spec.alias,
        model=spec.model,
        base_url=spec.base_url,
        api_key_variable=spec.api_key_variable,
        requests_per_minute=spec.requests_per_minute,
        price_per_million_tokens=spec.price_per_million_tokens,
    )


class EndpointBackend:
    """Asks for `batch_texts` texts at a time, a few requests in flight, never faster than the rate limit.

    Args:
        counter: Cuts texts at the space's limit, since endpoints refuse longer ones.

    Raises:
        SettingsError: The `openai` package or the key is missing.
    """

    workers = 4

    def __init__(self, spec: EmbeddingModelSpec, space: EmbeddingSpace, counter: TokenCounter) -> None:
        self._client = EndpointClient(endpoint_of(spec))
        self._spec = spec
        self._max_tokens = space.max_tokens
        self._counter = counter
        # Words are counted where nobody has named the model's tokenizer, and say nothing of what it knows.
        self.tokenizer = counter.tokenizer if isinstance(counter, HuggingFaceTokenCounter) else None

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
        texts = [prepared[row] for row in rows]
        # Some compatible servers know no other encoding than plain numbers.
        answer = self._client.ask(
            lambda client: client.embeddings.create(model=self._spec.model, input=texts, encoding_format="float")
        )
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
