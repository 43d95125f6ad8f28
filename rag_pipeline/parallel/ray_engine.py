"""The engine on a Ray cluster: the same maps as the local pool, with workers on many machines.

Belongs here: grouping, which workers a map needs, what an answer becomes.
Does not belong here: losses and order (`ray_crew.py`), the cluster (`ray_cluster.py`).

What is stored travels as a reference: workers read it from the lake. Other items, and texts to embed, go through Ray's
object store. Only the run commits.
"""

from __future__ import annotations

import pickle
import signal
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from rag_pipeline.contracts.engine import ModelOnWorkers, Read
from rag_pipeline.errors import ContractViolation, DocumentError, EngineUnavailable, SettingsError
from rag_pipeline.parallel.limits import WorkerLimits
from rag_pipeline.parallel.pool import size_in_bytes
from rag_pipeline.parallel.ray_cluster import RayCluster, refuse_folder_beyond
from rag_pipeline.parallel.ray_crew import Crew, Piece
from rag_pipeline.parallel.ray_workers import EmbedWorker, MapWorker, value_from
from rag_pipeline.parallel.supervisor import PickledFunction
from rag_pipeline.parallel.verdicts import Death, verdict

# A call costs about a millisecond on both sides, which a group spreads over its items.
GROUP_ITEMS = 64
GROUP_BYTES = 2**20
# What one worker reads together from the lake, and keeps while it works on it: about what one commit of bronze holds.
SHELF_ITEMS = 5_000
SHELF_BYTES = 64 * 2**20
# Pieces until each worker has had some, so that a few documents are spread as well.
_ROUNDS = 4


class RayEngine:
    """Maps over the workers of a Ray cluster, which is reached with the first piece of work. Close it.

    Args:
        address: See `RayCluster`.
        limits: What each worker process may use.
        workers: How many map; None: one per processor of the cluster.
        lake_root: Where workers read documents.
    """

    def __init__(
        self,
        address: str,
        limits: WorkerLimits,
        *,
        workers: int | None = None,
        lake_root: str = "",
        timeout_seconds: float = 60,
    ) -> None:
        self._address = address
        self._limits = limits
        self._workers = workers
        self._lake_root = lake_root
        self._timeout_seconds = timeout_seconds
        self._cluster: RayCluster | None = None
        self._crew: Crew | None = None
        self._crew_for: object = None
        self._functions = 0

    def close(self) -> None:
        """End the workers and part from the cluster."""
        if self._crew is not None:
            self._crew.close()
            self._crew = None
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        weight: Callable[[Any], int] = size_in_bytes,
    ) -> Iterator[tuple[int, Any | DocumentError]]:
        """See `Engine`."""
        pickled = self._pickled(function)

        def send(worker: Any, piece: Piece) -> Any:
            return worker.run.remote(pickled, list(zip(piece.positions, piece.load, strict=True)))

        def apart(piece: Piece) -> list[Piece]:
            pairs = zip(piece.positions, piece.load, strict=True)
            return [Piece(piece.number, [at], [item], is_suspect=True) for at, item in pairs]

        def guilty(piece: Piece) -> list[Any]:
            return [(piece.positions[0], self._verdict())]

        def results() -> Iterator[tuple[int, Any | DocumentError]]:
            pieces = self._groups(items, weight)
            # A run without work for it asks no cluster.
            first = next(pieces, None)
            if first is None:
                return
            for answer in self._mappers().run(chain([first], pieces), send, apart, guilty):
                for position, raw in sorted(answer, key=_position):
                    yield position, raw if isinstance(raw, DocumentError) else value_from(raw)

        return results()

    def map_stored(
        self, function: Callable[[Any], Any], references: Sequence[Any], read: Read, *, weight: Callable[[Any], int]
    ) -> Iterator[tuple[int, Any, Any | DocumentError]]:
        """See `Engine`."""
        pickled = self._pickled(function)
        job = uuid.uuid4().hex

        def send(worker: Any, piece: Piece) -> Any:
            return worker.run_stored.remote(pickled, read, piece.shelf, piece.load, piece.positions)

        def apart(piece: Piece) -> list[Piece]:
            return [Piece(piece.number, [at], piece.load, piece.shelf, is_suspect=True) for at in piece.positions]

        def guilty(piece: Piece) -> list[Any]:
            return [(piece.positions[0], (None, self._verdict()))]

        def results() -> Iterator[tuple[int, Any, Any | DocumentError]]:
            if not references:
                return
            pieces = self._shelved(references, weight, job)
            for answer in self._mappers().run(pieces, send, apart, guilty):
                for position, (told, raw) in sorted(answer, key=_position):
                    yield position, told, raw if isinstance(raw, DocumentError) else value_from(raw)

        return results()

    def embed_stream(
        self, model: ModelOnWorkers, batches: Iterable[list[tuple[str, str]]]
    ) -> Iterator[tuple[list[str], Any]]:
        """See `Engine`; a model that is asked over the network is asked by this process."""
        if model.there is None:
            yield from model.here().embed_stream(batches)
            return

        def send(worker: Any, piece: Piece) -> Any:
            return worker.embed.remote(piece.load)

        def guilty(piece: Piece) -> list[Any]:
            raise EngineUnavailable(
                f"A batch of {len(piece.load)} texts ended its worker on the Ray cluster each time it was tried. If "
                f"memory did not suffice there, give the nodes more; what was embedded so far is kept."
            )

        def apart(piece: Piece) -> list[Piece]:
            return [Piece(piece.number, piece.positions, piece.load, is_suspect=True)]

        pieces = (Piece(number, [number], batch) for number, batch in enumerate(filter(None, batches)))
        for answer in self._embedders(model).run(pieces, send, apart, guilty):
            keys, vectors = answer
            yield keys, vectors

    def _verdict(self) -> DocumentError:
        return verdict(Death("crash", -signal.SIGKILL), self._limits)

    def _pickled(self, function: Callable[[Any], Any]) -> PickledFunction:
        try:
            pickled = pickle.dumps(function, protocol=5)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ContractViolation(f"The function cannot be sent to a worker process: {error}.") from error
        self._functions += 1
        return PickledFunction(self._functions, pickled)

    def _groups(self, items: Iterable[Any], weight: Callable[[Any], int]) -> Iterator[Piece]:
        group: list[Any] = []
        size = number = start = 0
        for item in items:
            group.append(item)
            size += weight(item)
            if len(group) >= self._largest(number) or size >= GROUP_BYTES:
                yield Piece(number, list(range(start, start + len(group))), group)
                number, start, group, size = number + 1, start + len(group), [], 0
        if group:
            yield Piece(number, list(range(start, start + len(group))), group)

    def _largest(self, number: int) -> int:
        """Groups grow, so that the first answers come soon and a few items are spread over all workers."""
        crew = max(1, self._crew.size if self._crew is not None else 1)
        return min(GROUP_ITEMS, 4 << (number // (_ROUNDS * crew)))

    def _shelved(self, references: Sequence[Any], weight: Callable[[Any], int], job: str) -> Iterator[Piece]:
        import ray

        number = 0
        for count, shelf in enumerate(_shelves(references, weight)):
            # Each worker takes it once, from the node's own copy.
            kept = ray.put(shelf)
            waiting = deque(shelf)
            while waiting:
                positions: list[int] = []
                size = 0
                while waiting and len(positions) < self._largest(number) and size < GROUP_BYTES:
                    position, reference = waiting.popleft()
                    positions.append(position)
                    size += weight(reference)
                yield Piece(number, positions, kept, f"{job}/{count}")
                number += 1

    def _connected(self) -> RayCluster:
        if self._cluster is None:
            cluster = RayCluster(self._address, self._timeout_seconds)
            try:
                refuse_folder_beyond(cluster, self._lake_root)
            except SettingsError:
                cluster.close()
                raise
            self._cluster = cluster
        return self._cluster

    def _mappers(self) -> Crew:
        cluster = self._connected()
        if self._crew is None or self._crew_for != "map" or not self._crew.size:
            places = [str(node["NodeID"]) for node in cluster.nodes() for _ in range(_processors(node))]
            self._take_on("map", places[: self._workers], lambda node: _actor(MapWorker, node, 1, 0, self._limits))
        assert self._crew is not None
        return self._crew

    def _embedders(self, model: ModelOnWorkers) -> Crew:
        cluster = self._connected()
        if self._crew is None or self._crew_for != model.space_fingerprint or not self._crew.size:
            # One for each node with all its processors, since a model has threads of its own; or one for each GPU.
            nodes = {str(node["NodeID"]): node for node in cluster.nodes() if _processors(node)}
            on_gpus = [name for name, node in nodes.items() for _ in range(_gpus(node))] if model.uses_gpu else []

            def start(name: str) -> Any:
                processors = 1 if on_gpus else _processors(nodes[name])
                return _actor(EmbedWorker, name, processors, 1 if on_gpus else 0, model.there, model.space_fingerprint)

            self._take_on(model.space_fingerprint, on_gpus or list(nodes), start)
        assert self._crew is not None
        return self._crew

    def _take_on(self, purpose: object, places: list[str], start: Callable[[str], Any]) -> None:
        """Have a crew for something else: workers of two kinds would hold processors that the other waits for."""
        cluster = self._connected()
        if self._crew is not None:
            self._crew.close()
            self._crew = None
        if not places:
            raise EngineUnavailable("The Ray cluster has no processors to work with; see `ray status`.")
        self._crew = Crew(places, start, cluster.is_there, self._timeout_seconds)
        self._crew_for = purpose


def _position(result: tuple[int, Any]) -> int:
    return result[0]


def _processors(node: dict[str, Any]) -> int:
    return int(node["Resources"].get("CPU", 0))


def _gpus(node: dict[str, Any]) -> int:
    return int(node["Resources"].get("GPU", 0))


def _actor(worker: type, node: str, processors: int, gpus: int, *arguments: Any) -> Any:
    """A worker on a node; Ray neither restarts it nor repeats its work."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    placed: Any = ray.remote(worker).options(
        num_cpus=processors,
        num_gpus=gpus,
        max_restarts=0,
        max_task_retries=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False),
    )
    return placed.remote(*arguments)


def _shelves(references: Sequence[Any], weight: Callable[[Any], int]) -> Iterator[list[tuple[int, Any]]]:
    shelf: list[tuple[int, Any]] = []
    size = 0
    for position, reference in enumerate(references):
        shelf.append((position, reference))
        size += weight(reference)
        if len(shelf) >= SHELF_ITEMS or size >= SHELF_BYTES:
            yield shelf
            shelf, size = [], 0
    if shelf:
        yield shelf
