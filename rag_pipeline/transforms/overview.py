"""Figures of silver for people, by source and by media type, and which of them are beyond a threshold.

Belongs here: counting and comparing.
Does not belong here: reading tables, or how figures are shown (`defs/`).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

LEAST_COUNT = 5
"""Fewer rows than this are no share of anything: one refused file of three is a file to look at, not a trend."""


def source_overview(
    documents: pl.DataFrame, quarantine: pl.DataFrame, duplicates: pl.DataFrame, *, low_score: float
) -> pl.DataFrame:
    """One row per source: documents, quarantined, duplicates, low_quality (counts) and median_quality.

    Args:
        documents: document_id, source, quality_score of silver/documents.
        quarantine: source of silver/quarantine.
        duplicates: document_id of silver/duplicates.
        low_score: Quality score below which a document counts as of low quality.
    """
    repeated = documents.join(duplicates, on="document_id", how="semi").group_by("source").agg(duplicates=pl.len())
    refused = quarantine.group_by("source").agg(quarantined=pl.len())
    counted = documents.group_by("source").agg(
        documents=pl.len(),
        low_quality=(pl.col("quality_score") < low_score).sum(),
        median_quality=pl.col("quality_score").median(),
    )
    both = counted.join(refused, on="source", how="full", coalesce=True).join(repeated, on="source", how="left")
    counts = [
        pl.col(name).fill_null(0).cast(pl.Int64) for name in ("documents", "quarantined", "duplicates", "low_quality")
    ]
    return both.select("source", *counts, "median_quality").sort("source")


def media_type_overview(documents: pl.DataFrame, quarantine: pl.DataFrame) -> pl.DataFrame:
    """One row per media type: documents, quarantined (counts) and median_quality, most documents first.

    Args:
        documents: media_type, quality_score of silver/documents.
        quarantine: media_type of silver/quarantine; null where nothing was read.
    """
    refused = (
        quarantine.select(pl.col("media_type").fill_null("not read"))
        .group_by("media_type")
        .agg(quarantined=pl.len().cast(pl.Int64))
    )
    counted = documents.group_by("media_type").agg(
        documents=pl.len().cast(pl.Int64), median_quality=pl.col("quality_score").median()
    )
    both = counted.join(refused, on="media_type", how="full", coalesce=True)
    return both.select(
        "media_type", pl.col("documents").fill_null(0), pl.col("quarantined").fill_null(0), "median_quality"
    ).sort(["documents", "media_type"], descending=[True, False])


def chunk_overview(chunks: pl.DataFrame, *, short_tokens: int) -> pl.DataFrame:
    """One row per source: chunks, short, hard_splits (counts) and median_tokens.

    Args:
        chunks: source, token_count, is_hard_split of silver/chunks.
        short_tokens: Tokens below which a chunk counts as short.
    """
    return (
        chunks.group_by("source")
        .agg(
            chunks=pl.len().cast(pl.Int64),
            short=(pl.col("token_count") < short_tokens).sum().cast(pl.Int64),
            hard_splits=pl.col("is_hard_split").sum().cast(pl.Int64),
            median_tokens=pl.col("token_count").median(),
        )
        .sort("source")
    )


@dataclass(frozen=True, slots=True)
class Excess:
    """A source beyond a threshold.

    Attributes:
        share: `count` of `total`.
    """

    source: str
    count: int
    total: int
    share: float


def beyond(shares: pl.DataFrame, limit: float) -> list[Excess]:
    """Sources of which a larger share than `limit` is affected, worst first.

    Args:
        shares: source, count, total.
    """
    wanted = shares.filter((pl.col("count") >= LEAST_COUNT) & (pl.col("count") > limit * pl.col("total")))
    found = [Excess(source, count, total, count / total) for source, count, total in wanted.iter_rows()]
    return sorted(found, key=lambda each: (-each.share, each.source))
