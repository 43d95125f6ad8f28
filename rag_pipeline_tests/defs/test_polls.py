"""The check on a source's node that says when it was last polled."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.refresh.test_polls import set_back


def test_a_source_that_is_down_for_too_long_is_yellow_too_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    project = Project.create(tmp_path / "project", ["docs", "wiki"])
    project.write("a.md", "# A\n\nThe first lamp.\n")
    project.write("b.md", "# B\n\nThe second lamp.\n", source="wiki")
    # A source that never answered holds no documents either, which is nothing more to be said of it.
    project.settings["sources"]["never"] = {"location": "nowhere", "allowed_principals": ["public"]}
    [check] = launch_refresh(project.pipeline()).checks_failed
    assert (check["asset"], check["check"], check["severity"]) == ("source/never", "polled_in_time", "WARN")
    assert check["description"].startswith("no poll with success is known; the last attempt failed")
    del project.settings["sources"]["never"]
    shutil.rmtree(project.folder / "wiki")
    assert launch_refresh(project.pipeline()).checks_failed == []
    set_back(project, timedelta(days=1), source="wiki")
    [check] = launch_refresh(project.pipeline()).checks_failed
    assert (check["asset"], check["check"], check["severity"]) == ("source/wiki", "polled_in_time", "WARN")
    assert "last polled with success" in check["description"]
    assert check["next_step"] == "rag-pipeline status"
    assert "wiki/ of source wiki is not there" in check["description"]
