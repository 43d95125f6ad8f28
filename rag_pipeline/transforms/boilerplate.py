"""Text that repeats across the documents of a source, and where it is left out of the index.

Belongs here: when a block is boilerplate, and in which document it stays.
Does not belong here: hashes of blocks (`block_hashes.py`), reading tables (`refresh/boilerplate.py`), cutting around
what is left out (`chunk/omission.py`).

A licence paragraph or a row of links under every page is found once for every page and says nothing about any. It is
left out of all documents but one of each audience, so everyone who may read the text still finds it once. What is
boilerplate follows from the documents there are now and from nothing that was before. A block here is a block of a
document, or a whole section of such blocks with its heading.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.tables import BOILERPLATE
from rag_pipeline.transforms.chunk import omission


@dataclass(frozen=True, slots=True)
class BoilerplateRule:
    """When a block counts as boilerplate: in at least so many documents of its source, and in more than this share."""

    min_documents: int
    min_share: float


def find_boilerplate(documents: pl.DataFrame, rule: BoilerplateRule) -> pl.DataFrame:
    """Blocks that repeat across a source.

    Args:
        documents: document_id, source, uri, principals_key, rank_weight, block_hashes of the documents that are
            indexed, so that copies of one document do not make boilerplate of its text.

    Returns:
        source, block_hash, documents, of_documents, kept_in: the documents that keep the block, for each set of
        principals the first by address among those that are not ranked down.
    """
    counted = [_repeated(source, part["block_hashes"], rule) for (source,), part in documents.group_by("source")]
    repeated = pl.concat([BOILERPLATE.empty().select("source", "block_hash", "documents", "of_documents"), *counted])
    if repeated.is_empty():
        return BOILERPLATE.empty().drop("text")
    first = (
        _holding(documents, repeated)
        .sort(["rank_weight", "uri", "document_id"], descending=[True, False, False])
        .group_by("source", "block_hash", "principals_key", maintain_order=True)
        .agg(pl.col("document_id").first())
        .group_by("source", "block_hash")
        .agg(kept_in=pl.col("document_id").sort())
    )
    found = repeated.join(first, on=["source", "block_hash"]).sort("source", "block_hash")
    return found.select([name for name in BOILERPLATE.columns if name != "text"])


def _repeated(source: object, block_hashes: pl.Series, rule: BoilerplateRule) -> pl.DataFrame:
    """source, block_hash, documents and of_documents of what repeats in one source.

    Counted on the bare numbers: with what else is known of every block of a lake it would take gigabytes.
    """
    hashes = block_hashes.explode().drop_nulls().to_numpy()
    found, counts = np.unique(hashes, return_counts=True)
    repeats = (counts >= rule.min_documents) & (counts > rule.min_share * len(block_hashes))
    frame = pl.DataFrame({"block_hash": found[repeats], "documents": counts[repeats]})
    return frame.select(
        pl.lit(source, pl.String).alias("source"),
        pl.col("block_hash").cast(pl.Int64),
        pl.col("documents").cast(pl.Int64),
        of_documents=pl.lit(len(block_hashes), pl.Int64),
    )


def _holding(documents: pl.DataFrame, boilerplate: pl.DataFrame) -> pl.DataFrame:
    """Documents with one row for each of their blocks that `boilerplate` names, block_hash in place of block_hashes."""
    sources = boilerplate["source"].unique().implode()
    numbered = documents.filter(pl.col("source").is_in(sources)).with_row_index("row")
    wanted = boilerplate["block_hash"].unique().implode()
    blocks = numbered.select("row", block_hash="block_hashes").explode("block_hash")
    blocks = blocks.filter(pl.col("block_hash").is_in(wanted))
    both = blocks.join(numbered.drop("block_hashes"), on="row").drop("row")
    return both.join(boilerplate.select("source", "block_hash"), on=["source", "block_hash"], how="semi")


def left_out(documents: pl.DataFrame, boilerplate: pl.DataFrame) -> pl.DataFrame:
    """document_id and left_out, the ascending hashes of its boilerplate, of documents that lose some.

    Args:
        documents: document_id, source, block_hashes.
        boilerplate: silver/boilerplate.
    """
    kept = boilerplate.select("source", "block_hash", document_id="kept_in").explode("document_id")
    found = _holding(documents, boilerplate).join(kept, on=["source", "block_hash", "document_id"], how="anti")
    return found.group_by("document_id").agg(left_out=pl.col("block_hash").sort())


def with_left_out(documents: pl.DataFrame, boilerplate: pl.DataFrame) -> pl.DataFrame:
    """Documents with left_out (see there; null: nothing) and left_out_hash, its digest, in place of block_hashes."""
    both = documents.drop("block_hashes").join(left_out(documents, boilerplate), on="document_id", how="left")

    @cache
    def digest_of(hashes: tuple[int, ...]) -> str:
        return digest("left out", omission.VERSION, *map(str, hashes))[:32]

    digests = ["" if hashes is None else digest_of(tuple(hashes)) for hashes in both["left_out"].to_list()]
    return both.with_columns(left_out_hash=pl.Series(digests, dtype=pl.String))
