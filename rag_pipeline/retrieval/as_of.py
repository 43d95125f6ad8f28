"""Searching what readers had at an earlier time, with the permissions of today.

Belongs here: which documents of then the caller may see now.
Does not belong here: which publication was valid then (`published.py`).

What is closed or deleted today is not found in an old version either. Nor is what the caller could not read then or at
any time since, though they may read the document today: an old text may have been closed for what has been taken out of
it, and opened again without. Who came into a group later could not read by it what was published before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time

from rag_pipeline.contracts.filters import Filter
from rag_pipeline.errors import BadQuery
from rag_pipeline.retrieval.hits import Hit
from rag_pipeline.retrieval.published import Earlier, Served
from rag_pipeline.stores.selection import Selection


@dataclass(frozen=True, slots=True)
class Then:
    """What is searched, and with which filter.

    Attributes:
        readers: Principals of today by document, where an earlier version is searched.
    """

    served: Served
    chosen: Filter
    readers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def shown(self, hits: Sequence[Hit]) -> list[Hit]:
        """The hits with the principals that may read their documents today."""
        return [
            replace(hit, allowed_principals=self.readers[hit.document_id]) if hit.document_id in self.readers else hit
            for hit in hits
        ]


def moment_of(as_of: datetime | date) -> datetime:
    """A time as UTC; a day is its end, and so is a time without a zone UTC.

    Raises:
        BadQuery: It is no time.
    """
    if isinstance(as_of, datetime):
        try:
            return as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of.astimezone(UTC)
        except OverflowError as error:
            raise BadQuery(f"as_of must be a time in UTC, not {as_of!r}") from error
    if not isinstance(as_of, date):
        raise BadQuery(f"as_of is {as_of!r}, want a date or a time")
    return datetime.combine(as_of, time.max, UTC)


def seen_today(
    now: Served, earlier: Earlier, chosen: Filter, moment: datetime, had_at: Callable[[datetime], frozenset[str]]
) -> Then:
    """An earlier publication, without the documents that the caller may not read now, or could not at any time since.

    Read are the ids of all documents that the caller may read, once for each version since: so few are kept that this
    is bounded. Those of the hits alone would not do: names of fields and of newer versions are told of others too.

    Args:
        moment: That is asked for, UTC.
        had_at: Principals of today that the caller had at a time already, and ever since. The longer a version stood,
            the more of them they may have had: what counts is what they had when it came.
    """
    asker = Filter(chosen.principals)
    rows = Selection(now.table, asker).read(["document_id", "allowed_principals"]).unique("document_id")
    readers = {name: tuple(principals) for name, principals in rows.iter_rows()}
    had = chosen.principals & had_at(moment)
    before = _readable(earlier.then, had)
    shown = before & readers.keys()
    for served in earlier.since:
        shown &= _readable(served, chosen.principals & had_at(served.publication.published_at))
    return Then(earlier.then, replace(chosen, principals=had, closed_ids=chosen.closed_ids | (before - shown)), readers)


def _readable(served: Served, principals: frozenset[str]) -> set[str]:
    return set(Selection(served.table, Filter(principals)).read(["document_id"])["document_id"])
