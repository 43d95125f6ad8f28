"""Events that are written some at a time: all of them, in order, none later than what says what came of it."""

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events.log import EventLogEntry
from dagster._core.execution.plan.objects import StepSuccessData
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.utils import make_new_run_id
from sqlalchemy.exc import OperationalError

from rag_pipeline.defs import engines, event_log
from rag_pipeline.defs.instance import opened_instance

SETTINGS = "telemetry: {enabled: false}\n"
# Longer than any test: what is there then was not written by the thread that writes what waits too long.
NEVER_SECONDS = 10**6
MADE, CHECKED = dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION


@dg.asset
def stone() -> dg.MaterializeResult[Any]:
    return dg.MaterializeResult(metadata={"grams": 7}, tags={"dagster/code_version": "1"})


@dg.asset(deps=[stone])
def wall(context: dg.AssetExecutionContext) -> None:
    context.log.info("laid")


@dg.asset(deps=[wall])
def roof() -> None:
    raise RuntimeError("it fell")


@dg.asset_check(asset=stone)
def is_hard() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


# Another process makes them at the same time, or is ended by the second one as by `kill -9`.
OTHER = """\
import os, signal, sys
from pathlib import Path
import dagster as dg
from rag_pipeline.defs import event_log
from rag_pipeline.defs.instance import opened_instance

event_log.LONGEST_SECONDS = 10**6
folder, kills, *runs = sys.argv[1:]

@dg.asset
def stone() -> None: ...

@dg.asset(deps=[stone])
def wall() -> None:
    if kills == "kills":
        os.kill(os.getpid(), signal.SIGKILL)

with opened_instance(Path(folder)) as instance:
    print("ready", flush=True)
    sys.stdin.readline()
    job = dg.Definitions([stone, wall]).resolve_implicit_global_asset_job_def()
    for run in runs:
        job.execute_in_process(instance=instance, run_id=run)
"""


@contextmanager
def other_process(folder: Path, kills: str, *runs: str) -> Iterator["subprocess.Popen[bytes]"]:
    """It begins when it is told to."""
    command = [sys.executable, "-c", OTHER, str(folder), kills, *runs]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield process


def home(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "dagster.yaml").write_text(SETTINGS, "utf-8")
    return folder


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance in which nothing is written for the only reason that it has waited long enough."""
    monkeypatch.setattr(event_log, "LONGEST_SECONDS", NEVER_SECONDS)
    with opened_instance(home(tmp_path / "quick")) as instance:
        yield instance


def rows(folder: Path, shard: str, query: str) -> list[Any]:
    """What another process finds in a file."""
    with closing(sqlite3.connect(folder / "history" / "runs" / f"{shard}.db")) as connection:
        return connection.execute(query).fetchall()


def of_run(folder: Path, run_id: str) -> list[tuple[str | None, str | None]]:
    return rows(folder, run_id, "SELECT dagster_event_type, step_key FROM event_logs ORDER BY id")


def mirrored(folder: Path) -> list[Any]:
    """All that stands in the file of all runs, without what differs between two homes."""
    tables = {
        "event_logs": "dagster_event_type, step_key, asset_key, partition",
        "asset_keys": "asset_key, last_run_id IS NULL, last_materialization IS NULL",
        "asset_check_executions": "asset_key, check_name, partition, execution_status, evaluation_event_storage_id, "
        "materialization_event_storage_id, evaluation_event_timestamp IS NULL, length(run_id)",
        "asset_event_tags": "asset_key, key",
    }
    return [rows(folder, "index", f"SELECT {columns} FROM {table} ORDER BY id") for table, columns in tables.items()]


def entry(kind: dg.DagsterEventType, data: Any = None, run_id: str = "a-run", step: str = "stone") -> EventLogEntry:
    event = dg.DagsterEvent(kind.value, "job", step_key=step, event_specific_data=data)
    return EventLogEntry(None, 10, "", run_id, datetime.now(UTC).timestamp(), step_key=step, dagster_event=event)


def checked(times_planned: int, *, passed: bool = False) -> list[EventLogEntry]:
    """A check that is planned so many times, and what it found."""
    planned = AssetCheckEvaluationPlanned(asset_key=dg.AssetKey("stone"), check_name="is_hard")
    found = dg.AssetCheckEvaluation(asset_key=dg.AssetKey("stone"), check_name="is_hard", passed=passed, metadata={})
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
    return [*(entry(kind, planned) for _ in range(times_planned)), entry(CHECKED, found)]


def test_the_files_say_what_those_of_dagster_say(tmp_path: Path, quick: dg.DagsterInstance) -> None:
    with dg.DagsterInstance.from_config(str(home(tmp_path / "plain"))) as plain:
        runs = {
            each.root_directory: dg.materialize(
                [stone, is_hard, wall, roof], instance=each, raise_on_error=False
            ).run_id
            for each in (plain, quick)
        }
    told = [of_run(Path(folder), run) for folder, run in runs.items()]
    assert told[0] == told[1]
    assert mirrored(tmp_path / "plain") == mirrored(tmp_path / "quick")


@pytest.mark.filterwarnings("ignore:Specifying a partitions_def on an AssetCheckSpec")
def test_a_check_of_one_partition_is_planned_as_dagster_plans_it(tmp_path: Path, quick: dg.DagsterInstance) -> None:
    sizes = dg.StaticPartitionsDefinition(["small", "large"])

    @dg.asset(partitions_def=sizes)
    def pebble() -> None: ...

    @dg.asset_check(asset=pebble, partitions_def=sizes)
    def is_smooth() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    with dg.DagsterInstance.from_config(str(home(tmp_path / "plain"))) as plain:
        for each in (plain, quick):
            dg.materialize([pebble, is_smooth], instance=each, partition_key="small")
    found = [mirrored(tmp_path / name)[2] for name in ("plain", "quick")]
    assert found[0] == found[1]
    assert [row[1:4] for row in found[1]] == [("is_smooth", "small", "FAILED")]


def test_a_new_file_has_the_tables_that_dagster_makes(tmp_path: Path, quick: dg.DagsterInstance) -> None:
    with dg.DagsterInstance.from_config(str(home(tmp_path / "plain"))) as plain:
        runs = {each.root_directory: dg.materialize([stone], instance=each).run_id for each in (plain, quick)}
    made = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    queries = (made, "SELECT version_num FROM alembic_version", "PRAGMA journal_mode")
    plainly, quickly = ([rows(Path(at), run, query) for query in queries] for at, run in runs.items())
    assert plainly == quickly


def test_what_was_made_or_failed_and_how_a_run_ends_is_written_at_once(
    tmp_path: Path, quick: dg.DagsterInstance
) -> None:
    seen: list[list[Any]] = []

    @dg.asset(deps=[stone])
    def looker(context: dg.AssetExecutionContext) -> None:
        seen.append(of_run(tmp_path / "quick", context.run.run_id))

    run = dg.materialize([stone, is_hard, looker, roof], instance=quick, raise_on_error=False)
    # Another process sees what had been made when the step began.
    assert (MADE.value, "stone") in seen[0]
    found = of_run(tmp_path / "quick", run.run_id)
    assert (dg.DagsterEventType.STEP_FAILURE.value, "roof") in found
    assert found[-1][0] == dg.DagsterEventType.RUN_FAILURE.value
    assert len(found) == len(quick.all_logs(run.run_id))


def test_a_check_that_passed_waits_for_what_comes_next_and_one_that_failed_for_nothing(
    tmp_path: Path, quick: dg.DagsterInstance
) -> None:
    planned, passed = checked(1, passed=True)
    for event in (planned, passed, entry(dg.DagsterEventType.STEP_SUCCESS, StepSuccessData(duration_ms=1.0))):
        quick.handle_new_event(event)
    # Whoever asks through the log finds it at once; a file of the run is not even there yet.
    assert not (tmp_path / "quick" / "history" / "runs" / "a-run.db").exists()
    key = dg.AssetCheckKey(dg.AssetKey("stone"), "is_hard")
    last = quick.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert last.status.value == "SUCCEEDED"
    [failed] = checked(0)
    quick.handle_new_event(failed)
    kinds = ["ASSET_CHECK_EVALUATION_PLANNED", CHECKED.value, "STEP_SUCCESS", CHECKED.value]
    assert [kind for kind, _ in of_run(tmp_path / "quick", "a-run")] == kinds


def test_what_waits_is_written_soon_and_found_at_once(tmp_path: Path) -> None:
    with opened_instance(home(tmp_path / "home")) as instance:
        instance.handle_new_event(entry(dg.DagsterEventType.STEP_START))
        assert [each.step_key for each in instance.all_logs("a-run")] == ["stone"]
        instance.handle_new_event(entry(dg.DagsterEventType.STEP_START, step="wall"))
        came = threading.Event()
        # No other event comes; whoever looks from outside finds it all the same.
        for _ in range(1_000):
            found = of_run(tmp_path / "home", "a-run")
            if len(found) == 2 or came.wait(0.02):
                break
        assert [step for _, step in found] == ["stone", "wall"]


def test_what_waits_is_written_when_the_log_is_closed(tmp_path: Path, quick: dg.DagsterInstance) -> None:
    quick.handle_new_event(entry(dg.DagsterEventType.STEP_START))
    quick.dispose()
    assert of_run(tmp_path / "quick", "a-run") == [("STEP_START", "stone")]


@dg.asset(deps=[stone], name="wall")
def quiet_wall() -> None:
    """What the other process makes, too."""


def test_a_process_that_is_killed_leaves_a_log_without_a_gap(tmp_path: Path, quick: dg.DagsterInstance) -> None:
    whole, killed = dg.materialize([stone, quiet_wall], instance=quick).run_id, make_new_run_id()
    with other_process(tmp_path / "quick", "kills", killed) as other:
        other.communicate(b"\n")
    assert other.returncode == -signal.SIGKILL
    expected, found = of_run(tmp_path / "quick", whole), of_run(tmp_path / "quick", killed)
    assert found == expected[: len(found)]
    # What came of the first step is there; that it went well, and that the second began, was not yet.
    assert (MADE.value, "stone") in found
    assert ("STEP_START", "wall") not in found
    assert [kind for kind, *_ in mirrored(tmp_path / "quick")[0]].count(MADE.value) == 2 + 1


def test_two_runs_at_once_lose_nothing_and_mix_nothing(tmp_path: Path, quick: dg.DagsterInstance) -> None:
    job = dg.Definitions([stone, quiet_wall]).resolve_implicit_global_asset_job_def()
    runs = [make_new_run_id() for _ in range(6)]
    with other_process(tmp_path / "quick", "lives", *runs[:3]) as other:
        assert other.stdin
        other.stdin.write(b"\n")
        other.stdin.close()
        for run in runs[3:]:
            job.execute_in_process(instance=quick, run_id=run)
    assert other.returncode == 0
    assert len({tuple(of_run(tmp_path / "quick", run)) for run in runs}) == 1
    assert [kind for kind, *_ in mirrored(tmp_path / "quick")[0]].count(MADE.value) == 6 * 2


def test_what_could_not_be_written_is_written_when_the_file_is_free_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "SQLITE_BUSY_TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(event_log, "LONGEST_SECONDS", NEVER_SECONDS)
    with opened_instance(home(tmp_path / "home")) as instance:
        planned, failed = checked(1)
        instance.handle_new_event(planned)
        with closing(sqlite3.connect(tmp_path / "home" / "history" / "runs" / "index.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(OperationalError, match="locked"):
                instance.handle_new_event(failed)
            other.rollback()
        instance.handle_new_event(entry(dg.DagsterEventType.STEP_SKIPPED))
        kinds = ["ASSET_CHECK_EVALUATION_PLANNED", "ASSET_CHECK_EVALUATION", "STEP_SKIPPED"]
        assert [kind for kind, _ in of_run(tmp_path / "home", "a-run")] == kinds
        assert [kind for kind, *_ in mirrored(tmp_path / "home")[0]] == kinds[:2]


def test_what_the_thread_could_not_write_fails_the_run_and_not_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "SQLITE_BUSY_TIMEOUT_SECONDS", 0.01)
    with opened_instance(home(tmp_path / "home")) as instance:
        planned, _ = checked(1)
        with closing(sqlite3.connect(tmp_path / "home" / "history" / "runs" / "index.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            raised: list[OperationalError] = []
            stored, nothing = 0, threading.Event()
            while not raised and not nothing.wait(0.01):
                try:
                    instance.handle_new_event(planned)
                    stored += 1
                except OperationalError as error:
                    raised.append(error)
            other.rollback()
        assert "locked" in str(raised[0])
        instance.handle_new_event(entry(dg.DagsterEventType.STEP_SKIPPED))
        assert [kind for kind, _ in of_run(tmp_path / "home", "a-run")][-1] == "STEP_SKIPPED"
        assert len(of_run(tmp_path / "home", "a-run")) == stored + 2


def test_an_event_that_cannot_be_written_at_all_keeps_no_other_out(tmp_path: Path, quick: dg.DagsterInstance) -> None:
    *planned, failed = checked(2)
    for event in planned:
        quick.handle_new_event(event)
    with pytest.raises(dg.DagsterInvariantViolationError, match="duplicate"):
        quick.handle_new_event(failed)
    quick.handle_new_event(entry(dg.DagsterEventType.STEP_SKIPPED))
    kinds = [kind for kind, _ in of_run(tmp_path / "quick", "a-run")]
    assert kinds == ["ASSET_CHECK_EVALUATION_PLANNED"] * 2 + ["STEP_SKIPPED"]


def test_of_events_that_are_written_one_by_one_none_is_lost_to_a_file_that_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "SQLITE_BUSY_TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(event_log, "LONGEST_SECONDS", NEVER_SECONDS)
    write_each = event_log.EventLog._write_each
    with opened_instance(home(tmp_path / "home")) as instance:
        *planned, failed = checked(2)
        for event in planned:
            instance.handle_new_event(event)
        with closing(sqlite3.connect(tmp_path / "home" / "history" / "runs" / "index.db")) as other:

            def held(log: event_log.EventLog) -> None:
                other.execute("BEGIN IMMEDIATE")
                write_each(log)

            with monkeypatch.context() as patched:
                patched.setattr(event_log.EventLog, "_write_each", held)
                with pytest.raises(OperationalError, match="locked"):
                    instance.handle_new_event(failed)
            other.rollback()
        # It cannot be written, and says so once more; those before it stand there once each.
        with pytest.raises(dg.DagsterInvariantViolationError, match="duplicate"):
            instance.handle_new_event(entry(dg.DagsterEventType.STEP_SKIPPED))
        kinds = [kind for kind, _ in of_run(tmp_path / "home", "a-run")]
        assert kinds == ["ASSET_CHECK_EVALUATION_PLANNED"] * 2 + ["STEP_SKIPPED"]


def test_files_of_runs_are_held_in_one_order_whatever_came_first(quick: dg.DagsterInstance) -> None:
    held: list[str] = []

    def note(connection: Any, _: Any, statement: str, *__: Any) -> None:
        if statement.startswith("INSERT INTO event_logs"):
            held.append(Path(connection.engine.url.database).stem)

    for run in ("b-run", "a-run"):
        quick.handle_new_event(entry(dg.DagsterEventType.STEP_START, run_id=run))
    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", note)
    try:
        quick.handle_new_event(entry(dg.DagsterEventType.STEP_SKIPPED, run_id="b-run"))
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", note)
    assert held == ["a-run", "b-run"]


def test_what_comes_after_all_was_wiped_is_written_where_others_find_it(
    tmp_path: Path, quick: dg.DagsterInstance
) -> None:
    quick.handle_new_event(entry(dg.DagsterEventType.STEP_SKIPPED))
    quick.handle_new_event(entry(dg.DagsterEventType.STEP_START))
    quick.wipe()
    quick.handle_new_event(entry(dg.DagsterEventType.STEP_SKIPPED))
    assert [kind for kind, _ in of_run(tmp_path / "quick", "a-run")] == ["STEP_SKIPPED"]


def test_what_was_made_is_asked_for_again_only_once_something_was_made_or_forgotten(
    tmp_path: Path, quick: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    fetch = SqliteEventLogStorage.fetch_materializations

    def counting(log: SqliteEventLogStorage, *arguments: Any) -> Any:
        asked.append(arguments)
        return fetch(log, *arguments)

    monkeypatch.setattr(SqliteEventLogStorage, "fetch_materializations", counting)

    def made_by() -> list[str]:
        return [each.run_id for each in quick.fetch_materializations(dg.AssetKey("stone"), limit=5).records]

    assert made_by() == made_by() == []
    assert len(asked) == 1
    own = dg.materialize([stone], instance=quick).run_id
    quick.handle_new_event(checked(0)[0])
    asked.clear()
    assert made_by() == made_by() == [own]
    quick.handle_new_event(checked(0)[0])
    assert made_by() == [own]
    assert len(asked) == 1
    assert quick.fetch_materializations(dg.AssetKey("wall"), limit=5).records == []
    with dg.DagsterInstance.from_config(str(tmp_path / "quick")) as plain:
        other = dg.materialize([stone], instance=plain).run_id
        assert made_by() == [other, own]
    quick.delete_run(own)
    assert made_by() == [other]
    quick.wipe_assets([dg.AssetKey("stone")])
    assert made_by() == []
