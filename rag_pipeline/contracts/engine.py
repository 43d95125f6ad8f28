"""Where heavy work is done: a function over many items, wherever its workers are.

Belongs here: what parsing and chunking ask of whatever runs them.
Does not belong here: local worker processes, which are the first engine (`parallel/pool.py`); models, which spread
their own batches (`embed_stream` of an embedding model).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from rag_pipeline.errors import DocumentError


class Engine(Protocol):
    """Maps functions over items. What an item does to its worker, other items never feel."""

    def map(
        self, function: Callable[[Any], Any], items: Iterable[Any], *, weight: Callable[[Any], int] = ...
    ) -> Iterator[tuple[int, Any | DocumentError]]:
        """Yield (position, result) for every item, in input order, and hold no more in memory than it has to.

        `items` is consumed as needed, in the caller's thread. The result is what the function returned, or the
        DocumentError that the item ended with, the loss of its worker included.

        Args:
            function: Picklable; it may be run in another process or on another machine.
            weight: Size of an item in bytes, for grouping small items and bounding memory.

        Raises:
            ContractViolation: The function cannot be sent, or no worker can start.
        """
        ...

    def close(self) -> None:
        """Stop all work at once; whatever is under way is lost."""
        ...
