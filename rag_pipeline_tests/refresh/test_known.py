"""What columns tell of a listing is what its values tell, and of rows that are as before no value is made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts import put_away
from rag_pipeline.contracts.listings import PackedListing
from rag_pipeline.contracts.sources import DeclaredMetadata, PermissionRule, SourceObject, SourceSpec
from rag_pipeline.contracts.tables import BRONZE
from rag_pipeline.errors import DocumentTooLarge
from rag_pipeline.refresh.known import KNOWN_COLUMNS, KnownObjects, planned
from rag_pipeline.stores import lake as lakes_module
from rag_pipeline.stores.lake import Lake
from rag_pipeline.transforms.listing import changed_settings, metadata_of, plan_listing, unlisted_settings

SEEN_AT = datetime(2026, 1, 1, tzinfo=UTC)
OPEN = SourceSpec("docs", "docs", kind="sql", allowed_principals=("public",))
RULED = replace(OPEN, permission_rules=(PermissionRule("a*", ("staff",)), PermissionRule("é", ())))
OURS = replace(OPEN, allowed_principals=("board", "staff"))
specs = st.sampled_from([OPEN, RULED, OURS])
# In Python's order and in that of bytes alike, beyond the first plane of Unicode too.
addresses = st.sampled_from(["a", "a\0", "ab", "b", "é", "\ue000", "\U0001f600"])
said = st.builds(
    DeclaredMetadata,
    title=st.sampled_from([None, '"allowed_principals"', "Lamp"]),
    allowed_principals=st.sampled_from([None, (), ("ann",), ("board", "staff")]),
    modified_at=st.sampled_from([None, SEEN_AT]),
    link_target=st.sampled_from([None, None, "a"]),
    link_target_principals=st.sampled_from([None, ("ann",)]),
)
listed = st.builds(
    SourceObject,
    address=addresses,
    uri=st.sampled_from(["x:1", "x:1", "x:2"]),
    size_bytes=st.none(),
    modified_at=st.sampled_from([None, SEEN_AT - timedelta(days=1), SEEN_AT - timedelta(seconds=1)]),
    stamp=st.sampled_from(["1", "1", "2"]),
    problem=st.sampled_from([None, None, DocumentTooLarge("too large")]),
    declared=st.none() | said,
)
listings = st.lists(listed, max_size=7, unique_by=lambda item: item.address)


def row_of(number: int, item: SourceObject, spec: SourceSpec, change: str) -> dict[str, Any]:
    """As bronze holds it once it was read."""
    metadata = metadata_of(item, item.declared or DeclaredMetadata(), spec)
    code = None if item.problem is None else item.problem.code
    return {
        **{"document_id": f"d{number}", "revision": number, "change": change, "address": item.address},
        **{"bytes_hash": "h", "bytes_batch": 0, "media_type": "text/plain", "size_bytes": 3, "problem_code": code},
        **{"stamp": item.stamp, "observed_at": SEEN_AT, "batch": 0, "run_id": "r"},
        **metadata,
    }


def known_of(rows: list[dict[str, Any]]) -> KnownObjects:
    return KnownObjects.of_state([BRONZE.frame(rows)])


@st.composite
def lakes(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[SourceObject], SourceSpec]:
    """Rows of bronze, a listing of mostly the same objects, and the settings of now."""
    before, before_spec = draw(listings), draw(specs)
    rows = [
        row_of(number, item, before_spec, draw(st.sampled_from(["added", "added", "deleted"])))
        for number, item in enumerate([*before, *draw(st.lists(listed, max_size=2))])
    ]
    others = {item.address: item for item in draw(listings)}
    now = {item.address: draw(st.sampled_from([item, item, others.get(item.address, item)])) for item in before}
    return rows, [*(others | now).values()], draw(specs)


@given(lakes(), st.sampled_from([1, 400, put_away.PART_BYTES]))
def test_a_plan_by_columns_says_what_one_by_values_says(
    lake: tuple[list[dict[str, Any]], list[SourceObject], SourceSpec], part_bytes: int
) -> None:
    rows, items, spec = lake
    wanted = plan_listing(list(known_of(rows)), items)
    with pytest.MonkeyPatch.context() as patch:
        # All but a row or two of either side lies on the disk.
        patch.setattr(put_away, "PART_BYTES", part_bytes)
        found = planned(known_of(rows), PackedListing.packed(items), spec)
    assert changed_settings(found.unchanged, spec) == changed_settings(wanted.unchanged, spec)
    assert (found.to_fetch, found.vanished) == (wanted.to_fetch, wanted.vanished)
    assert found.unchanged_readable_count == wanted.unchanged_readable_count
    assert found.unreadable_count == len(wanted.unchanged) - wanted.unchanged_readable_count


@given(lakes())
def test_readers_by_columns_are_those_by_values(
    lake: tuple[list[dict[str, Any]], list[SourceObject], SourceSpec],
) -> None:
    rows, _, spec = lake
    known = known_of(rows)
    live = [item for item in known if item.is_live]
    assert unlisted_settings(known.read_by_others(spec), spec) == unlisted_settings(live, spec)
    assert list(known.dead) == [item for item in known if not item.is_live]
    assert known.live_ids == {item.document_id for item in live}
    assert list(known.without({"a", "x"})) == [item for item in live if item.address != "a"]
    assert {item.declared.link_target for item in known.links} >= {item.declared.link_target for item in live} - {None}


def test_bronze_in_parts_is_bronze_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, table = Lake(str(tmp_path)), BRONZE.of("docs")
    assert list(KnownObjects.of_state(lake.bronze_parts("docs", KNOWN_COLUMNS))) == []
    assert lake.last_batch("docs") == -1
    draw = Random(7)
    revisions: dict[str, int] = {}
    for batch in range(6):
        rows = []
        for number in draw.sample(range(40), 20):
            item = SourceObject(f"a{number % 30}", f"x:{number}", None, None, str(batch), declared=DeclaredMetadata())
            row = row_of(number, item, OPEN, draw.choice(["added", "modified", "deleted"]))
            revisions[row["document_id"]] = revision = revisions.get(row["document_id"], -1) + 1
            rows.append(row | {"revision": revision, "batch": batch, "bytes_batch": batch})
        lake.append(table, BRONZE.frame(rows))
    whole = KnownObjects.of_state([lake.bronze_state("docs")])
    monkeypatch.setattr(put_away, "PART_BYTES", 2_000)
    monkeypatch.setattr(lakes_module, "PART_BYTES", 2_000)
    monkeypatch.setattr(lakes_module, "FEW_ROWS", 0)
    parts = list(lake.bronze_parts("docs", KNOWN_COLUMNS))
    assert len(parts) > 3
    found = KnownObjects.of_state(parts)
    assert list(found) == list(whole)
    assert len(found) == len(revisions)
    assert found.live_ids == whole.live_ids
    assert lake.last_batch("docs") == 5


@pytest.mark.parametrize("spec", [OPEN, RULED, OURS])
def test_of_rows_that_are_as_before_no_value_is_made(spec: SourceSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [SourceObject(f"a{number}", "x:1", None, None, "1", declared=DeclaredMetadata()) for number in range(90)]
    known, now = known_of([row_of(at, item, spec, "added") for at, item in enumerate(items)]), items[:]
    now[7] = replace(items[7], stamp="2")
    packed = PackedListing.packed(now)
    made: list[tuple[Any, ...]] = []
    for each in (KnownObjects, PackedListing):
        makes = each._made
        monkeypatch.setattr(each, "_made", lambda self, row, makes=makes: made.append(row) or makes(self, row))
    plan = planned(known, packed, spec)
    assert [item.address for _, item in plan.to_fetch] == ["a7"]
    assert (len(plan.unchanged), plan.same_count, plan.unchanged_readable_count) == (0, 89, 89)
    assert {row[0] if "x:1" in row[:2] else row[3] for row in made} == {"a7"}
