"""Kept answers are erased with what they were made from: no byte of them is left in the file or on the server."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rag_pipeline.answering.answerer import Answerer
from rag_pipeline.answering.erasing import cache_of, erase_kept
from rag_pipeline.answering.keeping import Kept
from rag_pipeline.errors import StoreError
from rag_pipeline.refresh.plan import plan_run
from rag_pipeline.refresh.publication import rollback
from rag_pipeline.refresh.revoke import revoke_now
from rag_pipeline.retrieval.published import POINTER_SECONDS
from rag_pipeline_tests.answering.conftest import answering_project
from rag_pipeline_tests.answering.scripted import Scripted, says
from rag_pipeline_tests.answering.test_leaks import tells_everything
from rag_pipeline_tests.pipeline.project import Project

SECRET = "twelve gold coins"
EARNS = "What does a pump keeper earn in gold coins?"
STOPS = "How is the pump stopped with the red lever?"


@pytest.fixture(scope="module")
def built(_server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = answering_project(tmp_path_factory.mktemp("erasing"), _server.url)
    project.refresh()
    return project


@dataclass
class Place:
    """A project whose answers are kept, and all bytes of what is kept."""

    project: Project
    held: Callable[[], bytes]

    def keeps(self, text: str) -> bool:
        return text.encode() in self.held()


@pytest.fixture(params=["file", "server"])
def place(request: pytest.FixtureRequest, built: Project, server: Scripted, tmp_path: Path) -> Place:
    project = built.copied(tmp_path, polled=True)
    server.script(tells_everything)
    folder = tmp_path / "cache" / "answers"
    if request.param == "file":
        return Place(project, lambda: b"".join(path.read_bytes() for path in folder.glob("*")))
    import redis

    url = request.getfixturevalue("valkey").connection_url
    project.settings["answers"] = project.settings["answers"] | {"cache": {"url": url}}
    client = redis.Redis.from_url(url)
    client.flushall()
    return Place(project, lambda: b"".join(client.get(key) or b"" for key in client.scan_iter("*")))


def test_what_is_closed_or_deleted_is_erased_by_the_next_run_and_nothing_else(place: Place) -> None:
    project = place.project
    # A server that has the store open all the while.
    with Answerer.open(project.pipeline()) as answerer:
        assert SECRET in answerer.ask(EARNS, {"hr"}).text
        assert not answerer.ask(STOPS, {"public"}, k=1).from_cache
        assert place.keeps(SECRET)
        assert place.keeps("red lever twice")
        project.settings["sources"]["people"]["allowed_principals"] = []
        project.refresh()
        assert not place.keeps(SECRET)
        time.sleep(POINTER_SECONDS)
        assert answerer.ask(STOPS, {"public"}, k=1).from_cache
        (project.folder / "docs" / "guide.md").unlink()
        assert plan_run(project.pipeline()).rows_revoked
        assert place.keeps("red lever twice")
        project.refresh()
        assert not place.keeps("red lever twice")


def test_a_revocation_alone_erases_and_so_does_going_back(place: Place) -> None:
    project = place.project
    with Answerer.open(project.pipeline()) as answerer:
        answerer.ask(EARNS, {"hr"})
        # Silver, models and the rest of the run are not needed.
        (project.folder / "people" / "salaries.md").unlink()
        with project.workspace() as workspace:
            from rag_pipeline.refresh.bronze import refresh_source

            refresh_source(workspace, "people", allow_mass_deletion=True)
            revoke_now(workspace)
        assert not place.keeps(SECRET)
        project.write("guide.md", "# Running the pump\n\nPull the green cord.\n")
        project.refresh()
        time.sleep(POINTER_SECONDS)
        assert "green cord" in answerer.ask(STOPS, {"public"}).text
        assert place.keeps("green cord")
        with project.workspace() as workspace:
            rollback(workspace)
        assert not place.keeps("green cord")


def test_an_answer_that_is_kept_late_goes_with_the_next_run(place: Place) -> None:
    project = place.project
    with Answerer.open(project.pipeline()) as answerer:
        answerer.ask(EARNS, {"hr"})
        (project.folder / "people" / "salaries.md").unlink()
        project.refresh()
        cache = cache_of(project.pipeline())
        assert cache is not None
        cache.put("late", Kept(SECRET, 1, 1, False, ("d",), ("c",), "an older publication"))
        cache.close()
        assert place.keeps(SECRET)
        project.refresh()
        assert not place.keeps(SECRET)


def test_what_was_made_from_a_document_or_chunk_is_erased_when_it_is_told(place: Place, server: Scripted) -> None:
    pipeline = place.project.pipeline()
    with Answerer.open(pipeline) as answerer:
        cited = answerer.ask(EARNS, {"hr"}, k=1).citations[0]
        answerer.ask(STOPS, {"public"}, k=1)
        assert erase_kept(pipeline, ["nothing of the kind"]) == 0
        assert erase_kept(pipeline, [cited.document_id]) == 1
        assert not place.keeps(SECRET)
        assert place.keeps("red lever twice")
        # What was given counts, cited or not.
        server.script(says("I don't have that information."))
        assert not answerer.ask(EARNS, {"hr"}, k=1).from_cache
        assert erase_kept(pipeline, [cited.chunk_id]) == 1


def test_a_store_that_cannot_be_looked_through_is_said_and_fails_no_run(
    built: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = built.copied(tmp_path, polled=True)
    project.settings["answers"] = project.settings["answers"] | {"cache": {"url": "redis://127.0.0.1:1/0"}}
    with pytest.raises(StoreError, match="may still quote"):
        erase_kept(project.pipeline(), ["any"])
    (project.folder / "people" / "salaries.md").unlink()
    project.refresh()
    assert "kept answers were not looked through" in caplog.text
    assert not any("salaries" in row["uri"] for row in project.published())


def test_answers_of_an_earlier_program_are_erased(tmp_path: Path, built: Project, server: Scripted) -> None:
    import sqlite3

    project = built.copied(tmp_path, polled=True)
    server.script(says("Pull it [1]."))
    with Answerer.open(project.pipeline()) as answerer:
        answerer.ask(STOPS, {"public"})
    (path,) = (tmp_path / "cache" / "answers").glob("*.sqlite")
    with sqlite3.connect(path) as file:
        file.execute("create table answers(key text, value blob)")
        file.execute("insert into answers values ('k', ?)", (SECRET.encode(),))
    file.close()
    assert SECRET.encode() in path.read_bytes()
    project.write("other.md", "# Other\n\nAnother text.\n")
    project.refresh()
    assert not [each for each in path.parent.iterdir() if SECRET.encode() in each.read_bytes()]
