"""What an index has to lose: compared row by row with the plainest way to say it."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.ids import digest
from rag_pipeline.transforms.revoke import TAKEN_AWAY, Readers, plan_closing, plan_revocation, readers_as_shown

PRINCIPALS = ("public", "staff", "board")
some_principals = st.lists(st.sampled_from(PRINCIPALS), max_size=4)
audiences = st.frozensets(st.sampled_from(PRINCIPALS))
DOCUMENTS = [f"d{number}" for number in range(6)]
SCHEMA = {
    "chunk_id": pl.String(),
    "document_id": pl.String(),
    "source": pl.String(),
    "uri": pl.String(),
    "allowed_principals": pl.List(pl.String()),
}


def rows_of(shown: list[tuple[str, str, list[str]]]) -> pl.DataFrame:
    """One row a chunk, of (document, source, principals)."""
    return pl.DataFrame(
        [
            {"chunk_id": f"c{n}", "document_id": d, "source": s, "uri": f"{s}/{d}", "allowed_principals": p}
            for n, (d, s, p) in enumerate(shown)
        ],
        schema=SCHEMA,
    )


@given(
    st.lists(st.tuples(st.sampled_from(DOCUMENTS), st.sampled_from(["a", "b", "lost"]), some_principals), max_size=12),
    st.dictionaries(st.sampled_from(["a", "b"]), st.dictionaries(st.sampled_from(DOCUMENTS), audiences)),
)
def test_every_row_keeps_exactly_whom_both_allow(
    shown: list[tuple[str, str, list[str]]], live: dict[str, dict[str, frozenset[str]]]
) -> None:
    # A document stands in one source.
    home = {d: s for d, s, _ in shown}
    shown = [(d, home[d], p) for d, _, p in shown]
    readers = {name: Readers(found, {}) for name, found in live.items()}
    plan = plan_revocation(rows_of(shown), readers)
    narrowed = {name: kept for name, kept in plan.narrowed.select("chunk_id", "allowed_principals").iter_rows()}
    for number, (document, source, principals) in enumerate(shown):
        name = f"c{number}"
        if document not in live.get(source, {}):
            assert name in plan.gone
        else:
            kept = set(principals) & live[source][document]
            assert name not in plan.gone
            assert (name in narrowed) == (kept < set(principals))
            if name in narrowed:
                assert set(narrowed[name]) == kept
    assert set(plan.narrowed["metadata_hash"]) <= {TAKEN_AWAY}
    assert plan.is_empty == (not plan.gone and not narrowed)


def test_a_part_goes_with_the_object_that_it_came_from() -> None:
    part = digest("part", "box", "K-1")[:32]
    rows = pl.DataFrame(
        [
            {
                "chunk_id": "c",
                "document_id": part,
                "source": "a",
                "uri": "a/box.jsonl#K-1",
                "allowed_principals": ["public"],
            }
        ],
        schema=SCHEMA,
    )
    ids = {"a/box.jsonl": ("box",)}
    assert plan_revocation(rows, {"a": Readers({"box": frozenset(["public"])}, ids)}).is_empty
    assert plan_revocation(rows, {"a": Readers({"box": frozenset()}, ids)}).narrowed.height == 1
    assert plan_revocation(rows, {"a": Readers({}, ids)}).gone == ("c",)


def test_closing_leaves_nobody_and_other_rows_alone() -> None:
    rows = rows_of([("d0", "a", ["public"]), ("d1", "a", ["public"]), ("d2", "a", [])])
    plan = plan_closing(rows, {"d0", "c1", "d2"}, {})
    assert plan.gone == ()
    assert sorted(plan.narrowed["chunk_id"]) == ["c0", "c1"]
    assert plan.narrowed["allowed_principals"].list.len().sum() == 0


def test_of_a_source_that_cannot_be_asked_nobody_reads_more_than_bronze_and_readers_have() -> None:
    part = digest("part", "box", "K-1")[:32]
    places = {"d0": "a/d0", "d1": "a/d1", "d2": "a/d2", "gone": "a/gone", part: "a/box.jsonl#K-1"}
    rows = pl.DataFrame({"document_id": list(places), "uri": list(places.values())})
    everybody = frozenset({"public", "board"})
    bronze = Readers(dict.fromkeys(("d0", "d1", "d2", "box"), everybody), {"a/box.jsonl": ("box",)})
    # One row of d1 was closed for its wording, d2 was closed as a whole, and `gone` left bronze.
    published = rows_of(
        [("d1", "a", []), ("d1", "a", ["board", "spy"]), ("d2", "a", []), (part, "a", ["public"]), ("gone", "a", ["x"])]
    )
    found = readers_as_shown(rows, published, bronze)
    nobody: frozenset[str] = frozenset()
    assert found.live == {"d0": nobody, "d1": {"board"}, "d2": nobody, part: {"public"}}
