"""How long changes take to be searchable, as a check and as figures to plot.

Belongs here: what to say of it.
Does not belong here: measuring (`refresh/lag.py`), how old content is (`source_checks.py`).
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_pipeline.defs.describe import lines_of
from rag_pipeline.defs.specs import PUBLICATION_KEY
from rag_pipeline.defs.words import counted, figure
from rag_pipeline.errors import StoreError

if TYPE_CHECKING:
    from rag_pipeline.refresh.workspace import Workspace
    from rag_pipeline.transforms.lag import Lag, Late


IN_TIME_CHECK = "changes_are_searchable_in_time"
IN_TIME_SPEC = dg.AssetCheckSpec(
    IN_TIME_CHECK,
    asset=PUBLICATION_KEY,
    description="95 % of the last changes of each source were searchable within its searchable_within, and no change "
    "waits longer than that. It fails rightly where a run was late, a source polled too seldom, or a publication "
    "refused.",
)


def in_time_result(workspace: "Workspace") -> dg.AssetCheckResult:
    """Whether no source is later than its `searchable_within`; the asset says it itself, also when it is refused."""
    from rag_pipeline.refresh.lag import late_now

    try:
        late, lags = late_now(workspace)
    except StoreError as error:
        # That a table is damaged is said elsewhere; whether readers get anything does not hang on this.
        return dg.AssetCheckResult(
            asset_key=PUBLICATION_KEY, check_name=IN_TIME_CHECK, passed=False, description=error.message
        )
    is_limited = any(source.searchable_within is not None for source in workspace.settings.sources.values())
    well = "no source is later than it may be" if is_limited else "no source has a searchable_within to be held to"
    return dg.AssetCheckResult(
        asset_key=PUBLICATION_KEY,
        check_name=IN_TIME_CHECK,
        passed=not late,
        description="; ".join(map(_said, late)) or well,
        metadata={"rag/late_count": len(late), **_by_source(lags), "rag/next_step": "rag-pipeline status"},
    )


def _said(late: "Late") -> str:
    limit = timedelta(seconds=round(late.limit_seconds))
    took = timedelta(seconds=round(late.seconds))
    if late.waiting:
        return f"{late.source}: {counted(late.waiting, 'change')} not searchable for up to {took}; {limit} is allowed"
    return f"{late.source}: 95 % of the last changes took up to {took} to be searchable; {limit} is allowed"


def lag_facts(workspace: "Workspace") -> dict[str, Any]:
    """What the publication of this run brought, as figures that the UI plots, and by source what was measured last."""
    from rag_pipeline.refresh.lag import read_lags

    lags = read_lags(workspace)
    last = workspace.lake.last_publication()
    mine = [lag for lag in lags.values() if last is not None and lag.measured_at == last.published_at and lag.documents]
    names = ("p50_seconds", "p95_seconds", "worst_seconds")
    slowest = {f"rag/lag_{name}": figure(max(getattr(lag, name) for lag in mine)) for name in names} if mine else {}
    return slowest | _by_source(lags)


def _by_source(lags: "Mapping[str, Lag]") -> dict[str, Any]:
    lines = [
        f"**{name}**: {counted(lag.documents, 'change')}, half within {figure(lag.p50_seconds):g} s, 95 % within "
        f"{figure(lag.p95_seconds):g} s, the last after {figure(lag.worst_seconds):g} s; "
        f"published {lag.measured_at:%Y-%m-%d %H:%M} UTC"
        for name, lag in lags.items()
        if lag.documents
    ]
    return {"rag/lag_by_source": lines_of(lines)} if lines else {}
