"""Declared faults, one at a time: seen in Dagster, told once with the right entry, readers unharmed, healed as it says.

`docs/faults.md` is the table of what was measured: `python -m rag_pipeline_tests.faults.declared.page` writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline_tests.faults.declared.fault import Fault, measure
from rag_pipeline_tests.faults.declared.page import FAULTS, PAGE, row, rows
from rag_pipeline_tests.faults.declared.world import Impossible, World, build, copied
from rag_pipeline_tests.pipeline.project import Project


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One lake for all of them, copied for each."""
    project = build(tmp_path_factory.mktemp("built"))
    launch_refresh(project.pipeline())
    return project


@pytest.fixture
def world(built: Project, tmp_path: Path) -> Iterator[World]:
    with copied(built, tmp_path) as world:
        yield world


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_seen_told_once_harms_no_reader_and_heals_as_its_entry_says(fault: Fault, world: World) -> None:
    try:
        measured = measure(fault, world)
    except Impossible as error:
        pytest.skip(str(error))
    assert row(measured) == rows(PAGE.read_text("utf-8"))[fault.name]
