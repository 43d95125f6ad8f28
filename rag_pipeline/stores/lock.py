"""The write lock of a lake on disk: one writer at a time, and a word at once to those who wait for it.

Belongs here: the lock file, and the note beside it that says who holds it.
Does not belong here: what is written under the lock.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from rag_pipeline.contracts.notices import say
from rag_pipeline.errors import LakeBusy, StoreError

log = logging.getLogger(__name__)

LOCK_NAME = ".write.lock"
# Opening a lock file empties it, so who holds it stands beside it.
HOLDER_NAME = ".write.lock.holder"


class WriteLock:
    """Held by one process at a time, re-entrant in one thread, and set free by the kernel when its process ends.

    Args:
        root: Folder of the lake; made if it is not there.
        run_id: Shown to those who wait.
    """

    def __init__(self, root: str, run_id: str, timeout_seconds: float) -> None:
        Path(root).mkdir(parents=True, exist_ok=True)
        self._root = root
        self._run_id = run_id
        self._timeout_seconds = timeout_seconds
        self._lock = FileLock(f"{root}/{LOCK_NAME}", timeout=timeout_seconds)
        self._holder = Path(root) / HOLDER_NAME

    @property
    def is_held(self) -> bool:
        """Whether this process holds it."""
        return self._lock.is_locked

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock while the block runs; who has to wait for it says so before waiting.

        Raises:
            LakeBusy: Another process held it for longer than the timeout.
            StoreError: The lock file cannot be written.
        """
        is_outermost = not self._lock.is_locked
        self._acquire()
        try:
            if is_outermost:
                self._sign()
            yield
        finally:
            if is_outermost:
                self._sign_off()
            self._lock.release()

    def _acquire(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            say(
                f"Waiting for the write lock of the lake {self._root}, which {self.holder()} holds; it goes on as soon "
                f"as that one is done, and gives up after {self._timeout_seconds:.0f} s."
            )
        except OSError as error:
            raise StoreError(
                f"the write lock {self._root}/{LOCK_NAME} cannot be taken: {error.strerror or error}; nothing was "
                f"changed. It has to be a file that this user may write, on a disk that is not full: mend that, or "
                f"remove what stands there, then run the command again.",
                lake=self._root,
            ) from error
        else:
            return
        try:
            self._lock.acquire()
        except Timeout as error:
            raise LakeBusy(
                f"another process has been writing to the lake {self._root} for over {self._timeout_seconds:.0f} s: "
                f"{self.holder()}; nothing was changed. Wait for it to end, then run again.",
                lake=self._root,
            ) from error

    def holder(self) -> str:
        """Who holds the lock, in words, as far as it is known."""
        try:
            found = json.loads(self._holder.read_text("utf-8"))
            return f"process {found['process']} on {found['host']} (run {found['run_id']}, since {found['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            # Not signed yet, or by another version of this program.
            return "another process"

    def _sign(self) -> None:
        note = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "run_id": self._run_id or "without an id",
            "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        }
        try:
            self._holder.write_text(json.dumps(note), "utf-8")
        except OSError as error:
            # A full disk must not keep anybody from taking away what was revoked.
            log.warning("who holds the lock of %s could not be noted: %s", self._root, error)

    def _sign_off(self) -> None:
        try:
            self._holder.unlink(missing_ok=True)
        except OSError as error:
            log.warning("the note on who holds the lock of %s could not be removed: %s", self._root, error)
