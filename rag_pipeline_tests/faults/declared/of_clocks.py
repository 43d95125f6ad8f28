"""Faults of the clock of the machine that runs the pipeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline_tests.faults.declared.fault import Change, fault
from rag_pipeline_tests.faults.declared.world import World

DAY = timedelta(days=1)


def jumped(by: timedelta) -> Change:
    """The clock is off, until the fault is mended."""
    return lambda world: set_clock(world.patch, by)


def set_clock(patch: pytest.MonkeyPatch, by: timedelta) -> None:
    made = Workspace.__init__

    def with_clock(workspace: Workspace, *arguments: Any, **named: Any) -> None:
        made(workspace, *arguments, **named | {"clock": lambda: datetime.now(UTC) + by})

    patch.setattr(Workspace, "__init__", with_clock)


def was_ahead(world: World) -> None:
    """Something was published while the clock was ahead; it is right again."""
    world.project.write("late.md", "# Late\n\nThe ferry came in at noon.\n", source="wiki")
    with pytest.MonkeyPatch.context() as patch:
        set_clock(patch, DAY)
        world.type("run")
    assert world.told() == []


def published_again(world: World) -> None:
    world.project.write("later.md", "# Later\n\nThe ferry went out at dusk.\n", source="wiki")


FAULTS = (
    fault(
        "the clock of the machine jumped a day ahead",
        jumped(DAY),
        "polled_in_time",
        cycle="rag-pipeline alerts send",
        ends="it is right, or a run was made",
    ),
    fault(
        "the clock of the machine was a day ahead while something was published",
        was_ahead,
        "publication_is_past",
        ends="something is published again, or that time has come",
        mend=published_again,
    ),
    fault(
        "the clock of the machine jumped a day back",
        jumped(-DAY),
        "publication_is_past",
        ends="it is right, or something is published",
    ),
)
