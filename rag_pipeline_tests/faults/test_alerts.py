"""Faults, one at a time: each is one message with the right entry of the runbook, and its remedy is told once too.

`docs/faults.md` is the table of them: `python -m rag_pipeline_tests.faults.test_alerts` writes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from rag_pipeline.alerts import sinks
from rag_pipeline.contracts.alerts import Message
from rag_pipeline.defs.alerts_after_run import tell_after_run
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.refresh.test_history import aged
from rag_pipeline_tests.refresh.test_polls import set_back

PAGE = REPOSITORY / "docs" / "faults.md"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        inject, remedy: What breaks it, and what a person does before the next run.
        told: Entries of the runbook that the one message has.
        does: The remedy in words.
    """

    name: str
    inject: Callable[[Project], Any]
    remedy: Callable[[Project], Any]
    told: frozenset[str]
    does: str


def moved(there: str, away: str) -> Callable[[Project], Any]:
    return lambda project: (project.folder / there).rename(project.folder / away)


def setting(source: str, **values: Any) -> Callable[[Project], Any]:
    return lambda project: project.settings["sources"][source].update(values)


def half_gone(project: Project) -> None:
    (project.folder / "half").mkdir()
    for number in range(14):
        (project.folder / f"docs/d{number}.md").rename(project.folder / f"half/d{number}.md")


def half_back(project: Project) -> None:
    for path in (project.folder / "half").iterdir():
        path.rename(project.folder / "docs" / path.name)
    (project.folder / "half").rmdir()


def comes_late(project: Project) -> None:
    project.settings["sources"]["wiki"]["searchable_within"] = "1h"
    set_back(project, timedelta(hours=2), source="wiki")
    project.write("late.md", "# Late\n\nThe ferry came in at noon.\n", source="wiki")
    os.utime(project.folder / "wiki" / "late.md", (1_700_000_000, 1_700_000_000))


def closes(project: Project) -> None:
    aged(project, timedelta(days=30))
    project.settings["sources"]["docs"]["allowed_principals"] = ["keepers"]


FAULTS = (
    Fault("a source is down", moved("wiki", "away"), moved("away", "wiki"), frozenset({"source_answers"}),
          "bring the source back, then `rag-pipeline run`"),
    Fault("half of a listing is missing", half_gone, half_back, frozenset({"deletion_guard_holds_nothing"}),
          "bring the rest back, then `rag-pipeline run`; or `rag-pipeline run --allow-mass-deletion SOURCE`"),
    Fault("a rule of permissions matches nothing",
          setting("wiki", permission_rules=[{"pattern": "hr/**", "allowed_principals": ["hr"]}]),
          setting("wiki", permission_rules=[]), frozenset({"patterns_match_something"}),
          "correct the pattern, then `rag-pipeline run`"),
    Fault("nobody may read a source", setting("wiki", allowed_principals=[]),
          setting("wiki", allowed_principals=["public"]), frozenset({"somebody_may_read_it"}),
          "set `allowed_principals`, then `rag-pipeline run`"),
    Fault("changes are searchable too late", comes_late, setting("wiki", searchable_within="365d"),
          frozenset({"changes_are_searchable_in_time"}), "poll the source more often"),
    Fault("content grew old", setting("wiki", content_stale_after="1s"), setting("wiki", content_stale_after="365d"),
          frozenset({"content_is_fresh"}), "ask the owner of the source"),
    Fault("what everybody read is open to one group", closes, setting("docs", allowed_principals=["public"]),
          frozenset({"openness_is_usual", "readers_are_known"}), "set `allowed_principals` back, unless it is meant"),
)  # fmt: skip


def page() -> str:
    def entries(fault: Fault) -> str:
        return ", ".join(f"[`{told}`](runbook.md#{told})" for told in sorted(fault.told))

    rows = [f"| {fault.name} | {entries(fault)} | {fault.does} |" for fault in FAULTS]
    head = (
        "# Faults, and how they are told\n\n"
        "Made by `rag_pipeline_tests/faults/test_alerts.py`, which injects each of them and holds that it is told in\n"
        "one message, and that its end is told once.\n\n"
        "| what goes wrong | entry of the runbook | what mends it |\n|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


class Heard:
    """What a sink took since it was last asked."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def of(self, project: Project) -> list[Message]:
        launch_refresh(project.pipeline())
        tell_after_run(project.pipeline(), launched=True)
        found, self.messages = self.messages, []
        return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One lake for all of them: each leaves it well."""
    project = Project.create(tmp_path_factory.mktemp("faults"), ["docs", "wiki"])
    project.settings["alerts"] = {"sinks": {"duty": {"kind": "log"}}}
    for number in range(24):
        project.write(f"d{number}.md", f"# Lamp {number}\n\nLamp number {number} stands on shelf {number * 7}.\n")
    project.write("w.md", "# Wiki\n\nOil is filled in by hand.\n", source="wiki")
    launch_refresh(project.pipeline())
    return project


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_told_once_and_so_is_its_end(
    fault: Fault, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    monkeypatch.setitem(sinks._SENDERS, "log", lambda message, *_: heard.messages.append(message))
    fault.inject(project)
    [message] = heard.of(project)
    assert message.turn == "opened"
    assert {finding.runbook for finding in message.findings} == fault.told
    assert heard.of(project) == []
    fault.remedy(project)
    [message] = heard.of(project)
    assert message.turn == "resolved"
    assert {finding.runbook for finding in message.findings} == fault.told


def test_the_page_of_faults_is_as_it_is_tried() -> None:
    assert PAGE.read_text("utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
