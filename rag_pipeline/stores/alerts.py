"""The file that remembers what was told and what has still to be sent, and its two locks.

Belongs here: reading it, changing it as a whole, one sender at a time.
Does not belong here: what stands in it (`contracts/alerts.py`).

It lies in the lake, or beside Dagster's records where the lake is on an object store, which has no locks.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from rag_pipeline.contracts.alerts import ALERTS_FILE, AlertState, state_bytes, state_of
from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.errors import StoreError
from rag_pipeline.stores.reserve import spend_piece
from rag_pipeline.stores.small_files import replace_file

log = logging.getLogger(__name__)

# It is held for as long as it takes to write a small file.
_LOCK_SECONDS = 30.0


class AlertFile:
    """The state of alerts of one lake.

    Args:
        lake_root: Folder or address of the lake.
        records: Folder of Dagster's records, for a lake that is on an object store.
    """

    def __init__(self, lake_root: str, records: Path) -> None:
        is_local = "://" not in lake_root
        self._path = Path(lake_root, ALERTS_FILE) if is_local else records / f"alerts-{fingerprint(lake_root)}.json"

    @property
    def is_there(self) -> bool:
        """Whether anything was ever noted."""
        return self._path.is_file()

    def read(self) -> AlertState:
        """What is known; nothing where the file is missing or damaged, so that what is wrong is told once more.

        Raises:
            StoreError: It is there and cannot be read now: it says who was told, and would be written over.
        """
        try:
            return state_of(self._path.read_bytes())
        except FileNotFoundError:
            return AlertState()
        except ValueError as error:
            log.warning("%s cannot be understood, and what is wrong is told again: %s", self._path, error)
            return AlertState()
        except OSError as error:
            raise StoreError(
                f"the state of alerts {self._path} cannot be read: {error.strerror or error}; nobody is told anything "
                f"until it can. Mend the rights on it, or the disk; the next run tells it.",
                path=str(self._path),
            ) from error

    def change(self, changed: Callable[[AlertState], AlertState]) -> AlertState:
        """Replace the state by what a function makes of it, while nobody else does.

        Raises:
            StoreError: It could not be read or written; what stood there stands.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._beside("lock"), timeout=_LOCK_SECONDS):
                before = self.read()
                after = changed(before)
                if after != before:
                    self._write(state_bytes(after))
                return after
        except (OSError, Timeout) as error:
            raise StoreError(
                f"the state of alerts {self._path} cannot be written: {error}; nobody was told anything new. Make room "
                f"or mend the rights on it; the next run tells it.",
                path=str(self._path),
            ) from error

    def _write(self, content: bytes) -> None:
        """Replace the file; on a full disk, of which people have to hear, in room that was kept free."""
        try:
            replace_file(self._path, content)
        except OSError as error:
            if error.errno != errno.ENOSPC or not spend_piece(self._path.parent):
                raise
            replace_file(self._path, content)

    @contextmanager
    def sending(self) -> Iterator[bool]:
        """Whether this process is the one that sends now; it is, for as long as the block runs."""
        lock = FileLock(self._beside("sending.lock"), timeout=0)
        try:
            lock.acquire()
        except (Timeout, OSError):
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def _beside(self, suffix: str) -> str:
        return str(self._path.with_name(f".{self._path.stem}.{suffix}"))
