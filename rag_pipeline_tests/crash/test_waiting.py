"""Who has to wait for another process is told so at once, by name, and never among the data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import dagster as dg
import pytest

from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.instance import dagster_home
from rag_pipeline.defs.liveness import alive
from rag_pipeline.errors import LakeBusy
from rag_pipeline.stores.lake import Lake
from rag_pipeline_tests.pipeline.project import Project

SECONDS = 120


def typed(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("RAG_PIPELINE", "DAGSTER"))}
    return subprocess.Popen(
        [sys.executable, "-m", "rag_pipeline.cli", *arguments],
        env={**variables, "RAG_PIPELINE_CONFIG": str(folder / "pipeline.yaml"), "COLUMNS": "10000"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str], words: str) -> str:
    """The first line of standard error with these words, while the process is still there."""
    assert process.stderr is not None
    timer = threading.Timer(SECONDS, process.kill)
    timer.start()
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if words in line:
                assert process.poll() is None
                return line
        raise AssertionError(lines)
    finally:
        timer.cancel()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    project.write("a.md", "# A\n\nA lantern.\n")
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path)


@pytest.mark.parametrize(
    "arguments", [["models", "publish", "small", "--json"], ["run", "--json"], ["run"]], ids=" ".join
)
def test_a_command_that_waits_for_the_lock_says_who_holds_it_and_then_goes_on(
    project: Project, arguments: list[str]
) -> None:
    with Lake(str(project.folder / "lake"), run_id="the-other-one").writing():
        process = typed(project.folder, *arguments)
        line = said(process, "Waiting for the write lock")
    out, err = process.communicate(timeout=SECONDS)
    assert f"process {os.getpid()} on " in line
    assert "run the-other-one, since 20" in line
    assert process.returncode == 0, err
    assert "Waiting" not in out
    if "--json" in arguments:
        [record] = out.splitlines()
        assert json.loads(record)


def test_a_run_beside_another_run_says_that_it_takes_turns(project: Project) -> None:
    job = build_definitions(project.pipeline()).resolve_job_def("nightly")
    with dg.DagsterInstance.from_config(str(dagster_home(project.pipeline()))) as instance:
        other = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        with alive(instance, other.run_id):
            process = typed(project.folder, "run", "--json")
            line = said(process, "is under way")
        out, err = process.communicate(timeout=SECONDS)
    assert other.run_id in line
    assert "nightly" in line
    assert process.returncode == 0, err
    assert len(out.splitlines()) == 1


def test_who_waits_in_vain_is_told_whom_for_and_nothing_is_left_behind(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with Lake(str(lake), run_id="first").writing():
        second = Lake(str(lake), run_id="second", lock_timeout_seconds=0.2)
        with pytest.raises(LakeBusy, match=rf"process {os.getpid()} .*run first"), second.writing():
            pass
    with second.writing(), second.writing():
        assert (lake / ".write.lock.holder").exists()
    assert not (lake / ".write.lock.holder").exists()


@pytest.mark.parametrize("note", [None, "", "[]", "{}", "\x00", "null"])
def test_a_holder_that_did_not_sign_is_another_process(tmp_path: Path, note: str | None) -> None:
    lake = tmp_path / "lake"
    with Lake(str(lake), run_id="first").writing():
        holder = lake / ".write.lock.holder"
        holder.unlink() if note is None else holder.write_text(note, "utf-8")
        with (
            pytest.raises(LakeBusy, match="over 0 s: another process;"),
            Lake(str(lake), lock_timeout_seconds=0.1).writing(),
        ):
            pass
