"""The engine on Ray gives what the local one gives, whatever an item does."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_pipeline.errors import (
    DocumentError,
    EngineUnavailable,
    LimitExceeded,
    ParserCrashed,
    ParserTimeout,
    SettingsError,
)
from rag_pipeline.parallel.limits import WorkerLimits
from rag_pipeline.parallel.pool import IsolatedPool
from rag_pipeline.parallel.ray_cluster import RayCluster, own_folder, refuse_folder_beyond
from rag_pipeline.parallel.ray_crew import Piece, _Job
from rag_pipeline.parallel.ray_engine import RayEngine
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.parallel import jobs

needs("ray", "needs the extra ray")

# By processor time, which a busy machine does not shorten.
LIMITS = WorkerLimits(memory_bytes=2**29, cpu_seconds=3)
ACTIONS = ("a", "b", "refuse", "fail", "segfault", "exit 3", "memory", "spin", "panic")
FREE: Any = SimpleNamespace(under_way=[], shelf="")


@pytest.fixture(scope="module")
def engines() -> Iterator[tuple[RayEngine, IsolatedPool]]:
    # On a busy machine Ray takes its time to start.
    ray = RayEngine("local", LIMITS, workers=2, timeout_seconds=600)
    with IsolatedPool(2, LIMITS) as local:
        yield ray, local
    ray.close()


def told(results: Iterator[tuple[int, Any]]) -> list[Any]:
    return [
        (position, type(value), str(value), value.facts if isinstance(value, DocumentError) else value)
        for position, value in results
    ]


@pytest.mark.exhaustive
def test_every_item_ends_as_with_the_local_engine(engines: tuple[RayEngine, IsolatedPool]) -> None:
    ray, local = engines
    items = [each for action in ACTIONS for each in (action, "innocent")]
    found = told(ray.map(jobs.act, items))
    assert found == told(local.map(jobs.act, items))
    # Limits of memory and processor time hold for each item, and cost its neighbours nothing.
    ended = {item: kind for item, (_, kind, *_) in zip(items, found, strict=True)}
    assert (ended["memory"], ended["spin"], ended["innocent"]) == (LimitExceeded, ParserTimeout, str)


@pytest.mark.exhaustive
@given(st.lists(st.one_of(st.integers(), st.binary(max_size=2000)), max_size=400))
@settings(deadline=None, max_examples=10)
def test_results_come_in_input_order(engines: tuple[RayEngine, IsolatedPool], items: list[Any]) -> None:
    assert list(engines[0].map(jobs.echo, items)) == list(enumerate(items))


@pytest.mark.exhaustive
def test_an_item_that_ends_its_whole_worker_is_bounded(engines: tuple[RayEngine, IsolatedPool]) -> None:
    items = [f"innocent {number}" for number in range(10)]
    items[4] = "kill"
    results = [value for _, value in engines[0].map(jobs.kill_parent, items)]
    assert isinstance(results.pop(4), ParserCrashed)
    assert results == items[:4] + items[5:]


def job(*pieces: Piece) -> _Job:
    def apart(piece: Piece) -> list[Piece]:
        return [Piece(piece.number, [at], None, is_suspect=True) for at in piece.positions]

    return _Job(iter(pieces), lambda *_: None, apart, lambda piece: [(piece.positions[0], "guilty")])


def test_a_group_is_taken_apart_and_a_lone_item_judged_only_for_losses_that_no_node_explains() -> None:
    piece = Piece(0, [0, 1], None)
    work = job(piece)
    assert work.piece_for(FREE, 4) is piece
    piece.unclear = 1
    work.give_back([piece])
    assert work.piece_for(FREE, 4) is piece, "one loss may be anybody's fault, and is tried at once"
    piece.unclear = 2
    work.give_back([piece])
    assert work.piece_for(FREE, 4) is None, "nobody else is given it until it is known what took its workers"
    piece.unclear, piece.losses = 0, 2
    first = work.piece_for(FREE, 4)
    assert first is not None
    assert (first.positions, first.is_suspect) == ([0], True)
    work.take(first, [(0, "fine")])
    second = work.piece_for(FREE, 4)
    assert second is not None
    second.losses = 2
    work.give_back([second])
    assert work.piece_for(FREE, 4) is None
    assert work.next_answer() == [(0, "fine"), (1, "guilty")]
    assert work.is_done


def test_a_suspect_shares_its_worker_with_nobody() -> None:
    suspect, other = Piece(0, [0], None, is_suspect=True), Piece(1, [1], None)
    busy: Any = SimpleNamespace(under_way=[(None, Piece(7, [7], None))], shelf="")
    work = job(suspect, other)
    assert work.piece_for(busy, 4) is other
    assert work.piece_for(FREE, 4) is suspect
    assert work.piece_for(SimpleNamespace(under_way=[(None, suspect)], shelf=""), 4) is None  # type: ignore[arg-type]


def test_a_worker_goes_on_with_the_shelf_that_it_has_at_hand() -> None:
    work = job(Piece(0, [0], None, "first"), Piece(1, [1], None, "second"))
    found = work.piece_for(SimpleNamespace(under_way=[], shelf="second"), 4)  # type: ignore[arg-type]
    assert found is not None
    assert found.shelf == "second"


@pytest.mark.parametrize(("root", "others"), [("/data/lake", []), ("s3://bucket/lake", ["far"])])
def test_workers_read_a_folder_here_and_an_object_store_anywhere(root: str, others: list[str]) -> None:
    refuse_folder_beyond(SimpleNamespace(others=lambda: others), root)  # type: ignore[arg-type]


def test_a_folder_is_refused_where_workers_are_on_other_machines() -> None:
    with pytest.raises(SettingsError, match=r"far.*object store"):
        refuse_folder_beyond(SimpleNamespace(others=lambda: ["far"]), "/data/lake")  # type: ignore[arg-type]


def test_the_folder_of_a_run_that_was_killed_goes_with_the_next(tmp_path: Path) -> None:
    mine, held = own_folder(tmp_path)
    other, other_held = own_folder(tmp_path)
    for folder in (mine, other):
        (folder / "session").mkdir()
    os.close(other_held)
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (tmp_path / f"{mine.name}-link").symlink_to(stranger)
    (stranger / "kept").touch()
    third, third_held = own_folder(tmp_path)
    assert (mine.exists(), other.exists(), third.exists()) == (True, False, True)
    assert (stranger / "kept").exists()
    os.close(held)
    os.close(third_held)


# In a process of its own: a signal to end is no thing for one that runs other tests.
ASKED_TO_END = """
import signal, sys
from rag_pipeline.parallel.ray_cluster import own_signals

heard = []
signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
try:
    with own_signals():
        # What Ray does as it starts.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))
        signal.raise_signal(signal.SIGTERM)
except SystemExit:
    assert heard == [signal.SIGTERM]
    print("heard")
"""


def test_a_request_to_end_that_comes_while_ray_starts_is_heard() -> None:
    done = subprocess.run([sys.executable, "-c", ASKED_TO_END], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "heard\n", "")


def test_ray_that_gives_up_as_it_starts_is_unavailable_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def give_up(**_: Any) -> None:
        # What it raises on a machine too busy for it.
        raise Exception("The current node timed out during startup.")

    import ray

    folder = Path(tempfile.mkdtemp(prefix="rp-", dir="/tmp"))
    monkeypatch.setattr(ray, "init", give_up)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    try:
        with pytest.raises(EngineUnavailable, match="timed out during startup"):
            RayCluster("local", 1)
        assert list(folder.iterdir()) == []
    finally:
        folder.rmdir()
