"""The pool: every item gets an outcome, in order, whatever the function does to its process."""

from __future__ import annotations

import functools
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_pipeline.errors import (
    ContractViolation,
    DocumentError,
    EncryptedDocument,
    LimitExceeded,
    ParserCrashed,
    ParserTimeout,
    UnparsableDocument,
    WorkersUnavailable,
)
from rag_pipeline.parallel import supervisor
from rag_pipeline.parallel.frames import HEADER, OUTCOMES, READY, frame, pack_batch
from rag_pipeline.parallel.limits import WorkerLimits
from rag_pipeline.parallel.pool import IsolatedPool
from rag_pipeline.parallel.process import WorkerProcess
from rag_pipeline_tests.parallel import jobs
from rag_pipeline_tests.paths import REPOSITORY

# Long enough that a busy machine meets the limit of memory first.
IMPATIENT = WorkerLimits(wall_seconds=3.0, memory_bytes=2**29)


def outcomes(function: Any, items: list[Any], limits: WorkerLimits = IMPATIENT, workers: int = 2) -> list[Any]:
    with IsolatedPool(workers, limits) as pool:
        results = list(pool.map(function, items))
    assert [position for position, _ in results] == list(range(len(items)))
    return [result for _, result in results]


@pytest.fixture(scope="module")
def pool() -> Iterator[IsolatedPool]:
    with IsolatedPool(2, look_ahead_items=64) as shared:
        yield shared


@given(st.lists(st.one_of(st.integers(), st.binary(max_size=2000)), max_size=80))
@settings(deadline=None, max_examples=25)
def test_results_come_in_input_order(pool: IsolatedPool, items: list[Any]) -> None:
    assert list(pool.map(jobs.echo, items)) == list(enumerate(items))


def test_serial_and_isolated_runs_agree() -> None:
    items = ["a", "refuse", "fail", "b"]
    serial = outcomes(jobs.act, items, workers=0)
    isolated = outcomes(jobs.act, items)
    assert [type(result) for result in serial] == [type(result) for result in isolated]
    assert [str(result) for result in serial] == [str(result) for result in isolated]


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ("spin", ParserTimeout),
        ("sleep", ParserTimeout),
        ("backtrack", ParserTimeout),
        ("exit 0", ParserCrashed),
        ("exit 3", ParserCrashed),
        ("segfault", ParserCrashed),
        ("abort", ParserCrashed),
        ("memory", LimitExceeded),
        ("sys.exit", UnparsableDocument),
        ("panic", UnparsableDocument),
        ("fail", UnparsableDocument),
    ],
)
def test_only_the_guilty_item_of_a_group_fails(action: str, error: type[DocumentError]) -> None:
    items = [f"innocent {number}" for number in range(40)]
    items[21] = action
    # However slowly a busy machine gives it, what takes memory without end meets that limit and no clock.
    limits = replace(IMPATIENT, wall_seconds=60) if action == "memory" else IMPATIENT
    results = outcomes(jobs.act, items, limits)
    guilty = results.pop(21)
    assert type(guilty) is error
    assert results == items[:21] + items[22:]


def test_several_guilty_items_fail_each_for_its_own_reason() -> None:
    items = ["a", "segfault", "b", "exit 3", "memory", "c", "spin", "refuse", "d"]
    # By processor time, which a busy machine does not shorten: what takes memory needs little of it.
    limits = replace(IMPATIENT, wall_seconds=60, cpu_seconds=3)
    found = outcomes(jobs.act, items, limits)
    codes = [result.code if isinstance(result, DocumentError) else result for result in found]
    crashed, timeout = "parser_crashed", "parser_timeout"
    assert codes == ["a", crashed, "b", crashed, "limit_exceeded", "c", timeout, "encrypted", "d"]


def test_a_crash_names_its_signal_or_exit_code() -> None:
    by_signal, by_exit = outcomes(jobs.act, ["segfault", "exit 3"])
    assert by_signal.facts == {"signal": "SIGSEGV"}
    assert by_exit.facts == {"exit_code": 3}
    assert "SIGSEGV" in str(by_signal)


def test_an_item_that_uses_too_much_processor_time_is_stopped_before_the_wall_clock() -> None:
    limits = WorkerLimits(cpu_seconds=1, wall_seconds=60)
    (result,) = outcomes(jobs.act, ["spin"], limits)
    assert isinstance(result, ParserTimeout)
    assert result.facts == {"cpu_seconds": 1}


def test_a_crash_that_does_not_happen_again_is_forgiven(tmp_path: Path) -> None:
    items = [f"item{number}" for number in range(6)]
    assert outcomes(jobs.CrashOnceWith(str(tmp_path)), items, workers=1) == items


def test_a_document_error_keeps_its_class_message_and_facts() -> None:
    (result,) = outcomes(jobs.act, ["refuse"])
    assert type(result) is EncryptedDocument
    assert (str(result), result.facts) == ("The document needs a password.", {"page": 3})


def test_an_unexpected_error_tells_its_class_and_nothing_of_the_document() -> None:
    (result,) = outcomes(jobs.act, ["fail"])
    assert "KeyError" in str(result)
    assert "secret" not in str(result)
    assert "/" not in str(result)


def test_a_result_that_cannot_be_sent_fails_only_its_item() -> None:
    assert all(isinstance(result, UnparsableDocument) for result in outcomes(jobs.unpicklable, [1, 2]))


def test_a_parser_that_prints_disturbs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert outcomes(jobs.act, ["print", "a", "print"]) == ["print", "a", "print"]
    assert capfd.readouterr() == ("", "")


def test_large_payloads_pass_both_ways() -> None:
    items = [bytes([number]) * (5 * 2**20) for number in range(6)]
    assert outcomes(jobs.echo, items, WorkerLimits()) == items


def test_a_large_answer_to_a_small_question_arrives_whole() -> None:
    assert [len(result) for result in outcomes(jobs.inflate, [30 * 2**20, 0], WorkerLimits())] == [30 * 2**20, 0]


def test_an_item_too_large_for_the_worker_is_over_the_limit() -> None:
    limits = WorkerLimits(memory_bytes=2**28)
    large, small = outcomes(jobs.echo, [bytes(2**28), b"small"], limits)
    assert isinstance(large, LimitExceeded)
    assert small == b"small"


def test_a_function_keeps_its_state_in_each_process_and_is_sent_once() -> None:
    results = outcomes(jobs.Counting(start=7), list(range(100)), workers=1)
    assert results == [(number, 7, number + 1) for number in range(100)]


def test_partials_are_functions_too() -> None:
    assert outcomes(functools.partial(pow, 2), [1, 2, 3]) == [2, 4, 8]


def test_one_pool_serves_several_functions_at_the_same_time(pool: IsolatedPool) -> None:
    first = pool.map(jobs.double, range(200))
    second = pool.map(jobs.echo, range(200))
    pairs = [(one, other) for (_, one), (_, other) in zip(first, second, strict=True)]
    assert pairs == [(number * 2, number) for number in range(200)]


def test_workers_are_kept_between_calls() -> None:
    with IsolatedPool(1) as single:
        first = {result for _, result in single.map(jobs.process_id, range(50))}
        second = {result for _, result in single.map(jobs.process_id, range(50))}
    assert first == second
    assert len(first) == 1


def test_a_worker_is_replaced_after_so_many_items() -> None:
    limits = WorkerLimits(recycle_after_items=32)
    assert len(set(outcomes(jobs.process_id, list(range(200)), limits, workers=1))) > 2


def test_a_worker_that_stays_large_is_replaced() -> None:
    limits = WorkerLimits(recycle_above_bytes=1)
    assert len(set(outcomes(jobs.process_id, list(range(40)), limits, workers=1))) > 1


def test_the_input_is_read_no_further_than_the_look_ahead() -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    with IsolatedPool(2, look_ahead_items=100) as pool:
        results = pool.map(jobs.echo, endless())
        for _ in range(500):
            next(results)
        assert taken <= 500 + 100 + 64


def test_heavy_items_are_held_one_at_a_time_when_each_fills_the_look_ahead() -> None:
    taken = 0

    def heavy() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(6):
            taken += 1
            yield bytes(2**20)

    with IsolatedPool(2, look_ahead_bytes=2**20) as pool:
        for position, _ in pool.map(jobs.echo, heavy()):
            assert taken <= position + 2


def test_a_hang_does_not_hold_up_the_items_behind_it() -> None:
    taken = 0

    def items() -> Iterator[str]:
        nonlocal taken
        for action in ["spin"] + ["innocent"] * 2000:
            taken += 1
            yield action

    with IsolatedPool(2, IMPATIENT) as pool:
        results = pool.map(jobs.act, items())
        _, first = next(results)
        assert isinstance(first, ParserTimeout)
        # More than one worker can have waiting: the other one worked on while the first one hung.
        assert taken > 1000
        assert [result for _, result in results] == ["innocent"] * 2000


def test_an_error_of_the_input_reaches_the_caller(pool: IsolatedPool) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the source went away")

    with pytest.raises(OSError, match="went away"):
        list(pool.map(jobs.echo, broken()))


def test_leaving_a_map_early_leaves_the_pool_usable(pool: IsolatedPool) -> None:
    assert next(iter(pool.map(jobs.double, range(10_000)))) == (0, 0)
    assert list(pool.map(jobs.double, [5])) == [(0, 10)]


def test_a_function_that_cannot_be_sent_is_refused_before_anything_starts(pool: IsolatedPool) -> None:
    with pytest.raises(ContractViolation, match="cannot be sent"):
        pool.map(lambda item: item, [1])


def test_a_function_that_cannot_be_loaded_is_our_error_and_not_the_documents(pool: IsolatedPool) -> None:
    with pytest.raises(ContractViolation, match="no such library"):
        list(pool.map(jobs.Unloadable(), [1]))
    assert list(pool.map(jobs.double, [1])) == [(0, 2)]


@pytest.mark.parametrize("name", ["fail_to_initialize", "exit_in_initializer", "missing"])
def test_an_initializer_that_fails_is_our_error(name: str) -> None:
    initializer = f"{jobs.__name__}:{name}"
    with IsolatedPool(1, initializer=initializer) as pool, pytest.raises(ContractViolation, match="worker"):
        list(pool.map(jobs.double, [1]))


@pytest.mark.parametrize("attempts", [2, 1000])
def test_workers_killed_as_they_start_are_tried_again_and_then_a_passing_fault(
    attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by the system when memory is short: SIGKILL at the first `attempts` starts."""
    monkeypatch.setattr(supervisor, "_START_PAUSES_SECONDS", (0, 0.05, 0.05))
    settle = WorkerProcess.settle
    started = []

    def killed(worker: WorkerProcess) -> None:
        started.append(worker)
        if len(started) <= attempts:
            worker.kill()
        settle(worker)

    monkeypatch.setattr(WorkerProcess, "settle", killed)
    with IsolatedPool(1) as pool:
        if attempts == 2:
            assert list(pool.map(jobs.double, [1])) == [(0, 2)]
        else:
            with pytest.raises(WorkersUnavailable, match=r"SIGKILL .* `worker_processes`") as caught:
                list(pool.map(jobs.double, [1]))
            assert (caught.value.retryable, caught.value.exit_code) == (True, 4)
    assert len(started) == 3


def test_a_machine_without_room_for_a_worker_is_a_passing_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_START_PAUSES_SECONDS", (0, 0.01, 0.01))

    def full(**_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    with IsolatedPool(1) as pool, pytest.raises(WorkersUnavailable, match="No space left on device"):
        list(pool.map(jobs.double, [1]))


class Payload:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("kind", [OUTCOMES, READY, b"?"])
def test_what_a_worker_forges_is_never_unpickled(kind: bytes, tmp_path: Path) -> None:
    trap = tmp_path / "made"
    forged = frame(kind, pickle.dumps(([(0, "value", pickle.dumps(Payload(trap)))], 0, True)))
    (result,) = outcomes(jobs.Forger(forged), ["item"])
    assert isinstance(result, ParserCrashed)
    forged = frame(kind, pack_batch(([(0, "value", pickle.dumps(Payload(trap)))], 0, True)))
    (result,) = outcomes(jobs.Forger(forged), ["item"])
    assert isinstance(result, ParserCrashed)
    assert not trap.exists()


@pytest.mark.parametrize(
    "batch",
    [
        ([(7, "value", b"1")], 0, True),
        ([(0, "value", b"1"), (0, "value", b"2")], 0, True),
        ([], 0, True),
        ([(0, "value", b'["nothing we know", 1]')], 0, True),
        ([(0, "value", b'["document", "text"]')], 0, True),
        ([(0, "value", b'["error", "no_such_code", "", ["dict"]]')], 0, True),
        ([(0, "value", b"[" * 100_000)], 0, True),
    ],
)
def test_an_answer_that_makes_no_sense_is_the_documents_fault(batch: Any) -> None:
    (result,) = outcomes(jobs.Forger(frame(OUTCOMES, pack_batch(batch))), ["item"])
    assert isinstance(result, ParserCrashed)


def test_an_answer_said_to_be_larger_than_a_workers_memory_is_not_waited_for() -> None:
    (result,) = outcomes(jobs.Forger(HEADER.pack(OUTCOMES, 2**60)), ["item"])
    assert isinstance(result, ParserCrashed)


def test_an_initializer_runs_in_every_worker() -> None:
    with IsolatedPool(1, initializer=f"{jobs.__name__}:initialize") as pool:
        ((_, seen),) = pool.map(jobs.environment, [None])
    assert seen["INITIALIZED"] == "yes"


def test_a_worker_sees_no_secrets_and_works_in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    (seen,) = outcomes(jobs.environment, [None])
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert seen["HF_HUB_OFFLINE"] == "1"
    assert Path(seen["cwd"]).name.startswith("rag-pipeline-worker-")
    assert not Path(seen["cwd"]).exists()


def test_a_worker_imports_nothing_heavy_by_itself() -> None:
    assert outcomes(jobs.state, ["polars", "numpy", "yaml", "asyncio", "logging"]) == [False] * 5


def test_a_closed_pool_takes_no_more_work() -> None:
    pool = IsolatedPool(1)
    pool.close()
    with pytest.raises(ContractViolation, match="closed"):
        list(pool.map(jobs.double, [1]))


def test_closing_ends_workers_that_hang(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    with IsolatedPool(1, WorkerLimits(wall_seconds=600)) as pool:
        stuck = pool.map(jobs.hang_and_tell, _then_wait_for(mark))
        with pytest.raises(KeyboardInterrupt):
            next(stuck)
    assert not _is_running(int(mark.read_text()))


def _then_wait_for(mark: Path) -> Iterator[str]:
    yield from [str(mark)] * 4
    while not mark.exists() or not mark.read_text().strip():
        time.sleep(0.01)
    raise KeyboardInterrupt


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_no_worker_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    script = textwrap.dedent(
        f"""
        from rag_pipeline.parallel.pool import IsolatedPool
        from rag_pipeline_tests.parallel import jobs
        with IsolatedPool(2) as pool:
            list(pool.map(jobs.hang_and_tell, [{str(mark)!r}] * 100))
        """
    )
    # What a killed parent leaves in its temporary folder is left in the test's.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, env=environment)
    workers: list[int] = []
    while len(workers) < 2:
        assert parent.poll() is None
        time.sleep(0.02)
        workers = [int(line) for line in mark.read_text().split()] if mark.exists() else []
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 20
    while any(map(_is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(_is_running, workers))


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process_id}/stat")
    # A process that nobody has waited for yet is over all the same.
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
