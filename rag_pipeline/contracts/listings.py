"""Listings that are held as columns: a million objects would take half a gigabyte as values of Python.

Belongs here: sequences by address whose values are made when they are looked at.
Does not belong here: what a listing means (`transforms/listing.py`), where it comes from (`sources/`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from copy import copy
from datetime import datetime
from itertools import chain, islice
from typing import Any, Self, overload

import polars as pl

from rag_pipeline.contracts.order import InOrder, Item
from rag_pipeline.contracts.put_away import RowsInOrder
from rag_pipeline.contracts.sources import DeclaredMetadata, SourceObject

# Rows that are values of Python at once; more make nothing faster.
PART_ROWS = 10_000


class ByAddress(InOrder[Item]):
    """Values in the order of their addresses, each made of a row when it is looked at.

    Args:
        rows: With a column `address`.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, rows: RowsInOrder) -> None:
        self._rows = rows

    @abstractmethod
    def _made(self, row: tuple[Any, ...]) -> Item:
        """The value of a row."""

    def __len__(self) -> int:
        return self._rows.height

    def __iter__(self) -> Iterator[Item]:
        for part in self._rows:
            for start in range(0, part.height, PART_ROWS):
                yield from map(self._made, part.slice(start, PART_ROWS).iter_rows())

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Item]: ...
    def __getitem__(self, place: int | slice) -> Item | Sequence[Item]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        return self._made(self._rows.row(place))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    def of(self, addresses: Iterable[str]) -> list[Item]:
        """The values at some addresses."""
        wanted = pl.Series(sorted(set(addresses)), dtype=pl.String).implode()
        return list(self.where(lambda part: part["address"].is_in(wanted)))

    def rows(self) -> RowsInOrder:
        """The rows, in the order of the values."""
        return self._rows

    def values_of(self, column: str) -> set[Any]:
        """What rows have in a column, each once."""
        return {value for part in self._rows for value in part[column].unique()}

    def where(self, holds: Callable[[pl.DataFrame], pl.Series]) -> Self:
        """Those of whose rows something is true, told for a part at a time."""
        return self.with_rows(self._rows.chosen(lambda part: part.filter(holds(part))))

    def with_rows(self, rows: RowsInOrder) -> Self:
        """Some of the rows as values like these."""
        found = copy(self)
        found._rows = rows
        return found

    @property
    def doubled(self) -> str | None:
        """The first address that two values have."""
        for part in self._rows:
            addresses = part["address"]
            twice = addresses.filter(addresses == addresses.shift(1))
            if len(twice):
                return str(twice[0])
        return None


class PackedListing(ByAddress[SourceObject]):
    """Objects as a source lists them."""

    _SCHEMA = pl.Schema(
        {
            "address": pl.String(),
            "uri": pl.String(),
            "size_bytes": pl.Int64(),
            "modified_at": pl.Datetime("us", "UTC"),
            "stamp": pl.String(),
            "sidecar_address": pl.String(),
            "declared": pl.String(),
        }
    )

    def __init__(self, rows: RowsInOrder, whole: dict[str, SourceObject]) -> None:
        super().__init__(rows)
        # Those with a problem or with bytes, which no column holds.
        self._whole = whole
        self._last: tuple[str, DeclaredMetadata | None] = ("", None)

    @classmethod
    def packed(cls, objects: Iterable[SourceObject]) -> Self:
        """Take objects in any order, a few at a time."""
        whole: dict[str, SourceObject] = {}
        return cls(RowsInOrder.of(cls._frames(objects, whole), cls._SCHEMA.to_frame()), whole)

    @classmethod
    def _frames(cls, objects: Iterable[SourceObject], whole: dict[str, SourceObject]) -> Iterator[pl.DataFrame]:
        left = iter(objects)
        while first := next(left, None):
            rows = []
            for item in chain([first], islice(left, PART_ROWS - 1)):
                if item.problem is not None or item.raw is not None or item.read is not None:
                    whole[item.address] = item
                said = None if item.declared is None else item.declared.to_json()
                rows.append(
                    (item.address, item.uri, item.size_bytes, item.modified_at, item.stamp, item.sidecar_address, said)
                )
            yield pl.DataFrame(rows, cls._SCHEMA, orient="row")

    @property
    def whole(self) -> Collection[str]:
        """Addresses of objects of which columns do not tell all."""
        return self._whole.keys()

    def modified_at(self) -> Iterator[datetime | None]:
        """When each was modified."""
        for part in self._rows:
            yield from part["modified_at"]

    def _made(self, row: tuple[Any, ...]) -> SourceObject:
        address, uri, size_bytes, modified_at, stamp, sidecar_address, said = row
        if address in self._whole:
            return self._whole[address]
        if said is not None and said != self._last[0]:
            self._last = (said, DeclaredMetadata.from_json(said))
        declared = None if said is None else self._last[1]
        return SourceObject(
            address, uri, size_bytes, modified_at, stamp, sidecar_address=sidecar_address, declared=declared
        )


def modification_times(listed: Iterable[SourceObject]) -> Iterator[datetime | None]:
    """When each object was modified; of columns no object is made for it."""
    return listed.modified_at() if isinstance(listed, PackedListing) else (item.modified_at for item in listed)
