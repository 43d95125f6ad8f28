"""A run's note is of what the run itself listed: one listing a source, and whatever came since is seen by the look."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.refresh import kept_listings, settle
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.kept_listings import KEPT, KeptListing
from rag_pipeline.sources.local import LocalFiles
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.refresh.test_look import (  # noqa: F401 - the fixture
    looks_the_same,
    noted,
    program,
    with_setting,
    written,
)


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counted: Counter[str] = Counter()
    before = LocalFiles.list

    def listing(source: LocalFiles) -> Any:
        counted[source.name] += 1
        return before(source)

    monkeypatch.setattr(LocalFiles, "list", listing)
    return counted


@contextmanager
def keeping() -> Iterator[dict[str, KeptListing]]:
    kept: dict[str, KeptListing] = {}
    token = KEPT.set(kept)
    try:
        yield kept
    finally:
        KEPT.reset(token)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.create(tmp_path)
    written(project, "a.md", "# Pumps\n\nThe pump runs.\n")
    written(project, "b.md", "# Doors\n\nThe door shuts.\n")
    return project


def test_a_source_is_listed_once_for_a_run_and_its_note(project: Project, listings: Counter[str]) -> None:
    with keeping() as kept:
        project.refresh()
    assert noted(project, kept=kept)
    assert listings == {"docs": 1}
    assert looks_the_same(project)


def test_rows_are_compared_with_the_settings_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "changed_settings", lambda *_: pytest.fail("the run did so"))
    with keeping() as kept:
        project.refresh()
    assert noted(project, kept=kept)


@pytest.mark.parametrize("change", ["a new document", "an edit", "an edit of equal size and times", "a deletion"])
def test_what_came_while_the_run_was_under_way_is_for_the_next_one(change: str, project: Project) -> None:
    path = project.folder / "docs" / "a.md"
    if change == "an edit of equal size and times":
        # Written a moment ago, as far as the run can tell.
        project.write("a.md", "# Pumps\n\nThe pump runs.\n")
    with keeping() as kept:
        project.refresh()
    if change == "a new document":
        written(project, "c.md", "# Keys\n\nThe key turns.\n")
    elif change == "a deletion":
        path.unlink()
    else:
        times = path.stat()
        text = "# Pumps\n\nThe pump rust\n" if change.endswith("times") else "# Pumps\n\nThe pump rests.\n"
        path.write_text(text, "utf-8")
        if change.endswith("times"):
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    noted(project, kept=kept)
    assert not looks_the_same(project)
    project.refresh()
    assert noted(project)
    assert looks_the_same(project)


def test_rows_that_another_run_wrote_by_other_settings_meanwhile_are_compared(project: Project) -> None:
    with keeping() as kept:
        project.refresh()
    readers = project.settings["sources"]["docs"]["allowed_principals"]
    with_setting(project, "sources.docs.allowed_principals", ["hr"])
    with project.workspace() as workspace:
        refresh_source(workspace, "docs")
    with_setting(project, "sources.docs.allowed_principals", readers)
    assert not noted(project, kept=kept)


def test_what_lists_very_much_is_listed_once_more_instead_of_being_kept(
    project: Project, listings: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_listings, "MOST_KEPT_OBJECTS", 1)
    with keeping() as kept:
        project.refresh()
    assert kept == {}
    assert noted(project, kept=kept)
    assert listings == {"docs": 2}
