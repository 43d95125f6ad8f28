"""How long changes of the sources take to be searchable, measured as they are published.

Belongs here: which changes a publication brings to readers, which wait, and reading what was measured.
Does not belong here: what a lag is (`transforms/lag.py`), showing it (`defs/`, `cli/`).

It is measured by polls: bronze notes with each revision when a poll found it, and the record of polls when the source
was polled before. What a source listed when it was first polled was there before anybody looked, and is no change.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from rag_pipeline.contracts.tables import DOCUMENTS, QUARANTINE
from rag_pipeline.refresh.damage import unless_damaged
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.polls import read_polls
from rag_pipeline.transforms.documents import origins_of
from rag_pipeline.transforms.freshness import CLOCK_TOLERANCE
from rag_pipeline.transforms.lag import Lag, Late, changed_at, lag_of, late_sources, measured

log = logging.getLogger(__name__)

FIGURE = "lag"
# What readers notice; permissions that become narrower have a way of their own, which waits for nothing.
_CHANGES = ("added", "modified")


def lag_figures(workspace: Workspace, now: datetime) -> dict[str, Any]:
    """For the figures of a publication made now: by source what it brings, or what was measured last.

    What cannot be measured is said, and keeps nothing from being published.
    """
    try:
        before = read_lags(workspace)
        found = {
            name: lag.record()
            for name in workspace.settings.sources
            if (lag := _measured(workspace, name, before.get(name), now)) is not None
        }
    except FAULTS as error:
        log.warning("how long changes took to be searchable was not measured: %s", error)
        return {}
    return {FIGURE: found} if found else {}


def read_lags(workspace: Workspace) -> dict[str, Lag]:
    """By source what was measured last."""
    for publication in reversed(workspace.lake.publications()):
        found = publication.figures.get(FIGURE)
        if isinstance(found, Mapping):
            return {str(name): lag for name, each in found.items() if (lag := lag_of(each)) is not None}
    return {}


def late_now(workspace: Workspace) -> tuple[list[Late], dict[str, Lag]]:
    """Sources that are later than `searchable_within` allows, and by source what was measured last."""
    none: dict[str, Lag] = {}
    lags = unless_damaged(lambda: read_lags(workspace), none)
    limits = {name: source.searchable_within for name, source in workspace.settings.sources.items()}
    now = workspace.now()
    waiting = {
        name: _waiting(workspace, name, lags[name], now)
        for name, limit in limits.items()
        if limit is not None and name in lags
    }
    return late_sources(limits, lags, waiting, now), lags


def _measured(workspace: Workspace, name: str, before: Lag | None, now: datetime) -> Lag | None:
    reflected = _live(workspace, name).join(_documents(workspace, name), on=["document_id", "input_key"], how="semi")
    if reflected.is_empty():
        return before
    # What was found by a clock that was ahead is no newer than now, or no change would count until then.
    as_of: datetime = reflected["observed_at"].max()  # type: ignore[assignment]
    as_of = min(now, as_of)
    if before is None or before.as_of > now + CLOCK_TOLERANCE:
        return measured([], as_of, now)
    seconds = _seconds(workspace, name, reflected, before, now)
    return measured(seconds, as_of, now) if seconds else before


def _waiting(workspace: Workspace, name: str, before: Lag, now: datetime) -> list[float]:
    """Seconds since each change that is in no publication and was not refused."""
    refused = workspace.lake.read(QUARANTINE, ["document_id", "input_key"], where=pl.col("source") == name)
    live = _live(workspace, name).join(refused, on=["document_id", "input_key"], how="anti")
    return _seconds(workspace, name, live.filter(pl.col("problem_code").is_null()), before, now)


def _seconds(workspace: Workspace, name: str, live: pl.DataFrame, before: Lag, now: datetime) -> list[float]:
    poll = read_polls(workspace.lake).by_source.get(name)
    # What a clock that was ahead saw would count until that time has come.
    is_new = pl.col("observed_at").is_between(before.as_of, now + CLOCK_TOLERANCE, closed="right")
    changes = live.filter(pl.col("change").is_in(_CHANGES), is_new)
    if poll is None or not poll.earlier:
        return []
    times = changes.select("source_modified_at", "observed_at").iter_rows()
    return [(now - changed_at(modified, observed, poll.earlier)).total_seconds() for modified, observed in times]


def _live(workspace: Workspace, name: str) -> pl.DataFrame:
    return origins_of({name: workspace.lake.bronze_state(name)})


def _documents(workspace: Workspace, name: str) -> pl.DataFrame:
    rows = workspace.lake.read(DOCUMENTS, ["origin_id", "input_key"], where=pl.col("source") == name)
    return rows.rename({"origin_id": "document_id"}).unique()
