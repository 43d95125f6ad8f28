"""A writer that lost its lease commits nothing, whenever it finds out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import pytest

from rag_pipeline.contracts.table import Column, TableContract
from rag_pipeline.errors import CommitConflict, LakeBusy, LeaseLost, StoreError
from rag_pipeline.stores import lease as leases
from rag_pipeline.stores.lake import INDEX_PATH, Lake
from rag_pipeline.stores.lake_files import files_of
from rag_pipeline.stores.purge import forget_history
from rag_pipeline.stores.vectors import VectorStore
from rag_pipeline_tests.object_store.server import S3Server
from rag_pipeline_tests.object_store.test_lease import Clock

pytestmark = pytest.mark.slow

COLUMNS = {"key": Column(pl.String(), "Key."), "group": Column(pl.String(), "Group.")}
NOTES = TableContract(layer="silver", name="notes", doc="Notes.", key=("key",), columns=COLUMNS)
GROUPED = TableContract(layer="silver", name="grouped", doc="Notes.", key=("key",), grouped_by="group", columns=COLUMNS)
# What a successor writes to when the tables that are looked at stay as they were.
OTHER = TableContract(layer="silver", name="other", doc="Notes.", key=("key",), columns=COLUMNS)
TABLES = pytest.mark.parametrize("notes", [NOTES, GROUPED], ids=["in one piece", "in segments"])


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(leases, "now_seconds", made)
    return made


@pytest.fixture
def lakes(server: S3Server, root: str) -> tuple[Lake, Lake]:
    first, second = (Lake(root, server.options, run_id, lock_timeout_seconds=0) for run_id in ("first", "second"))
    return first, second


def rows(*keys: str) -> pl.DataFrame:
    return pl.DataFrame({"key": keys, "group": ["g"] * len(keys)})


def keys(lake: Lake, notes: TableContract) -> list[str]:
    return sorted(lake.read(notes)["key"])


class Overtaken:
    """The first of two writers, which holds the lease and is overtaken by the second when it is told to be."""

    def __init__(self, first: Lake, second: Lake, clock: Clock) -> None:
        self.first, self.second, self._clock = first, second, clock

    def overtake(self, notes: TableContract, *written: str) -> None:
        # The first one has said nothing for longer than its lease lives, and the second has watched that.
        with pytest.raises(LakeBusy), self.second.writing():
            raise AssertionError
        self._clock.seconds += leases.TTL_SECONDS * leases.PATIENCE + 1
        with self.second.writing():
            self.second.merge(notes, rows(*written))

    def freeze_between_check_and_commit(self) -> None:
        """As if it had looked for the last time before it was overtaken."""
        self.first.still_writing = lambda: None  # type: ignore[method-assign]


@pytest.fixture
def overtaken(lakes: tuple[Lake, Lake], clock: Clock) -> Overtaken:
    return Overtaken(*lakes, clock)


@TABLES
def test_it_is_refused_when_it_looks(overtaken: Overtaken, notes: TableContract) -> None:
    first = overtaken.first
    with first.writing():
        first.append(notes, rows("a"))
        overtaken.overtake(notes, "b")
        with pytest.raises(LeaseLost) as refused:
            first.merge(notes, rows("c"), ["b"])
        assert refused.value.retryable
    assert keys(first, notes) == ["a", "b"]


@TABLES
@pytest.mark.parametrize("how", ["append", "merge", "clear"])
def test_a_commit_after_the_last_look_is_refused_by_the_table(
    overtaken: Overtaken, notes: TableContract, how: str
) -> None:
    first = overtaken.first
    with first.writing():
        first.append(notes, rows("a"))
        assert keys(first, notes) == ["a"], "what it plans on"
        overtaken.overtake(notes, "b")
        overtaken.freeze_between_check_and_commit()
        with pytest.raises(CommitConflict):
            {
                "append": lambda: first.append(notes, rows("b")),
                "merge": lambda: first.merge(notes, rows("b", "c"), ["a"]),
                "clear": lambda: first.clear(notes),
            }[how]()
        # Not by trying again either: the table names a later epoch.
        with pytest.raises(LeaseLost):
            first.append(notes, rows("c"))
    assert keys(first, notes) == ["a", "b"]


@TABLES
def test_a_table_that_it_had_not_opened_is_refused_by_the_epoch(overtaken: Overtaken, notes: TableContract) -> None:
    first = overtaken.first
    with first.writing():
        overtaken.overtake(notes, "b")
        overtaken.freeze_between_check_and_commit()
        with pytest.raises(LeaseLost):
            first.append(notes, rows("b"))
    assert keys(first, notes) == ["b"]


@TABLES
@pytest.mark.parametrize("successor_writes", [True, False])
def test_a_table_that_was_not_there_yet_is_made_by_one_of_them(
    overtaken: Overtaken, notes: TableContract, successor_writes: bool
) -> None:
    first, second = overtaken.first, overtaken.second
    with first.writing():
        assert keys(first, notes) == [], "it plans on there being none"
        overtaken.overtake(OTHER, "x")
        overtaken.freeze_between_check_and_commit()
        with second.writing():
            assert keys(second, notes) == []
            late, early = (first, second) if successor_writes else (second, first)
            early.append(notes, rows("a"))
            with pytest.raises(StoreError) as refused:
                late.append(notes, rows("a"))
            assert refused.value.retryable
        assert keys(second, notes) == ["a"]


@TABLES
def test_what_a_late_writer_put_where_nobody_had_looked_is_seen_by_its_successor(
    overtaken: Overtaken, notes: TableContract
) -> None:
    first, second = overtaken.first, overtaken.second
    with first.writing():
        first.append(notes, rows("a"))
        overtaken.overtake(OTHER, "x")
        with second.writing():
            assert keys(second, notes) == ["a"]
            overtaken.freeze_between_check_and_commit()
            first.append(notes, rows("b"))
            # It planned on a table without the late row, and is made to plan anew.
            with pytest.raises(CommitConflict) as refused:
                second.append(notes, rows("b"))
            assert refused.value.retryable
            assert keys(second, notes) == ["a", "b"]
            second.merge(notes, rows("b", "c"))
    assert keys(second, notes) == ["a", "b", "c"]


@TABLES
def test_a_late_commit_names_no_file_that_an_erasure_took_for_a_remainder(
    overtaken: Overtaken, notes: TableContract
) -> None:
    first, second = overtaken.first, overtaken.second
    with first.writing():
        first.append(notes, rows("a"))
        overtaken.overtake(OTHER, "x")
        with second.writing():
            forget_history(second, notes)
        overtaken.freeze_between_check_and_commit()
        with pytest.raises(CommitConflict):
            first.append(notes, rows("b"))
    assert keys(second, notes) == ["a"]
    assert len([name for name in files_of(second, notes.path) if name.endswith(".json")]) == 1, "of its log"


def test_an_index_is_not_written_by_who_lost_the_lease(server: S3Server, overtaken: Overtaken) -> None:
    first = overtaken.first
    store = VectorStore(first.uri(INDEX_PATH), server.options, first.still_writing)
    with first.writing():
        overtaken.overtake(NOTES, "b")
        with pytest.raises(LeaseLost):
            store.drop("chunks__none")


def test_what_was_opened_is_opened_again_only_after_somebody_else_wrote(
    server: S3Server, lakes: tuple[Lake, Lake]
) -> None:
    first, second = lakes
    with first.writing():
        first.append(NOTES, rows("a"))
    with first.writing():
        server.asked()
        assert first.version(NOTES) == 1
        assert not [path for _, path in server.asked() if "_delta_log" in path]
    with second.writing():
        second.append(NOTES, rows("b"))
    with first.writing():
        assert keys(first, NOTES) == ["a", "b"]


def test_a_failure_of_the_network_can_be_tried_again_and_keeps_nothing_half(
    server: S3Server, lakes: tuple[Lake, Lake]
) -> None:
    first, _ = lakes
    with first.writing():
        first.append(NOTES, rows("a"))
        server.behave(fails="PUT .*_delta_log")
        with pytest.raises(StoreError) as refused:
            first.append(NOTES, rows("b"))
        server.behave()
        assert refused.value.retryable
        first.append(NOTES, rows("b"))
    assert keys(first, NOTES) == ["a", "b"]


def test_a_thread_that_waited_while_another_machine_wrote_sees_that(
    monkeypatch: pytest.MonkeyPatch, lakes: tuple[Lake, Lake]
) -> None:
    first, second = lakes
    waits, may_go_on = threading.Event(), threading.Event()
    found: list[list[str]] = []

    def read_late() -> None:
        with first.writing():
            found.append(keys(first, NOTES))

    with first.writing():
        first.append(NOTES, rows("a"))
        lock = first._lease
        assert lock is not None
        held = lock.held

        @contextmanager
        def held_late() -> Iterator[None]:
            waits.set()
            assert may_go_on.wait(timeout=60)
            with held():
                yield

        monkeypatch.setattr(lock, "held", held_late)
        late = threading.Thread(target=read_late)
        late.start()
        assert waits.wait(timeout=60)
    with second.writing():
        second.append(NOTES, rows("b"))
    may_go_on.set()
    late.join(timeout=60)
    assert found == [["a", "b"]]


def test_a_table_is_made_where_no_lease_is_held(lakes: tuple[Lake, Lake]) -> None:
    lakes[0].append(NOTES, rows("a"))
    assert keys(lakes[1], NOTES) == ["a"]


@TABLES
def test_a_lease_that_was_made_anew_by_a_clock_that_is_an_hour_behind_goes_on(
    lakes: tuple[Lake, Lake], monkeypatch: pytest.MonkeyPatch, notes: TableContract
) -> None:
    first, second = lakes
    with first.writing():
        first.append(notes, rows("a"))
    # A lease that is removed by hand, or a lake that was put back at another address, which has none.
    first.objects.delete(leases.LEASE_NAME)
    now_ms = leases.first_epoch()
    monkeypatch.setattr(leases, "first_epoch", lambda: now_ms - 3_600_000)
    with second.writing():
        assert keys(second, notes) == ["a"]
        second.append(notes, rows("b"))
    with first.writing():
        first.append(notes, rows("c"))
        assert first.epoch is not None
        assert first.epoch > now_ms - 3_600_000
    assert keys(second, notes) == ["a", "b", "c"]
