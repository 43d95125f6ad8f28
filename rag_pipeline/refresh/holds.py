"""What the deletion guard holds back, as the lake remembers it.

Belongs here: reading and recording it.
Does not belong here: when the guard closes (`transforms/deletion_guard.py`), what is kept because of it (`bronze.py`,
`documents.py`).

What is held as vanished has no tombstone in bronze, so that every later step sees it as a live document; what is held
as refused stands in quarantine at stage `held`. Nothing else has to look here to know what stays.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from rag_pipeline.contracts.holds import DELETION_HOLDS, Hold, HoldKind
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.deletion_guard import DeletionGuard, describe_hold


def deletion_guard(workspace: Workspace, source: str) -> DeletionGuard:
    """The guard of a source, as pipeline.yaml sets it."""
    settings = workspace.settings.sources[source]
    return DeletionGuard(source, settings.max_deleted_share, settings.max_deleted_floor)


def read_holds(workspace: Workspace, source: str | None = None) -> list[Hold]:
    """What is held of the configured sources, or of one of them, by source and kind."""
    rows = workspace.lake.read(DELETION_HOLDS).sort("source", "kind")
    names = set(workspace.settings.sources) if source is None else {source}
    return [Hold.of_row(row) for row in rows.iter_rows(named=True) if row["source"] in names]


def hold_of(workspace: Workspace, source: str, kind: HoldKind) -> Hold | None:
    """What is held of one source as vanished or as refused, or None."""
    return next((hold for hold in read_holds(workspace, source) if hold.kind == kind), None)


def held_figures(hold: Hold | None) -> dict[str, Any]:
    """The fields of a report that tell of what is held."""
    if hold is None:
        return {}
    return {"held": len(hold.held), "held_of": len(hold.measured), "held_because": describe_hold(hold)}


def record_hold(
    workspace: Workspace, kind: HoldKind, source: str, *, held: frozenset[str], measured: frozenset[str], reason: str
) -> Hold:
    """Remember what is held of a source; since when it is held stays. An unchanged hold is not written again."""
    before = hold_of(workspace, source, kind)
    now = Hold(source, kind, held, measured, reason, workspace.now(), workspace.run_id)
    if before is not None:
        now = replace(now, since_at=before.since_at, run_id=before.run_id)
    if now != before:
        workspace.lake.merge(DELETION_HOLDS, DELETION_HOLDS.frame([now.row()]))
    return now


def end_hold(workspace: Workspace, kind: HoldKind, source: str) -> None:
    """Forget what was held: it is back, or a person let it go."""
    lake = workspace.lake
    mine = (pl.col("source") == source) & (pl.col("kind") == kind)
    ended = lake.read(DELETION_HOLDS, where=mine)
    if ended.height:
        lake.replace_where(DELETION_HOLDS, DELETION_HOLDS.empty(), ended)
