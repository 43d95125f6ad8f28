"""`docs/faults.md`: what was measured of each declared fault.

Belongs here: the list of all, the page, writing it (`python -m rag_pipeline_tests.faults.declared.page`).
Does not belong here: measuring (`fault.py`).
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline_tests.faults.declared import (
    of_clocks,
    of_documents,
    of_models,
    of_runs,
    of_servers,
    of_sources,
    of_tables,
)
from rag_pipeline_tests.faults.declared.fault import Fault, Measured, measure
from rag_pipeline_tests.faults.declared.world import build, copied
from rag_pipeline_tests.paths import REPOSITORY

PAGE = REPOSITORY / "docs" / "faults.md"
FAULTS: tuple[Fault, ...] = (
    *of_sources.FAULTS,
    *of_tables.FAULTS,
    *of_models.FAULTS,
    *of_documents.FAULTS,
    *of_servers.FAULTS,
    *of_clocks.FAULTS,
    *of_runs.FAULTS,
)
HEAD = """\
# Faults, and how they are told

Each of these is injected by a test, one at a time, into a published lake with two callers: into real files and tables,
against real servers. Within one cycle, which is a run or a look, it is seen in Dagster, and told in one message with
the entries of the runbook named here; its end is told too. *Readers find* is what both callers find between the fault
and its end. Made by `python -m rag_pipeline_tests.faults.declared.page`, and held equal to what the tests measure.

| what goes wrong | seen at | entry of the runbook | readers find | heals |
|---|---|---|---|---|
"""


def row(each: Measured) -> str:
    """One line of the table."""
    shows = ", ".join(f"`{name}`" if name.islower() and " " not in name else name for name in each.shows)
    told = ", ".join(f"[`{name}`](runbook.md#{name})" for name in each.told)
    return f"| {each.name} | {shows} | {told} | {each.readers} | {each.heals} |"


def rows(page: str) -> dict[str, str]:
    """Lines of the table by what goes wrong."""
    lines = page.removeprefix(HEAD).splitlines()
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines if line.startswith("| ")}


def write(chosen: Sequence[str]) -> int:
    """Measure the faults whose names contain one of some words, or all, and write the page; how many went wrong."""
    known = rows(PAGE.read_text("utf-8")) if chosen else {}
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        built = build(Path(place, "built"))
        launch_refresh(built.pipeline())
        for number, each in enumerate(FAULTS):
            if chosen and not any(word in each.name for word in chosen):
                continue
            try:
                with copied(built, Path(place, str(number))) as world:
                    known[each.name] = row(measure(each, world))
                click.echo(known[each.name])
            except Exception:
                # The others are measured all the same.
                wrong += 1
                click.echo(f"NOT AS DECLARED: {each.name}\n{traceback.format_exc()}", err=True)
    PAGE.write_text(HEAD + "".join(f"{known[each.name]}\n" for each in FAULTS if each.name in known), "utf-8")
    return wrong


if __name__ == "__main__":
    sys.exit(write(sys.argv[1:]))
