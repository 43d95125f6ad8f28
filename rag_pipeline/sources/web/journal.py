"""Pages of a walk as they were read, on disk, so that a walk that is killed goes on where it stopped.

A page that the lake holds is asked for again all the same: what is withdrawn meanwhile must be noticed. It may be lost
at any time: then pages are read once more, and nothing else changes.

Belongs here: the two files and their form.
Does not belong here: what is remembered of pages for good (`state.py`), what an answer means (`asking.py`).
"""

from __future__ import annotations

import json
import os
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

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
        clock: Seconds since 1970: another process goes on.
    """

    def __init__(
        self,
        folder: str | None = None,
        recipe: str = "",
        max_age_seconds: float = 0,
        is_unread: Callable[[str], bool] = bool,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._is_unread = is_unread
        self._spool = Spool()
        self._taken: dict[str, tuple[Page, Callable[[], bytes]]] = {}
        self._bodies: dict[str, Callable[[], bytes]] = {}
        self._lines: int | None = None
        self._path = None if folder is None else Path(folder)
        if self._path is None:
            return
        try:
            self._begin(self._path, recipe, max_age_seconds, clock())
        except (OSError, ValueError, KeyError, TypeError):
            # A folder that cannot be written to, or lines that are none of ours, cost nothing but what a kill loses.
            self._lines = None

    def taken(self, url: str) -> tuple[Page, Callable[[], bytes]] | None:
        """A page that this walk has read before it was killed, with its bytes."""
        return self._taken.get(url) if self._is_unread(url) else None

    def body_of(self, page: Page) -> Callable[[], bytes] | None:
        """Bytes that were read and never taken in: a walk before was killed after its end."""
        found = self._bodies.get(page.hash) if self._is_unread(page.url) else None
        return None if found is None else self.put(page, found())

    def put(self, page: Page, raw: bytes) -> Callable[[], bytes] | None:
        """What gives the bytes again; None where the disk has no room."""
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

    def _say(self, values: dict[str, Any]) -> None:
        assert self._lines is not None
        try:
            # One write, so that a kill leaves a whole line or a piece of the last one.
            os.write(self._lines, json.dumps(values, separators=(",", ":")).encode() + b"\n")
        except OSError:
            self._lines = None

    def _begin(self, folder: Path, recipe: str, max_age_seconds: float, now: float) -> None:
        head = {"version": STATE_VERSION, "recipe": recipe}
        before = _lines_of(folder / _LINES)
        is_same = bool(before) and {name: before[0].get(name) for name in head} == head
        began = float(before[0].get("began", 0)) if is_same else 0.0
        goes_on = is_same and 0 <= now - began <= max_age_seconds and not any("ended" in each for each in before)
        folder.mkdir(parents=True, exist_ok=True)
        if is_same:
            self._read(folder / _BYTES, before[1:], goes_on=goes_on)
        if goes_on:
            self._spool = Spool.named(folder / _BYTES)
        else:
            # What is taken from the old ones is read through a handle that stays.
            (folder / _BYTES).unlink(missing_ok=True)
            self._spool = Spool.named(folder / _BYTES)
        kept = [*before[1:]] if goes_on else []
        lines = folder / _LINES
        lines.unlink(missing_ok=True)
        self._lines = os.open(lines, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        weakref.finalize(self, os.close, self._lines)
        for each in ({**head, "began": began if goes_on else now}, *kept):
            self._say(each)

    def _piece_of(self, file: int, start: int, size: int) -> bytes:
        # A method, so that the file is open for as long as somebody wants a piece of it.
        found = b""
        while len(found) < size:
            piece = os.pread(file, size - len(found), start + len(found))
            if not piece:
                raise OSError("bytes that were kept for a moment are gone")
            found += piece
        return found

    def _read(self, path: Path, lines: list[dict[str, Any]], *, goes_on: bool) -> None:
        if not path.exists():
            return
        file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, file)
        size = os.fstat(file).st_size
        for each in lines:
            if "page" not in each:
                continue
            page = page_of(each["page"])
            if each["at"] + page.size <= size:
                body = partial(self._piece_of, file, each["at"], page.size)
                self._bodies[page.hash] = body
                if goes_on:
                    self._taken[page.url] = page, body


def _lines_of(path: Path) -> list[dict[str, Any]]:
    """All whole lines; none where one is no line of ours."""
    found: list[dict[str, Any]] = []
    try:
        content = path.read_bytes()
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            values = json.loads(line)
            if not isinstance(values, dict):
                return []
            found.append(values)
    except (OSError, ValueError):
        return []
    return found
