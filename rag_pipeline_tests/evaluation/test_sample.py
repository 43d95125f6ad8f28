"""The passages that questions are made from: the same each time, and of every kind that there is."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import polars as pl

from rag_pipeline.evaluation.sample import COLUMNS, STRATA, sampled, with_strata

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def rows() -> pl.DataFrame:
    """A large source of long documents, and a small one of single chunks in another language."""
    found = []
    for document in range(60):
        for position in range(12):
            at = DAY + timedelta(days=document)
            found.append((f"big-{document}-{position}", f"big-{document}", "big", "en", position, at))
    for document in range(8):
        found.append((f"small-{document}", f"small-{document}", "small", "de" if document % 2 else None, 0, None))
    return pl.DataFrame(found, schema=COLUMNS, orient="row")


def test_a_small_source_is_asked_about_as_much_as_a_large_one_until_it_is_used_up() -> None:
    taken = sampled(rows(), 12)
    assert Counter(name.split("-")[0] for name in taken) == {"big": 6, "small": 6}
    all_taken = sampled(rows(), 40)
    assert Counter(name.split("-")[0] for name in all_taken) == {"big": 32, "small": 8}


def test_every_stratum_is_taken_before_any_is_taken_twice_and_no_document_twice() -> None:
    strata = with_strata(rows())
    kinds = strata.select("source", *STRATA).unique()
    taken = strata.filter(pl.col("chunk_id").is_in(sampled(rows(), 2 * kinds.height)))
    assert taken.select("source", *STRATA).unique().height == kinds.height
    assert taken["document_id"].n_unique() >= taken.height - 1
    assert set(taken["place"]) == {"first", "middle", "last"}
    assert set(taken["age"]) == {"0", "1", "2", "unknown"}


def test_order_of_the_rows_does_not_count_and_the_seed_does() -> None:
    assert sampled(rows(), 30) == sampled(rows().reverse(), 30)
    assert sampled(rows(), 30) != sampled(rows(), 30, "other")
    # More of them begins with the same ones.
    assert sampled(rows(), 60)[:30] == sampled(rows(), 30)


def test_nothing_to_ask_about_gives_nothing() -> None:
    assert sampled(rows().clear(), 10) == []
    assert sampled(rows().head(1), 10) == ["big-0-0"]
