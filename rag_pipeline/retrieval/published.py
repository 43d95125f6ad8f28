"""Following the pointer: what is published now, opened, for readers that live long.

Belongs here: when it is looked at again, what is opened, and that nothing older is ever handed out.
Does not belong here: searching (`search.py`), moving the pointer (`refresh/publication.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from rag_pipeline.contracts.log_rows import Publication
from rag_pipeline.contracts.tables import PUBLICATIONS
from rag_pipeline.errors import NothingPublished, StoreError, TableMissing
from rag_pipeline.retrieval.plan import SourceRules
from rag_pipeline.retrieval.supersession import Successions, read_successions
from rag_pipeline.stores.kept import KeptVersions, open_version
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.selection import SearchedTable
from rag_pipeline.stores.vectors import VectorStore

# So long may a revocation take to reach a Searcher that is open; a look reads the log of publications.
POINTER_SECONDS = 1.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Served:
    """One publication, opened.

    Attributes:
        key: Equal for equal versions that are opened anew for each answer; None: it is opened once.
    """

    publication: Publication
    table: SearchedTable
    key: tuple[str, str] | None = None
    _successions: dict[tuple[SourceRules, ...], Successions] = field(default_factory=dict, repr=False, compare=False)

    def successions(self, rules: tuple[SourceRules, ...]) -> Successions:
        """Its older and newer versions of documents, read when they are first asked for.

        They are kept here and nowhere else: a table that is made again counts its versions anew, so that neither its
        place nor its version tells which documents it has.
        """
        if rules not in self._successions:
            self._successions[rules] = read_successions(self.table, rules)
        return self._successions[rules]


@dataclass(frozen=True, slots=True)
class Earlier:
    """What readers had at a moment, and each other version that they had from then until now, all opened."""

    then: Served
    since: tuple[Served, ...]


class Pointer:
    """Hands out what is published, and looks again at most once a second.

    An open handle can answer from memory when its files are gone, and a log that was made again can be at the version
    that its forerunner had. So each look asks which log it is, and whether the published version still opens. Whatever
    fails on the way, what was served before is not served again.
    """

    def __init__(self, lake: Lake, vectors: VectorStore | None) -> None:
        self._lake = lake
        self._index = vectors
        self._served: Served | None = None
        self._log_state = ("", -1)
        self._looked_at = float("-inf")
        self._wishes = 0

    @property
    def _vectors(self) -> VectorStore:
        if self._index is None:
            raise NothingPublished(
                f"there is no lake at {self._lake.root} on this machine, and what was before and other embedding "
                f"models are known there alone; what is published now is searched in PostgreSQL"
            )
        return self._index

    def look_again(self) -> None:
        """Have the next question look at the pointer itself: what it was a moment ago may be too old for it."""
        self._wishes += 1
        self._looked_at = float("-inf")

    def answered(self, action: Callable[[Served], T]) -> T:
        """The result of an action on what is published; it is tried once more, since the version may have moved on.

        Raises:
            NothingPublished: There is no publication.
            StoreError: What is published cannot be opened or read.
        """
        try:
            return action(self._current())
        except StoreError:
            # The version we had open may have been removed; whatever is published now is there.
            self._served = None
            return action(self._current())

    def publication(self) -> Publication:
        """What searches are answered from now."""
        return self.answered(lambda served: served.publication)

    def at(self, moment: datetime) -> Earlier:
        """What readers had at a moment, UTC, and since.

        Raises:
            NothingPublished: Nothing was published by then, or its version or one that followed is not kept any more.
        """
        vectors, rows = self._vectors, self._lake.publications()
        before = [row for row in rows if row.published_at <= moment]
        if not before:
            first = f"the first publication is of {rows[0].published_at:%Y-%m-%d %H:%M} UTC" if rows else "nor since"
            raise NothingPublished(f"nothing had been published at {moment:%Y-%m-%d %H:%M} UTC; {first}")
        kept = KeptVersions(self._lake, vectors)
        found: dict[tuple[str, int], Served] = {}
        for row in (row for row in rows if row.sequence >= before[-1].sequence):
            try:
                # Each row is looked at, also where another one names the same version: the table may be another. What
                # was published twice counts from the first time on.
                found.setdefault(row.place, Served(row, kept.open(row)))
            except TableMissing as error:
                raise NothingPublished(f"{_lost(moment, row, before[-1])}; {_oldest_kept(rows, kept)}") from error
        return Earlier(found.pop(before[-1].place), tuple(found.values()))

    def _current(self) -> Served:
        now, wishes = time.monotonic(), self._wishes
        before = self._served
        if before is not None and now - self._looked_at < POINTER_SECONDS:
            return before
        self._served = None
        state = self._lake.identity(PUBLICATIONS)
        if before is None or state != self._log_state:
            served = self._opened(self._lake.last_publication())
        else:
            self._opened(before.publication)
            served = before
        # A look that was overtaken by a wish leaves nothing behind: another one may have found what came after it.
        if wishes == self._wishes:
            self._served, self._log_state, self._looked_at = served, state, now
        return served

    def _opened(self, publication: Publication | None) -> Served:
        vectors = self._vectors
        if publication is None:
            raise NothingPublished(
                f"nothing has been published in the lake {self._lake.root} yet; run: rag-pipeline run"
            )
        return Served(publication, open_version(vectors, publication))


def _lost(moment: datetime, row: Publication, then: Publication) -> str:
    if row is then:
        return f"what readers had at {moment:%Y-%m-%d %H:%M} UTC is not kept any more"
    return (
        f"what readers had at {moment:%Y-%m-%d %H:%M} UTC is not shown: what they had from "
        f"{row.published_at:%Y-%m-%d %H:%M} UTC on is not kept any more, and it may be where something was closed"
    )


def _oldest_kept(publications: Sequence[Publication], kept: KeptVersions) -> str:
    """The oldest version that is kept with all that followed."""
    oldest = None
    for row in reversed(publications):
        try:
            kept.open(row)
        except StoreError:
            break
        oldest = row.published_at
    if oldest is None:
        return "no older version is"
    return f"the oldest version that is kept was published at {oldest:%Y-%m-%d %H:%M} UTC"
