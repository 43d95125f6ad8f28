"""Objects of a source fetched in groups, each once.

Belongs here: how many are asked for at once, what is kept from one asking for the next, how much waits for a commit.
Does not belong here: which objects are wanted, what becomes of them (`bronze.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from rag_pipeline.contracts.sources import DeclaredMetadata, FetchedObject, FetchesTogether, SourceObject
from rag_pipeline.errors import DocumentError
from rag_pipeline.sources import Source

# Reads under way at once, so that a slow source is waited for by many.
FETCH_GROUP = 64
# What a group may hold in memory; sizes are what the listing says, and a single larger object is a group of its own.
FETCH_GROUP_BYTES = 64 * 2**20
# What was fetched to see whether it moved is kept up to this; what is over is fetched again.
KEPT_BYTES = 64 * 2**20
# What is held in memory at most, and lost at most by a kill.
COMMIT_BYTES = 64 * 2**20
# Small files reach no number of bytes.
COMMIT_ROWS = 5_000
# A server that is asked politely gives some thousand objects in hours: a minute of them is asked for again at most.
COMMIT_SECONDS = 60.0


@dataclass(slots=True)
class Batch:
    """Rows that wait to be committed together."""

    commit: Callable[[list[dict[str, Any]]], None]
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _size_bytes: int = 0
    _began: float = field(default_factory=time.monotonic)

    def add(self, row: dict[str, Any], size_bytes: int = 0) -> None:
        """Take a row with so many bytes, and commit all that wait where that is enough."""
        self._rows.append(row)
        self._size_bytes += size_bytes
        is_late = time.monotonic() - self._began >= COMMIT_SECONDS
        if is_late or self._size_bytes >= COMMIT_BYTES or len(self._rows) >= COMMIT_ROWS:
            self.end()

    def end(self) -> None:
        """Commit what waits."""
        self.commit(self._rows)
        self._rows, self._size_bytes, self._began = [], 0, time.monotonic()


class Fetching:
    """What a source gives for the objects that one refresh asks for.

    Attributes:
        bytes_read: Of all objects so far.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.bytes_read = 0
        # Fetched to see whether it moved, and not taken in yet.
        self._kept: dict[str, FetchedObject] = {}
        self._kept_bytes = 0

    def keep(self, item: SourceObject, fetched: FetchedObject) -> None:
        """Have what was fetched to be compared at hand for when it is taken in, as far as memory allows."""
        if self._kept_bytes + len(fetched.raw) <= KEPT_BYTES:
            self._kept[item.address] = fetched
            self._kept_bytes += len(fetched.raw)

    def fetched(self, items: Iterable[SourceObject]) -> Iterator[tuple[SourceObject, FetchedObject | DocumentError]]:
        """Each object with what the source gives for it, in order."""
        with ThreadPoolExecutor(self._source.fetch_threads) as threads:
            for group in fetch_groups(items):
                kept = {item.address: self._taken(item) for item in group}
                at_hand = {item.address: kept[item.address] or _given(item) for item in group}
                asked = [item for item in group if at_hand[item.address] is None]
                answers = iter(self._answers(threads, asked))
                for item in group:
                    fetched = at_hand[item.address] or next(answers)
                    if isinstance(fetched, FetchedObject) and kept[item.address] is None:
                        self.bytes_read += len(fetched.raw)
                    yield item, fetched

    def _taken(self, item: SourceObject) -> FetchedObject | None:
        """What was kept of an object; its bytes are counted already."""
        kept = self._kept.pop(item.address, None)
        self._kept_bytes -= 0 if kept is None else len(kept.raw)
        return kept

    def _answers(
        self, threads: ThreadPoolExecutor, items: Sequence[SourceObject]
    ) -> Iterable[FetchedObject | DocumentError]:
        def fetch(item: SourceObject) -> FetchedObject | DocumentError:
            try:
                return self._source.fetch(item)
            except DocumentError as error:
                return error

        if isinstance(self._source, FetchesTogether):
            return self._source.fetch_together(items) if items else ()
        return (threads.map if self._source.fetch_threads > 1 else map)(fetch, items)


def _given(item: SourceObject) -> FetchedObject | DocumentError | None:
    """What the listing gives, so that the source need not be asked."""
    if item.problem is not None:
        return item.problem
    try:
        raw = item.raw if item.read is None else item.read()
    except DocumentError as error:
        return error
    return None if raw is None else FetchedObject(raw, item.declared or DeclaredMetadata())


def fetch_groups(items: Iterable[SourceObject]) -> Iterator[list[SourceObject]]:
    """Objects to fetch together, bounded in number and in bytes."""
    group: list[SourceObject] = []
    held_bytes = 0
    for item in items:
        size = item.size_bytes or 0
        if group and (len(group) == FETCH_GROUP or held_bytes + size > FETCH_GROUP_BYTES):
            yield group
            group, held_bytes = [], 0
        group.append(item)
        held_bytes += size
    if group:
        yield group
