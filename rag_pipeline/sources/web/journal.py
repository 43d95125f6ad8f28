"""Pages of a walk as they were read, on disk, so that a walk that is killed goes on where it stopped.

A page that the lake holds is asked for again all the same: what is withdrawn meanwhile must be noticed. It may be lost
or damaged at any time: then pages are read once more, and nothing else changes. Of two walks at once one alone has it.

Belongs here: the two files and their form.
Does not belong here: what is remembered of pages for good (`state.py`), what an answer means (`asking.py`).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rag_pipeline.contracts.ids import bytes_hash
from rag_pipeline.sources.web.spool import Spool
from rag_pipeline.sources.web.state import STATE_VERSION, Page, page_of, values_of

_LINES, _BYTES = "walk.jsonl", "walk.bytes"


class Journal:
    """What one walk has read, and what the one before it left.

    Args:
        folder: Where the files are; None: bodies go to a file without a name, and nothing outlives the process.
        recipe: Digest of the settings that decide what is read off a page.
        max_age_seconds: What was begun longer ago is asked for again.
        is_unread: Whether the lake does not hold what is at an address of the web.
        is_erased: Whether a page is left out of the lake for good: its bytes get no name on a disk.
        clock: Seconds since 1970: another process goes on.
    """

    def __init__(
        self,
        folder: str | None = None,
        recipe: str = "",
        max_age_seconds: float = 0,
        is_unread: Callable[[str], bool] = bool,
        is_erased: Callable[[Page], bool] = lambda _: False,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._is_unread = is_unread
        self._is_erased = is_erased
        self._unnamed = self._spool = Spool()
        self._taken: dict[str, tuple[Page, Callable[[], bytes]]] = {}
        self._bodies: dict[str, Callable[[], bytes]] = {}
        self._lines: int | None = None
        self._folder: int | None = None
        if folder is None:
            return
        try:
            if self._is_alone(Path(folder)):
                self._begin(Path(folder), recipe, max_age_seconds, clock())
        except OSError:
            # A folder that cannot be written to costs nothing but what a kill loses.
            self._lines = None

    def taken(self, url: str) -> tuple[Page, Callable[[], bytes]] | None:
        """A page that this walk has read before it was killed, with its bytes."""
        found = self._taken.get(url) if self._is_unread(url) else None
        return None if found is None or _whole(*found) is None else found

    def body_of(self, page: Page) -> Callable[[], bytes] | None:
        """Bytes that were read and never taken in: a walk before was killed after its end."""
        found = self._bodies.get(page.hash) if self._is_unread(page.url) else None
        raw = None if found is None else _whole(page, found)
        return None if raw is None else self.put(page, raw)

    def put(self, page: Page, raw: bytes) -> Callable[[], bytes] | None:
        """What gives the bytes again; None where the disk has no room."""
        if self._is_erased(page):
            return self._unnamed.put(raw)
        if self._lines is None:
            return self._spool.put(raw)
        start = self._spool.end
        body = self._spool.put(raw)
        if body is not None:
            self._say({"at": start, "page": values_of(page)})
        return body

    def end(self) -> None:
        """The walk is over, or cut short: the next one asks for all pages, and takes bytes that are still the same."""
        if self._lines is not None:
            self._say({"ended": True})
        if self._folder is not None:
            fcntl.flock(self._folder, fcntl.LOCK_UN)

    def _say(self, values: dict[str, Any]) -> None:
        assert self._lines is not None
        try:
            # One write, so that a kill leaves a whole line or a piece of the last one.
            os.write(self._lines, json.dumps(values, separators=(",", ":")).encode() + b"\n")
        except OSError:
            self._lines = None

    def _is_alone(self, folder: Path) -> bool:
        """Whether no other walk is under way here until this one ends: they would write over each other's bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = os.open(folder, os.O_RDONLY)
        weakref.finalize(self, os.close, self._folder)
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _begin(self, folder: Path, recipe: str, max_age_seconds: float, now: float) -> None:
        head = {"version": STATE_VERSION, "recipe": recipe}
        before = _left(folder / _LINES)
        is_same = before is not None and {name: before.head.get(name) for name in head} == head
        goes_on = False
        began = now
        if before is not None and is_same:
            goes_on = 0 <= now - before.began <= max_age_seconds and not before.is_ended
            began = before.began if goes_on else now
            self._read(folder / _BYTES, before.pages, goes_on=goes_on)
        if not goes_on:
            # What is taken from the old ones is read through a handle that stays.
            (folder / _BYTES).unlink(missing_ok=True)
        self._spool = Spool.named(folder / _BYTES)
        lines = folder / _LINES
        lines.unlink(missing_ok=True)
        self._lines = os.open(lines, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        weakref.finalize(self, os.close, self._lines)
        self._say({**head, "began": began})
        for at, page in before.pages if before is not None and goes_on else ():
            self._say({"at": at, "page": values_of(page)})

    def _piece_of(self, file: int, start: int, size: int) -> bytes:
        # A method, so that the file is open for as long as somebody wants a piece of it.
        found = b""
        while len(found) < size:
            piece = os.pread(file, size - len(found), start + len(found))
            if not piece:
                raise OSError("bytes that were kept for a moment are gone")
            found += piece
        return found

    def _read(self, path: Path, pages: list[tuple[int, Page]], *, goes_on: bool) -> None:
        if not path.exists():
            return
        file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, file)
        for at, page in pages:
            body = partial(self._piece_of, file, at, page.size)
            self._bodies[page.hash] = body
            if goes_on:
                self._taken[page.url] = page, body


@dataclass(frozen=True, slots=True)
class _Left:
    """What the lines of a walk before say."""

    head: dict[str, Any]
    began: float
    pages: list[tuple[int, Page]]
    is_ended: bool


def _left(path: Path) -> _Left | None:
    """All whole lines; None where one is no line of ours."""
    try:
        content = path.read_bytes()
        head, *lines = [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]
        pages = [(int(each["at"]), page_of(each["page"])) for each in lines if "ended" not in each]
        return _Left(head, float(head["began"]), pages, is_ended=len(pages) < len(lines))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _whole(page: Page, body: Callable[[], bytes]) -> bytes | None:
    """The bytes of a page; None where a machine that stopped has left others in their place."""
    try:
        raw = body()
    except (OSError, TypeError):
        return None
    return raw if bytes_hash(raw) == page.hash else None
