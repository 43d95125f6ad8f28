"""What runs cost: recording it, adding it up by run, source, model and day, and what it says of work to come.

Belongs here: rows and their sums, and what the lake takes in storage.
Does not belong here: the file (`stores/costs.py`), how the sums look (`cli/costs.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rag_pipeline.contracts.catalog import tables_of
from rag_pipeline.contracts.costs import Cost, Work
from rag_pipeline.errors import StoreError
from rag_pipeline.refresh.damage import stored_spaces
from rag_pipeline.refresh.timings import Timings
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.costs import StoredBytes, add_cost, index_bytes, read_costs, table_bytes

log = logging.getLogger(__name__)

# Of so many last batches of work with a model its pace is taken.
PACE_ROWS = 20


@dataclass(frozen=True, slots=True)
class CostSum:
    """Costs of one run, source, model or day added up; see `Cost` for the units.

    Attributes:
        what: The run, source, model or day.
        price: None: not known of all of them.
    """

    what: str
    bytes: int
    documents: int
    texts: int
    tokens: int
    seconds: float
    price: float | None


@dataclass(frozen=True, slots=True)
class CostReport:
    """What runs cost, and what the lake takes now. Runs and days: the newest first."""

    total: CostSum
    by_run: list[CostSum]
    by_source: list[CostSum]
    by_model: list[CostSum]
    by_day: list[CostSum]
    storage: list[StoredBytes]


def record_cost(workspace: Workspace, work: Work, name: str = "", **figures: Any) -> None:
    """Add a row; the caller holds the lake's lock. What cannot be recorded is said, and fails no run."""
    cost = Cost(workspace.now(), workspace.run_id, work, name, **figures)
    try:
        add_cost(workspace.lake, cost)
    except StoreError as error:
        log.warning("what this run cost was not recorded: %s", error.message)


def record_timings(workspace: Workspace, work: Work, timings: Timings) -> None:
    """Add a row of what worker processes took for each source that they did anything for."""
    for source, found in timings.by_source.items():
        size = found.size if work == "parse" else 0
        record_cost(workspace, work, source, bytes=size, documents=found.documents, seconds=found.seconds)


def expected_seconds(costs: Iterable[Cost], space: str, tokens: int) -> float | None:
    """What embedding so many tokens takes by the pace of the last times; None: there was none."""
    known = [cost for cost in costs if cost.work == "embed" and cost.space == space and cost.tokens][-PACE_ROWS:]
    if not tokens:
        return 0.0
    if not known:
        return None
    return tokens * sum(cost.seconds for cost in known) / sum(cost.tokens for cost in known)


def cost_of_run(workspace: Workspace) -> CostSum:
    """What the run of this workspace cost so far."""
    return _sum(workspace.run_id, [cost for cost in read_costs(workspace.lake) if cost.run_id == workspace.run_id])


def cost_of(costs: list[Cost]) -> CostSum:
    """Some rows added up."""
    return _sum("", costs)


def costs_by_day(workspace: Workspace, days: int) -> list[CostSum]:
    """What each of the last days cost, the newest first; one without work is left out."""
    since = workspace.now() - timedelta(days=days)
    return _by_day([cost for cost in read_costs(workspace.lake) if cost.at >= since])


def read_cost_report(workspace: Workspace, days: int) -> CostReport:
    """Costs of the last days, and the storage of now."""
    since = workspace.now() - timedelta(days=days)
    costs = [cost for cost in read_costs(workspace.lake) if cost.at >= since]
    lake = workspace.lake
    tables = tables_of(workspace.settings.sources, stored_spaces(workspace))
    return CostReport(
        total=_sum("all", costs),
        by_run=_grouped(costs, lambda cost: cost.run_id)[::-1],
        by_source=_grouped([cost for cost in costs if cost.of_source], lambda cost: cost.of_source),
        by_model=_grouped([cost for cost in costs if cost.work in ("embed", "enrich")], lambda cost: cost.name),
        by_day=_by_day(costs),
        storage=[stored for table in tables if (stored := table_bytes(lake, table)) is not None] + index_bytes(lake),
    )


def _by_day(costs: Iterable[Cost]) -> list[CostSum]:
    return _grouped(costs, lambda cost: f"{cost.at:%Y-%m-%d}")[::-1]


def _grouped(costs: Iterable[Cost], key: Callable[[Cost], str]) -> list[CostSum]:
    groups: dict[str, list[Cost]] = {}
    for cost in costs:
        groups.setdefault(key(cost), []).append(cost)
    return [_sum(what, group) for what, group in groups.items()]


def _sum(what: str, costs: list[Cost]) -> CostSum:
    prices = [cost.price for cost in costs]
    return CostSum(
        what=what,
        # What is parsed was read before; its bytes are the same ones.
        bytes=sum(cost.bytes for cost in costs if cost.work == "read"),
        documents=sum(cost.documents for cost in costs if cost.work == "parse"),
        texts=sum(cost.texts for cost in costs),
        tokens=sum(cost.tokens for cost in costs),
        seconds=sum(cost.seconds for cost in costs),
        price=None if None in prices else sum(price for price in prices if price is not None),
    )
