"""The lease of a lake in an object store: one writer at a time, from whatever machine, and none that lost it.

Belongs here: one object that says who writes; taking, renewing, giving back and taking over.
Does not belong here: what is written under it; waiting in the words of a lock (`lease_lock.py`).

No time of day is written or compared, so clocks may differ. Who waits measures on its own clock how long the object
has not changed; the holder changes it each third of its life.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from rag_pipeline.errors import LeaseLost, StoreError
from rag_pipeline.stores.objects import ConditionRefused, Objects, Tag

log = logging.getLogger(__name__)

LEASE_NAME = ".lease.json"
# Long enough for a store that stumbles for half a minute, short enough to wait for after a crash.
TTL_SECONDS = 60.0
# So often within its life a lease is renewed: two attempts may fail.
RENEWALS_OF_LIFE = 3
# Whoever takes over waits so much longer than the holder may believe: clocks of two machines run at different rates.
PATIENCE = 1.25


def now_seconds() -> float:
    """A clock that only runs forward, and goes on while the machine sleeps where the system has such a one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(frozen=True)
class Row:
    """What the object says.

    Attributes:
        owner: Of the lease itself, a name for each that is ever made; the rest of `holder` is for people.
        epoch: Grows with each taking, and never falls.
    """

    owner: str
    epoch: int
    ttl_seconds: float
    is_free: bool
    holder: dict[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        return json.dumps(
            {
                "owner": self.owner,
                "epoch": self.epoch,
                "ttl_seconds": self.ttl_seconds,
                "is_free": self.is_free,
                "holder": self.holder,
                # Two writes of one holder must differ: some stores name a state by its content.
                "nonce": uuid.uuid4().hex,
            }
        ).encode()

    @classmethod
    def of(cls, content: bytes) -> Row:
        """What stands there; of an object that is damaged, a holder who is not known, with the next first epoch."""
        try:
            found: dict[str, Any] = json.loads(content)
            holder = {str(name): str(value) for name, value in dict(found.get("holder") or {}).items()}
            ttl_seconds = float(found["ttl_seconds"])
            return cls(str(found["owner"]), int(found["epoch"]), ttl_seconds, bool(found["is_free"]), holder)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return cls("not known", first_epoch(), TTL_SECONDS, is_free=False)

    def words(self) -> str:
        """Who it is, for people."""
        try:
            return "process {process} on {host} (run {run_id}, since {since})".format_map(self.holder)
        except KeyError:
            return "another process"


def first_epoch() -> int:
    """Of a lease that is made anew: later than all of one that was removed, since none is taken each millisecond."""
    return time.time_ns() // 1_000_000


def read_holder(objects: Objects) -> str:
    """Who holds the lease of a lake, in words; empty: nobody.

    Raises:
        StoreError: The store did not answer.
    """
    found = objects.read(LEASE_NAME)
    row = None if found is None else Row.of(found[0])
    return "" if row is None or row.is_free else row.words()


class Lease:
    """One process's part in the lease of a lake.

    Args:
        run_id: Shown to those who wait.

    Attributes:
        epoch: Of the last time it was taken; 0 before.
    """

    def __init__(self, objects: Objects, run_id: str, ttl_seconds: float | None = None) -> None:
        self._objects = objects
        self._run_id = run_id
        self._ttl_seconds = TTL_SECONDS if ttl_seconds is None else ttl_seconds
        self._owner = uuid.uuid4().hex
        self.epoch = 0
        # Renewal runs in a thread of its own.
        self._mutex = threading.Lock()
        self._tag: Tag | None = None
        self._row = Row(self._owner, 0, self._ttl_seconds, is_free=True)
        self._until = 0.0
        self._lost = ""
        self._stop = threading.Event()
        self._renewal: threading.Thread | None = None
        # What another holder's object looked like, and since when it has not changed.
        self._seen: tuple[Tag, float] = ("", 0.0)
        # Where the epoch goes on from where this process left it, nobody has written in between.
        self.is_continued = False

    @property
    def is_held(self) -> bool:
        return self._tag is not None

    def take(self) -> Row | None:
        """Take the lease if it is free or was abandoned; else who holds it.

        Raises:
            StoreError: The store did not answer.
        """
        found = self._objects.read(LEASE_NAME)
        try:
            if found is None:
                self._write(first_epoch(), None)
                return None
            row, tag = Row.of(found[0]), found[1]
            # An own one is of a write whose answer was lost.
            if row.is_free or row.owner == self._owner or self._is_abandoned(row, tag):
                before = self.epoch
                self._write(row.epoch + 1, tag)
                self.is_continued = row.is_free and row.epoch == before
                return None
        except ConditionRefused:
            # Somebody was faster; who it is shows in a moment.
            return Row("", 0, self._ttl_seconds, is_free=False)
        return row

    def _is_abandoned(self, row: Row, tag: Tag) -> bool:
        now = now_seconds()
        if self._seen[0] != tag:
            self._seen = (tag, now)
        if now - self._seen[1] <= row.ttl_seconds * PATIENCE:
            return False
        log.warning("the lease of %s is taken over: %s has not renewed it", self._objects.root, row.words())
        return True

    def _write(self, epoch: int, expected: Tag | None) -> None:
        """Begin to hold the lease."""
        holder = {
            "process": str(os.getpid()),
            "host": socket.gethostname(),
            "run_id": self._run_id or "without an id",
            "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        }
        row = Row(self._owner, epoch, self._ttl_seconds, is_free=False, holder=holder)
        # It runs from when it was asked for: the store may have written it long before it answers.
        asked = now_seconds()
        if expected is None:
            self._tag = self._objects.create(LEASE_NAME, row.content())
        else:
            self._tag = self._objects.replace(LEASE_NAME, row.content(), expected)
        self.epoch, self._until, self._lost, self._row = epoch, asked + self._ttl_seconds, "", row
        self.is_continued = False
        self._stop = threading.Event()
        self._renewal = threading.Thread(target=self._keep, args=(self._stop,), name="lease of the lake", daemon=True)
        self._renewal.start()

    def _keep(self, stop: threading.Event) -> None:
        while not stop.wait(self._ttl_seconds / RENEWALS_OF_LIFE):
            with self._mutex:
                if stop.is_set() or self._lost:
                    return
                try:
                    self._renew()
                except LeaseLost:
                    return
                except StoreError as error:
                    log.warning("the lease of %s could not be renewed yet: %s", self._objects.root, error.message)

    def _renew(self) -> None:
        """Write the object again while it is as this process left it; the caller holds the mutex."""
        asked = now_seconds()
        try:
            self._tag = self._objects.replace(LEASE_NAME, self._row.content(), self._tag or "")
        except ConditionRefused:
            found = self._objects.read(LEASE_NAME)
            row = None if found is None else Row.of(found[0])
            if found is None or row is None or row.owner != self._owner or row.epoch != self.epoch:
                by = "somebody who removed it" if row is None or row.is_free else row.words()
                raise self._lose(by) from None
            # The answer to a write of ours was lost.
            self._tag = found[1]
        self._until = asked + self._ttl_seconds

    def _lose(self, by: str) -> LeaseLost:
        self._lost = (
            f"this process did not renew the lease of the lake {self._objects.root} in time, and it was taken over by "
            f"{by}. Nothing of this commit was written. Run again."
        )
        return LeaseLost(self._lost, lake=self._objects.root)

    def check(self) -> None:
        """Make sure that nobody has taken over: before what is written, and after what cannot be fenced.

        Raises:
            LeaseLost: Somebody has.
            StoreError: The store did not answer.
        """
        with self._mutex:
            if self._lost:
                raise LeaseLost(self._lost, lake=self._objects.root)
            if now_seconds() < self._until and self._objects.tag(LEASE_NAME) == self._tag:
                return
            # Late, or changed: where it still is as this process left it, it goes on.
            self._renew()

    def outgrow(self, epoch: int) -> None:
        """Go on with a later epoch than one that a table names.

        A lease that was removed is made anew from the time of day, and a table may name one from a machine whose clock
        was ahead. While this process holds the lease, whoever wrote that has lost it.

        Raises:
            LeaseLost: This process does not hold it.
            StoreError: The store did not answer.
        """
        with self._mutex:
            if self._lost:
                raise LeaseLost(self._lost, lake=self._objects.root)
            self._renew()
            self.epoch, self._row = epoch + 1, replace(self._row, epoch=epoch + 1)
            self._renew()
        log.warning("a table of %s names epoch %d, so the lease goes on after it", self._objects.root, epoch)

    def give_back(self) -> None:
        """Let others go on; if that cannot be written, they do once the lease has expired."""
        self._stop.set()
        with self._mutex:
            try:
                if not self._lost and self._tag is not None:
                    self._free()
            except (ConditionRefused, LeaseLost):
                log.warning("the lease of %s was taken over before it was given back", self._objects.root)
            except StoreError as error:
                log.warning(
                    "the lease of %s could not be given back, and expires: %s", self._objects.root, error.message
                )
            finally:
                self._tag = None

    def _free(self) -> None:
        free = Row(self._owner, self.epoch, self._ttl_seconds, is_free=True)
        try:
            self._objects.replace(LEASE_NAME, free.content(), self._tag or "")
        except ConditionRefused:
            # Of the last renewal the answer may have been lost.
            self._renew()
            self._objects.replace(LEASE_NAME, free.content(), self._tag or "")
