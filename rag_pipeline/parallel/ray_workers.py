"""The inside of the workers on a Ray cluster: each keeps one isolated process, or one embedding model.

Belongs here: what happens in an actor. Values that an isolated process sent are checked here and handed on as the
bytes they came as, so that nothing of a stranger's document is unpickled on the way.
Does not belong here: who gets which work (`ray_crew.py`).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from rag_pipeline.contracts.engine import Embeds, Read
from rag_pipeline.errors import DocumentError, EmbeddingSpaceMismatch
from rag_pipeline.parallel import wire
from rag_pipeline.parallel.limits import WorkerLimits
from rag_pipeline.parallel.process import value_of
from rag_pipeline.parallel.supervisor import IndexedItem, PickledFunction, Supervisor

Raw = tuple[str, bytes]
"""Status and bytes of an outcome, as a worker process sent them."""


def own_version() -> str:
    """What has to be equal on all machines for equal results."""
    return f"rag-pipeline {version('rag-pipeline')} on Python {platform.python_version()}"


class MapWorker:
    """Maps functions in an isolated process, as a worker slot of the local pool does."""

    def __init__(self, limits: WorkerLimits) -> None:
        self._supervisor = Supervisor(limits, None, _checked)
        self._shelf: tuple[str, dict[int, tuple[Any, Any]]] = ("", {})

    def ready(self) -> str:
        """Say which version this is."""
        return own_version()

    def run(self, function: PickledFunction, group: list[IndexedItem]) -> list[tuple[int, Raw]]:
        """The outcome of every item."""
        outcomes: list[tuple[int, Raw]] = []

        def deliver(found: list[tuple[int, Any]]) -> None:
            outcomes.extend((position, _as_raw(value)) for position, value in found)

        self._supervisor.run(function, group, deliver)
        return outcomes

    def run_stored(
        self, function: PickledFunction, read: Read, name: str, shelf: Sequence[tuple[int, Any]], wanted: list[int]
    ) -> list[tuple[int, tuple[Any, Raw]]]:
        """What was told of it and the outcome of every item that is still stored.

        Args:
            name: Of the shelf: neighbours in the store, which are read together once and kept until another is asked
                for.
            shelf: Positions and references.
            wanted: Positions.
        """
        if self._shelf[0] != name:
            self._shelf = ("", {})
            found = read([reference for _, reference in shelf])
            self._shelf = (name, {shelf[at][0]: (item, told) for at, item, told in found})
        items = self._shelf[1]
        group = [(position, items[position][0]) for position in wanted if position in items]
        return [(position, (items[position][1], raw)) for position, raw in self.run(function, group)] if group else []


class EmbedWorker:
    """Keeps an embedding model and embeds batches with it."""

    def __init__(self, open_model: Callable[[], Embeds], space_fingerprint: str) -> None:
        self._open_model = open_model
        self._space_fingerprint = space_fingerprint
        self._model: Embeds | None = None

    def ready(self) -> str:
        """Open the model, and say which version this is.

        Raises:
            EmbeddingSpaceMismatch: The files of the model on this machine are others than the run's.
            ModelUnavailable: They are not there.
        """
        model = self._open_model()
        found = model.space.fingerprint
        if found != self._space_fingerprint:
            raise EmbeddingSpaceMismatch(
                f"the embedding model on {platform.node()} is embedding space {found}, where the run has "
                f"{self._space_fingerprint}: its files there are others. Give all machines of the cluster the same.",
                found=found,
                configured=self._space_fingerprint,
            )
        self._model = model
        return own_version()

    def embed(self, batch: list[tuple[str, str]]) -> tuple[list[str], Any]:
        """Keys and vectors of one batch."""
        assert self._model is not None
        return next(iter(self._model.embed_stream([batch])))


def value_from(raw: Raw) -> Any | DocumentError:
    """What a worker process answered."""
    return value_of(*raw)


def _checked(status: str, raw: bytes) -> Raw:
    # Whatever cannot be read raises here, where the process that sent it can still be ended for it.
    value_of(status, raw)
    return status, raw


def _as_raw(value: Raw | DocumentError) -> Raw:
    return ("value", wire.dump(value)) if isinstance(value, DocumentError) else value
