"""Each object is read once by a refresh, and its bytes are counted once."""

from __future__ import annotations

from pathlib import Path

from rag_pipeline.refresh.bronze import update_source
from rag_pipeline_tests.pipeline.project import Project


def test_what_was_read_to_see_whether_it_moved_is_counted_once(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    old = project.write("old.md", "# A lamp\n\nIt burns.\n")
    project.write("other.md", "# A bell\n\nIt rings.\n")
    with project.workspace() as workspace:
        assert update_source(workspace, "docs").bytes_read == 2 * old.stat().st_size
        size = old.stat().st_size
        old.rename(old.with_name("new.md"))
        # Of the size of what went away, and something else.
        project.write("third.md", "# A rope\n\nIt binds.\n")
        report = update_source(workspace, "docs")
    assert (report.moved, report.added) == (1, 1)
    # What was written within a moment of being read is read again.
    assert report.bytes_read <= 3 * size
