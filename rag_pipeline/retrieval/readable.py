"""What a caller may read at all: sources with their counts and freshness.

Belongs here: counting the rows of what is published for one caller.
Does not belong here: searching (`search.py`), the record of polls (`stores/polls.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

import polars as pl

from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.log_rows import Publication
from rag_pipeline.retrieval.arguments import checked_principals
from rag_pipeline.retrieval.memberships import CallersGroups
from rag_pipeline.retrieval.opening import delivered_of, index_of
from rag_pipeline.retrieval.published import Pointer, Served
from rag_pipeline.retrieval.served_from import FromLake, ServedFrom
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.polls import read_polls
from rag_pipeline.stores.selection import Selection
from rag_pipeline.transforms.freshness import is_overdue

# Callers whose counts are kept; a page asks for them each time that it is opened.
MOST_KEPT = 256
_COLUMNS = ["source", "document_id", "source_modified_at", "language", "media_type"]


@dataclass(frozen=True, slots=True)
class ReadableSource:
    """One source as one caller sees it; what they may not read counts nowhere.

    Attributes:
        documents, chunks: Those that the caller may read.
        newest_modified_at: Last modification among them, as the source says.
        polled_at: When the source was last polled with success; None: never, or not known.
        is_overdue: That is longer ago than its `stale_after`; None: not known.
        languages, media_types: Of those documents.
    """

    source: str
    documents: int
    chunks: int
    newest_modified_at: datetime | None
    polled_at: datetime | None
    is_overdue: bool | None
    languages: tuple[str, ...]
    media_types: tuple[str, ...]


class _Kept:
    """Counts of one publication by who asks; nothing of it is there once another one is served."""

    def __init__(self) -> None:
        self._served: object = None
        self._counts: OrderedDict[str, pl.DataFrame] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._counts)

    def of(self, served: Served, names: frozenset[str]) -> pl.DataFrame:
        """The counts for some principals in what is served now."""
        key, version = digest("readers", *sorted(names)), served.key or served
        with self._lock:
            if self._served != version:
                self._served = version
                self._counts.clear()
            found = self._counts.get(key)
            if found is not None:
                self._counts.move_to_end(key)
                return found
        found = _counted(Selection(served.table, Filter(names)).read(_COLUMNS))
        with self._lock:
            # Another publication may be served by now.
            if self._served == version:
                self._counts[key] = found
                while len(self._counts) > MOST_KEPT:
                    self._counts.popitem(last=False)
        return found


class ReadableSources:
    """Follows the pointer like a Searcher; many threads may ask.

    What a caller may read is counted once for each publication.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._lake = Lake(pipeline.lake_root, pipeline.lake_options)
        pointer = Pointer(self._lake, index_of(pipeline, self._lake))
        self._kept = _Kept()
        groups = CallersGroups(self._lake, pointer.look_again)
        self._served_from: ServedFrom = delivered_of(pipeline) or FromLake(pointer, groups)
        self._stale_after: Mapping[str, timedelta] = {
            name: source.stale_after for name, source in pipeline.settings.sources.items()
        }

    def close(self) -> None:
        """Let go of what is kept open."""
        self._served_from.close()

    def of(self, principals: Iterable[str]) -> list[ReadableSource]:
        """The sources of which the caller may read anything, by name; raises what `read` does."""
        return self.read(principals)[0]

    def read(self, principals: Iterable[str]) -> tuple[list[ReadableSource], Publication]:
        """The sources of which the caller may read anything, by name, and the publication that they are of.

        Raises:
            BadQuery: Nobody asks.
            NothingPublished: There is no index yet.
        """
        counts, publication = self._served_from.answered(
            checked_principals(principals), lambda served, names: (self._kept.of(served, names), served.publication)
        )
        polls = read_polls(self._lake).by_source
        now = datetime.now(UTC)
        found = []
        for record in counts.iter_rows(named=True):
            poll = polls.get(record["source"])
            stale_after = self._stale_after.get(record["source"], None if poll is None else poll.stale_after)
            overdue = None if poll is None or stale_after is None else is_overdue(poll, now, stale_after)
            lists = {name: tuple(record.pop(name)) for name in ("languages", "media_types")}
            found.append(
                ReadableSource(
                    **(record | lists), polled_at=None if poll is None else poll.polled_at, is_overdue=overdue
                )
            )
        return found, publication


def _counted(rows: pl.DataFrame) -> pl.DataFrame:
    return (
        rows.group_by("source")
        .agg(
            pl.col("document_id").n_unique().alias("documents"),
            pl.len().alias("chunks"),
            pl.col("source_modified_at").max().alias("newest_modified_at"),
            pl.col("language").drop_nulls().unique().sort().alias("languages"),
            pl.col("media_type").unique().sort().alias("media_types"),
        )
        .sort("source")
    )
