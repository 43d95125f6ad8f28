"""How long changes take to be searchable, as a check and as figures to plot.

Belongs here: what to say of it.
Does not belong here: measuring (`refresh/lag.py`), how old content is (`source_checks.py`).
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_pipeline.defs.check_rows import Subject
from rag_pipeline.defs.describe import rows_table
from rag_pipeline.defs.words import counted, figure

if TYPE_CHECKING:
    from rag_pipeline.refresh.workspace import Workspace
    from rag_pipeline.transforms.lag import Lag, Late


def changes_are_searchable_in_time(subject: Subject) -> dg.AssetCheckResult:
    """Whether no source is later than its `searchable_within`."""
    from rag_pipeline.refresh.lag import late_now

    late, lags = late_now(subject.workspace)
    is_limited = any(source.searchable_within is not None for source in subject.workspace.settings.sources.values())
    well = "no source is later than it may be" if is_limited else "no source has a searchable_within to be held to"
    return dg.AssetCheckResult(
        passed=not late,
        description="; ".join(map(_said, late)) or well,
        metadata={"rag/late_count": len(late), **_table(lags), "rag/next_step": "rag-pipeline status"},
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
    return slowest | _table(lags)


def _table(lags: "Mapping[str, Lag]") -> dict[str, Any]:
    rows = [
        {
            "source": name,
            "changes": lag.documents,
            "p50 (s)": lag.p50_seconds,
            "p95 (s)": lag.p95_seconds,
            "worst (s)": lag.worst_seconds,
            "published": f"{lag.measured_at:%Y-%m-%d %H:%M} UTC",
        }
        for name, lag in lags.items()
        if lag.documents
    ]
    return {"rag/lag_by_source": rows_table(rows)} if rows else {}
