"""Where heavy work is done: a function over many items, wherever its workers are.

Belongs here: what parsing, chunking and embedding ask of whatever runs them.
Does not belong here: local worker processes (`parallel/pool.py`) and workers of a cluster (`parallel/ray_engine.py`),
which are the engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rag_pipeline.errors import DocumentError

Read = Callable[[Sequence[Any]], Iterator[tuple[int, Any, Any]]]
"""Reads items where they are stored, near the workers: for each reference its position, the item, and what its reader
wants to know of it beside the result. In whatever order is quickest; what is stored no more is left out. Picklable."""


class Embeds(Protocol):
    """What of an embedding model an engine uses."""

    @property
    def space(self) -> Any: ...

    def embed_stream(self, batches: Iterable[list[tuple[str, str]]]) -> Iterator[tuple[list[str], Any]]: ...


@dataclass(frozen=True, slots=True)
class ModelOnWorkers:
    """An embedding model, and how workers open it.

    Attributes:
        here: The model in this process, opened when called.
        there: Opens it in a worker, and is picklable; None: it is used in this process alone, as one that is asked
            over the network, whose pace and price are counted here.
        space_fingerprint: The space its vectors have to lie in.
        uses_gpu: Whether it runs on a GPU where there is one.
    """

    here: Callable[[], Embeds]
    there: Callable[[], Embeds] | None
    space_fingerprint: str
    uses_gpu: bool = False


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
            EngineUnavailable: The cluster cannot be reached, or is gone.
        """
        ...

    def map_stored(
        self,
        function: Callable[[Any], Any],
        references: Sequence[Any],
        read: Read,
        *,
        weight: Callable[[Any], int],
    ) -> Iterator[tuple[int, Any, Any | DocumentError]]:
        """Like `map`, over what is stored: yield (position of the reference, what the reader told, result).

        Args:
            references: What to read, neighbours in the store beside each other.
            weight: About how many bytes a reference stands for.
        """
        ...

    def embed_stream(
        self, model: ModelOnWorkers, batches: Iterable[list[tuple[str, str]]]
    ) -> Iterator[tuple[list[str], Any]]:
        """Vectors of (key, text) pairs, batch by batch and in order; see `EmbeddingModel`.

        Raises:
            EngineUnavailable: The cluster cannot be reached, or is gone.
        """
        ...

    def close(self) -> None:
        """Stop all work at once; whatever is under way is lost."""
        ...
