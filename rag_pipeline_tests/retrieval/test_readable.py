"""What a caller may read of each source: counted once for a publication, and never from an older one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.retrieval import readable
from rag_pipeline.retrieval.published import POINTER_SECONDS
from rag_pipeline.retrieval.readable import ReadableSources
from rag_pipeline_tests.pipeline.project import Project


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each reading of rows of the index."""
    found: list[str] = []

    class Counted(readable.Selection):
        def read(self, *arguments: Any, **options: Any) -> Any:
            found.append("read")
            return super().read(*arguments, **options)

    monkeypatch.setattr(readable, "Selection", Counted)
    return found


def test_rows_are_read_once_for_each_caller_and_publication(tmp_path: Path, reads: list[str]) -> None:
    project = Project.create(tmp_path, sources=("docs", "people"))
    project.settings["sources"]["people"]["allowed_principals"] = ["hr"]
    project.write("guide.md", "# Guide\n\nHow to start the pump.\n")
    project.write("pay.md", "# Pay\n\nTwelve gold coins.\n", source="people")
    project.refresh()
    sources = ReadableSources(project.pipeline())

    def counts(*principals: str) -> dict[str, int]:
        return {each.source: each.documents for each in sources.of(principals)}

    for _ in range(3):
        assert counts("public") == {"docs": 1}
        assert counts("hr") == {"docs": 1, "people": 1}
        assert counts("hr", "ann") == counts("ann", "hr")
    assert len(reads) == 3
    project.settings["sources"]["people"]["allowed_principals"] = ["board"]
    project.refresh()
    time.sleep(POINTER_SECONDS)
    assert counts("hr") == {"docs": 1}
    assert counts("board") == {"docs": 1, "people": 1}
    assert len(reads) == 5


def test_counts_are_kept_of_so_many_callers(tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readable, "MOST_KEPT", 3)
    project = Project.create(tmp_path)
    project.write("guide.md", "# Guide\n\nHow to start the pump.\n")
    project.refresh()
    sources = ReadableSources(project.pipeline())
    for name in ("a", "b", "a", "c", "d", "a", "b"):
        assert [each.documents for each in sources.of([name])] == [1]
        assert len(sources._kept) <= 3
    # The one that was not asked for the longest time is counted again.
    assert len(reads) == 5
