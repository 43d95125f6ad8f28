"""Workers on a Ray cluster as one crew: who gets which piece of work, and what becomes of it when one is lost.

Belongs here: handing out, order, losses and their end.
Does not belong here: connecting (`ray_cluster.py`), what a worker does (`ray_workers.py`), grouping (`ray_engine.py`).

Ray itself neither restarts a worker nor tries its work again: its own tries end a job whose node is lost. A worker that
is lost is replaced on its node, and what it had goes to the others at once. Only when the replacement stands, and the
node with it, does the loss count against the piece that was being worked on: whole nodes are lost by nobody's fault.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rag_pipeline.errors import EngineUnavailable, RagPipelineError
from rag_pipeline.parallel.ray_workers import own_version

# One being worked on, one that waits there, so that a worker is never idle while the answer of another is read.
_UNDER_WAY = 2
# Of a piece: a group is then given item by item, and a lone item is guilty.
_LOSSES = 2
# A worker that was replaced so often without an answer in between does not stand on its node.
_REPLACEMENTS = 3
# How long one look waits for an answer before the cluster itself is looked at.
_LOOK_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class Piece:
    """What one worker is given at once.

    Attributes:
        number: Its place in the results.
        positions: Of its items.
        load: What the worker needs beside the positions.
        shelf: Where it is stored; a worker goes on with the shelf that it has at hand.
        losses: Workers lost with it that are known not to have gone with their node.
        unclear: Workers lost with it of which that is not known yet.
        is_suspect: It is one item of a piece that lost its workers, and is given to a worker that has nothing else.
    """

    number: int
    positions: list[int]
    load: Any
    shelf: str = ""
    losses: int = 0
    unclear: int = 0
    is_suspect: bool = False


@dataclass(slots=True, eq=False)
class _Slot:
    """One worker's place: its node, the worker there now, and what it has been given."""

    node: str
    worker: Any
    starting: Any
    under_way: deque[tuple[Any, Piece]] = field(default_factory=deque)
    charged: Piece | None = None
    shelf: str = ""
    replacements: int = 0

    @property
    def is_ready(self) -> bool:
        return self.starting is None


class Crew:
    """Workers of one kind.

    Args:
        nodes: Node of each worker, by the id that Ray gives it.
        start: Starts a worker on a node.
        is_there: Whether the cluster still answers.
        start_seconds: What the first worker may take to start.
    """

    def __init__(
        self, nodes: list[str], start: Callable[[str], Any], is_there: Callable[[], bool], start_seconds: float
    ) -> None:
        self._start = start
        self._is_there = is_there
        self._start_seconds = start_seconds
        self._slots = [self._slot(node) for node in nodes]
        self._since = time.monotonic()

    @property
    def size(self) -> int:
        """Workers, those that are starting included."""
        return len(self._slots)

    def close(self) -> None:
        """End them all; what is under way is lost."""
        import ray

        for slot in self._slots:
            # Of a cluster that is gone nothing is left to end.
            with suppress(ray.exceptions.RayError, RuntimeError, ValueError):
                ray.kill(slot.worker)
        self._slots = []

    def run(
        self,
        pieces: Iterator[Piece],
        send: Callable[[Any, Piece], Any],
        apart: Callable[[Piece], list[Piece]],
        guilty: Callable[[Piece], list[Any]],
    ) -> Iterator[list[Any]]:
        """Yield the answer to each piece, in order.

        Args:
            pieces: Numbered from 0; consumed as workers want more.
            send: Gives a piece to a worker, and returns what Ray gives for its answer: a list of results.
            apart: Its items as pieces of their own.
            guilty: The answer to a lone item that took its worker along.

        Raises:
            EngineUnavailable: The cluster is gone, or no worker starts.
            RagPipelineError: What a worker raised.
        """
        job = _Job(pieces, send, apart, guilty)
        try:
            while True:
                while (answer := job.next_answer()) is not None:
                    yield answer
                self._hand_out(job)
                if job.is_done:
                    return
                if not job.has_answer:
                    self._look(job)
        finally:
            if not job.is_done:
                # Nobody reads what they are at.
                self.close()

    def _hand_out(self, job: _Job) -> None:
        is_given = True
        while is_given:
            is_given = False
            # In turn: nobody gets a second piece while another has none.
            for slot in sorted(self._slots, key=lambda each: len(each.under_way)):
                piece = job.piece_for(slot, 2 * self.size) if slot.is_ready else None
                if piece is not None:
                    slot.under_way.append((job.send(slot.worker, piece), piece))
                    slot.shelf = piece.shelf
                    is_given = True

    def _look(self, job: _Job) -> None:
        """Wait for something to happen, and take it in."""
        import ray

        waited = {slot.under_way[0][0]: slot for slot in self._slots if slot.under_way}
        waited |= {slot.starting: slot for slot in self._slots if slot.starting is not None}
        if not waited:
            raise EngineUnavailable(
                "All workers of the Ray cluster were lost, with their nodes or one after another. What was committed "
                "is kept. Look at the nodes with `ray status`, and run again."
            )
        came, _ = ray.wait(list(waited), num_returns=len(waited), timeout=0)
        if not came:
            came, _ = ray.wait(list(waited), num_returns=1, timeout=_LOOK_SECONDS)
        for reference in came:
            slot = waited[reference]
            if reference is slot.starting:
                self._started(slot)
            elif slot.under_way and reference is slot.under_way[0][0]:
                self._answered(slot, job)
        if came:
            self._since = time.monotonic()
        elif not self._is_there():
            raise EngineUnavailable(
                "The Ray cluster does not answer any more. What was committed is kept; run again when it is back."
            )
        elif not any(slot.under_way for slot in self._slots):
            self._check_start()

    def _check_start(self) -> None:
        if time.monotonic() - self._since > self._start_seconds:
            raise EngineUnavailable(
                f"No worker of the Ray cluster started within {self._start_seconds:g} s. Other work may hold its "
                f"processors (`ray status`). Nothing of this step was written; run again when there is room."
            )

    def _started(self, slot: _Slot) -> None:
        import ray

        slot.starting, reference = None, slot.starting
        try:
            there = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise cause_of(error) from error
        except ray.exceptions.RayError:
            # The node went as well, and nobody is to blame.
            self._drop(slot, is_blamed=False)
            return
        if there != own_version():
            raise EngineUnavailable(
                f"A node of the Ray cluster runs {there}, and this is {own_version()}. Results would differ; give all "
                f"machines the same environment."
            )
        if slot.charged is not None:
            slot.charged.unclear -= 1
            slot.charged.losses += 1
            slot.charged = None

    def _answered(self, slot: _Slot, job: _Job) -> None:
        import ray

        reference, piece = slot.under_way[0]
        try:
            answer = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise cause_of(error) from error
        except ray.exceptions.RayError:
            self._lost(slot, job)
            return
        slot.under_way.popleft()
        slot.replacements = 0
        job.take(piece, answer)

    def _lost(self, slot: _Slot, job: _Job) -> None:
        pieces = [piece for _, piece in slot.under_way]
        slot.charged = pieces[0]
        slot.charged.unclear += 1
        job.give_back(pieces)
        slot.replacements += 1
        if slot.replacements > _REPLACEMENTS and len(self._slots) > 1:
            self._drop(slot, is_blamed=True)
        else:
            self._replace(slot)

    def _replace(self, slot: _Slot) -> None:
        import ray

        ray.kill(slot.worker)
        fresh = self._slot(slot.node)
        slot.worker, slot.starting = fresh.worker, fresh.starting
        slot.under_way.clear()
        slot.shelf = ""

    def _drop(self, slot: _Slot, *, is_blamed: bool) -> None:
        if slot.charged is not None:
            slot.charged.unclear -= 1
            slot.charged.losses += is_blamed
        self._slots.remove(slot)

    def _slot(self, node: str) -> _Slot:
        worker = self._start(node)
        return _Slot(node, worker, worker.ready.remote())


class _Job:
    """Pieces of one map: those that wait, and answers that wait for their turn."""

    def __init__(
        self,
        pieces: Iterator[Piece],
        send: Callable[[Any, Piece], Any],
        apart: Callable[[Piece], list[Piece]],
        guilty: Callable[[Piece], list[Any]],
    ) -> None:
        self.send = send
        self._pieces = pieces
        self._apart = apart
        self._guilty = guilty
        self._waiting: deque[Piece] = deque()
        self._is_exhausted = False
        self._taken = 0
        self._given = 0
        # By number: how many pieces of it are still to come, and what came.
        self._missing: dict[int, int] = {}
        self._answers: dict[int, list[Any]] = {}

    @property
    def is_done(self) -> bool:
        return self._is_exhausted and self._given == self._taken

    @property
    def has_answer(self) -> bool:
        return self._missing.get(self._given) == 0

    def next_answer(self) -> list[Any] | None:
        """The answer whose turn it is, if it is there; results in the order of their items."""
        if not self.has_answer:
            return None
        del self._missing[self._given]
        answer = self._answers.pop(self._given)
        self._given += 1
        return answer

    def take(self, piece: Piece, answer: list[Any]) -> None:
        """Keep what a worker answered."""
        self._missing[piece.number] -= 1
        self._answers[piece.number] += answer

    def give_back(self, pieces: list[Piece]) -> None:
        """Have what was lost handed out again, before all else."""
        self._waiting.extendleft(reversed(pieces))

    def piece_for(self, slot: _Slot, look_ahead: int) -> Piece | None:
        """What a worker should do next; None: nothing now."""
        if len(slot.under_way) >= _UNDER_WAY or any(piece.is_suspect for _, piece in slot.under_way):
            return None
        self._fill(look_ahead)
        self._judge()
        able = [piece for piece in self._waiting if _may_go(piece, slot)]
        if not able:
            return None
        chosen = next((piece for piece in able if piece.shelf == slot.shelf), able[0])
        self._waiting.remove(chosen)
        return chosen

    def _fill(self, look_ahead: int) -> None:
        # What waits for its turn is held as well: one slow piece must not let all others pile up behind it.
        while not self._is_exhausted and len(self._waiting) < look_ahead and len(self._missing) < 8 * look_ahead:
            piece = next(self._pieces, None)
            if piece is None:
                self._is_exhausted = True
                return
            self._missing[piece.number] = 1
            self._answers[piece.number] = []
            self._waiting.append(piece)
            self._taken += 1

    def _judge(self) -> None:
        """Take apart what lost its workers, and end what did so alone."""
        for piece in [piece for piece in self._waiting if piece.losses >= _LOSSES]:
            self._waiting.remove(piece)
            if piece.is_suspect:
                self.take(piece, self._guilty(piece))
                continue
            parts = self._apart(piece)
            self._missing[piece.number] += len(parts) - 1
            self._waiting.extendleft(reversed(parts))


def _may_go(piece: Piece, slot: _Slot) -> bool:
    is_clear = piece.unclear == 0 or piece.losses + piece.unclear < _LOSSES
    return is_clear and (not piece.is_suspect or not slot.under_way)


def cause_of(error: Any) -> Exception:
    """What a worker raised, as it raised it."""
    cause = error.cause
    if isinstance(cause, RagPipelineError):
        return cause
    return EngineUnavailable(f"A worker of the Ray cluster failed with {type(cause).__name__}: {cause}")
