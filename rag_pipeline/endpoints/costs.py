"""What a batch of work at a paid endpoint would cost, before it starts.

Belongs here: arithmetic on token counts and the endpoint's limits.
Does not belong here: asking anyone for a price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag_pipeline.endpoints.client import Endpoint


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """Attributes:
    requests: If none has to be repeated.
    price: In the currency of `price_per_million_tokens`; None when the endpoint has no price.
    minimum_seconds: What the rate limit alone takes; None without one.
    """

    texts: int
    tokens: int
    requests: int
    price: float | None
    minimum_seconds: float | None


def estimate_cost(
    endpoint: Endpoint, texts_tokens: Sequence[int], texts_per_request: int, prompt_tokens: int = 0
) -> CostEstimate:
    """Cost of sending texts with these token counts.

    Args:
        texts_tokens: As the model's token counter counts; for an endpoint without a tokenizer an estimate.
        prompt_tokens: Of the prompt that goes before each text, paid with each text.
    """
    tokens = sum(texts_tokens) + prompt_tokens * len(texts_tokens)
    requests = -(-len(texts_tokens) // texts_per_request)
    price = endpoint.price_per_million_tokens
    return CostEstimate(
        texts=len(texts_tokens),
        tokens=tokens,
        requests=requests,
        price=None if price is None else tokens * price / 1_000_000,
        minimum_seconds=None if endpoint.requests_per_minute is None else requests * 60 / endpoint.requests_per_minute,
    )
