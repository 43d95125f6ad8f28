"""`kill -9` at random moments: nothing is lost, mixed or computed twice, and readers see nothing of it."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import polars as pl
import pytest
from filelock import FileLock

from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import EMBEDDINGS, PUBLICATIONS
from rag_pipeline.refresh import embeddings
from rag_pipeline.stores.lake import Lake
from rag_pipeline_tests.crash.child import LoggedProject, start, start_command
from rag_pipeline_tests.crash.corpus import DOCUMENTS, Corpus
from rag_pipeline_tests.crash.reader import Reader
from rag_pipeline_tests.levels import tries

pytestmark = pytest.mark.slow

KILLS = tries(2, 16)
COMMAND_KILLS = tries(1, 3)
BUILD_KILLS = tries(2, 5)
BATCH_TEXTS = 8
MODELS = {
    "small": {"kind": "hashing", "model": "hashing", "dimension": 64},
    "other": {"kind": "hashing", "model": "hashing", "dimension": 32},
}


class Victim:
    """A project, the processes that refresh it, and the moments at which they are killed."""

    def __init__(self, folder: Path) -> None:
        self.random = random.Random(20)
        self.project = LoggedProject.create(folder, embedding_models=MODELS)
        self.project.log = folder / "embedded.log"
        self.project.pipeline()
        self.corpus = Corpus(folder / "docs", seed=3)
        self.scratch = folder / "tmp"
        self.scratch.mkdir()
        self.alias = "small"
        self.states: set[frozenset[tuple[int, int]]] = set()
        self.kills = 0

    def variables(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAG_PIPELINE")},
            "TMPDIR": str(self.scratch),
            "DAGSTER_HOME": str(self.project.folder / "dagster"),
        }

    def child(self) -> BaseProcess:
        """Start a refresh; returns once it is about to begin."""
        return start(
            self.project, self.alias, batch_texts=BATCH_TEXTS, scratch=self.scratch, variables=self.variables()
        )

    def command(self) -> BaseProcess:
        """Start the command; returns once it has written something, since starting Dagster takes most of its time."""
        log = self.project.folder / "lake" / "bronze" / "docs" / "_delta_log"
        before = set(log.glob("*.json"))
        config = str(self.project.folder / "pipeline.yaml")
        command = start_command(["run", "--json", "--config", config], scratch=self.scratch, variables=self.variables())
        while command.is_alive() and set(log.glob("*.json")) == before:
            time.sleep(0.01)
        return command

    def kill_after(self, process: BaseProcess, seconds: float) -> bool:
        """Kill the process and all it started, unless it ends before; says whether it was killed."""
        exit_code(process, seconds)
        assert process.pid is not None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = exit_code(process)
        assert code in (0, -signal.SIGKILL)
        self.kills += code != 0
        return code != 0

    def recover(self) -> None:
        """The next run, which must end clean and leave what a build from nothing would."""
        before = Counter(self.project.computed())
        self.project.refresh_and_maintain(self.alias)
        assert self.project.verify().findings == []
        self.states.add(self.corpus.state())
        self.corpus.settled = dict(self.corpus.revisions)
        again = Counter(self.project.computed()) - before
        twice = sum(1 for text in again if text in before)
        assert twice <= BATCH_TEXTS, f"{twice} texts were computed again"

    def is_left_alone(self) -> bool:
        """Whether nothing works in the scratch folder any more; a worker may need a moment to notice."""
        deadline = time.monotonic() + 10
        while self._workers() and time.monotonic() < deadline:
            time.sleep(0.05)
        return not self._workers()

    def _workers(self) -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if str((process / "cwd").readlink()).startswith(str(self.scratch)):
                    found.append(process.name)
        return found


class Killed(BaseException):
    """Stands for a killed process: nothing catches it on the way out."""


def exit_code(process: BaseProcess, seconds: float | None = None) -> int | None:
    """How a process ended within so many seconds; None if it is still there."""
    process.join(seconds)
    return process.exitcode


def seconds_of(process: BaseProcess) -> float:
    started = time.monotonic()
    assert exit_code(process) == 0
    return time.monotonic() - started


@pytest.fixture
def victim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
    monkeypatch.setattr(embeddings, "COMMIT_TEXTS", BATCH_TEXTS // 2)
    victim = Victim(tmp_path)
    victim.corpus.grow(DOCUMENTS)
    return victim


@pytest.fixture
def reader(victim: Victim) -> Iterator[Reader]:
    with Reader(victim.project.pipeline()) as reader:
        yield reader
    assert reader.fault is None, reader.fault


def changed(victim: Victim, night: int) -> None:
    """Something else every time, and now and then another model."""
    victim.corpus.edit(12)
    if night % 3 == 1:
        victim.corpus.move(8)
    if night % 3 == 2:
        victim.corpus.delete(4)
        victim.corpus.grow(4)
    if night % 5 == 4:
        victim.alias = "other" if victim.alias == "small" else "small"
        victim.project.settings["serve"] = victim.alias
    victim.project.settings["worker_processes"] = 2 if night % 4 == 3 else 0
    victim.project.pipeline()


def check_what_was_seen(victim: Victim, reader: Reader) -> None:
    with victim.project.workspace() as workspace:
        rows = workspace.lake.read(PUBLICATIONS, ["published_at", "rows"])
    published = dict(rows.rows())
    assert reader.answers > 0
    for seen in reader.seen:
        assert seen.rows == published[seen.published_at]
        assert seen.state in victim.states or is_revoked(seen.state, victim)


def is_revoked(state: frozenset[tuple[int, int]], victim: Victim) -> bool:
    """Whether it is a state that readers had, less what left its address since: that goes first.

    A document that was edited and moved is gone from the old address, and comes back with the publication.
    """
    left = victim.corpus.deleted | victim.corpus.moved
    return any(state < whole and {number for number, _ in whole - state} <= left for whole in victim.states)


def test_a_refresh_killed_at_random_moments_loses_mixes_and_repeats_nothing(victim: Victim, reader: Reader) -> None:
    whole = seconds_of(victim.child())
    victim.states.add(victim.corpus.state())
    victim.recover()
    assert set(Counter(victim.project.computed()).values()) == {1}
    night = 0
    while victim.kills < KILLS:
        night += 1
        assert night < 4 * KILLS, "refreshes end before they can be killed"
        changed(victim, night)
        # A second kill on the way to recovery now and then: what is half done may be left half done twice.
        for _ in range(1 + (night % 4 == 0)):
            child, started = victim.child(), time.monotonic()
            if not victim.kill_after(child, victim.random.uniform(0, whole)):
                # A night takes less than the first build: what comes later than its end kills nothing.
                whole = time.monotonic() - started
        with FileLock(victim.project.folder / "lake" / ".write.lock", timeout=5):
            assert victim.is_left_alone()
        victim.recover()
    check_what_was_seen(victim, reader)
    assert victim.project.published() == victim.project.rebuilt()


def test_no_more_than_a_batch_is_under_way_however_slow_the_store_is(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Lake.append
    committed: list[int] = []

    def slow(lake: Lake, contract: TableContract, frame: pl.DataFrame) -> int:
        if contract.kind == EMBEDDINGS.kind:
            time.sleep(0.05)
            if len(committed) == 9:
                raise Killed
            committed.append(frame.height)
        return append(lake, contract, frame)

    monkeypatch.setattr(Lake, "append", slow)
    with pytest.raises(Killed):
        victim.project.refresh()
    assert len(victim.project.computed()) - sum(committed) <= BATCH_TEXTS
    monkeypatch.setattr(Lake, "append", append)
    victim.recover()


def test_a_first_build_killed_again_and_again_goes_on_where_it_stopped(victim: Victim) -> None:
    whole = seconds_of(victim.child())
    victim.project.settings["lake"] = "second"
    victim.project.settings["worker_processes"] = 2
    victim.project.pipeline()
    victim.project.log.unlink()
    for part in range(1, BUILD_KILLS + 1):
        victim.kill_after(victim.child(), whole * (part + victim.random.random()) / (BUILD_KILLS + 1))
    computed = Counter(victim.project.computed())
    assert sum(computed.values()) - len(computed) <= BUILD_KILLS * BATCH_TEXTS
    victim.recover()
    assert victim.project.published() == victim.project.rebuilt()


def test_the_command_killed_at_random_moments_leaves_the_next_run_free(victim: Victim, reader: Reader) -> None:
    whole = seconds_of(victim.command())
    victim.states.add(victim.corpus.state())
    for part in range(COMMAND_KILLS):
        victim.corpus.edit(20)
        victim.states.add(victim.corpus.state())
        victim.kill_after(victim.command(), whole * (part + victim.random.random()) / (COMMAND_KILLS + 1))
    assert victim.kills
    seconds_of(victim.command())
    assert victim.project.verify().findings == []
    assert victim.is_left_alone()
    check_what_was_seen(victim, reader)
