"""Checks that compare figures of silver with the thresholds of pipeline.yaml, source by source.

Belongs here: which figure is compared with which threshold, and what to say.
Does not belong here: promises that must hold (`checks.py`), counting (`transforms/overview.py`).

None of them blocks: a figure that is out of bounds is for a person to look at, and readers lose nothing by it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg
import polars as pl

from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS, DUPLICATES, QUARANTINE
from rag_pipeline.defs.describe import rows_table
from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.defs.specs import CHUNKS_KEY, DOCUMENTS_KEY, DUPLICATES_KEY, QUARANTINE_KEY
from rag_pipeline.defs.words import quarantine_table
from rag_pipeline.settings.sections import ThresholdSettings
from rag_pipeline.stores.lake import CHUNKS_PATH, DOCUMENTS_PATH, DUPLICATES_PATH, QUARANTINE_PATH, Lake
from rag_pipeline.transforms.overview import beyond, chunk_overview, source_overview


@dataclass(frozen=True)
class _Threshold:
    """One share per source and its limit.

    Attributes:
        setting: Name in `thresholds` of pipeline.yaml.
        shares: source, count, total.
        what: What was counted, for the message.
    """

    asset: dg.AssetKey
    name: str
    setting: str
    description: str
    shares: Callable[[Lake, ThresholdSettings], pl.DataFrame]
    what: str
    next_step: str


def _documents(lake: Lake, thresholds: ThresholdSettings) -> pl.DataFrame:
    return source_overview(
        lake.read(DOCUMENTS_PATH, DOCUMENTS, ["document_id", "source", "quality_score"]),
        lake.read(QUARANTINE_PATH, QUARANTINE, ["source"]),
        lake.read(DUPLICATES_PATH, DUPLICATES, ["document_id"]),
        low_score=thresholds.low_quality_score,
    )


def _quarantined(lake: Lake, thresholds: ThresholdSettings) -> pl.DataFrame:
    total = pl.col("documents") + pl.col("quarantined")
    return _documents(lake, thresholds).select("source", count="quarantined", total=total)


def _low_quality(lake: Lake, thresholds: ThresholdSettings) -> pl.DataFrame:
    return _documents(lake, thresholds).select("source", count="low_quality", total="documents")


def _repeated(lake: Lake, thresholds: ThresholdSettings) -> pl.DataFrame:
    return _documents(lake, thresholds).select("source", count="duplicates", total="documents")


def _chunks(lake: Lake, thresholds: ThresholdSettings) -> pl.DataFrame:
    chunks = lake.read(CHUNKS_PATH, CHUNKS, ["document_id", "token_count", "is_hard_split"])
    sources = lake.read(DOCUMENTS_PATH, DOCUMENTS, ["document_id", "source"])
    return chunk_overview(chunks.join(sources, on="document_id"), short_tokens=thresholds.short_chunk_tokens)


def _short(lake: Lake, thresholds: ThresholdSettings) -> pl.DataFrame:
    return _chunks(lake, thresholds).select("source", count="short", total="chunks")


def _hard_split(lake: Lake, thresholds: ThresholdSettings) -> pl.DataFrame:
    return _chunks(lake, thresholds).select("source", count="hard_splits", total="chunks")


_THRESHOLDS = (
    _Threshold(
        QUARANTINE_KEY,
        "quarantine_is_small",
        "max_quarantined_share",
        "Of no source were more objects refused than the threshold allows.",
        _quarantined,
        "objects are in quarantine",
        "rag-pipeline quarantine list",
    ),
    _Threshold(
        DOCUMENTS_KEY,
        "quality_is_good",
        "max_low_quality_share",
        "Of no source do more documents score below low_quality_score than the threshold allows.",
        _low_quality,
        "documents are of low quality",
        'rag-pipeline sql "SELECT uri, quality_score, quality FROM silver.documents ORDER BY quality_score LIMIT 20"',
    ),
    _Threshold(
        DUPLICATES_KEY,
        "duplicates_are_few",
        "max_duplicate_share",
        "Of no source are more documents left out as duplicates than the threshold allows.",
        _repeated,
        "documents are duplicates",
        'rag-pipeline sql "SELECT * FROM silver.duplicates LIMIT 20"',
    ),
    _Threshold(
        CHUNKS_KEY,
        "few_chunks_are_short",
        "max_short_chunk_share",
        "Of no source are more chunks shorter than short_chunk_tokens than the threshold allows.",
        _short,
        "chunks are short",
        'rag-pipeline sql "SELECT uri, token_count, text FROM silver.chunks ORDER BY token_count LIMIT 20"',
    ),
    _Threshold(
        CHUNKS_KEY,
        "few_chunks_are_cut_inside_a_sentence",
        "max_hard_split_share",
        "Of no source end more chunks inside a sentence or line, since it alone was over the limit, than the threshold "
        "allows.",
        _hard_split,
        "chunks end inside a sentence",
        'rag-pipeline sql "SELECT uri, page, text FROM silver.chunks WHERE is_hard_split LIMIT 20"',
    ),
)


def build_threshold_checks() -> list[dg.AssetChecksDefinition]:
    """One check per threshold."""
    return [_check(threshold) for threshold in _THRESHOLDS]


def _check(threshold: _Threshold) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=threshold.asset, name=threshold.name, description=threshold.description)
    def check(pipeline: PipelineResource) -> dg.AssetCheckResult:
        workspace = pipeline.workspace
        limits = workspace.settings.thresholds
        limit = float(getattr(limits, threshold.setting))
        shares = threshold.shares(workspace.lake, limits)
        found = beyond(shares, limit)
        named = "; ".join(f"{each.source}: {each.count:,} of {each.total:,}" for each in found)
        return dg.AssetCheckResult(
            passed=not found,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{threshold.what} ({named}); the limit is {limit:.0%}"
            if found
            else f"no source is above the limit of {limit:.0%}",
            metadata={
                "rag/limit": limit,
                "rag/setting": f"thresholds.{threshold.setting}",
                "rag/by_source": rows_table(shares.to_dicts()),
                **(quarantine_table(workspace.lake) if threshold.asset == QUARANTINE_KEY else {}),
                **({"rag/next_step": threshold.next_step} if found else {}),
            },
        )

    return check
