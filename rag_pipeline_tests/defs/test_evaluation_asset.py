"""gold/evaluation in a Dagster run: measured once, plotted, and a gate before publication."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from rag_pipeline.defs.instance import dagster_home
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline_tests.pipeline.project import Project


def asked_project(folder: Path) -> Project:
    """Three documents, and a question on each."""
    project = Project.create(folder)
    for number in range(3):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe lantern{number} hangs in hall {number}.\n")
    questions = [
        {
            "id": f"q{number}",
            "question": f"lantern{number}",
            "expected": [{"uri_suffix": f"docs/{number}.md"}],
            "principals": ["public"],
        }
        for number in range(3)
    ]
    lines = "\n".join(json.dumps(question) for question in questions)
    (project.folder / "questions.jsonl").write_text(lines, "utf-8")
    project.settings["evaluation"] = {"questions": ["questions.jsonl"], "mode": "text"}
    return project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return asked_project(tmp_path / "project")


def facts(project: Project) -> dict[str, Any]:
    with dg.DagsterInstance.from_config(str(dagster_home(project.pipeline()))) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["gold", "evaluation"]))
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def test_a_run_evaluates_before_it_publishes_and_an_unchanged_one_commits_nothing(project: Project) -> None:
    first = launch_refresh(project.pipeline())
    assert first.success, first
    assert first.checks_failed == []
    shown = facts(project)
    assert (shown["rag/ndcg"], shown["rag/evaluations_computed"], shown["rag/leaks"]) == (1.0, 1, 0)
    assert isinstance(shown["rag/latency_p95_ms"], float)
    assert "- **q0** " in shown["rag/weakest_questions"]
    # The page shows a hundred rows before a click: what is one figure of a row of a table is none of its own.
    assert len(shown) < 40
    assert "rag/figures_by_mode" in shown
    assert not [name for name in shown if "language" in name or "source_" in name]
    second = launch_refresh(project.pipeline())
    assert second.success
    assert second.commits == 0
    assert facts(project)["rag/evaluations_computed"] == 0
