"""What a source's listing means against what bronze knows of it: pure change detection.

Belongs here: comparing listings with known state, moves, document ids, bronze rows.
Does not belong here: listing, fetching or writing (`sources/`, `refresh/bronze.py`), what is too much to lose at once
(`deletion_guard.py`).
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, TypeVar, cast, overload

from rag_pipeline.contracts.ids import digest, document_id
from rag_pipeline.contracts.order import in_order
from rag_pipeline.contracts.sources import DeclaredMetadata, Remembered, SourceObject, SourceSpec
from rag_pipeline.transforms.freshness import CLOCK_TOLERANCE
from rag_pipeline.transforms.permissions import allowed_principals

# A file written again within one tick of its file system's clock keeps its stamp. So a stamp taken this soon
# after the last modification is not trusted, and the bytes are compared again. FAT has the coarsest clock.
RACY_WINDOW = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class KnownObject:
    """Last row that bronze holds of a document, without the bytes."""

    document_id: str
    revision: int
    change: str
    address: str
    uri: str
    bytes_hash: str | None
    bytes_batch: int | None
    media_type: str | None
    size_bytes: int | None
    declared: DeclaredMetadata
    metadata_hash: str
    stamp: str
    problem_code: str | None
    source_modified_at: datetime | None
    observed_at: datetime

    @property
    def is_live(self) -> bool:
        return self.change != "deleted"


# With fewer of them than one in so many, looking each up is cheaper than going past all others.
_FEW_PART = 32

Before = TypeVar("Before", bound=KnownObject | None)
Item = TypeVar("Item")


class _Pairs(Sequence[tuple[Before, SourceObject]]):
    """Known objects, each with what is listed at its address: two numbers for each, and values when looked at.

    Args:
        known_at: The place of each among the known ones, rising; -1: it is not known.
        listed_at: And among the listed ones, rising.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        known: Sequence[KnownObject],
        listed: Sequence[SourceObject],
        known_at: Sequence[int],
        listed_at: Sequence[int],
    ) -> None:
        self._known, self._listed = known, listed
        self._known_at, self._listed_at = known_at, listed_at

    def __len__(self) -> int:
        return len(self._listed_at)

    @overload
    def __getitem__(self, place: int) -> tuple[Before, SourceObject]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[tuple[Before, SourceObject]]: ...
    def __getitem__(self, place: int | slice) -> tuple[Before, SourceObject] | Sequence[tuple[Before, SourceObject]]:
        if isinstance(place, slice):
            return _Pairs(self._known, self._listed, self._known_at[place], self._listed_at[place])
        at = self._known_at[place]
        before = None if at < 0 else self._known[at]
        return cast("Before", before), self._listed[self._listed_at[place]]

    def __iter__(self) -> Iterator[tuple[Before, SourceObject]]:
        known = _picked(self._known, [at for at in self._known_at if at >= 0])
        for at, item in zip(self._known_at, _picked(self._listed, self._listed_at), strict=True):
            yield cast("Before", None if at < 0 else next(known)), item

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented


def _picked(items: Sequence[Item], places: Sequence[int]) -> Iterator[Item]:
    """The items at rising places; all are gone past, since a sequence of columns makes them faster in a row."""
    if len(places) * _FEW_PART < len(items):
        yield from (items[place] for place in places)
        return
    wanted = iter(places)
    place = next(wanted, None)
    for at, item in enumerate(items):
        if at == place:
            yield item
            place = next(wanted, None)
        if place is None:
            return


@dataclass(frozen=True, slots=True)
class ListingPlan:
    """A listing sorted by what has to be done.

    Attributes:
        unchanged: Same address, same stamp: not fetched; only settings, or what listing tells of them, may have
            changed their metadata.
        to_fetch: New or possibly changed objects, with what is known of their address.
        vanished: Live documents whose address is no longer listed.
        unchanged_readable_count: Of the unchanged ones those that could be read.
        same_count: Of those, how many are left out of `unchanged`, since no setting changes them either.
    """

    unchanged: Sequence[tuple[KnownObject, SourceObject]]
    to_fetch: Sequence[tuple[KnownObject | None, SourceObject]]
    vanished: tuple[KnownObject, ...]
    unchanged_readable_count: int
    same_count: int = 0

    @property
    def unreadable_count(self) -> int:
        """Of the unchanged ones those that could not be read."""
        return len(self.unchanged) + self.same_count - self.unchanged_readable_count

    @property
    def new(self) -> Iterator[SourceObject]:
        return (listed for known, listed in self.to_fetch if known is None)


def plan_listing(known: Iterable[KnownObject], listed: Sequence[SourceObject]) -> ListingPlan:
    """Compare a complete listing with the live documents of bronze, by address and stamp.

    Both are gone through once, side by side, and nothing of them is kept but places.
    """
    known, listed = in_order(known), in_order(listed)
    unchanged, to_fetch = (array("q"), array("q")), (array("q"), array("q"))
    vanished: list[KnownObject] = []
    readable_count = 0
    live = _last_at_each_address(known)
    at, before = next(live, _NO_MORE)
    for place, item in enumerate(listed):
        while before is not None and before.address < item.address:
            vanished.append(before)
            at, before = next(live, _NO_MORE)
        is_known = before is not None and before.address == item.address
        is_settled = is_known and before is not None and _is_settled(before, item)
        for places, value in zip(unchanged if is_settled else to_fetch, (at if is_known else -1, place), strict=True):
            places.append(value)
        if is_known and before is not None:
            readable_count += is_settled and before.problem_code is None
            at, before = next(live, _NO_MORE)
    while before is not None:
        vanished.append(before)
        at, before = next(live, _NO_MORE)
    return ListingPlan(
        _Pairs(known, listed, *unchanged), _Pairs(known, listed, *to_fetch), tuple(vanished), readable_count
    )


_NO_MORE: tuple[int, KnownObject | None] = (-1, None)


def _last_at_each_address(known: Iterable[KnownObject]) -> Iterator[tuple[int, KnownObject | None]]:
    """The live ones with their places; of several at one address the last."""
    held: tuple[int, KnownObject] | None = None
    for place, item in enumerate(known):
        if not item.is_live:
            continue
        if held is not None and held[1].address != item.address:
            yield held
        held = (place, item)
    if held is not None:
        yield held


def _is_settled(before: KnownObject, item: SourceObject) -> bool:
    # What could not be read last time is tried every time: reading is cheap, and nobody tells us it was mended.
    if before.stamp != item.stamp:
        return False
    # A time in the future is no time of writing, and would have the object read again until it has come.
    if item.modified_at is not None and -CLOCK_TOLERANCE <= before.observed_at - item.modified_at < RACY_WINDOW:
        return False
    return before.problem_code is None if item.problem is None else before.problem_code == item.problem.code


def remembered(known: Iterable[KnownObject]) -> dict[str, Remembered]:
    """What bronze holds of the live objects of a source, by address, for the source to list again."""
    return {
        item.address: Remembered(
            None if item.problem_code else item.stamp,
            item.source_modified_at,
            item.uri,
            item.size_bytes,
            item.declared,
        )
        for item in known
        if item.is_live
    }


def move_candidates(plan: ListingPlan) -> list[SourceObject]:
    """New objects that may be moved ones: some vanished document had the same size."""
    sizes = {item.size_bytes for item in plan.vanished if item.bytes_hash is not None}
    if not sizes:
        return []
    return [item for item in plan.new if item.problem is None and item.size_bytes in sizes]


def match_moves(vanished: Iterable[KnownObject], hashes: Mapping[str, str]) -> dict[str, KnownObject]:
    """Pair new addresses with vanished documents of equal bytes.

    Args:
        hashes: bytes_hash by new address.

    Returns:
        Vanished document by new address, each used once. Where several fit, one of the same file name is
        taken, else the first by address, so the outcome depends on nothing but the two listings.
    """
    free: dict[str, list[KnownObject]] = {}
    for item in sorted(vanished, key=lambda item: item.address):
        if item.bytes_hash is not None:
            free.setdefault(item.bytes_hash, []).append(item)
    moves: dict[str, KnownObject] = {}
    for address in sorted(hashes):
        candidates = free.get(hashes[address], [])
        if candidates:
            name = PurePosixPath(address).name
            best = next((c for c in candidates if PurePosixPath(c.address).name == name), candidates[0])
            candidates.remove(best)
            moves[address] = best
    return moves


def free_document_id(source: str, address: str, taken: set[str]) -> str:
    """Id for a document first seen at `address`; ids of live documents that have moved away stay theirs."""
    ordinal = 0
    while (candidate := document_id(source, address, ordinal)) in taken:
        ordinal += 1
    return candidate


def metadata_of(listed: SourceObject, declared: DeclaredMetadata, spec: SourceSpec) -> dict[str, Any]:
    """The metadata columns of a bronze row, with the digest over all of them."""
    return _metadata_of(listed, declared, allowed_principals(listed.address, declared, spec))


def unknown_metadata_of(listed: SourceObject) -> dict[str, Any]:
    """The same for an object that cannot be read: it may say itself who may read it, so nobody may."""
    return _metadata_of(listed, DeclaredMetadata(), ())


def _metadata_of(listed: SourceObject, declared: DeclaredMetadata, principals: Collection[str]) -> dict[str, Any]:
    modified = declared.modified_at or listed.modified_at
    extra = declared.to_json()
    parts = [listed.uri, modified.isoformat() if modified else "", extra, *sorted(principals)]
    return {
        "uri": listed.uri,
        "title": declared.title,
        "author": declared.author,
        "allowed_principals": list(principals),
        "source_modified_at": modified,
        "declared": extra,
        "metadata_hash": digest("metadata", *parts),
    }


def row_of(
    listed: SourceObject, before: KnownObject | None, *, document: str, change: str, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """A bronze row for a listed object; bytes, problem, batch and run are filled in by the caller."""
    return {
        "document_id": document,
        "revision": 0 if before is None else before.revision + 1,
        "change": change,
        "address": listed.address,
        "bytes_hash": None if before is None else before.bytes_hash,
        "bytes_batch": None if before is None else before.bytes_batch,
        "media_type": None if before is None else before.media_type,
        "size_bytes": listed.size_bytes,
        "stamp": listed.stamp,
        **metadata,
    }


def tombstone_of(before: KnownObject, metadata_hash: str) -> dict[str, Any]:
    """The row that says a document is gone from its source."""
    return {
        "document_id": before.document_id,
        "revision": before.revision + 1,
        "change": "deleted",
        "address": before.address,
        "uri": before.uri,
        "bytes_hash": before.bytes_hash,
        "bytes_batch": before.bytes_batch,
        "media_type": before.media_type,
        "size_bytes": before.size_bytes,
        "allowed_principals": [],
        "declared": "{}",
        "metadata_hash": metadata_hash,
        "stamp": before.stamp,
    }


def declared_now(before: KnownObject, listed: SourceObject) -> DeclaredMetadata:
    """What is declared of an object that need not be fetched: what listing tells, else what was last read."""
    return before.declared if listed.declared is None else listed.declared


def changed_settings(unchanged: Iterable[tuple[KnownObject, SourceObject]], spec: SourceSpec) -> list[dict[str, Any]]:
    """Rows for objects that were not touched but whose permissions, address for people or metadata now differ."""
    rows = []
    for before, listed in unchanged:
        if before.problem_code is not None:
            continue
        metadata = metadata_of(listed, declared_now(before, listed), spec)
        if metadata["metadata_hash"] != before.metadata_hash:
            rows.append(
                row_of(listed, before, document=before.document_id, change="metadata_changed", metadata=metadata)
            )
    return rows


def held_permissions(
    held: Iterable[KnownObject], spec: SourceSpec, listed: Mapping[str, SourceObject]
) -> list[dict[str, Any]]:
    """Rows for documents that are kept although the source no longer gives them, or not their bytes.

    Their own metadata is what was last read; who may read them is what the settings say now, so that nothing stays
    open for as long as a source is held back. Where listing tells who may read what cannot be read, that is the new
    text: the old one is left to those who might read both, for as long as it is kept.

    Args:
        listed: What the source lists now, by address.
    """
    rows = []
    for before in held:
        # The stamp is no listing's: when the object is back it is read again, whatever its clock says.
        last = SourceObject(before.address, before.uri, before.size_bytes, before.source_modified_at, stamp="")
        declared, now = before.declared, listed.get(before.address)
        if now is not None and now.declared is not None:
            old = allowed_principals(before.address, declared, spec)
            both = tuple(sorted({*old} & {*allowed_principals(now.address, now.declared, spec)}))
            # Kept with the row: what was closed once stays so when the source no longer lists it, either.
            declared = declared if both == old else replace(declared, allowed_principals=both)
        metadata = metadata_of(last, declared, spec)
        if metadata["metadata_hash"] != before.metadata_hash:
            rows.append(row_of(last, before, document=before.document_id, change="metadata_changed", metadata=metadata))
    return rows


def said_of_silent(silent: Sequence[tuple[KnownObject, str]]) -> list[str]:
    """A sentence on documents that are listed and whose bytes were not given, each with the reason."""
    if not silent:
        return []
    before, reason = silent[0]
    more = f" and {len(silent) - 1:,} more" if len(silent) > 1 else ""
    return [f"{before.uri}{more} cannot be read now ({reason}), so what was read before stands"]


def unlisted_settings(known: Iterable[KnownObject], spec: SourceSpec) -> list[dict[str, Any]]:
    """Rows for objects of a source that cannot be listed, whose permissions differ under the settings of now."""
    rows = []
    for before in known:
        last = SourceObject(before.address, before.uri, before.size_bytes, before.source_modified_at, before.stamp)
        rows += changed_settings([(before, last)], spec)
    return rows
