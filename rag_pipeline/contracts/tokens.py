"""What counts the tokens of a text.

Belongs here: the protocol between a model's tokenizer and the chunker.
Does not belong here: any particular tokenizer (`embedding/tokens.py`), or where to cut (`transforms/chunk/`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class TokenCounter(Protocol):
    """The embedding model's own tokenizer, asked only where its tokens lie.

    Picklable and small: a worker process opens the tokenizer again.

    Attributes:
        fingerprint: Equal fingerprints cut equal tokens under an equal limit.
        max_tokens: What a text may hold: the model's limit less special tokens and the document prompt.
    """

    @property
    def fingerprint(self) -> str: ...

    @property
    def max_tokens(self) -> int: ...

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Spans of the tokens in code points, in order, without special tokens and without truncation."""
        ...

    def token_spans_batch(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """`token_spans` of each text."""
        ...

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has: cheaper than their spans."""
        ...
