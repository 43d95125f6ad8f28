"""Which passages questions are made from: a sample that is the same each time, and that no large source fills.

Belongs here: strata, and the order in which passages are taken.
Does not belong here: reading the index (`refresh/questions.py`), writing questions (`templates.py`).

Passages are taken in turn: from each source one, within a source from each stratum one, within a stratum from each
document one. So a source of ten pages has as many questions as one of ten thousand, until it has no more to give.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from rag_pipeline.contracts.ids import digest

COLUMNS = ["chunk_id", "document_id", "source", "language", "position", "source_modified_at"]
STRATA = ("language", "length", "place", "age")
# A page, an article and a book are asked differently.
_SHORT_CHUNKS = 1
_MIDDLE_CHUNKS = 5
# Old, middle and new: thirds of what there is.
_AGES = 3


def with_strata(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `COLUMNS` with what each stands for: length of its document, place in it, and age against the others."""
    chunks = pl.len().over("document_id")
    last = pl.col("position").max().over("document_id")
    newest = pl.col("source_modified_at").rank("dense")
    return rows.with_columns(
        language=pl.col("language").fill_null(""),
        length=pl.when(chunks <= _SHORT_CHUNKS)
        .then(pl.lit("one"))
        .when(chunks <= _MIDDLE_CHUNKS)
        .then(pl.lit("few"))
        .otherwise(pl.lit("many")),
        place=pl.when(pl.col("position") == 0)
        .then(pl.lit("first"))
        .when(pl.col("position") == last)
        .then(pl.lit("last"))
        .otherwise(pl.lit("middle")),
        # Times that are equal are of one age, wherever the border falls.
        age=((newest - 1) * _AGES // newest.max().clip(1)).cast(pl.Int64).cast(pl.String).fill_null("unknown"),
    )


def sampled(rows: pl.DataFrame, count: int, seed: str = "") -> list[str]:
    """Ids of at most `count` chunks, in the order in which questions are made from them.

    Args:
        rows: All that may be asked about, `COLUMNS`, in any order.
        seed: Another one gives another sample.
    """
    if rows.is_empty():
        return []
    order = pl.Series("order", [_place(chunk, seed) for chunk in rows["chunk_id"]])
    by_hash = with_strata(rows).with_columns(order).sort("order")
    stratum = ["source", *STRATA]
    taken = (
        by_hash.with_columns(of_document=pl.int_range(pl.len()).over("document_id"))
        .sort("of_document", "order")
        .with_columns(of_stratum=pl.int_range(pl.len()).over(stratum))
        .sort("of_stratum", "of_document", "order")
        .with_columns(of_source=pl.int_range(pl.len()).over("source"))
        .sort("of_source", "source")
    )
    return list(taken["chunk_id"].head(count))


def by_digest(chunk_ids: Iterable[str], seed: str = "") -> list[str]:
    """Chunks in an order that says nothing of them, the same each time: its beginning stands for all of them."""
    return sorted(chunk_ids, key=lambda chunk: _place(chunk, seed))


def _place(chunk_id: str, seed: str) -> str:
    return digest("sample", seed, chunk_id)
