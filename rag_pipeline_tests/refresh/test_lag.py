"""From a change at a source to readers: measured by each publication, by source, and held to what the source allows."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rag_pipeline.errors import StoreError
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline.refresh.lag import FIGURE, lag_figures, late_now, read_lags
from rag_pipeline.refresh.status import read_status
from rag_pipeline.stores.lake import Lake
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.refresh.test_polls import set_back

DAY_SECONDS = 86_400


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"), ("docs", "wiki"))
    project.settings["sources"]["docs"]["searchable_within"] = "2h"
    for source in ("docs", "wiki"):
        os.utime(project.write("old.md", f"# Lamp\n\nThe lamp of {source}.\n", source), (1_500_000_000, 1_500_000_000))
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path, polled=True)


def test_what_was_there_at_first_is_no_change_and_what_came_since_is_measured(project: Project) -> None:
    with project.workspace() as workspace:
        assert {name: lag.documents for name, lag in read_lags(workspace).items()} == {"docs": 0, "wiki": 0}
    project.write("new.md", "# Bell\n\nThe bell rings.\n")
    project.refresh()
    with project.workspace() as workspace:
        lags = read_lags(workspace)
        assert (lags["docs"].documents, lags["wiki"].documents) == (1, 0)
        assert lags["docs"].worst_seconds < DAY_SECONDS
        assert late_now(workspace)[0] == []
    # Another publication that brings nothing of a source leaves what was measured.
    project.write("other.md", "# Rope\n\nThe rope binds.\n", "wiki")
    project.refresh()
    with project.workspace() as workspace:
        assert (read_lags(workspace)["docs"], read_lags(workspace)["wiki"].documents) == (lags["docs"], 1)


def test_a_source_that_is_polled_too_seldom_is_late_until_its_changes_are_in_time(project: Project) -> None:
    set_back(project, timedelta(days=2))
    # A copied file keeps its time of long ago; it was not there two days ago.
    os.utime(project.write("new.md", "# Bell\n\nThe bell rings.\n"), (1_500_000_000, 1_500_000_000))
    with project.workspace() as workspace:
        refresh_source(workspace, "docs")
        [waiting] = late_now(workspace)[0]
    assert (waiting.source, waiting.waiting) == ("docs", 1)
    project.refresh()
    with project.workspace() as workspace:
        [late] = late_now(workspace)[0]
        status = {each.source: each for each in read_status(workspace).sources}
    assert (late.source, late.waiting) == ("docs", 0)
    assert 2 * DAY_SECONDS <= late.seconds < 3 * DAY_SECONDS
    assert (status["docs"].late, status["wiki"].late) == (late, None)
    shown = ask_in(project.folder, "status")
    assert shown.code == 1
    assert "Source docs is late" in shown.err + shown.out
    project.write("newer.md", "# Key\n\nThe key turns.\n")
    project.refresh()
    with project.workspace() as workspace:
        assert late_now(workspace)[0] == []


def test_what_cannot_be_measured_keeps_nothing_from_being_published(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise StoreError("no record")

    project.write("new.md", "# Bell\n\nThe bell rings.\n")
    with monkeypatch.context() as patch:
        patch.setattr("rag_pipeline.refresh.lag.read_lags", broken)
        project.refresh()
    last = Lake(str(project.folder / "lake")).last_publication()
    assert last is not None
    assert FIGURE not in last.figures
    # The next one measures what that one brought, too.
    with project.workspace() as workspace:
        assert lag_figures(workspace, workspace.now())[FIGURE]["docs"]["documents"] == 1


def test_changes_after_a_clock_was_set_back_are_measured(project: Project) -> None:
    """Else no change would count until the time has come that one publication is dated."""
    project.write("new.md", "# Bell\n\nThe bell rings.\n")
    with project.workspace() as workspace:
        workspace.now = lambda: datetime.now(UTC) + timedelta(days=1)
        refresh_everything(workspace, evaluate=False)
        assert read_lags(workspace)["docs"].as_of > datetime.now(UTC) + timedelta(hours=23)
    for number in range(2):
        project.write(f"more{number}.md", f"# Rope {number}\n\nThe rope binds {number}.\n")
        project.refresh()
    with project.workspace() as workspace:
        lag = read_lags(workspace)["docs"]
        assert (lag.documents, lag.as_of < datetime.now(UTC)) == (1, True), "the first one begins anew"
        assert lag.worst_seconds < DAY_SECONDS
