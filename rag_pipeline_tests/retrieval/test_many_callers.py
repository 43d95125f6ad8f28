"""One Searcher answers many callers at the same time, each with their own hits, and can be closed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rag_pipeline import Searcher
from rag_pipeline.stores.vectors import VectorTable
from rag_pipeline_tests.pipeline.project import Project

CALLERS = 8


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project.create(tmp_path_factory.mktemp("many"))
    for at in range(CALLERS):
        made.write(
            f"{at}.md", f"---\nallowed_principals: [reader{at}]\n---\nThe key of gate {at} hangs at the porter.\n"
        )
    made.refresh()
    return made


def test_callers_do_not_wait_for_each_other(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """All vector retrievers are under way at once: each waits for the others, which never come in turn."""
    together = threading.Barrier(CALLERS, timeout=60)
    nearest = VectorTable.nearest

    def slow(*arguments: Any) -> Any:
        together.wait()
        return nearest(*arguments)

    monkeypatch.setattr(VectorTable, "nearest", slow)
    with Searcher.open(project.pipeline()) as searcher, ThreadPoolExecutor(CALLERS) as callers:
        found = list(callers.map(lambda at: searcher.search("gate key", principals={f"reader{at}"}), range(CALLERS)))
    assert [[hit.uri for hit in hits] for hits in found] == [[f"docs/{at}.md"] for at in range(CALLERS)]


def test_a_closed_searcher_has_no_threads_left(project: Project) -> None:
    before = set(threading.enumerate())
    searcher = Searcher.open(project.pipeline())
    assert searcher.search("gate key", principals={"reader1"})
    searcher.close()
    left = {thread for thread in set(threading.enumerate()) - before if thread.name.startswith("ThreadPoolExecutor")}
    assert not left
    with pytest.raises(RuntimeError):
        searcher.search("gate key", principals={"reader1"})
