"""The last run in figures for Prometheus: what it cost, what it published, and how each source stands.

Belongs here: which figures, and reading them from the lake's small files.
Does not belong here: their form (`transforms/metric_lines.py`), counting requests (`serving/metrics.py`).

Nothing of what is read depends on how large the lake is, so it may be asked each minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from rag_pipeline.refresh.costs import cost_of
from rag_pipeline.refresh.damage import unless_damaged
from rag_pipeline.refresh.lag import read_lags
from rag_pipeline.refresh.polls import PollStatus, poll_statuses
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.costs import read_costs
from rag_pipeline.stores.history import last_snapshot
from rag_pipeline.transforms.lag import Lag
from rag_pipeline.transforms.metric_lines import Metric

_PREFIX = "rag_pipeline_"
Labels = tuple[tuple[str, str], ...]


def run_metrics(workspace: Workspace) -> list[Metric]:
    """How the lake stands since the last run; what is not known is left out."""
    polls, _ = poll_statuses(workspace)
    return [
        *_of_publication(workspace),
        *_of_run(workspace),
        *_of_polls(polls),
        *_of_silver(workspace),
        _lag(workspace),
    ]


def _of_publication(workspace: Workspace) -> list[Metric]:
    last = unless_damaged(workspace.lake.last_publication, None)
    if last is None:
        return []
    model, at = (("model", last.alias),), _at(last.published_at)
    return [
        _metric("published_timestamp_seconds", "When readers were last pointed to a version.", {model: at}),
        _metric("published_chunks", "Rows of the index that readers see.", {model: last.rows}),
    ]


def _of_run(workspace: Workspace) -> list[Metric]:
    """The last run that changed something."""
    costs = read_costs(workspace.lake)
    if not costs:
        return []
    mine = [cost for cost in costs if cost.run_id == costs[-1].run_id]
    total = cost_of(mine)
    embedded = cost_of([cost for cost in mine if cost.work == "embed"])
    figures: dict[str, tuple[str, float | None]] = {
        "run_timestamp_seconds": ("When the last run that changed something did.", _at(mine[-1].at)),
        "run_read_bytes": ("Bytes that it read from sources.", total.bytes),
        "run_parsed_documents": ("Documents that it parsed.", total.documents),
        "run_embedded_texts": ("Texts that it embedded.", embedded.texts),
        "run_embedded_tokens": ("Tokens that it embedded.", embedded.tokens),
        "run_work_seconds": ("Seconds of its work, those of all worker processes added up.", total.seconds),
        "run_price": ("What its models cost, by the prices of pipeline.yaml.", total.price),
    }
    return [_metric(name, means, {(): value}) for name, (means, value) in figures.items() if value is not None]


def _of_polls(polls: list[PollStatus]) -> list[Metric]:
    polled = {_source(each.source): _at(each.polled_at) for each in polls if each.polled_at is not None}
    overdue = {_source(each.source): float(each.is_overdue) for each in polls if each.is_overdue is not None}
    return [
        _metric("source_polled_timestamp_seconds", "When the source was last polled with success.", polled),
        _metric("source_overdue", "1: it was not polled with success for longer than its stale_after.", overdue),
    ]


def _of_silver(workspace: Workspace) -> list[Metric]:
    snapshot = last_snapshot(workspace.lake)
    sources = {} if snapshot is None else snapshot.sources
    refused: dict[Labels, float] = {
        (*_source(name), ("reason", reason)): count
        for name, each in sources.items()
        for reason, count in each.refused.items()
    }
    documents = {_source(name): each.documents for name, each in sources.items()}
    chunks = {_source(name): each.chunks for name, each in sources.items()}
    return [
        _metric("documents", "Documents that are not in quarantine.", documents),
        _metric("chunks", "Chunks of them.", chunks),
        _metric("quarantined_objects", "Objects in quarantine.", refused),
    ]


def _lag(workspace: Workspace) -> Metric:
    none: dict[str, Lag] = {}
    lags = unless_damaged(lambda: read_lags(workspace), none)
    values = {
        (*_source(name), ("quantile", quantile)): seconds
        for name, lag in lags.items()
        for quantile, seconds in (("0.5", lag.p50_seconds), ("0.95", lag.p95_seconds), ("1", lag.worst_seconds))
    }
    return _metric("lag_seconds", "From a change at the source to when it could be searched, of the last ones.", values)


def _metric(name: str, means: str, values: Mapping[Labels, float]) -> Metric:
    return Metric(_PREFIX + name, means, {labels: float(value) for labels, value in values.items()})


def _source(name: str) -> Labels:
    return (("source", name),)


def _at(moment: datetime) -> float:
    return moment.timestamp()
