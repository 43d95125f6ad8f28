"""What searches find is counted in the lake without their words, and neither a search nor a run is touched by it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock

from rag_pipeline.contracts.searches import SEARCHES_FILE, SEARCHES_LOCK, Found
from rag_pipeline.refresh.look import lake_state
from rag_pipeline.serving.callers import Caller
from rag_pipeline.serving.questions import SearchQuestion
from rag_pipeline.serving.service import Service
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.searches import read_searches
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import mark_of

ANN = Caller("ann", frozenset({"ann", "public"}), way="token")


@pytest.fixture
def own(lake: Project, tmp_path: Path) -> Project:
    project = lake.copied(tmp_path)
    # Servers of other tests have left what they counted in the lake that all share.
    (project.folder / "lake" / SEARCHES_FILE).unlink(missing_ok=True)
    return project


@pytest.fixture
def service(own: Project) -> Iterator[Service]:
    opened = Service(own.pipeline())
    yield opened
    opened.close()


def root_of(service: Service) -> Path:
    return Path(service._searched._lake.root)


def counted(service: Service) -> Found:
    rows = read_searches(Lake(str(root_of(service))))
    assert len({name for row in rows for name in row.spaces}) <= 1
    return sum((found for row in rows for found in row.spaces.values()), start=Found())


def ask(service: Service, query: str = f"word {mark_of(0)}", **more: object) -> int:
    return len(service.search(ANN, SearchQuestion.model_validate({"query": query, **more}))["hits"])


def ask_often(service: Service) -> None:
    for _ in range(8):
        ask(service)


def test_numbers_are_left_and_no_word_and_they_are_no_reason_for_a_run(service: Service) -> None:
    state = lake_state(root_of(service))
    assert ask(service) > 0
    assert ask(service, mode="text") > 0
    assert ask(service, "zzzyx unheard", mode="text") == 0
    # Of what was, of another model, or of somebody else, nothing is said.
    ask(service, space="small")
    ask(service, as_of=f"{datetime.now(UTC):%Y-%m-%d}")
    assert counted(service) == Found()
    service._searched.leave()
    found = counted(service)
    assert (found.searches, found.empty, sum(found.best)) == (3, 1, 1)
    content = (root_of(service) / SEARCHES_FILE).read_bytes()
    assert not any(word in content for word in (b"unheard", b"word", b"ann", b"docs", mark_of(0).encode()))
    assert lake_state(root_of(service)) == state
    service._searched.leave()
    assert (root_of(service) / SEARCHES_FILE).read_bytes() == content


def test_searches_go_on_where_nothing_can_be_left_and_counts_wait(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_pipeline.serving.searched.LEFT_EVERY_SECONDS", 0.0)
    file = root_of(service) / SEARCHES_FILE
    file.mkdir()
    with caplog.at_level(logging.WARNING):
        assert ask(service) > 0
        assert ask(service) > 0
    assert len([record for record in caplog.records if "counted" in record.getMessage()]) == 1
    file.rmdir()
    file.write_bytes(b'\xff{"half')
    with FileLock(root_of(service) / SEARCHES_LOCK):
        assert ask(service) > 0
        assert counted(service) == Found()
    assert ask(service) > 0
    assert counted(service).searches == 4


def test_many_that_search_at_once_lose_no_count(
    own: Project, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_pipeline.serving.searched.LEFT_EVERY_SECONDS", 0.0)
    other = Service(own.pipeline())
    threads = [threading.Thread(target=ask_often, args=(each,)) for each in (service, other) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    service._searched.leave()
    assert counted(service).searches == 32
