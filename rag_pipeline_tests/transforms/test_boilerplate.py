"""What counts as boilerplate of a source, as a pure function of its documents."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.documents import Block, BlockKind
from rag_pipeline.contracts.tables import BOILERPLATE
from rag_pipeline.transforms.block_hashes import (
    MIN_WORDS,
    block_wording,
    repeatable_hashes,
    section_wordings,
    wording_hash,
)
from rag_pipeline.transforms.boilerplate import BoilerplateRule, find_boilerplate, left_out

RULE = BoilerplateRule(min_documents=3, min_share=0.2)
rows = st.lists(
    st.tuples(st.sampled_from(["docs", "wiki"]), st.sampled_from(["p", "q"]), st.sets(st.integers(0, 5), max_size=4)),
    max_size=30,
)


def frame(found: list[tuple[str, str, set[int]]]) -> pl.DataFrame:
    schema = {
        "document_id": pl.String,
        "source": pl.String,
        "uri": pl.String,
        "principals_key": pl.String,
        "rank_weight": pl.Float64,
        "block_hashes": pl.List(pl.Int64),
    }
    data = [
        (f"d{at:02}", source, f"{at:02}", key, 1.0, sorted(hashes)) for at, (source, key, hashes) in enumerate(found)
    ]
    return pl.DataFrame(data, schema=schema, orient="row")


@given(rows)
def test_every_audience_keeps_each_block_exactly_once_or_everywhere(found: list[tuple[str, str, set[int]]]) -> None:
    documents = frame(found)
    boilerplate = find_boilerplate(documents, RULE)
    less = dict(left_out(documents, boilerplate.with_columns(text=pl.lit(""))).iter_rows())
    repeated = set(boilerplate.select("source", "block_hash").iter_rows())
    shown: dict[tuple[str, int, str], int] = {}
    held: dict[tuple[str, int, str], int] = {}
    for name, source, _, key, _, hashes in documents.iter_rows():
        for hashed in hashes:
            held[source, hashed, key] = held.get((source, hashed, key), 0) + 1
            shown[source, hashed, key] = shown.get((source, hashed, key), 0) + (hashed not in less.get(name, []))
    for place, count in held.items():
        assert shown[place] == (1 if place[:2] in repeated else count)


@given(rows, st.integers(0, 99))
def test_the_order_of_documents_does_not_matter(found: list[tuple[str, str, set[int]]], seed: int) -> None:
    documents = frame(found)
    shuffled = documents.sample(fraction=1, shuffle=True, seed=seed)
    assert find_boilerplate(documents, RULE).equals(find_boilerplate(shuffled, RULE))


def test_both_bounds_have_to_be_passed() -> None:
    few = frame([("docs", "p", {1})] * 2 + [("docs", "p", set())] * 3)
    assert find_boilerplate(few, RULE).is_empty()
    rare = frame([("docs", "p", {1})] * 4 + [("docs", "p", set())] * 16)
    assert find_boilerplate(rare, RULE).is_empty()
    common = frame([("docs", "p", {1})] * 5 + [("docs", "p", set())] * 15)
    assert find_boilerplate(common, RULE)["documents"].to_list() == [5]
    assert find_boilerplate(common, RULE).columns == [name for name in BOILERPLATE.columns if name != "text"]


def test_the_one_that_keeps_it_is_not_one_that_is_ranked_down() -> None:
    documents = frame([("docs", "p", {1})] * 5).with_columns(rank_weight=pl.Series([0.1, 0.1, 1.0, 1.0, 0.1]))
    assert find_boilerplate(documents, RULE)["kept_in"].to_list() == [["d02"]]


def test_many_audiences_cost_no_more_than_they_are() -> None:
    documents = frame([("docs", f"caller {at}", {1, 2}) for at in range(20_000)])
    boilerplate = find_boilerplate(documents, RULE)
    assert boilerplate["kept_in"].list.len().to_list() == [20_000, 20_000]
    # Every audience has one document, which keeps everything. As lists beside every row this would not fit in memory.
    assert left_out(documents, boilerplate.with_columns(text=pl.lit(""))).is_empty()


def hash_of(text: str, kind: BlockKind = "paragraph") -> int | None:
    wording = block_wording(text, Block(kind, 0, len(text)))
    return None if wording is None else wording_hash(wording)


def test_case_and_white_space_make_no_difference_but_numbers_do() -> None:
    assert hash_of("All rights are reserved.") == hash_of(" ALL rights\nare   reserved. ")
    assert hash_of("All 2023 rights are reserved.") != hash_of("All 2024 rights are reserved.")


def test_short_blocks_do_not_count_in_any_script() -> None:
    assert hash_of(" ".join(["word"] * (MIN_WORDS - 1))) is None
    assert hash_of("\u672c\u9875\u9762\u5c5e\u4e8e\u624b\u518c") is None
    assert (
        hash_of("\u672c\u9875\u9762\u5c5e\u4e8e\u6e2f\u53e3\u5de5\u7a0b\u624b\u518c\u7684\u4e00\u90e8\u5206")
        is not None
    )


def test_data_is_no_boilerplate() -> None:
    text = "state is open since monday"
    kinds: list[BlockKind] = ["paragraph", "list", "quote", "html", "table", "code", "record", "field", "cue"]
    kinds += ["heading", "definition"]
    assert [kind for kind in kinds if hash_of(text, kind) is not None] == ["paragraph", "list", "quote", "html"]


def test_a_section_counts_with_all_headings_right_above_it() -> None:
    notice = "Printed copies are not kept up to date."
    one, two = f"# Print\n\n{notice}", f"# Pumps\n\n## Print\n\n{notice}"
    first = (Block("heading", 0, 7, 1, "Print"), Block("paragraph", 9, len(one)))
    second = (
        Block("heading", 0, 7, 1, "Pumps"), Block("heading", 9, 17, 2, "Print"), Block("paragraph", 19, len(two))
    )  # fmt: skip
    assert dict(section_wordings(one, first)) == {0: f"# print\n{notice.casefold()}"}
    assert dict(section_wordings(two, second)) == {9: f"# pumps\n## print\n{notice.casefold()}"}
    assert len(repeatable_hashes(one, first)) == 2
    table = (first[0], Block("table", 9, len(one)))
    assert repeatable_hashes(one, table) == ()
