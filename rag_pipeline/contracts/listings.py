"""Listings that are held as columns: a million objects would take half a gigabyte as values of Python.

Belongs here: sequences by address whose values are made when they are looked at.
Does not belong here: what a listing means (`transforms/listing.py`), where it comes from (`sources/`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from copy import copy
from datetime import datetime
from typing import Any, Self, overload

import polars as pl

from rag_pipeline.contracts.order import InOrder, Item
from rag_pipeline.contracts.sources import DeclaredMetadata, SourceObject

# Rows that are values of Python at once; more make nothing faster.
PART_ROWS = 10_000


class ByAddress(InOrder[Item]):
    """Values in the order of their addresses, each made of a row when it is looked at.

    Args:
        rows: With a column `address`, in any order; taken over, and empty afterwards.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, rows: pl.DataFrame) -> None:
        order = rows.select(pl.arg_sort_by("address", maintain_order=True)).to_series()
        self._rows = gathered(rows, order)

    @abstractmethod
    def _made(self, row: tuple[Any, ...]) -> Item:
        """The value of a row."""

    def __len__(self) -> int:
        return self._rows.height

    def __iter__(self) -> Iterator[Item]:
        for start in range(0, self._rows.height, PART_ROWS):
            yield from map(self._made, self._rows.slice(start, PART_ROWS).iter_rows())

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
        wanted = pl.Series(sorted(set(addresses)), dtype=pl.String)
        return [self[place] for place in self._rows["address"].is_in(wanted.implode()).arg_true()]

    def columns(self) -> pl.DataFrame:
        """The rows, in the order of the values."""
        return self._rows

    def part(self, places: pl.Series) -> Self:
        """The values at rising places."""
        if len(places) == len(self):
            return self
        found = copy(self)
        found._rows = self._rows[places]
        return found

    @property
    def doubled(self) -> str | None:
        """The first address that two values have."""
        addresses = self._rows["address"]
        twice = addresses.filter(addresses == addresses.shift(1))
        return None if twice.is_empty() else str(twice[0])


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

    def __init__(self, rows: pl.DataFrame, whole: dict[str, SourceObject]) -> None:
        super().__init__(rows)
        # Those with a problem or with bytes, which no column holds.
        self._whole = whole
        self._last: tuple[str, DeclaredMetadata | None] = ("", None)

    @classmethod
    def packed(cls, objects: Iterable[SourceObject]) -> Self:
        """Take objects in any order, a few at a time."""
        whole: dict[str, SourceObject] = {}
        parts = [cls._SCHEMA.to_frame()]
        rows: list[tuple[Any, ...]] = []
        for item in objects:
            if item.problem is not None or item.raw is not None or item.read is not None:
                whole[item.address] = item
            said = None if item.declared is None else item.declared.to_json()
            rows.append(
                (item.address, item.uri, item.size_bytes, item.modified_at, item.stamp, item.sidecar_address, said)
            )
            if len(rows) == PART_ROWS:
                parts.append(pl.DataFrame(rows, cls._SCHEMA, orient="row"))
                rows = []
        parts.append(pl.DataFrame(rows, cls._SCHEMA, orient="row"))
        return cls(pl.concat(parts, rechunk=False), whole)

    @property
    def whole(self) -> Collection[str]:
        """Addresses of objects of which columns do not tell all."""
        return self._whole.keys()

    def modified_at(self) -> Iterator[datetime | None]:
        """When each was modified."""
        return iter(self._rows["modified_at"])

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


def gathered(rows: pl.DataFrame, places: pl.Series) -> pl.DataFrame:
    """Some rows of a frame, which is empty afterwards: at no moment is more than one column there twice."""
    return pl.DataFrame({name: rows.drop_in_place(name).gather(places) for name in rows.columns})
