"""Housekeeping of the lake.

Belongs here: compaction, removal of what nothing needs any more, and the canary that notices a changed model.
Does not belong here: anything a reader could notice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from rag_pipeline.contracts.catalog import tables_of
from rag_pipeline.contracts.tables import AUDITS, BRONZE, CANARIES, CHUNKS, EMBEDDINGS, UNUSED_EMBEDDINGS
from rag_pipeline.errors import LakeDamaged
from rag_pipeline.refresh.audit import audit_whole
from rag_pipeline.refresh.generations import living_aliases
from rag_pipeline.refresh.retained_readings import retain_readings
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.freshness import CLOCK_TOLERANCE

TOLERANCE = {"fp32": 1e-4, "bf16": 1e-3, "int8": 1e-2}
"""Largest cosine distance by precision that other processors and batches account for."""


MAINTAINED_EVERY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What one round of housekeeping did.

    Attributes:
        revisions_removed: Old ones, from bronze, that their source's retention does not keep.
        drifted: Models that no longer give the vectors they gave when first checked.
        at_fault: Models whose index was looked through and failed its audit; the next run mends it.
    """

    tables: int
    compacted: int
    vectors_unused: int
    vectors_removed: int
    drifted: list[str]
    at_fault: list[str] = field(default_factory=list)
    revisions_removed: int = 0


def is_maintenance_due(workspace: Workspace) -> bool:
    """Whether a day has passed since the last round, or since the first index was built if there was none."""
    due_at = maintenance_due_at(workspace)
    return due_at is not None and workspace.now() >= due_at


def maintenance_due_at(workspace: Workspace) -> datetime | None:
    """When the next round is due; None: there is nothing to maintain yet, or the lake cannot say."""
    lake = workspace.lake
    try:
        rounds = lake.read(CANARIES, ["checked_at"])["checked_at"]
        last: object = _newest_past(workspace, rounds)
        if last is None:
            last = lake.read(AUDITS, ["audited_at"])["audited_at"].min()
    except LakeDamaged:
        # It is named and healed elsewhere; a run must not wait for that to take away what was revoked.
        return None
    return last + MAINTAINED_EVERY if isinstance(last, datetime) else None


def _newest_past(workspace: Workspace, times: pl.Series) -> datetime | None:
    """The newest of some times that is not in the future: a clock that was ahead once must not put all off."""
    past = times.filter(times <= workspace.now() + CLOCK_TOLERANCE)
    newest = past.max()
    return newest if isinstance(newest, datetime) else None


def kept_as_of(workspace: Workspace) -> datetime:
    """The time by which what is past its retention is taken away: at most two days after the last round.

    A clock that ran ahead, and a machine that was off for months, would else take at once what nobody can bring back.
    The next round goes on, by which somebody has seen it.
    """
    due_at, now = maintenance_due_at(workspace), workspace.now()
    return now if due_at is None else min(now, due_at + MAINTAINED_EVERY)


def maintain(workspace: Workspace) -> MaintenanceReport:
    """Remove vectors past their retention, compact tables of many small files, and check every living model."""
    lake = workspace.lake
    with lake.writing():
        as_of = kept_as_of(workspace)
        living = {alias: workspace.space(alias).fingerprint for alias in living_aliases(workspace)}
        audited = lake.read(AUDITS, ["space_fingerprint"])["space_fingerprint"].unique().to_list()
        spaces = sorted({*living.values(), *audited})
        forgotten = sum(_forget_revisions(workspace, name, as_of) for name in workspace.settings.sources)
        removed = sum(_retain(workspace, space, as_of, is_living=space in living.values()) for space in spaces)
        retain_readings(workspace, as_of)
        drifted = [alias for alias in living if _has_drifted(workspace, alias)]
        # Before anything is compacted: what is published then is the version that was looked at.
        at_fault = [alias for alias in living if not audit_whole(workspace, alias)]
        tables = tables_of(workspace.settings.sources, spaces)
        compacted = sum(lake.maintain(table) for table in tables)
        unused = lake.read(UNUSED_EMBEDDINGS, ["text_hash"]).height
    return MaintenanceReport(len(tables), compacted, unused, removed, drifted, at_fault, forgotten)


def _forget_revisions(workspace: Workspace, name: str, as_of: datetime) -> int:
    """Remove revisions from a source's bronze table that its retention does not keep; how many those were."""
    # It brings the library of indexes along.
    from rag_pipeline.stores.purge import forget_history

    retention = workspace.settings.sources[name].retention
    lake, contract = workspace.lake, BRONZE.of(name)
    if retention is None:
        return 0
    columns = [*contract.key, "batch", "bytes_batch", "observed_at"]
    rows = lake.read(contract, columns).sort(*contract.key)
    age = pl.col("revision").rank("ordinal", descending=True).over("document_id")
    replaced_at = pl.col("observed_at").shift(-1).over("document_id")
    kept = age <= (retention.revisions or 1)
    if retention.days is not None:
        kept |= replaced_at > as_of - timedelta(days=retention.days)
    marked = rows.with_columns(is_kept=kept)
    # The bytes of a revision may stand on the row of one before.
    holders = marked.filter("is_kept").select("document_id", batch="bytes_batch").drop_nulls()
    gone = marked.filter(~pl.col("is_kept")).join(holders, on=["document_id", "batch"], how="anti")
    if gone.height and lake.replace_where(contract, contract.empty(), gone) and lake.is_local:
        forget_history(lake, contract)
    return gone.height


def _retain(workspace: Workspace, space: str, as_of: datetime, *, is_living: bool) -> int:
    """Note which vectors of a space are unused, and remove those that have been for the retention time."""
    lake = workspace.lake
    known = lake.embedded_hashes(space).select("text_hash")
    used = lake.read(CHUNKS, ["text_hash"]) if is_living else known.clear()
    unused = known.join(used, on="text_hash", how="anti")
    noted = lake.read(UNUSED_EMBEDDINGS, where=pl.col("space_fingerprint") == space)
    now = workspace.now()
    expired = noted.filter(pl.col("unused_since") <= as_of - workspace.settings.embeddings_retention)
    expired = expired.join(unused, on="text_hash", how="semi")
    lake.merge(EMBEDDINGS.of(space), EMBEDDINGS.empty(), expired["text_hash"].to_list())
    new = unused.join(noted, on="text_hash", how="anti").select(
        pl.lit(space).alias("space_fingerprint"),
        "text_hash",
        pl.lit(now).cast(pl.Datetime("us", "UTC")).alias("unused_since"),
    )
    over = pl.concat([noted.join(unused, on="text_hash", how="anti"), expired])
    lake.replace_where(UNUSED_EMBEDDINGS, new, over)
    return expired.height


def _has_drifted(workspace: Workspace, alias: str) -> bool:
    """Compare the model's vectors of the fixed texts with the first ones; the first check makes them."""
    from rag_pipeline.embedding.canary import CANARY_FINGERPRINT, canary_vectors, drift

    lake = workspace.lake
    space = workspace.space(alias)
    rows = lake.read(
        CANARIES,
        where=(pl.col("space_fingerprint") == space.fingerprint) & (pl.col("canary_fingerprint") == CANARY_FINGERPRINT),
    ).sort("checked_at")
    vectors = canary_vectors(workspace.model(alias))
    first = rows.filter(pl.col("vectors").is_not_null())
    if first.height:
        before = np.asarray(first["vectors"][0], dtype=np.float32).reshape(-1, int(first["dimension"][0]))
        moved = drift(before, vectors)
    else:
        moved = 0.0
    row: dict[str, object] = {
        "space_fingerprint": space.fingerprint,
        "canary_fingerprint": CANARY_FINGERPRINT,
        "drift": moved,
        "tolerance": TOLERANCE[space.precision],
        "dimension": vectors.shape[1],
        "vectors": None if first.height else vectors.ravel().tolist(),
        "checked_at": workspace.now(),
        "run_id": workspace.run_id,
    }
    lake.append(CANARIES, CANARIES.frame([row]))
    return moved > TOLERANCE[space.precision]
