"""Rollback, retirement and housekeeping on a lake in an object store, while what stands beside them breaks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rag_pipeline.errors import CommitConflict, LakeBusy, LeaseLost, StoreError
from rag_pipeline.refresh import generations, maintenance, publication
from rag_pipeline.refresh.generations import retire
from rag_pipeline.refresh.maintenance import maintain
from rag_pipeline.refresh.publication import rollback
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores import lease as leases
from rag_pipeline.stores.lake import Lake
from rag_pipeline_tests.object_store.server import S3Server
from rag_pipeline_tests.object_store.test_fences import NOTES, rows
from rag_pipeline_tests.object_store.test_lease import Clock
from rag_pipeline_tests.object_store.writer import Writer
from rag_pipeline_tests.pipeline.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

ACTIONS: dict[str, Callable[[Workspace], Any]] = {
    "rollback": rollback,
    "maintain": maintain,
    "retire": lambda workspace: retire(workspace, "other"),
}
# Called by each after it has begun to write, or is about to.
STEPS = {
    "rollback": (publication, "as_it_may_be_read"),
    "maintain": (maintenance, "_has_drifted"),
    "retire": (generations, "table_name"),
}
WRITES = {
    "rollback": r"PUT .*/gold/publications/_delta_log/",
    "maintain": r"PUT .*/gold/canaries/_delta_log/",
    # Of its files.
    "retire": r"(POST|DELETE) .*",
}


# What it waits for takes a few seconds; a writer that failed has said so by then.
PATIENCE_SECONDS = 90


@pytest.fixture(autouse=True)
def well_behaved(server: S3Server) -> Iterator[None]:
    yield
    server.behave()


def prepared(project: Project, action: str) -> Project:
    """With what the action needs: a version to go back to, or the index of another model."""
    if action == "retire":
        project.settings["embedding_models"]["other"] = {"kind": "hashing", "model": "hashing", "dimension": 32}
        project.refresh(alias="other")
        with project.workspace() as workspace:
            publication.publish(workspace, "small", by_hand=True)
    elif action == "rollback":
        project.write("lamps.md", "# Lamps\n\nA blue lamp hangs above the door since the green one broke.\n")
        project.refresh()
    return project


def is_sound(project: Project) -> bool:
    """After the next run the lake holds what a build from nothing gives, and nothing else."""
    with project.workspace() as workspace:
        if workspace.lake.publications()[-1].action == "rollback":
            publication.publish(workspace, by_hand=True)
    project.refresh()
    report = project.verify()
    assert not report.findings, report.findings
    return project.published() == project.rebuilt()


@pytest.mark.parametrize(
    "action", ["maintain", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("rollback", "retire"))]
)
def test_who_lost_the_lease_in_the_middle_changes_nothing_for_readers(
    project: Project, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    clock = Clock()
    monkeypatch.setattr(leases, "now_seconds", clock)
    before = prepared(project, action).published()
    module, step = STEPS[action]
    wanted = getattr(module, step)
    successor = Lake(project.settings["lake"], project.settings["lake_options"], "next", lock_timeout_seconds=0)

    def overtaken(*args: Any, **options: Any) -> Any:
        with pytest.raises(LakeBusy), successor.writing():
            raise AssertionError
        clock.seconds += leases.TTL_SECONDS * leases.PATIENCE + 1
        with successor.writing():
            successor.append(NOTES, rows("a"))
        return wanted(*args, **options)

    with project.workspace(action) as workspace, monkeypatch.context() as patched:
        patched.setattr(module, step, overtaken)
        with pytest.raises((LeaseLost, CommitConflict)) as refused:
            ACTIONS[action](workspace)
    assert refused.value.retryable
    assert project.published() == before
    with project.workspace(action) as workspace:
        ACTIONS[action](workspace)


@pytest.mark.exhaustive
@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("action", ACTIONS)
def test_a_server_that_fails_in_the_middle_leaves_readers_where_they_were(
    server: S3Server, project: Project, action: str, status: int
) -> None:
    before = prepared(project, action).published()
    server.behave(fails=WRITES[action], status=status)
    with project.workspace(action) as workspace:
        with pytest.raises(StoreError) as refused:
            ACTIONS[action](workspace)
        assert refused.value.retryable, str(refused.value)
        assert project.published() == before
        server.behave()
        ACTIONS[action](workspace)
    assert is_sound(project)


@pytest.mark.exhaustive
@pytest.mark.parametrize("action", ACTIONS)
def test_who_is_killed_in_the_middle_is_followed_by_the_next(server: S3Server, project: Project, action: str) -> None:
    before = prepared(project, action).published()
    project.pipeline()
    server.asked()
    pattern = re.compile(WRITES[action])
    with Writer(project.folder, "one") as one, Writer(project.folder, "two") as two:
        one.begin(action)
        began = time.monotonic()
        while not any(pattern.match(f"{method} {path}") for method, path in server.asked()):
            assert time.monotonic() - began < PATIENCE_SECONDS, one.end()
        one.kill()
        # What it had begun to commit is there or is not; nothing else is published.
        assert action == "rollback" or project.published() == before
        with project.workspace() as workspace:
            is_done = workspace.lake.publications()[-1].action == "rollback"
        two.begin(action)
        said = two.end()
    # What was done before it was killed is not done twice.
    assert said.partition(":")[0] == ("nothing_published" if is_done else "")
    assert is_sound(project)
