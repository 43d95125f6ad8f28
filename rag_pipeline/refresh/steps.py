"""Steps of a refresh, as spans and log lines name them.

Belongs here: what every step says of itself: its run, asset and source, and the counts of its report.
Does not belong here: the steps; sending and logging (`telemetry/`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Concatenate, ParamSpec, TypeVar, cast

from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.telemetry.logs import about
from rag_pipeline.telemetry.tracing import span

P = ParamSpec("P")
R = TypeVar("R")


def step(
    asset: str,
) -> Callable[[Callable[Concatenate[Workspace, P], R]], Callable[Concatenate[Workspace, P], R]]:
    """A function that refreshes one asset; of `bronze/` the name of the source is its next argument."""

    def decorated(function: Callable[Concatenate[Workspace, P], R]) -> Callable[Concatenate[Workspace, P], R]:
        @functools.wraps(function)
        def refreshed(workspace: Workspace, *arguments: P.args, **named: P.kwargs) -> R:
            source = str(arguments[0]) if asset == "bronze/" else None
            name = f"{asset}{source or ''}"
            run = workspace.run_id
            facts = {"run": run, "asset": name, "source": source}
            with about(**facts), span(f"refresh {name}", run_id=run, **facts) as work:
                report = function(workspace, *arguments, **named)
                work.set(**counts_of(report))
            return report

        return cast("Callable[Concatenate[Workspace, P], R]", refreshed)

    return decorated


def counts_of(report: object) -> dict[str, int]:
    """The numbers of a report: documents, quarantined, commits and what else it counts."""
    if not is_dataclass(report):
        return {}
    counts = {field.name: getattr(report, field.name) for field in fields(report)}
    return {name: value for name, value in counts.items() if type(value) is int}
