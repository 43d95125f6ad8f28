"""Say on every hit when its source was last polled, and whether that is too long ago.

Belongs here: looking at the lake's record of polls now and then, and marking hits with it.
Does not belong here: the record (`stores/polls.py`), what is overdue (`transforms/freshness.py`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rag_pipeline.contracts.polls import Poll, Polls
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.polls import read_polls
from rag_pipeline.transforms.freshness import is_overdue

if TYPE_CHECKING:
    from rag_pipeline.retrieval.hits import Hit

# A small file on a disk costs next to nothing, and a request to an object store as much as the search.
_LOCAL_SECONDS = 1.0
_REMOTE_SECONDS = 30.0


class PollMarks:
    """How fresh the sources of hits are, looked up at most once a second or so; never a reason to fail a search.

    Args:
        stale_after: By source, where pipeline.yaml is known; else what the record says counts.
    """

    def __init__(self, lake: Lake, stale_after: Mapping[str, timedelta]) -> None:
        self._lake = lake
        self._stale_after = stale_after
        self._polls = Polls()
        self._looked_at = float("-inf")

    def mark(self, hits: Sequence[Hit]) -> list[Hit]:
        """The hits with `source_polled_at` and `source_overdue`; both None where it is not known."""
        if not hits:
            return []
        polls = self._current()
        now = datetime.now(UTC)
        marks = {name: self._mark(name, polls.get(name), now) for name in {hit.source for hit in hits}}
        return [
            replace(hit, source_polled_at=marks[hit.source][0], source_overdue=marks[hit.source][1]) for hit in hits
        ]

    def unrecorded(self) -> frozenset[str]:
        """Sources that said something which the lake does not hold."""
        return frozenset(name for name, poll in self._current().items() if poll.unrecorded)

    def _mark(self, name: str, poll: Poll | None, now: datetime) -> tuple[datetime | None, bool | None]:
        if poll is None:
            return None, None
        return poll.polled_at, is_overdue(poll, now, self._stale_after.get(name, poll.stale_after))

    def _current(self) -> Mapping[str, Poll]:
        now = time.monotonic()
        if now - self._looked_at >= (_LOCAL_SECONDS if self._lake.is_local else _REMOTE_SECONDS):
            self._polls = read_polls(self._lake)
            self._looked_at = now
        return self._polls.by_source
