"""A listing held as columns is the listing, and holds no object."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.large_listings import FEW_OBJECTS, listing_of
from rag_pipeline.contracts.listings import PART_ROWS, PackedListing, modification_times
from rag_pipeline.contracts.order import in_order
from rag_pipeline.contracts.sources import DeclaredMetadata, SourceObject
from rag_pipeline.errors import DocumentTooLarge

moments = st.none() | st.datetimes(timezones=st.just(UTC))
said = st.builds(
    DeclaredMetadata,
    title=st.none() | st.text(min_size=1),
    allowed_principals=st.none() | st.lists(st.text()).map(tuple),
    modified_at=moments,
    extra=st.dictionaries(st.text(), st.text(), max_size=2),
)
objects = st.builds(
    SourceObject,
    address=st.text(st.characters(exclude_categories=("Cs",)), min_size=1),
    uri=st.text(st.characters(exclude_categories=("Cs",))),
    size_bytes=st.none() | st.integers(0, 2**40),
    modified_at=moments,
    stamp=st.text(st.characters(exclude_categories=("Cs",))),
    problem=st.none() | st.just(DocumentTooLarge("too large")),
    sidecar_address=st.none() | st.just("a.yaml"),
    declared=st.none() | said,
    raw=st.none() | st.binary(max_size=3),
)


def shown(items: Sequence[SourceObject]) -> list[tuple[object, ...]]:
    """Problems are no part of whether objects are equal."""
    return [(item, item.problem and item.problem.code, item.declared) for item in items]


@given(st.lists(objects, unique_by=lambda item: item.address))
def test_a_packed_listing_is_the_objects_by_address(found: list[SourceObject]) -> None:
    packed = PackedListing.packed(found)
    assert shown(packed) == shown([packed[place] for place in range(len(packed))]) == shown(in_order(found))
    assert packed == in_order(found)
    assert list(modification_times(packed)) == list(modification_times(in_order(found)))
    assert packed.doubled is None
    assert shown(packed.of(item.address for item in found[:2])) == shown(in_order(found[:2]))


def test_an_address_that_two_objects_have_is_told() -> None:
    one = SourceObject("a", "a", None, None, "1")
    assert (
        PackedListing.packed([one, replace(one, address="b"), replace(one, address="c", stamp="2"), one]).doubled == "a"
    )


def test_a_packed_listing_holds_no_object() -> None:
    packed = PackedListing.packed(SourceObject(str(n), f"x:{n}", None, None, str(n)) for n in range(PART_ROWS + 5))
    assert len(packed) == PART_ROWS + 5
    assert not any(isinstance(each, SourceObject) for each in gc.get_referents(packed, *gc.get_referents(packed)))
    assert [item.address for item in packed] == sorted(map(str, range(PART_ROWS + 5)))


def test_a_listing_is_values_while_they_are_few_and_columns_then() -> None:
    for count in (2, FEW_OBJECTS, FEW_OBJECTS + 1):
        made = [SourceObject(str(n), f"x:{n}", None, None, str(n)) for n in range(count)]
        found = listing_of(iter(made))
        assert isinstance(found, PackedListing) == (count > FEW_OBJECTS)
        assert list(found) == list(in_order(made))
