"""One worker slot of the pool: a worker process, its replacements, and who is guilty when one dies.

Belongs here: retries and their end. Whatever an item does, every item of a group gets an outcome.
Does not belong here: pipes (`process.py`), order and look-ahead (`pool.py`).
"""

from __future__ import annotations

import signal
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rag_pipeline.errors import ContractViolation, DocumentError, WorkersUnavailable
from rag_pipeline.parallel.limits import WorkerLimits
from rag_pipeline.parallel.process import Answer, WorkerDied, WorkerProcess
from rag_pipeline.parallel.verdicts import Death, verdict

# Pauses before a worker is started again: a machine that is short of memory needs a moment to have some.
_START_PAUSES_SECONDS = (0.0, 0.5, 2.0)
# What ends a process from outside: the system short of memory, or a person. A worker's own faults are other signals.
_ENDED_FROM_OUTSIDE = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}

IndexedItem = tuple[int, Any]
Deliver = Callable[[list[tuple[int, Any | DocumentError]]], None]


@dataclass(frozen=True, slots=True)
class PickledFunction:
    """A function on its way to the workers; `id` tells it apart from others of the same pool."""

    id: int
    pickled: bytes


class Closing(Exception):
    """The pool is being closed while a worker slot would start another worker."""


class Supervisor:
    """Keeps one worker running. Used by one thread; `kill` may come from any.

    A worker that dies takes down the whole group it was given, and nobody knows which item did it. So
    each unanswered item is run again alone. An item is guilty when its worker died at least twice, the
    last time with this item alone, and either by the clock or in a process that had served nothing else.
    """

    def __init__(self, limits: WorkerLimits, initializer: str | None, answer: Answer | None = None) -> None:
        self._limits = limits
        self._answer = answer
        self._initializer = initializer
        self._worker: WorkerProcess | None = None
        self._closing = threading.Event()

    def run(self, function: PickledFunction, items: list[IndexedItem], deliver: Deliver) -> None:
        """Give every item an outcome.

        Raises:
            ContractViolation: Workers cannot start, or the function cannot be loaded in one.
            WorkersUnavailable: Workers are ended from outside as they start, or the machine has no room for one.
            Closing: `kill` was called.
        """
        failures: Counter[int] = Counter()
        groups = deque([items])
        while groups:
            group = groups.popleft()
            unanswered, death, was_fresh = self._attempt(function, group, deliver)
            if death is None:
                continue
            failures.update(index for index, _ in unanswered)
            if len(group) > 1:
                groups.extendleft([item] for item in reversed(unanswered))
                continue
            index = group[0][0]
            if failures[index] >= 2 and (was_fresh or death.is_timeout):
                deliver([(index, verdict(death, self._limits))])
            else:
                groups.appendleft(group)

    def kill(self) -> None:
        """Stop the worker under way, and start no other."""
        self._closing.set()
        worker = self._worker
        if worker is not None:
            worker.kill()

    def close(self) -> None:
        """End the worker. Called by the thread that runs it."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _attempt(
        self, function: PickledFunction, group: list[IndexedItem], deliver: Deliver
    ) -> tuple[list[IndexedItem], Death | None, bool]:
        worker = self._ready_worker(function)
        was_fresh = worker.is_fresh
        answered: set[int] = set()

        def hand_on(outcomes: list[tuple[int, Any | DocumentError]]) -> None:
            answered.update(position for position, _ in outcomes)
            deliver([(group[position][0], value) for position, value in outcomes])

        try:
            worker.run([item for _, item in group], hand_on)
        except WorkerDied as error:
            self.close()
            if self._closing.is_set():
                raise Closing from None
            unanswered = [item for position, item in enumerate(group) if position not in answered]
            # A worker may die after its last answer; then there is nobody to blame.
            return unanswered, error.death if unanswered else None, was_fresh
        if worker.is_spent:
            self.close()
        return [], None, was_fresh

    def _ready_worker(self, function: PickledFunction) -> WorkerProcess:
        failure: WorkerDied | OSError | None = None
        log = ""
        for pause_seconds in _START_PAUSES_SECONDS:
            if self._closing.wait(pause_seconds):
                raise Closing
            try:
                return self._started_worker(function)
            except (WorkerDied, OSError) as error:
                failure = error
                log = self._worker.startup_log() if self._worker is not None else ""
                self.close()
                if self._closing.is_set():
                    raise Closing from None
        assert failure is not None
        raise _cannot_start(failure, log)

    def _started_worker(self, function: PickledFunction) -> WorkerProcess:
        if self._worker is None:
            self._worker = WorkerProcess(self._limits, self._initializer, self._answer)
            # `kill` may have looked just before there was a worker to see.
            if self._closing.is_set():
                raise Closing
            self._worker.settle()
        if self._worker.function_id != function.id:
            self._worker.load(function.id, function.pickled)
        return self._worker


def _cannot_start(failure: WorkerDied | OSError, log: str) -> ContractViolation | WorkersUnavailable:
    tries = len(_START_PAUSES_SECONDS)
    if isinstance(failure, OSError):
        return WorkersUnavailable(
            f"A worker process could not be started {tries} times: {failure}. The machine is short of processes, "
            "memory or room for temporary files (TMPDIR). Free some, or lower `worker_processes`, and run again.",
        )
    death = failure.death
    if death.exit_code in _ENDED_FROM_OUTSIDE or death.kind == "timeout":
        how = f"was ended by {signal.Signals(-death.exit_code).name}" if death.exit_code else "did not answer"
        return WorkersUnavailable(
            f"A worker process {how} as it started, {tries} times. The machine is probably short of memory or very "
            "busy. Nothing was taken away. Free memory, or lower `worker_processes`, and run again.",
            exit_code=death.exit_code,
        )
    return ContractViolation(
        f"A worker process could not be started {tries} times ({death.kind}, exit code {death.exit_code}). If "
        f"memory did not suffice, raise `limits.memory_bytes`. {log}".strip(),
        exit_code=death.exit_code,
    )
