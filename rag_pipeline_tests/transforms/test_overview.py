"""Figures of silver by source and by media type."""

from __future__ import annotations

import polars as pl

from rag_pipeline.transforms.overview import LEAST_COUNT, Excess, beyond, chunk_overview, source_overview


def test_a_source_that_was_refused_whole_is_shown_too() -> None:
    documents = pl.DataFrame(
        {"document_id": ["a", "b", "c"], "source": ["docs"] * 3, "quality_score": [0.2, 0.8, 1.0]},
    )
    quarantine = pl.DataFrame({"source": ["scans", "scans", "docs"]})
    duplicates = pl.DataFrame({"document_id": ["c"]})
    found = source_overview(documents, quarantine, duplicates, low_score=0.5).to_dicts()
    docs = {"source": "docs", "documents": 3, "quarantined": 1, "duplicates": 1, "low_quality": 1}
    scans = {"source": "scans", "documents": 0, "quarantined": 2, "duplicates": 0, "low_quality": 0}
    assert found == [docs | {"median_quality": 0.8}, scans | {"median_quality": None}]


def test_chunks_are_counted_by_length() -> None:
    chunks = pl.DataFrame(
        {"source": ["a", "a", "b"], "token_count": [4, 40, 20], "is_hard_split": [False, True, False]}
    )
    assert chunk_overview(chunks, short_tokens=20).to_dicts() == [
        {"source": "a", "chunks": 2, "short": 1, "hard_splits": 1, "median_tokens": 22.0},
        {"source": "b", "chunks": 1, "short": 0, "hard_splits": 0, "median_tokens": 20.0},
    ]


def test_a_share_counts_from_a_few_rows_on_and_only_above_its_limit() -> None:
    few = LEAST_COUNT - 1
    rows = [("few", few, few), ("at", 10, 100), ("above", 11, 100), ("all", 50, 50)]
    shares = pl.DataFrame(rows, schema=["source", "count", "total"], orient="row")
    assert beyond(shares, 0.1) == [Excess("all", 50, 50, 1.0), Excess("above", 11, 100, 0.11)]
    assert beyond(shares, 1.0) == []
