"""Bodies that a listing came by, on disk until they are taken: a site may be larger than memory.

Belongs here: one file, without a name unless it is to outlive whoever holds it.
Does not belong here: what is in it.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path


class Spool:
    """Bytes that are put in once and read by any thread."""

    def __init__(self) -> None:
        self._file: int | None = None
        self._end = 0
        self._lock = threading.Lock()

    @classmethod
    def named(cls, path: Path) -> Spool:
        """A file with a name, which is gone on with where there is one."""
        spool = cls()
        spool._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        spool._end = os.fstat(spool._file).st_size
        weakref.finalize(spool, os.close, spool._file)
        return spool

    @property
    def end(self) -> int:
        """Where the next bytes will stand."""
        return self._end

    def put(self, raw: bytes) -> Callable[[], bytes] | None:
        """What gives the bytes again; None where the disk has no room, and they have to be asked for again."""
        with self._lock:
            try:
                if self._file is None:
                    self._file, name = tempfile.mkstemp(prefix="rag-pipeline-")
                    os.unlink(name)  # noqa: PTH108
                    weakref.finalize(self, os.close, self._file)
                start, at = self._end, self._end
                while at - start < len(raw):
                    at += os.pwrite(self._file, raw[at - start :], at)
                self._end = at
            except OSError:
                return None
        return partial(self._read, start, len(raw))

    def _read(self, start: int, size: int) -> bytes:
        assert self._file is not None
        found = b""
        while len(found) < size:
            piece = os.pread(self._file, size - len(found), start + len(found))
            if not piece:
                raise OSError("bytes that were kept for a moment are gone")
            found += piece
        return found
