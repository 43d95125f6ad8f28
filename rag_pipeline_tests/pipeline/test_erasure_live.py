"""Killed with `kill -9`, an erasure or a restore brings nothing back; nor does a run that was live while one erased."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from rag_pipeline.contracts.erasures import PENDING_FILE
from rag_pipeline.errors import LakeDamaged
from rag_pipeline.refresh import erase as erasing
from rag_pipeline.refresh.erase import begin_erasure, finish_erasure
from rag_pipeline.refresh.erase_plan import Wanted
from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline.refresh.restore import restore
from rag_pipeline.stores.backup import back_up
from rag_pipeline.stores.lake_format import FORMAT_FILE
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.pipeline.test_erasure import holding

TITLE = "Wolfram Quillsby dossier"
PAGE = "# {title}\n\nHe keeps {name} lanterns in the northern shed, and oils them on day {name}.\n"
# Evenly over the time that one takes.
KILLS = 4


@pytest.fixture(autouse=True)
def _nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "POINTER_SECONDS", -erasing.MARGIN_SECONDS)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    project.write("quillsby.md", PAGE.format(title=TITLE, name="nineteen"))
    project.write("ferries.md", "# Ferries\n\nThe ferry leaves at nine, and runs until the tide has turned.\n")
    project.refresh()
    return project


def erased(project: Project, address: str) -> None:
    with project.workspace() as workspace:
        begin_erasure(workspace, Wanted(place=("docs", address)), reason="r", erased_by="dpo")
        assert finish_erasure(workspace) is not None


def erase_and_be_killed(project: Project, ready: Connection) -> None:
    """What the process does; whoever started it kills it."""
    erasing.POINTER_SECONDS = -erasing.MARGIN_SECONDS
    with project.workspace() as workspace:
        begin_erasure(workspace, Wanted(place=("docs", "quillsby.md")), reason="r", erased_by="dpo")
        # Before it is begun nothing has happened yet.
        ready.send(None)
        finish_erasure(workspace)


def seconds_until_killed(target: Callable[..., None], project: Project, seconds: float | None) -> float:
    """Do something in another process, which is killed after so many seconds; how long it lived."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rag_pipeline_tests.crash.server"])
    waiting, ready = context.Pipe(duplex=False)
    child = context.Process(target=target, args=(project, ready))
    child.start()
    ready.close()
    with waiting:
        waiting.recv()
    began = time.monotonic()
    child.join(seconds)
    assert child.pid is not None
    if child.exitcode is None:
        os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    return time.monotonic() - began


def test_an_erasure_that_is_killed_at_any_moment_is_finished_by_the_next_run(built: Project, tmp_path: Path) -> None:
    took = seconds_until_killed(erase_and_be_killed, built.copied(tmp_path / "whole"), None)
    begun = 0
    for number in range(KILLS):
        project = built.copied(tmp_path / f"{number}")
        seconds_until_killed(erase_and_be_killed, project, took * (number + 0.5) / KILLS)
        # Readers see it or not, and never a half of the index.
        titles = {hit.title for hit in project.search("ferry lanterns", "public")}
        assert {"Ferries"} <= titles <= {"Ferries", TITLE}
        is_begun = (project.folder / "lake" / PENDING_FILE).exists()
        is_done = any((project.folder / "lake").glob("erasures/*.json"))
        begun += is_begun
        project.refresh()
        assert not (project.folder / "lake" / PENDING_FILE).exists()
        assert project.verify().findings == []
        if is_begun or is_done:
            assert holding(project.folder, TITLE, "nineteen lanterns") == set()
            assert [row["title"] for row in project.published()] == ["Ferries"]
    assert begun > 0


def test_what_is_erased_while_a_run_is_live_is_not_brought_back_by_it(built: Project, tmp_path: Path) -> None:
    project = built.copied(tmp_path, polled=True)
    # By each step of a run, one is erased that the run has taken in before.
    names = {}
    for step in ("silver/documents", "silver/chunks", "gold/embeddings", "gold/index", "gold/publication"):
        names[step] = step.replace("/", "-")
        project.write(f"{names[step]}.md", PAGE.format(title=f"Dossier {names[step]} of theirs", name=names[step]))
    project.write("tides.md", "# Tides\n\nThe tide turns twice a day, whoever looks at it.\n")

    @contextmanager
    def around(step: str) -> Iterator[None]:
        if step in names:
            erased(project, f"{names[step]}.md")
        yield

    with project.workspace() as workspace:
        refresh_everything(workspace, poll=True, evaluate=False, strict=True, around=around)
    assert holding(project.folder, *(f"Dossier {name}" for name in names.values())) == set()
    assert [row["title"] for row in project.published()] == ["Ferries", TITLE, "Tides"]
    assert project.verify().findings == []
    project.embedded.clear()
    assert project.refresh() == 0
    assert project.embedded == []


def restore_and_be_killed(project: Project, ready: Connection) -> None:
    """The same for a restore."""
    erasing.POINTER_SECONDS = -erasing.MARGIN_SECONDS
    pipeline = project.pipeline()
    ready.send(None)
    restore(pipeline, project.folder / "copies", to=None, name=None, may_replace=True)


def test_a_restore_that_is_killed_at_any_moment_brings_nothing_back(built: Project, tmp_path: Path) -> None:
    project = built.copied(tmp_path, polled=True)
    with project.workspace() as workspace:
        back_up(workspace.lake, project.folder / "copies", workspace.now())
    erased(project, "quillsby.md")
    took = seconds_until_killed(restore_and_be_killed, project, None)
    for number in range(KILLS - 1):
        seconds_until_killed(restore_and_be_killed, project, took * (number + 0.5) / (KILLS - 1))
        if not (project.folder / "lake" / FORMAT_FILE).exists():
            # Between two names.
            with pytest.raises(LakeDamaged, match="restore was killed"):
                project.refresh()
            continue
        # The lake is the one of before or the restored one.
        assert [row["title"] for row in project.published()] == ["Ferries"]
    with project.workspace() as workspace:
        restore(workspace.pipeline, project.folder / "copies", to=None, name=None, may_replace=True)
    assert [path.name for path in project.folder.glob("lake*")] == ["lake"]
    project.refresh()
    assert [row["title"] for row in project.published()] == ["Ferries"]
    assert holding(project.folder / "lake", TITLE, "nineteen lanterns") == set()
