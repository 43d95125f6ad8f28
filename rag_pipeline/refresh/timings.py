"""What documents took in worker processes: by media type, and the slowest by name.

Belongs here: measuring one call where it happens, and adding up.
Does not belong here: what is measured (`parsing.py`, `chunks.py`) or how it is shown (`defs/`).

Times are of one run and stand in no table: two builds of the same documents would differ.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rag_pipeline.errors import DocumentError

# The slowest few are what there is to mend.
SHOWN_DOCUMENTS = 10


@dataclass(frozen=True, slots=True)
class Timed:
    """A function of one item that also says how many seconds it took; a refusal is an answer too."""

    function: Callable[[Any], Any]

    def __call__(self, item: Any) -> tuple[Any | DocumentError, float]:
        began = time.perf_counter()
        try:
            result = self.function(item)
        except DocumentError as error:
            result = error
        return result, time.perf_counter() - began


@dataclass(frozen=True, slots=True, order=True)
class SlowDocument:
    """One document and what it took."""

    seconds: float
    uri: str
    media_type: str
    size: int


@dataclass(slots=True)
class GroupTiming:
    """All documents of one media type, or one source, that were worked on in a run."""

    documents: int = 0
    size: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Timings:
    """Adds up what documents took. Sizes are bytes or characters, whatever the step works on."""

    by_media_type: dict[str, GroupTiming] = field(default_factory=dict)
    by_source: dict[str, GroupTiming] = field(default_factory=dict)
    _slowest: list[SlowDocument] = field(default_factory=list)

    def add(self, source: str, uri: str, media_type: str, size: int, seconds: float) -> None:
        """Count one document."""
        for groups, name in ((self.by_media_type, media_type), (self.by_source, source)):
            found = groups.setdefault(name, GroupTiming())
            found.documents += 1
            found.size += size
            found.seconds += seconds
        document = SlowDocument(seconds, uri, media_type, size)
        if len(self._slowest) < SHOWN_DOCUMENTS:
            heapq.heappush(self._slowest, document)
        else:
            heapq.heappushpop(self._slowest, document)

    @property
    def slowest(self) -> list[SlowDocument]:
        """The slowest documents, slowest first."""
        return sorted(self._slowest, reverse=True)
