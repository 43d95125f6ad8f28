"""Several machines write to one lake in an object store: they queue, and what one of them was killed in is healed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_pipeline.stores.lake import Lake
from rag_pipeline_tests.crash.corpus import Corpus
from rag_pipeline_tests.crash.reader import Reader
from rag_pipeline_tests.object_store.server import S3Server
from rag_pipeline_tests.object_store.writer import Writer
from rag_pipeline_tests.pipeline.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

ROUNDS = int(os.environ.get("RAG_PIPELINE_TEST_EXAMPLES", "2"))


@pytest.fixture
def project(server: S3Server, root: str, tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path, lake=root, lake_options=server.options)
    made.pipeline()
    server.asked()
    yield made
    server.behave()


@pytest.fixture(autouse=True)
def corpus(project: Project) -> Corpus:
    made = Corpus(project.folder / "docs", seed=5)
    made.grow(6)
    return made


def is_sound(project: Project) -> bool:
    """The lake holds what a build from nothing gives, and nothing else."""
    report = project.verify()
    assert not report.findings, report.findings
    assert not report.damaged
    return project.published() == project.rebuilt()


def until_it_commits(server: S3Server, table: str) -> None:
    """Wait until somebody has committed to a table."""
    pattern = re.compile(rf".*/{table}/_delta_log/\d+\.json")
    while not any(method == "PUT" and pattern.match(path) for method, path in server.asked()):
        pass


def holder(project: Project, server: S3Server) -> str:
    return Lake(project.pipeline().lake_root, server.options).holder()


def test_edits_that_two_machines_race_to_take_in_equal_a_rebuild(project: Project, corpus: Corpus) -> None:
    states = {corpus.state()}
    with Writer(project.folder, "one") as one, Writer(project.folder, "two") as two:
        one.begin()
        assert one.end() == ""
        with Reader(project.pipeline()) as reader:
            for _ in range(ROUNDS):
                corpus.edit(2)
                corpus.grow(1)
                corpus.delete(1)
                states.add(corpus.state())
                for writer in (one, two):
                    writer.begin()
                assert [one.end(), two.end()] == ["", ""]
    assert reader.fault is None
    assert reader.answers
    # Of documents that were taken away, revoking publishes before what came is parsed.
    whole = {seen.state for seen in reader.seen}
    assert all(any(state <= each for each in states) for state in whole)
    assert is_sound(project)


def test_after_a_machine_died_in_mid_run_the_next_run_takes_over(project: Project, server: S3Server) -> None:
    with Writer(project.folder, "one") as one, Writer(project.folder, "two") as two:
        one.begin()
        until_it_commits(server, "silver/documents")
        one.kill()
        left = holder(project, server)
        two.begin()
        assert two.end() == ""
        assert holder(project, server) == ""
    assert left == "" or "(run one-0, since" in left
    assert is_sound(project)


def test_a_machine_that_stood_still_and_was_overtaken_damages_nothing(
    project: Project, corpus: Corpus, server: S3Server
) -> None:
    with Writer(project.folder, "one") as one, Writer(project.folder, "two") as two:
        one.begin()
        until_it_commits(server, "silver/documents")
        one.stop()
        corpus.edit(3)
        corpus.delete(1)
        two.begin()
        assert two.end() == ""
        assert is_sound(project)
        one.go_on()
        # It finds out, or it had nothing under way and went on as the next writer.
        assert one.end() in ("", "lease_lost", "commit_conflict")
        two.begin()
        assert two.end() == ""
    assert is_sound(project)
