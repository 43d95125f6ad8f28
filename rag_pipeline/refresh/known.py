"""What bronze knows of a source, as values, and a listing of the source that may rely on it.

Belongs here: reading the last row of each object.
Does not belong here: what a listing means against it (`transforms/listing.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import polars as pl

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.listings import ByAddress, PackedListing
from rag_pipeline.contracts.sources import DeclaredMetadata, RemembersListings, SourceObject, SourceSpec
from rag_pipeline.contracts.tables import BRONZE
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.polls import hints_followed
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.sources import Source
from rag_pipeline.stores.erasures import erased_from
from rag_pipeline.stores.polls import read_polls
from rag_pipeline.transforms.listing import KnownObject, ListingPlan, plan_listing, remembered
from rag_pipeline.transforms.same import other_readers, same_places

_FIELDS = tuple(KnownObject.__dataclass_fields__)
_DECLARED_AT = _FIELDS.index("declared")
# Beside what a value holds: who may read it, which is compared by columns.
KNOWN_COLUMNS = (*_FIELDS, "allowed_principals")


class KnownObjects(ByAddress[KnownObject]):
    """The last row of each object of a source, by address, as columns.

    Args:
        state: The source's bronze state.
    """

    def __init__(self, state: pl.DataFrame) -> None:
        super().__init__(state.select(KNOWN_COLUMNS))
        self._last: tuple[str, DeclaredMetadata] = ("{}", DeclaredMetadata())

    def _made(self, row: tuple[Any, ...]) -> KnownObject:
        said = row[_DECLARED_AT]
        if said != self._last[0]:
            self._last = (said, DeclaredMetadata.from_json(said))
        return KnownObject(*(*row[:_DECLARED_AT], self._last[1], *row[_DECLARED_AT + 1 : -1]))

    @property
    def dead(self) -> Self:
        """Those that are gone."""
        return self.part((self._rows["change"] == "deleted").arg_true())

    @property
    def live_ids(self) -> set[str]:
        """document_ids of those that are there."""
        return {*self._rows["document_id"].filter(self._rows["change"] != "deleted")}

    def read_by_others(self, spec: SourceSpec) -> Self:
        """Live ones that could be read and that others may read under the settings of now."""
        return self.part(other_readers(self._rows, spec))

    @property
    def links(self) -> Self:
        """At least those that lead to another object."""
        return self.part(self._rows["declared"].str.contains('"link_target"', literal=True).arg_true())

    def without(self, addresses: Collection[str]) -> Self:
        """The live ones, but those at some addresses."""
        left_out = self._rows["address"].is_in(pl.Series(sorted(addresses), dtype=pl.String).implode())
        return self.part(((self._rows["change"] != "deleted") & ~left_out).arg_true())


def planned(known: KnownObjects, listed: Sequence[SourceObject], spec: SourceSpec) -> ListingPlan:
    """The plan of a complete listing; of columns, what is as before under the settings of now is left out of it."""
    if not isinstance(listed, PackedListing):
        return plan_listing(known, listed)
    rows, its = known.columns(), listed.columns()
    mine, theirs = same_places(rows, its, listed.whole, spec)
    plan = plan_listing(known.part(_others(rows.height, mine)), listed.part(_others(its.height, theirs)))
    readable_count = plan.unchanged_readable_count + len(mine)
    return replace(plan, unchanged_readable_count=readable_count, same_count=len(mine))


def _others(count: int, places: pl.Series) -> pl.Series:
    """All places but some."""
    left = pl.repeat(value=True, n=count, dtype=pl.Boolean, eager=True)
    return left.scatter(places, values=False).arg_true()


def known_of(workspace: Workspace, name: str) -> KnownObjects:
    """What bronze knows of a source."""
    return KnownObjects(workspace.lake.bronze_state(name, KNOWN_COLUMNS))


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
