"""The order of hits: by score, equal ones by place, and the same after a rebuild."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.errors import TableOutdated
from rag_pipeline.stores import vectors
from rag_pipeline_tests.pipeline.project import Project

LINE = "The lever of the pump is red and is pulled twice."


def places(project: Project, mode: str) -> list[tuple[str, int]]:
    hits = project.search("red lever of the pump", "public", mode=mode, k=50)
    return [(hit.uri, hit.start_char) for hit in hits]


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_what_stands_twice_is_cited_where_it_stands_first_also_after_a_rebuild(tmp_path: Path, mode: str) -> None:
    project = Project.create(tmp_path, deduplication={"near": False}, boilerplate={"leave_out": False})
    for number in (3, 1, 2):
        project.write(f"{number}.md", f"## Start\n\n{LINE}\n\n## Stop\n\nNumber {number}.\n\n## Start\n\n{LINE}\n")
    project.refresh()
    # A document keeps its id when it moves, and ids must not decide.
    (project.folder / "docs" / "1.md").rename(project.folder / "docs" / "9.md")
    (project.folder / "docs" / "3.md").rename(project.folder / "docs" / "0.md")
    project.refresh()
    found = places(project, mode)
    assert found[0] == ("docs/0.md", 0)
    project.settings["lake"] = "rebuilt"
    project.refresh()
    assert places(project, mode) == found


def test_an_index_of_an_older_program_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.create(tmp_path)
    project.write("a.md", f"# A\n\n{LINE}\n")
    project.refresh()
    later: dict[str, Any] = dict(vectors.ROW_COLUMNS) | {"shelf": vectors.pa.string()}
    monkeypatch.setattr(vectors, "ROW_COLUMNS", later)
    with pytest.raises(TableOutdated, match=r"has no shelf.*rag-pipeline run"):
        project.search("lever", "public")
