"""`rag-pipeline plan`: what it prints, and when it asks a person."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from rag_pipeline.cli.stopping import Stopped
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.pipeline.project import Project


def test_opening_something_to_everybody_has_to_be_allowed(own: Project) -> None:
    settled = ask_in(own.folder, "plan", "--json")
    assert settled.code == 0
    assert settled.records[0]["opens"] == settled.records[0]["closes"] == []
    own.settings["sources"]["people"]["allowed_principals"] = ["public"]
    own.write("new.md", "# New\n\nEach night brings something new.\n")
    own.pipeline()
    answer = ask_in(own.folder, "plan", "--json")
    assert answer.code == 1
    plan = answer.records[0]
    opened = [(each["source"], each["principal"], each["is_new"]) for each in plan["opens"]]
    assert opened == [("docs", "public", True), ("people", "public", False)]
    assert [each["source"] for each in plan["opens_to_public"]] == ["people"]
    assert [(each["source"], each["principal"]) for each in plan["closes"]] == [("people", "hr")]
    assert "rag-pipeline plan --allow-public" in answer.err
    shown = ask_in(own.folder, "plan", "--allow-public")
    assert shown.code == 0
    assert "PUBLIC" not in shown.out
    assert "public" in shown.out
    assert "salaries.md" in shown.out
    assert "would be opened" not in shown.err


def test_what_the_deletion_guard_would_hold_is_said(own: Project) -> None:
    own.settings["sources"]["docs"] |= {"max_deleted_share": 0.1, "max_deleted_floor": 0}
    own.pipeline()
    for name in ("guide.md", "copy-of-guide.md"):
        (own.folder / "docs" / name).unlink()
    held = ask_in(own.folder, "plan", "--json").records[0]
    assert held["held_because"]
    assert held["closes"] == []
    assert "allow-mass-deletion" in ask_in(own.folder, "plan").err
    let_go = ask_in(own.folder, "plan", "--allow-mass-deletion", "docs", "--json").records[0]
    assert {each["source"] for each in let_go["closes"]} == {"docs"}
    assert ask_in(own.folder, "plan", "--allow-mass-deletion", "nobody").code == 2


def test_what_was_erased_is_not_planned_to_come_back(own: Project) -> None:
    erased = ask_in(own.folder, "erase", "--address", "people", "salaries.md", "--reason", "asked", "--yes")
    assert erased.code == 0, erased.err
    plan = ask_in(own.folder, "plan", "--json").records[0]
    assert plan["opens"] == []
    assert [each["added"] for each in plan["sources"]] == [0, 0]


def test_a_plan_that_is_stopped_leaves_no_text_behind_and_takes_away_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    left, used, other = (temporary / f"rag-pipeline-shadow-{name}" for name in ("left", "used", "link"))
    # Of a restore and of an erasure in an object store.
    restored, looked_at = temporary / "rag-pipeline-restore-left", temporary / "rag-pipeline-look-left"
    for folder in (left, restored, looked_at, used, tmp_path / "else"):
        folder.mkdir(parents=True)
        (folder / "text").write_text("a secret")
        os.utime(folder, (0, 0))
    other.symlink_to(tmp_path / "else")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    project = Project.create(tmp_path / "project")
    project.write("a.md", "# A\n\nThe lamp shines.\n")
    project.pipeline()
    seen: list[bool] = []

    def stopped(workspace: Any, *_: object) -> None:
        seen.append(Path(workspace.lake.root).is_dir())
        # What the handler of the signal raises; a signal itself would end the process that runs other tests too.
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr("rag_pipeline.refresh.plan._planned", stopped)
    with FileLock(used / ".in-use.lock"):
        os.utime(used, (0, 0))
        answer = ask_in(project.folder, "plan")
    assert answer.code == 143
    assert seen == [True]
    assert {path.name for path in temporary.iterdir()} == {used.name, other.name}
    assert (tmp_path / "else" / "text").exists()
