"""A small published lake that each fault gets a copy of, with people on duty, and who reads it.

Belongs here: building and copying it, typing commands, and what is seen of it from outside.
Does not belong here: what goes wrong (`of_*.py`), what is to be seen then (`fault.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from rag_pipeline.cli.app import cli
from rag_pipeline.defs.instance import dagster_home, opened_instance
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline_tests.alerts.receiver import Receiver, receiving
from rag_pipeline_tests.pipeline.project import Project

# Everybody, and somebody who may read more.
CALLERS = (("public",), ("public", "hr"))
# Each document has one of these words.
WORDS = ("lamp", "oil", "payroll")
ALERTS = {"sinks": {"duty": {"kind": "webhook", "url_variable": "HOOK"}}}
DOCUMENTS = 28


def build(folder: Path) -> Project:
    """Sources of public documents and of some that only hr reads, with questions, published once."""
    project = Project.create(folder, ["docs", "wiki"], alerts=ALERTS)
    rule = {"pattern": "hr/**", "allowed_principals": ["hr"]}
    project.settings["sources"]["docs"] |= {"permission_rules": [rule], "groups": {"file": "groups.yaml"}}
    project.settings["evaluation"] = {"questions": ["questions.jsonl"], "mode": "text"}
    (project.folder / "groups.yaml").write_text("crew: [dan]\n", "utf-8")
    for number in range(DOCUMENTS):
        text = f"Lamp number {number} stands on shelf {number * 7} and burns until the morning."
        project.write(f"d{number}.md", f"# Lamp {number}\n\n{text}\n")
    for number in range(2):
        project.write(f"hr/p{number}.md", f"# Payroll {number}\n\nThe payroll of crew {number} is paid in copper.\n")
    questions = []
    for number in range(4):
        text = f"Oil of the lantern{number} is filled in by hand every {number + 2} hours."
        project.write(f"w{number}.md", f"# Oil {number}\n\n{text}\n", source="wiki")
        expected = [{"uri_suffix": f"wiki/w{number}.md"}]
        questions.append(
            {"id": f"q{number}", "question": f"lantern{number}", "expected": expected, "principals": ["public"]}
        )
    lines = "\n".join(json.dumps(question) for question in questions)
    (project.folder / "questions.jsonl").write_text(lines, "utf-8")
    return project


class Impossible(Exception):
    """This machine cannot have this fault."""


@dataclass
class World:
    """One copy of the lake, its people on duty and its readers.

    Attributes:
        receiver: Where the people on duty are told.
        leaving: What was started for the fault, ended with it at the latest.
        patch: For what no file, server or lock can break; taken back when the fault is mended.
    """

    project: Project
    receiver: Receiver
    patch: pytest.MonkeyPatch
    leaving: ExitStack
    output: str = ""
    ids: set[str] = field(default_factory=set)

    @property
    def folder(self) -> Path:
        return self.project.folder

    @property
    def lake(self) -> Path:
        return self.project.folder / "lake"

    def source(self, name: str) -> dict[str, Any]:
        settings: dict[str, Any] = self.project.settings["sources"][name]
        return settings

    def type(self, *arguments: str) -> Result:
        """Type a command of `rag-pipeline`, and keep what it said."""
        config = str(self.project.pipeline().path)
        result = CliRunner().invoke(cli, list(arguments), env={"RAG_PIPELINE_CONFIG": config})
        self.output = f"{result.output}\n{result.exception or ''}"
        return result

    def told(self) -> list[tuple[str, frozenset[str]]]:
        """What the people on duty were told since this was last asked: turn, and entries of the runbook.

        Whoever could not note that a message was sent sends it again under its id, by which a receiver tells it.
        """
        got, self.receiver.got = self.receiver.got, []
        bodies = [body for _, _, body in got if body["id"] not in self.ids]
        self.ids |= {body["id"] for body in bodies}
        return [(body["state"], frozenset(alert["runbook"] for alert in body["alerts"])) for body in bodies]

    def answers(self) -> list[list[tuple[str, str]]]:
        """What each caller finds, by address and text."""
        with Searcher.open(self.project.pipeline()) as searcher:
            return [
                sorted(
                    (hit.uri, hit.text)
                    for word in WORDS
                    for hit in searcher.search(word, principals=caller, mode="text", k=60)
                )
                for caller in CALLERS
            ]

    def red(self) -> set[str]:
        """What Dagster's pages show as failed: names of checks, and of jobs whose last run failed."""
        try:
            opened = opened_instance(dagster_home(self.project.pipeline()))
        except Exception:
            return {"Dagster, which does not open"}
        with opened as instance:
            return set(_failed_checks(instance)) | set(_failed_runs(instance))


def _failed_checks(instance: dg.DagsterInstance) -> Iterator[str]:
    found: dict[tuple[str, str], bool] = {}
    events = instance.event_log_storage.get_event_records(
        dg.EventRecordsFilter(dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    )
    for record in reversed(events):
        data: Any = record.event_log_entry.dagster_event.event_specific_data  # type: ignore[union-attr]
        found[data.asset_key.to_user_string(), data.check_name] = data.passed
    yield from (name for (_, name), passed in found.items() if not passed)


def _failed_runs(instance: dg.DagsterInstance) -> Iterator[str]:
    for record in instance.get_run_records(limit=1):
        if record.dagster_run.status is dg.DagsterRunStatus.FAILURE:
            yield "failed run"


@contextmanager
def copied(built: Project, folder: Path) -> Iterator[World]:
    """A copy of the lake that a fault may do anything to."""
    with receiving() as receiver, pytest.MonkeyPatch.context() as outer, pytest.MonkeyPatch.context() as patch:
        outer.setenv("HOOK", receiver.url)
        with ExitStack() as leaving:
            yield World(built.copied(folder), receiver, patch, leaving)
