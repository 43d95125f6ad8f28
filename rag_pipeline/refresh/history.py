"""Record how silver looks after a run that changed it, and read how it looked before.

Belongs here: counting silver by source.
Does not belong here: what is unusual (`transforms/history.py`), the file (`stores/history.py`).
"""

from __future__ import annotations

import logging
from collections import Counter

import polars as pl

from rag_pipeline.contracts.history import Snapshot, SourceFigures
from rag_pipeline.contracts.ids import digest, fingerprint
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS, QUARANTINE
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.history import add_snapshot, last_snapshot
from rag_pipeline.transforms.fields import field_figures
from rag_pipeline.transforms.history import notable_readers

# By this many, a share is known to a percent or two. Ids are digests, so the first ones are of any kind, and the same.
SAMPLED_DOCUMENTS = 5_000

log = logging.getLogger(__name__)

_DOCUMENT_COLUMNS = (
    "document_id", "origin_id", "source", "language", "allowed_principals", "quality_score", "metadata"
)  # fmt: skip


def reader_hash(principal: str) -> str:
    """Stands for a principal, who may be a person: the history is no place to be erased from."""
    return digest("reader", principal)[:16]


def record_history(workspace: Workspace) -> None:
    """Add how silver looks, where it is not as it was; the caller holds the lake's lock.

    What cannot be recorded is said, and fails no run.
    """
    lake = workspace.lake
    if workspace.is_trial:
        return
    try:
        state = fingerprint("silver", *(f"{lake.version(table)}" for table in (DOCUMENTS, CHUNKS, QUARANTINE)))
        last = last_snapshot(lake)
        if last is not None and last.state == state:
            return
        sources = source_figures(workspace)
        if last is None or last.sources != sources:
            add_snapshot(lake, Snapshot(workspace.now(), workspace.run_id, state, sources))
    except FAULTS as error:
        log.warning("how silver looks was not recorded: %s", error)


def source_figures(workspace: Workspace) -> dict[str, SourceFigures]:
    """Each source as silver holds it now."""
    lake = workspace.lake
    documents = lake.read(DOCUMENTS, list(_DOCUMENT_COLUMNS))
    chunks = lake.read(CHUNKS, ["document_id", "token_count"]).join(
        documents.select("document_id", "source"), on="document_id"
    )
    refused = lake.read(QUARANTINE, ["source", "reason_code"])
    return {
        name: _figures(
            documents.filter(pl.col("source") == name),
            chunks.filter(pl.col("source") == name)["token_count"],
            refused.filter(pl.col("source") == name)["reason_code"],
            lake.bronze_state(name).filter(pl.col("change") != "deleted"),
            workspace.settings.thresholds.low_quality_score,
        )
        for name in workspace.settings.sources
    }


def _figures(
    documents: pl.DataFrame, tokens: pl.Series, refused: pl.Series, live: pl.DataFrame, low_score: float
) -> SourceFigures:
    readers = documents["allowed_principals"]
    counts: Counter[str] = Counter(readers.explode().drop_nulls())
    taken = live.join(documents.select(document_id="origin_id").unique(), on="document_id", how="semi")
    sample = documents.sort("document_id").head(SAMPLED_DOCUMENTS)
    scores = sample["quality_score"]
    field_names, fields = field_figures(sample["metadata"])
    return SourceFigures(
        documents=documents.height,
        chunks=tokens.len(),
        bytes=int(taken["size_bytes"].sum()),
        public=counts.get(PUBLIC, 0),
        closed=int((readers.list.len() == 0).sum()),
        tokens_p50=float(tokens.quantile(0.5, "nearest") or 0),
        tokens_p90=float(tokens.quantile(0.9, "nearest") or 0),
        refused=_counted(refused),
        languages=_counted(documents["language"].fill_null("")),
        readers={
            reader_hash(reader): count
            for reader, count in sorted(notable_readers(counts, documents.height).items())
            if reader != PUBLIC
        },
        sampled=sample.height,
        quality_mean=float(scores.mean() or 0),  # type: ignore[arg-type]
        low_quality=int((scores < low_score).sum()),
        field_names=field_names,
        fields=fields,
    )


def _counted(values: pl.Series) -> dict[str, float]:
    return {str(value): count for value, count in sorted(Counter(values.to_list()).items())}
