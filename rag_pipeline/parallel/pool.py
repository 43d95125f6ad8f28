"""A function over many items in isolated processes: results in input order, memory bounded.

Belongs here: grouping, look-ahead, order, and the threads that each keep one worker busy.
Does not belong here: what happens to one group (`supervisor.py`).
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rag_pipeline.contracts.engine import ModelOnWorkers, Read
from rag_pipeline.errors import ContractViolation, DocumentError
from rag_pipeline.parallel.limits import WorkerLimits
from rag_pipeline.parallel.serial import map_serially
from rag_pipeline.parallel.supervisor import Closing, IndexedItem, PickledFunction, Supervisor

__all__ = ["IsolatedPool", "WorkerLimits"]

# A worker that dies takes its group along, which is then tried item by item.
GROUP_ITEMS = 32
# What a pipe holds (`_PIPE_BYTES`), so that handing over a group never waits.
GROUP_BYTES = 2**18
# Until it is known how long an item takes.
_FIRST_GROUP_ITEMS = 4
# Long enough that a message costs nothing beside it, short enough that the last ones end together.
_GROUP_SECONDS = 0.1
_UNKNOWN_WEIGHT_BYTES = 1024


def size_in_bytes(item: Any) -> int:
    """The default weight: length of bytes and text, a kilobyte for anything else."""
    return len(item) if isinstance(item, bytes | bytearray | str) else _UNKNOWN_WEIGHT_BYTES


@dataclass(slots=True)
class _Job:
    """One call of `map`; every field is guarded by the pool's condition."""

    function: PickledFunction
    results: dict[int, Any] = field(default_factory=dict)
    weights: deque[int] = field(default_factory=deque)
    held_bytes: int = 0
    queued_groups: int = 0
    group_items: int = _FIRST_GROUP_ITEMS
    is_exhausted: bool = False
    failure: BaseException | None = None
    is_cancelled: bool = False


class IsolatedPool:
    """Persistent worker processes, started when first needed; a context manager.

    Args:
        workers: How many; default one per core, 0 runs everything in this process without isolation.
        limits: What each worker may use.
        initializer: `"package.module:function"`, called once in each new worker.
        look_ahead_items: At most so many items are taken from the input before the oldest is answered.
        look_ahead_bytes: The same in weight, in bytes; one item may always be under way.
    """

    def __init__(
        self,
        workers: int | None = None,
        limits: WorkerLimits | None = None,
        *,
        initializer: str | None = None,
        look_ahead_items: int = 4096,
        look_ahead_bytes: int = 64 * 2**20,
    ) -> None:
        self._workers = (os.cpu_count() or 1) if workers is None else workers
        self._limits = limits or WorkerLimits()
        self._initializer = initializer
        self._look_ahead_items = look_ahead_items
        self._look_ahead_bytes = look_ahead_bytes
        self._changed = threading.Condition()
        self._tasks: deque[tuple[_Job, list[IndexedItem]]] = deque()
        self._slots: list[tuple[threading.Thread, Supervisor]] = []
        self._idle = 0
        self._functions = 0
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all workers at once; whatever is under way is lost."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for _, supervisor in self._slots:
            supervisor.kill()
        for thread, _ in self._slots:
            thread.join()
        self._slots.clear()

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        weight: Callable[[Any], int] = size_in_bytes,
    ) -> Iterator[tuple[int, Any | DocumentError]]:
        """Yield (position, result) for every item, in input order.

        The result is what `function` returned, or a DocumentError: the one it raised; ParserTimeout,
        ParserCrashed or LimitExceeded when its worker was lost twice; UnparsableDocument, with only the
        name of the exception's class, for everything else. `items` is consumed as needed, in the
        caller's thread.

        Args:
            function: Importable by name, or a picklable callable (`functools.partial`, an instance);
                it is pickled once here and unpickled once in each worker.
            weight: Size of an item in bytes, for grouping small items and bounding memory.

        Raises:
            ContractViolation: The function cannot be pickled or loaded in a worker, workers cannot
                start, or the pool is closed.
        """
        if self._workers == 0:
            return map_serially(function, items)
        try:
            pickled = pickle.dumps(function, protocol=5)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ContractViolation(f"The function cannot be sent to a worker process: {error}.") from error
        with self._changed:
            self._functions += 1
            job = _Job(PickledFunction(self._functions, pickled))
        return self._results(job, enumerate(items), weight)

    def map_stored(
        self, function: Callable[[Any], Any], references: Sequence[Any], read: Read, *, weight: Callable[[Any], int]
    ) -> Iterator[tuple[int, Any, Any | DocumentError]]:
        """Read here, in one stream, and map what was read; see `Engine`."""
        waiting: deque[tuple[int, Any]] = deque()

        def items() -> Iterator[Any]:
            for position, item, told in read(references):
                waiting.append((position, told))
                yield item

        # An item is weighed as soon as it was read.
        for _, result in self.map(function, items(), weight=lambda _: weight(references[waiting[-1][0]])):
            yield *waiting.popleft(), result

    def embed_stream(
        self, model: ModelOnWorkers, batches: Iterable[list[tuple[str, str]]]
    ) -> Iterator[tuple[list[str], Any]]:
        """Embed in this process, whose models have threads of their own."""
        return model.here().embed_stream(batches)

    def _results(
        self, job: _Job, items: Iterator[IndexedItem], weight: Callable[[Any], int]
    ) -> Iterator[tuple[int, Any | DocumentError]]:
        following = 0
        try:
            while True:
                while self._wants_more(job):
                    self._submit(job, items, weight)
                if not job.weights:
                    return
                for result in self._take(job, following):
                    yield following, result
                    following += 1
        finally:
            with self._changed:
                job.is_cancelled = True

    def _wants_more(self, job: _Job) -> bool:
        with self._changed:
            if job.is_exhausted or not job.weights:
                return not job.is_exhausted
            return (
                job.queued_groups < 2 * self._workers
                and len(job.weights) < self._look_ahead_items
                and job.held_bytes < self._look_ahead_bytes
            )

    def _submit(self, job: _Job, items: Iterator[IndexedItem], weight: Callable[[Any], int]) -> None:
        group: list[IndexedItem] = []
        weights: list[int] = []
        for index, item in items:
            group.append((index, item))
            weights.append(weight(item))
            if len(group) >= job.group_items or sum(weights) >= GROUP_BYTES:
                break
        else:
            job.is_exhausted = True
        if not group:
            return
        with self._changed:
            if self._is_closed:
                raise ContractViolation("The pool of worker processes is closed.")
            job.weights.extend(weights)
            job.held_bytes += sum(weights)
            job.queued_groups += 1
            self._tasks.append((job, group))
            if self._idle < len(self._tasks) and len(self._slots) < self._workers:
                self._add_slot()
            self._changed.notify_all()

    def _take(self, job: _Job, following: int) -> list[Any]:
        with self._changed:
            # While the oldest item keeps everyone waiting, those behind it are still handed out.
            while following not in job.results and job.failure is None and not self._wants_more(job):
                if self._is_closed:
                    raise ContractViolation("The pool of worker processes was closed during a map.")
                self._changed.wait()
            if job.failure is not None:
                raise job.failure
            taken: list[Any] = []
            # No more than a group at a time, so that the queue is filled up again in between.
            while following + len(taken) in job.results and len(taken) < GROUP_ITEMS:
                taken.append(job.results.pop(following + len(taken)))
                job.held_bytes -= job.weights.popleft()
            return taken

    def _add_slot(self) -> None:
        supervisor = Supervisor(self._limits, self._initializer)
        # The kernel ends a worker with the thread that started it, so each worker slot keeps its thread.
        thread = threading.Thread(target=self._serve, args=(supervisor,), name="isolated-pool", daemon=True)
        self._slots.append((thread, supervisor))
        thread.start()

    def _serve(self, supervisor: Supervisor) -> None:
        try:
            while (task := self._next_task()) is not None:
                self._work(supervisor, *task)
        except Closing:
            return
        finally:
            supervisor.close()

    def _next_task(self) -> tuple[_Job, list[IndexedItem]] | None:
        with self._changed:
            self._idle += 1
            while not self._tasks and not self._is_closed:
                self._changed.wait()
            self._idle -= 1
            if self._is_closed:
                return None
            job, group = self._tasks.popleft()
            job.queued_groups -= 1
            self._changed.notify_all()
            return job, group

    def _work(self, supervisor: Supervisor, job: _Job, group: list[IndexedItem]) -> None:
        def deliver(outcomes: list[tuple[int, Any]]) -> None:
            with self._changed:
                job.results.update(outcomes)
                self._changed.notify_all()

        if job.is_cancelled:
            return
        began = time.monotonic()
        try:
            supervisor.run(job.function, group, deliver)
        except Closing:
            raise
        # The worker's edge: a thread has no caller, so whatever it is goes to the one who waits.
        except Exception as error:
            with self._changed:
                job.failure = error
                self._changed.notify_all()
            return
        seconds_per_item = max(time.monotonic() - began, 1e-6) / len(group)
        with self._changed:
            job.group_items = max(1, min(GROUP_ITEMS, int(_GROUP_SECONDS / seconds_per_item)))
