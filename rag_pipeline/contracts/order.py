"""The order of addresses, in which listings are compared.

Belongs here: what a look at sources needs of it, so that no library of tables is imported to find that nothing changed.
Does not belong here: listings that are held as columns (`listings.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from operator import attrgetter
from typing import Protocol, TypeVar

from rag_pipeline.contracts.sources import SourceObject

# What lists more holds columns, most of them in a file.
FEW_OBJECTS = 10_000


class HasAddress(Protocol):
    @property
    def address(self) -> str: ...


Item = TypeVar("Item", bound=HasAddress)


class InOrder(Sequence[Item]):
    """Values that lie in the order of their addresses already."""


def in_order(items: Iterable[Item]) -> Sequence[Item]:
    """The values in the order of their addresses; equal ones stay in theirs."""
    return items if isinstance(items, InOrder) else sorted(items, key=attrgetter("address"))


def listing_of(objects: Iterable[SourceObject]) -> Sequence[SourceObject]:
    """Objects as they come as a listing by address: values while they are few."""
    left = iter(objects)
    few = list(islice(left, FEW_OBJECTS + 1))
    if len(few) <= FEW_OBJECTS:
        return in_order(few)
    # Only where there are many: a look at a folder needs no library of tables.
    from rag_pipeline.contracts.listings import PackedListing

    return PackedListing.packed(chain(few, left))
