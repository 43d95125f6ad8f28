"""The page of faults is that of the declared ones, and what it says to do stands in the runbook."""

from __future__ import annotations

import re

import pytest

from rag_pipeline_tests.faults.declared.fault import RUN, RUNBOOK, Fault, entry_of
from rag_pipeline_tests.faults.declared.page import FAULTS, HEAD, PAGE, rows

# As many as the pipeline promises to tell.
LEAST_FAULTS = 35


def test_the_page_has_each_declared_fault_once_and_in_order() -> None:
    page = PAGE.read_text("utf-8")
    assert page.startswith(HEAD)
    assert list(rows(page)) == [fault.name for fault in FAULTS]
    assert len(page.removeprefix(HEAD).splitlines()) == len(FAULTS) >= LEAST_FAULTS


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_an_entry_of_the_runbook_names_what_heals(fault: Fault) -> None:
    runbook = RUNBOOK.read_text("utf-8")
    entries = [entry_of(anchor, runbook) for anchor in fault.told]
    if fault.command != RUN:
        for command in fault.command.split(" && "):
            words = re.sub(r"\b(minilm|SOURCE|WHY|ALIAS)\b", "@", command)
            assert any(words in re.sub(r'\b(minilm|SOURCE|ALIAS)\b|"why"', "@", entry) for entry in entries), command
    row = rows(PAGE.read_text("utf-8"))[fault.name]
    assert all(f"runbook.md#{anchor}" in row for anchor in fault.told)
