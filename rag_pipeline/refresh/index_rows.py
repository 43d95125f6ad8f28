"""What a row of an index table says, as silver has it.

Belongs here: columns of documents and chunks as one row, without the vector.
Does not belong here: which rows there should be (`transforms/index.py`), writing them (`index.py`).
"""

from __future__ import annotations

import polars as pl

from rag_pipeline.contracts.documents import HEADER_SEPARATOR
from rag_pipeline.contracts.index import ROW_COLUMNS
from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.stores.lake import Lake
from rag_pipeline.transforms.facts import facts_of
from rag_pipeline.transforms.word_forms import forms_of

DOCUMENT_COLUMNS = [
    "document_id",
    "source",
    "uri",
    "title",
    "author",
    "media_type",
    "language",
    "allowed_principals",
    "source_modified_at",
    "rank_weight",
    "quality_score",
    "metadata_hash",
]


def documents_of(lake: Lake, document_ids: pl.Series) -> pl.DataFrame:
    """What rows of the index say of some documents."""
    wanted = pl.col("document_id").is_in(document_ids.unique().implode())
    documents = lake.read(DOCUMENTS, [*DOCUMENT_COLUMNS, "metadata", "declared", "enriched"], where=wanted)
    facts = [facts_of(*row) for row in documents.select("metadata", "declared", "enriched").iter_rows()]
    return documents.drop("metadata", "declared", "enriched").with_columns(
        facts=pl.Series(facts, dtype=pl.List(pl.String))
    )


def shaped(chunks: pl.DataFrame, documents: pl.DataFrame) -> pl.DataFrame:
    """Index rows without vectors, of rows of silver/chunks and what `documents_of` gives."""
    has_header = pl.col("header") != ""
    separator = pl.when(has_header).then(pl.lit(HEADER_SEPARATOR)).otherwise(pl.lit(""))
    rows = chunks.join(documents, on="document_id").with_columns(
        embedded_text=pl.concat_str("header", separator, "text"),
        header_chars=pl.col("header").str.len_chars() + separator.str.len_chars(),
    )
    forms = [forms_of(*row) for row in rows.select("embedded_text", "language").iter_rows()]
    rows = rows.with_columns(pl.col("header_chars").cast(pl.Int64), word_forms=pl.Series(forms, dtype=pl.String))
    return rows.select(list(ROW_COLUMNS))
