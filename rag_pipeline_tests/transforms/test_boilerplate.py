"""What counts as boilerplate of a source, as a pure function of its documents."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.documents import Block, ParsedDocument
from rag_pipeline.contracts.tables import BOILERPLATE
from rag_pipeline.transforms.block_hashes import MIN_WORDS, block_hash, repeatable_hashes
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
        "block_hashes": pl.List(pl.Int64),
    }
    data = [(f"d{at:02}", source, f"{at:02}", key, sorted(hashes)) for at, (source, key, hashes) in enumerate(found)]
    return pl.DataFrame(data, schema=schema, orient="row")


@given(rows)
def test_every_audience_keeps_each_block_exactly_once_or_everywhere(found: list[tuple[str, str, set[int]]]) -> None:
    documents = frame(found)
    boilerplate = find_boilerplate(documents, RULE)
    less = dict(left_out(documents, boilerplate.with_columns(text=pl.lit(""))).iter_rows())
    repeated = set(boilerplate.select("source", "block_hash").iter_rows())
    shown: dict[tuple[str, int, str], int] = {}
    held: dict[tuple[str, int, str], int] = {}
    for name, source, _, key, hashes in documents.iter_rows():
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


def test_case_and_white_space_make_no_difference_but_numbers_do() -> None:
    assert block_hash("All rights are reserved.") == block_hash(" ALL rights\nare   reserved. ")
    assert block_hash("All 2023 rights are reserved.") != block_hash("All 2024 rights are reserved.")
    assert block_hash(" ".join(["word"] * (MIN_WORDS - 1))) is None


def test_data_is_no_boilerplate() -> None:
    text = "state is open since monday"
    kinds = ("paragraph", "list", "quote", "html", "table", "code", "record", "field", "cue", "heading", "definition")
    hashed = [kind for kind in kinds if repeatable_hashes(text, [Block(kind, 0, len(text))])]  # type: ignore[arg-type]
    assert hashed == ["paragraph", "list", "quote", "html"]
    document = ParsedDocument(text, (Block("paragraph", 0, len(text)),))
    assert repeatable_hashes(document.text, document.blocks * 2) == (block_hash(text),)
