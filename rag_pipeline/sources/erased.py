"""A source as it is without what was erased from the lake.

Belongs here: leaving erased addresses out of listings, and refusing erased bytes under another name.
Does not belong here: which those are (`contracts/erasures.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from rag_pipeline.contracts.erasures import Erased, place_hash
from rag_pipeline.contracts.groups import Memberships
from rag_pipeline.contracts.ids import bytes_hash
from rag_pipeline.contracts.order import InOrder
from rag_pipeline.contracts.sources import (
    FetchedObject,
    FetchesTogether,
    KeepsCopies,
    KnowsGroups,
    LeavesErased,
    ListsSome,
    Remembered,
    RemembersListings,
    Samples,
    Source,
    SourceObject,
)
from rag_pipeline.errors import DocumentErased, DocumentError


class WithoutErased:
    """Lists and fetches like the source it is made of, but what was erased is not there.

    What only some sources can do is in classes of their own below, since protocols are told by the class.

    Attributes:
        left_out: Objects that the last listing did not name.
    """

    def __init__(self, source: Any, erased: Erased) -> None:
        self._source = source
        self._erased = erased
        self.left_out = 0
        if isinstance(source, LeavesErased):
            source.leave_erased(self._is_erased)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def list(self) -> Sequence[SourceObject]:
        """As the source lists; objects at an erased address are not named."""
        found = self._source.list()
        listed = self._without(found)
        self.left_out = len(found) - len(listed)
        return listed

    def _without(self, items: Sequence[SourceObject]) -> Sequence[SourceObject]:
        name, places = self._source.name, self._erased.places
        left = (item for item in items if place_hash(name, item.address) not in places)
        listed = map(self._refused, left) if self._erased.contents else left
        if not isinstance(items, InOrder):
            return [*listed]
        # Only with one that is held as columns: a look at a folder needs no library of tables.
        from rag_pipeline.contracts.listings import PackedListing

        return PackedListing.packed(listed)

    def _is_erased(self, address: str, hashed: str) -> bool:
        return place_hash(self._source.name, address) in self._erased.places or hashed in self._erased.contents

    def fetch(self, item: SourceObject) -> FetchedObject:
        """As the source fetches.

        Raises:
            DocumentErased: The bytes are those of an erased document.
        """
        fetched: FetchedObject = self._source.fetch(item)
        self._check(fetched.raw)
        return fetched

    def _check(self, raw: bytes) -> None:
        if bytes_hash(raw) in self._erased.contents:
            raise _erased()

    def _refused(self, item: SourceObject) -> SourceObject:
        if item.read is not None:
            return replace(item, read=partial(self._read, item.read))
        if item.raw is None or bytes_hash(item.raw) not in self._erased.contents:
            return item
        return replace(item, raw=None, problem=_erased())

    def _read(self, read: Callable[[], bytes]) -> bytes:
        raw = read()
        self._check(raw)
        return raw


class _Together(WithoutErased):
    def fetch_together(self, items: Sequence[SourceObject]) -> Sequence[FetchedObject | DocumentError]:
        """See `FetchesTogether.fetch_together`."""
        refused = self._erased.contents
        return [
            _erased() if isinstance(each, FetchedObject) and bytes_hash(each.raw) in refused else each
            for each in self._source.fetch_together(items)
        ]


class _Remembering(WithoutErased):
    def remember(self, known: Mapping[str, Remembered]) -> None:
        """See `RemembersListings.remember`."""
        self._source.remember(known)


class _Sampling(WithoutErased):
    def sample(self, count: int) -> Sequence[SourceObject]:
        """See `Samples.sample`."""
        return self._without(self._source.sample(count))


class _ListingSome(WithoutErased):
    def list_some(self, addresses: Sequence[str]) -> Sequence[SourceObject] | None:
        """See `ListsSome.list_some`."""
        found = self._source.list_some(addresses)
        return None if found is None else self._without(found)


class _Keeping(WithoutErased):
    def forget_copies(self) -> None:
        """See `KeepsCopies.forget_copies`."""
        self._source.forget_copies()


class _Knowing(WithoutErased):
    def memberships(self) -> Memberships:
        """See `KnowsGroups.memberships`."""
        found: Memberships = self._source.memberships()
        return found


_ABLE: tuple[tuple[type[Any], type[WithoutErased]], ...] = (
    (FetchesTogether, _Together),
    (RemembersListings, _Remembering),
    (Samples, _Sampling),
    (ListsSome, _ListingSome),
    (KeepsCopies, _Keeping),
    (KnowsGroups, _Knowing),
)


def without_erased(source: Source, erased: Erased) -> Source:
    """The source itself where nothing was erased."""
    if not erased:
        return source
    able = tuple(wrapper for protocol, wrapper in _ABLE if isinstance(source, protocol))
    wrapper = type(WithoutErased.__name__, able, {}) if able else WithoutErased
    return cast("Source", wrapper(source, erased))


def left_out_of(source: Source) -> int:
    """How many objects the last listing of a source left out, since they were erased."""
    return source.left_out if isinstance(source, WithoutErased) else 0


def _erased() -> DocumentErased:
    return DocumentErased(
        "its bytes are those of a document that was erased, and are not taken in under any name. If they may come "
        "back: rag-pipeline erase --release with the id on the certificate"
    )
