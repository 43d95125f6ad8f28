"""Answers kept in a file beside the converted models: nothing to install, shared by the processes of one machine.

Belongs here: the file, its bound, and going on when it is full, busy or damaged.
Does not belong here: what is kept and under which key (`keeping.py`). The file belongs on a local disk.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from rag_pipeline.answering.keeping import Kept, Standing, fallen_of

T = TypeVar("T")
LOG = logging.getLogger(__name__)
# As the file systems have it.
PAGE_BYTES = 4_096
# The log of writes, which would grow beyond the file itself under many writers.
JOURNAL_BYTES = 4 * 2**20
# Above this share of the bound the answers unused for longest go, a tenth of them at a time.
FULL_SHARE = 0.85
# When an answer was used is noted once in so long: each note is a write.
NOTED_SECONDS = 60.0
# Who finds the file locked for longer goes on without it.
BUSY_SECONDS = 2.0
# Clocks of processes on one machine are one; what is beyond is another time.
CLOCKS_DIFFER_SECONDS = 5.0
# So long it is left alone then, or each step of each question would wait as long, one behind the other.
REST_SECONDS = 10.0
# `answers` is what an earlier program kept, without what it was made from.
_TABLES = """
drop table if exists answers;
create table if not exists kept(
    key text primary key, value blob not null, used real not null, expires real not null, publication text not null
) without rowid;
create index if not exists kept_used on kept(used);
create table if not exists claims(key text primary key, owner text not null, expires real not null) without rowid;
create table if not exists looked_through(publication text primary key, is_done integer not null) without rowid;
"""
# Above all that is kept: nothing of an older publication came since the look at this one began.
_BEGUN = "replace into looked_through values (?, 0)"
_DONE = "update looked_through set is_done = 1 where publication = ?"
_IS_DONE = "select 1 from looked_through where publication = ? and is_done"

# What is no file of answers, or not ours to open; damage of names inside of it comes as text that is none.
_DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError, PermissionError, IsADirectoryError)


class EmbeddedCache:
    """A bounded SQLite file of answers, for any number of threads and processes.

    Args:
        max_bytes: Of the file; its log of writes has 4 MiB more at most.
    """

    def __init__(self, path: Path, max_bytes: int, lifetime_seconds: float) -> None:
        self._path = path
        self._max_pages = max(64, max_bytes // PAGE_BYTES)
        self._lifetime = lifetime_seconds
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._is_given_up = False
        self._rests_until = 0.0

    def get(self, key: str) -> Kept | None:
        now = time.time()
        asked = (now - NOTED_SECONDS, key, now)

        def action(file: sqlite3.Connection) -> Kept | None:
            row = file.execute("select value, used < ? from kept where key = ? and expires > ?", asked).fetchone()
            if row is None:
                return None
            if row[1]:
                file.execute("update kept set used = ? where key = ?", (now, key))
            return Kept.decoded(row[0])

        return self._done(action, None)

    def put(self, key: str, kept: Kept) -> None:
        now, value = time.time(), kept.encoded()
        if len(value) > self._max_pages * PAGE_BYTES // 16:
            return

        def action(file: sqlite3.Connection) -> None:
            file.execute("begin immediate")
            file.execute("delete from kept where expires <= ?", (now,))
            file.execute("delete from claims where expires <= ?", (now,))
            self._make_room(file)
            file.execute(
                "replace into kept values (?, ?, ?, ?, ?)", (key, value, now, now + self._lifetime, kept.publication)
            )
            # It comes late, and has to be looked at.
            file.execute("delete from looked_through where publication != ?", (kept.publication,))
            file.execute("commit")
            file.execute("pragma incremental_vacuum").fetchall()

        self._done(action, None)

    def claim(self, key: str, owner: str, seconds: float) -> bool:
        now = time.time()
        # One for longer than is ever claimed was made while the clock was ahead, and its owner may be gone.
        longest = now + seconds + CLOCKS_DIFFER_SECONDS

        def action(file: sqlite3.Connection) -> bool:
            stands = (key, now, longest)
            if file.execute("select 1 from claims where key = ? and expires > ? and expires <= ?", stands).fetchone():
                return False
            file.execute(
                "insert into claims values (?, ?, ?) on conflict(key) do update set owner = excluded.owner, "
                "expires = excluded.expires where claims.expires <= ? or claims.expires > ?",
                (key, owner, now + seconds, now, longest),
            )
            return bool(file.execute("select 1 from claims where key = ? and owner = ?", (key, owner)).fetchone())

        return self._done(action, True)

    def renew(self, key: str, owner: str, seconds: float) -> None:
        until = time.time() + seconds
        self._done(
            lambda file: file.execute("update claims set expires = ? where key = ? and owner = ?", (until, key, owner)),
            None,
        )

    def release(self, key: str, owner: str) -> None:
        self._done(lambda file: file.execute("delete from claims where key = ? and owner = ?", (key, owner)), None)

    def erase(self, ids: Collection[str]) -> int | None:
        def action(file: sqlite3.Connection) -> int | None:
            rows = file.execute("select key, value from kept")
            return self._erased(file, [key for key, kept in _decoded(rows) if kept is None or kept.is_of(ids)])

        return self._done(action, None)

    def erase_fallen(self, publication: str, standing: Standing) -> int | None:
        def older(file: sqlite3.Connection) -> dict[str, tuple[str, ...] | None]:
            if file.execute(_IS_DONE, (publication,)).fetchone():
                return {}
            file.execute("begin immediate")
            file.execute("delete from looked_through")
            file.execute(_BEGUN, (publication,))
            file.execute("commit")
            rows = file.execute("select key, value from kept where publication != ?", (publication,))
            return {key: None if kept is None else kept.chunk_ids for key, kept in _decoded(rows)}

        chunks = self._done(older, None)
        if chunks is None:
            return None
        # Outside of the file: what fails there is no fault of it.
        fallen = fallen_of(chunks, standing)
        return self._done(lambda file: self._erased(file, fallen, publication), None)

    def _erased(self, file: sqlite3.Connection, keys: Collection[str], looked_through: str = "") -> int | None:
        """Delete answers so that no byte of them is left in the file or its log; None: the log is being read.

        Args:
            looked_through: Publication of which these are all that fell; known at once with that they are gone.
        """
        file.execute("begin immediate")
        file.executemany("delete from kept where key = ?", [(key,) for key in keys])
        file.execute(_DONE, (looked_through,))
        file.execute("commit")
        file.execute("pragma incremental_vacuum").fetchall()
        (is_busy, *_), *_ = file.execute("pragma wal_checkpoint(truncate)").fetchall()
        return None if is_busy else len(keys)

    def close(self) -> None:
        with self._lock:
            self._close()

    def _make_room(self, file: sqlite3.Connection) -> None:
        while self._used_pages(file) > self._max_pages * FULL_SHARE:
            (count,) = file.execute("select count(*) from kept").fetchone()
            if not count:
                return
            file.execute(
                "delete from kept where key in (select key from kept order by used limit ?)", (-(-count // 10),)
            )

    def _used_pages(self, file: sqlite3.Connection) -> int:
        (pages,), (free,) = (file.execute(f"pragma {name}").fetchone() for name in ("page_count", "freelist_count"))
        return int(pages) - int(free)

    def _done(self, action: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """The result of an action on the file; `otherwise` where that fails."""
        with self._lock:
            if self._is_given_up or time.monotonic() < self._rests_until:
                return otherwise
            try:
                return self._tried(action)
            except _DAMAGE as error:
                if isinstance(error, sqlite3.OperationalError):
                    self._leave(error)
                else:
                    LOG.warning("kept answers in %s are damaged, and are begun anew: %s", self._path, error)
                    self._begin_anew()
            except OSError as error:
                self._leave(error)
        return otherwise

    def _leave(self, error: sqlite3.OperationalError | OSError) -> None:
        """Busy, full, not writable, or no handle left to open it with: it may be otherwise the next time."""
        LOG.info("kept answers in %s were not used: %s", self._path, error)
        self._close()
        # The low byte is the kind, the rest says more of it; what Python itself finds fault with has none.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            self._rests_until = time.monotonic() + REST_SECONDS

    def _tried(self, action: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._opened()
        try:
            return action(self._connection)
        finally:
            if self._connection.in_transaction:
                self._connection.execute("rollback")

    def _opened(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Answers quote documents that not everybody may read.
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        file = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            for pragma in (
                f"page_size = {PAGE_BYTES}",
                "auto_vacuum = incremental",
                "journal_mode = wal",
                "synchronous = normal",
                f"journal_size_limit = {JOURNAL_BYTES}",
                f"max_page_count = {self._max_pages}",
                # What is deleted is overwritten.
                "secure_delete = on",
            ):
                file.execute(f"pragma {pragma}").fetchall()
            file.executescript(_TABLES)
        except (sqlite3.Error, UnicodeDecodeError):
            file.close()
            raise
        return file

    def _begin_anew(self) -> None:
        self._close()
        try:
            for name in (self._path, *(self._path.with_name(f"{self._path.name}{end}") for end in ("-wal", "-shm"))):
                name.unlink(missing_ok=True)
        except OSError as error:
            LOG.warning("answers are not kept: %s cannot be removed: %s", self._path, error)
            self._is_given_up = True

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _decoded(rows: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, Kept | None]]:
    return ((key, Kept.decoded(value)) for key, value in rows)
