"""A listing as its source comes by it: values while they are few, columns that lie in a file where they are many.

Belongs here: the choice between the two, so that a look at a small folder needs no library of tables.
Does not belong here: listings that are held as columns (`listings.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice

from rag_pipeline.contracts.order import in_order
from rag_pipeline.contracts.sources import SourceObject

# Some 10 MB of values; columns of fewer save nothing.
FEW_OBJECTS = 10_000


def listing_of(objects: Iterable[SourceObject]) -> Sequence[SourceObject]:
    """Objects in any order as a listing by address."""
    left = iter(objects)
    few = list(islice(left, FEW_OBJECTS + 1))
    if len(few) <= FEW_OBJECTS:
        return in_order(few)
    from rag_pipeline.contracts.listings import PackedListing

    return PackedListing.packed(chain(few, left))
