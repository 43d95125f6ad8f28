"""A listing against what bronze knows: what is unchanged, fetched, moved and gone, and who may read what is held."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.listings import PackedListing
from rag_pipeline.contracts.sources import DeclaredMetadata, PermissionRule, SourceObject, SourceSpec
from rag_pipeline.errors import DocumentUnreadable
from rag_pipeline.transforms.listing import (
    KnownObject,
    changed_settings,
    held_permissions,
    match_moves,
    metadata_of,
    plan_listing,
)

WRITTEN_AT = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = SourceSpec("docs", "docs", allowed_principals=("public",))
STAFF_ONLY = replace(SPEC, permission_rules=(PermissionRule("a.md", ("staff",)),))


def listed(address: str, stamp: str = "1") -> SourceObject:
    return SourceObject(address, f"docs/{address}", 3, WRITTEN_AT, stamp)


def known(
    address: str, stamp: str = "1", bytes_hash: str = "h", declared: DeclaredMetadata | None = None
) -> KnownObject:
    said = declared or DeclaredMetadata()
    return KnownObject(
        document_id=f"id of {address}",
        revision=4,
        change="added",
        address=address,
        uri=f"docs/{address}",
        bytes_hash=bytes_hash,
        bytes_batch=2,
        media_type="text/markdown",
        size_bytes=3,
        declared=said,
        metadata_hash=metadata_of(listed(address), said, SPEC)["metadata_hash"],
        stamp=stamp,
        problem_code=None,
        source_modified_at=said.modified_at or WRITTEN_AT,
        observed_at=WRITTEN_AT + timedelta(days=1),
    )


names = st.sets(st.sampled_from([f"{letter}.md" for letter in "abcdefgh"]))


@given(names, names)
def test_every_known_and_every_listed_object_is_planned_once(before: set[str], now: set[str]) -> None:
    plan = plan_listing([known(name) for name in before], [listed(name) for name in sorted(now)])
    assert {item.address for item, _ in plan.unchanged} == before & now
    assert {item.address for _, item in plan.to_fetch} == now - before
    assert {item.address for item in plan.vanished} == before - now


@given(
    before=st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["1", "2"]), st.booleans()), max_size=8),
    now=st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["1", "2"])), max_size=8),
    is_packed=st.booleans(),
)
def test_a_plan_is_what_looking_up_each_address_gives(
    before: list[tuple[str, str, bool]], now: list[tuple[str, str]], is_packed: bool
) -> None:
    """Also where an address stands twice, which no source should give, and in whatever order things come."""
    rows = [replace(known(name, stamp), change="added" if lives else "deleted") for name, stamp, lives in before]
    items = [listed(name, stamp) for name, stamp in now]
    plan = plan_listing(rows, PackedListing.packed(items) if is_packed else items)
    at_address = {row.address: row for row in rows if row.is_live}
    wanted = [(at_address.pop(item.address, None), item) for item in sorted(items, key=lambda item: item.address)]
    settled = [row is not None and row.stamp == item.stamp for row, item in wanted]
    assert plan.unchanged == [pair for pair, is_settled in zip(wanted, settled, strict=True) if is_settled]
    assert plan.to_fetch == [pair for pair, is_settled in zip(wanted, settled, strict=True) if not is_settled]
    assert plan.vanished == tuple(sorted(at_address.values(), key=lambda row: row.address))
    assert plan.unchanged_readable_count == len(plan.unchanged) == sum(settled)


def test_what_could_not_be_read_is_tried_every_time() -> None:
    broken = replace(known("a.md"), problem_code=DocumentUnreadable.code)
    assert plan_listing([broken], [listed("a.md")]).to_fetch == ((broken, listed("a.md")),)


def test_a_stamp_taken_within_the_tick_of_a_clock_is_not_trusted() -> None:
    racy = replace(known("a.md"), observed_at=WRITTEN_AT + timedelta(seconds=1))
    assert plan_listing([racy], [listed("a.md")]).unchanged == ()
    # The clock of the source may be ahead by minutes; what is further ahead is no time of writing.
    ahead = replace(known("a.md"), observed_at=WRITTEN_AT - timedelta(minutes=4))
    assert plan_listing([ahead], [listed("a.md")]).unchanged == ()
    future = replace(known("a.md"), observed_at=WRITTEN_AT - timedelta(days=300))
    assert plan_listing([future], [listed("a.md")]).to_fetch == ()


def test_moves_are_paired_by_bytes_and_then_by_name() -> None:
    gone = [known("x/a.md"), known("x/b.md"), known("x/c.md", bytes_hash="other")]
    moves = match_moves(gone, {"y/b.md": "h", "y/a.md": "h", "y/z.md": "h"})
    assert {new: old.address for new, old in moves.items()} == {"y/a.md": "x/a.md", "y/b.md": "x/b.md"}


def test_settings_reach_what_was_not_touched_and_what_is_held_back_alike() -> None:
    touched = changed_settings([(known("a.md"), listed("a.md")), (known("b.md"), listed("b.md"))], STAFF_ONLY)
    held = held_permissions([known("a.md"), known("b.md")], STAFF_ONLY, {})
    for rows in (touched, held):
        assert [(row["address"], row["allowed_principals"]) for row in rows] == [("a.md", ["staff"])]
        assert (rows[0]["revision"], rows[0]["change"], rows[0]["bytes_hash"]) == (5, "metadata_changed", "h")
    assert touched[0]["metadata_hash"] == held[0]["metadata_hash"]


def test_what_a_held_document_declared_is_kept() -> None:
    said = DeclaredMetadata(title="Plan", allowed_principals=("board",), modified_at=WRITTEN_AT - timedelta(days=9))
    assert held_permissions([known("a.md", declared=said)], SPEC, {}) == []
    assert held_permissions([known("a.md", declared=said)], STAFF_ONLY, {}) == []


def test_a_held_document_that_comes_back_is_read_again() -> None:
    row = held_permissions([known("a.md")], STAFF_ONLY, {})[0]
    back = replace(known("a.md"), stamp=row["stamp"])
    assert plan_listing([back], [listed("a.md")]).unchanged == ()
