"""What bronze knows of a source, as values, and a listing of the source that may rely on it.

Belongs here: reading the last row of each object.
Does not belong here: what a listing means against it (`transforms/listing.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

import polars as pl

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.listings import ByAddress, PackedListing
from rag_pipeline.contracts.put_away import RowsInOrder, Shelf, side_by_side
from rag_pipeline.contracts.sources import DeclaredMetadata, RemembersListings, SourceObject, SourceSpec
from rag_pipeline.contracts.tables import BRONZE
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.polls import hints_followed
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.sources import Source
from rag_pipeline.stores.erasures import erased_from
from rag_pipeline.stores.polls import read_polls
from rag_pipeline.transforms.listing import KnownObject, ListingPlan, plan_listing, remembered
from rag_pipeline.transforms.same import are_read_by_others, same_places

_FIELDS = tuple(KnownObject.__dataclass_fields__)
_DECLARED_AT = _FIELDS.index("declared")
# Beside what a value holds: who may read it, which is compared by columns.
KNOWN_COLUMNS = (*_FIELDS, "allowed_principals")


class KnownObjects(ByAddress[KnownObject]):
    """The last row of each object of a source, by address, as columns."""

    _EMPTY = pl.DataFrame(schema={name: BRONZE.schema[name] for name in KNOWN_COLUMNS})

    def __init__(self, rows: RowsInOrder) -> None:
        super().__init__(rows)
        self._last: tuple[str, DeclaredMetadata] = ("{}", DeclaredMetadata())

    @classmethod
    def of_state(cls, parts: Iterable[pl.DataFrame]) -> Self:
        """From the source's bronze state, in parts."""
        rows = (part.select(KNOWN_COLUMNS) for part in parts)
        return cls(RowsInOrder.of(rows, cls._EMPTY, then=["document_id"]))

    def _made(self, row: tuple[Any, ...]) -> KnownObject:
        said = row[_DECLARED_AT]
        if said != self._last[0]:
            self._last = (said, DeclaredMetadata.from_json(said))
        return KnownObject(*(*row[:_DECLARED_AT], self._last[1], *row[_DECLARED_AT + 1 : -1]))

    @property
    def dead(self) -> Self:
        """Those that are gone."""
        return self.where(lambda part: part["change"] == "deleted")

    @property
    def live_ids(self) -> set[str]:
        """document_ids of those that are there."""
        return {each for part in self.rows() for each in part.filter(part["change"] != "deleted")["document_id"]}

    @property
    def modified_at(self) -> Iterator[datetime]:
        """When those that are there were modified, where the source says so."""
        for part in self.rows():
            yield from part.filter(part["change"] != "deleted")["source_modified_at"].drop_nulls()

    def read_by_others(self, spec: SourceSpec) -> Self:
        """Live ones that could be read and that others may read under the settings of now."""
        return self.where(lambda part: are_read_by_others(part, spec))

    @property
    def links(self) -> Self:
        """At least those that lead to another object."""
        return self.where(lambda part: part["declared"].str.contains('"link_target"', literal=True))

    def without(self, addresses: Collection[str]) -> Self:
        """The live ones, but those at some addresses."""
        left_out = pl.Series(sorted(addresses), dtype=pl.String).implode()
        return self.where(lambda part: (part["change"] != "deleted") & ~part["address"].is_in(left_out))


def planned(known: KnownObjects, listed: Sequence[SourceObject], spec: SourceSpec) -> ListingPlan:
    """The plan of a complete listing; of columns, what is as before under the settings of now is left out of it."""
    if not isinstance(listed, PackedListing):
        return plan_listing(known, listed)
    whole = pl.Series(sorted(listed.whole), dtype=pl.String)
    others, its_others, same_count = Shelf(), Shelf(), 0
    for mine, theirs in side_by_side(known.rows(), listed.rows()):
        places, its_places = same_places(mine, theirs, whole, spec)
        same_count += len(places)
        others.put(_without(mine, places))
        its_others.put(_without(theirs, its_places))
    plan = plan_listing(
        known.with_rows(RowsInOrder(others, known.rows().empty)),
        listed.with_rows(RowsInOrder(its_others, listed.rows().empty)),
    )
    readable_count = plan.unchanged_readable_count + same_count
    return replace(plan, unchanged_readable_count=readable_count, same_count=same_count)


def _without(rows: pl.DataFrame, places: pl.Series) -> pl.DataFrame:
    """The rows that are at none of some places."""
    if places.is_empty():
        return rows
    left = pl.repeat(value=True, n=rows.height, dtype=pl.Boolean, eager=True)
    return rows.filter(left.scatter(places, values=False))


def known_of(workspace: Workspace, name: str) -> KnownObjects:
    """What bronze knows of a source."""
    return KnownObjects.of_state(workspace.lake.bronze_parts(name, KNOWN_COLUMNS))


def list_again(workspace: Workspace, source: Source) -> Sequence[SourceObject]:
    """A listing of a source that is told, if it asks, what bronze holds of it; raises what `Source.list` does."""
    if isinstance(source, RemembersListings):
        source.remember(remembered(known_of(workspace, source.name)))
    return source.list()


@dataclass(frozen=True, slots=True)
class EarlyListing:
    """A listing that was made before the lake's lock was taken: a polite walk through a site takes hours.

    Attributes:
        source: Opened, with what it came by while it listed.
        objects: What it lists; or `error`, with which listing ended.
        state: Of what the lake knew of the source when listing began.
    """

    source: Source
    objects: Sequence[SourceObject]
    error: Exception | None
    state: str

    def is_of_now(self, workspace: Workspace) -> bool:
        """Whether nobody has polled the source since, or erased anything: then it is older than what was recorded."""
        return _state_of(workspace, self.source.name) == self.state

    def listed(self) -> Sequence[SourceObject]:
        """What it lists; raises what `Source.list` did."""
        if self.error is not None:
            raise self.error
        return self.objects


def list_early(workspace: Workspace, name: str) -> EarlyListing | None:
    """A listing of a source that asks for each object, without the lake's lock; None: others are listed under it."""
    try:
        if not workspace.source(name).capabilities.asks_for_each:
            return None
        state = _state_of(workspace, name)
        # After that: it leaves out what was erased by then.
        source = workspace.source(name)
    except FAULTS:
        # It is said again, and recorded, where the lock is held.
        return None
    try:
        with hints_followed(workspace, name):
            return EarlyListing(source, list_again(workspace, source), None, state)
    # It is raised again where it is recorded.
    except Exception as error:
        return EarlyListing(source, (), error, state)


def _state_of(workspace: Workspace, name: str) -> str:
    """Differs once somebody has polled the source, recorded something of it, or erased something from the lake."""
    rows = workspace.lake.read(BRONZE.of(name), ["document_id", "revision"])
    poll = read_polls(workspace.lake).by_source.get(name)
    erased = erased_from(workspace.lake)
    return digest("listed early", str(rows.height), str(rows["revision"].sum()), repr(poll), repr(erased))
