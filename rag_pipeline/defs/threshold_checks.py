"""Checks that compare figures of silver with the thresholds of pipeline.yaml, source by source.

Belongs here: which figure is compared with which threshold, and what to say.
Does not belong here: promises that must hold (`promise_checks.py`), counting (`transforms/overview.py`).

None of them blocks: a figure that is out of bounds is for a person to look at, and readers lose nothing by it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl

from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS, DUPLICATES, QUARANTINE
from rag_pipeline.defs.check_rows import Subject
from rag_pipeline.defs.describe import rows_table
from rag_pipeline.defs.words import quarantine_table
from rag_pipeline.settings.sections import ThresholdSettings
from rag_pipeline.stores.lake import Lake
from rag_pipeline.transforms.overview import beyond, chunk_overview, source_overview


@dataclass(frozen=True, slots=True)
class Threshold:
    """The function of a check: one share per source against its limit.

    Attributes:
        setting: Name in `thresholds` of pipeline.yaml.
        shares: source, count, total.
        what: What was counted, for the message.
        also: Further metadata.
    """

    setting: str
    shares: Callable[[Lake, ThresholdSettings], pl.DataFrame]
    what: str
    next_step: str
    also: Callable[[Lake], dict[str, Any]] = lambda _: {}

    def __call__(self, subject: Subject) -> dg.AssetCheckResult:
        """Whether no source is above the limit."""
        workspace = subject.workspace
        limits = workspace.settings.thresholds
        limit = float(getattr(limits, self.setting))
        shares = self.shares(workspace.lake, limits)
        found = beyond(shares, limit)
        named = "; ".join(f"{each.source}: {each.count:,} of {each.total:,}" for each in found)
        return dg.AssetCheckResult(
            passed=not found,
            description=f"{self.what} ({named}); the limit is {limit:.0%}"
            if found
            else f"no source is above the limit of {limit:.0%}",
            metadata={
                "rag/limit": limit,
                "rag/setting": f"thresholds.{self.setting}",
                "rag/by_source": rows_table(shares.to_dicts()),
                **self.also(workspace.lake),
                **({"rag/next_step": self.next_step} if found else {}),
            },
        )


def _documents(lake: Lake, thresholds: ThresholdSettings) -> pl.DataFrame:
    return source_overview(
        lake.read(DOCUMENTS, ["document_id", "source", "quality_score"]),
        lake.read(QUARANTINE, ["source"]),
        lake.read(DUPLICATES, ["document_id"]),
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
    chunks = lake.read(CHUNKS, ["document_id", "token_count", "is_hard_split"])
    sources = lake.read(DOCUMENTS, ["document_id", "source"])
    return chunk_overview(chunks.join(sources, on="document_id"), short_tokens=thresholds.short_chunk_tokens)


def _short(lake: Lake, thresholds: ThresholdSettings) -> pl.DataFrame:
    return _chunks(lake, thresholds).select("source", count="short", total="chunks")


def _hard_split(lake: Lake, thresholds: ThresholdSettings) -> pl.DataFrame:
    return _chunks(lake, thresholds).select("source", count="hard_splits", total="chunks")


QUARANTINED = Threshold(
    "max_quarantined_share",
    _quarantined,
    "objects are in quarantine",
    "rag-pipeline quarantine list",
    also=quarantine_table,
)
LOW_QUALITY = Threshold(
    "max_low_quality_share",
    _low_quality,
    "documents are of low quality",
    'rag-pipeline sql "SELECT uri, quality_score, quality FROM silver.documents ORDER BY quality_score LIMIT 20"',
)
REPEATED = Threshold(
    "max_duplicate_share",
    _repeated,
    "documents are duplicates",
    'rag-pipeline sql "SELECT * FROM silver.duplicates LIMIT 20"',
)
SHORT = Threshold(
    "max_short_chunk_share",
    _short,
    "chunks are short",
    'rag-pipeline sql "SELECT uri, token_count, text FROM silver.chunks ORDER BY token_count LIMIT 20"',
)
CUT_INSIDE = Threshold(
    "max_hard_split_share",
    _hard_split,
    "chunks end inside a sentence",
    'rag-pipeline sql "SELECT uri, page, text FROM silver.chunks WHERE is_hard_split LIMIT 20"',
)
