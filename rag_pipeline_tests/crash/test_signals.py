"""Ctrl-C and SIGTERM end a run at once wherever it is, free what it held, and say what stands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from filelock import FileLock

from rag_pipeline.defs.resources import as_dagster_failure
from rag_pipeline.defs.specs import RETRY, WRITER_POOL
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project

ENDS_WITHIN_SECONDS = 5


def patience() -> float:
    """So many seconds on a machine that does nothing else; longer where others want its cores."""
    return ENDS_WITHIN_SECONDS * max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


@dataclass
class Run:
    """A run in a process of its own, stopped at one place."""

    project: Project
    place: str
    process: subprocess.Popen[str]

    @property
    def mark(self) -> Path:
        return self.project.folder / "mark"

    def stop(self, number: int) -> tuple[int, str]:
        """Send a signal; returns exit code and standard error. Fails if the process stays."""
        with self.process:
            self.process.send_signal(number)
            try:
                _, err = self.process.communicate(timeout=patience())
            except subprocess.TimeoutExpired:
                # Else it would compute for hours beside every test that follows.
                self.process.kill()
                raise
        return self.process.returncode, err


def started(project: Project, place: str) -> Run:
    """A run that has reached its slow place."""
    project.pipeline()
    mark = str(project.folder / "mark")
    temporary = project.folder / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "rag_pipeline_tests.crash.slow", place, mark, "run"],
        cwd=REPOSITORY,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAG_PIPELINE", "DAGSTER"))},
            "RAG_PIPELINE_CONFIG": str(project.folder / "pipeline.yaml"),
            "TMPDIR": str(temporary),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    run = Run(project, place, process)
    deadline = time.monotonic() + 120
    while not run.mark.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return run


def assert_nothing_is_held(project: Project, said: str) -> None:
    with FileLock(project.folder / "lake" / ".write.lock", timeout=0):
        pass
    if "The next run ends this one in Dagster's records" in said:
        # They did not answer in the few seconds that stopping may take: on a machine that others keep busy.
        return
    with dg.DagsterInstance.from_config(str(project.folder / ".dagster")) as instance:
        assert not instance.event_log_storage.get_concurrency_info(WRITER_POOL).active_run_ids
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.CANCELED


def workers_of(project: Project) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str((process / "cwd").readlink()).startswith(str(project.folder)):
                found.append(process.name)
    return found


@pytest.mark.parametrize(
    ("place", "number", "code"),
    [("parse", signal.SIGTERM, 143), ("embed", signal.SIGINT, 130), ("embed", signal.SIGTERM, 143)],
)
def test_a_signal_ends_a_run_inside_a_native_call(tmp_path: Path, place: str, number: int, code: int) -> None:
    project = Project.create(tmp_path, worker_processes=0 if place == "embed" else 2)
    for name in range(3):
        project.write(f"page{name}.md", f"# Lanterns\n\nA lantern. mark: {tmp_path / 'mark'}\n")
    run = started(project, place)
    found, err = run.stop(number)
    assert found == code, err
    assert "Nothing has been published yet" in err
    assert "goes on from there" in err
    assert "Traceback" not in err
    assert_nothing_is_held(project, err)
    assert workers_of(project) == []
    assert list((tmp_path / "tmp").glob("rag-pipeline-worker-*")) == []


def test_a_signal_ends_a_run_that_waits_for_the_lock_and_says_what_readers_see(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.write("page.md", "# Lanterns\n\nA lantern burns.\n")
    project.refresh()
    project.write("other.md", "# Oil\n\nA lantern needs oil.\n")
    with FileLock(tmp_path / "lake" / ".write.lock"):
        run = started(project, "lock")
        found, err = run.stop(signal.SIGINT)
    assert found == 130, err
    assert "Readers see small version" in err
    assert "1 chunk." in err
    assert_nothing_is_held(project, err)
    project.refresh()
    assert project.verify().findings == []


def test_dagster_neither_retries_an_interrupted_step_nor_begins_the_next() -> None:
    begun: list[str] = []

    @dg.op(retry_policy=RETRY)
    def first() -> None:
        with as_dagster_failure():
            begun.append("first")
            raise KeyboardInterrupt

    @dg.op(retry_policy=RETRY)
    def second() -> None:
        with as_dagster_failure():
            begun.append("second")

    @dg.job
    def both() -> None:
        first()
        second()

    result = both.execute_in_process(raise_on_error=False)
    assert not result.success
    assert begun == ["first"]
    assert [event.step_key for event in result.all_events if event.is_step_failure] == ["first", "second"]
    assert not any(event.is_step_up_for_retry for event in result.all_events)
