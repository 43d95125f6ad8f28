"""The lease of a lake in an object store: one holder at a time, whatever clocks, networks and processes do."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_pipeline.contracts.notices import said_by
from rag_pipeline.errors import LakeBusy, LakeTooNew, LeaseLost, StoreError, StoreUnavailable, StoreUnfit
from rag_pipeline.stores import lease as leases
from rag_pipeline.stores.conditional import TRIAL, settle_store
from rag_pipeline.stores.lease import LEASE_NAME, Lease, read_holder
from rag_pipeline.stores.lease_lock import LeaseLock
from rag_pipeline.stores.objects import Objects, sorted_options
from rag_pipeline_tests.object_store.server import S3Server

ROUNDS = int(os.environ.get("RAG_PIPELINE_TEST_EXAMPLES", "10"))


class Clock:
    """A clock of a process that stands until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(leases, "now_seconds", made)
    return made


@pytest.fixture
def objects(server: S3Server, root: str) -> Iterator[Objects]:
    yield Objects(root, server.options)
    server.behave()


def test_one_holds_it_at_a_time_and_the_epoch_only_grows(objects: Objects) -> None:
    one, two = Lease(objects, "one"), Lease(objects, "two")
    assert one.take() is None
    held = two.take()
    assert held is not None
    assert "(run one," in held.words()
    assert read_holder(objects) == held.words()
    one.check()
    one.give_back()
    assert read_holder(objects) == ""
    assert two.take() is None
    assert two.epoch == one.epoch + 1
    two.give_back()


def test_who_takes_it_again_before_anybody_else_did_goes_on(objects: Objects) -> None:
    one, two = Lease(objects, "one"), Lease(objects, "two")
    continued = []
    for lease in (one, one, two, one):
        assert lease.take() is None
        continued.append(lease.is_continued)
        lease.give_back()
    assert continued == [False, True, False, False]


def test_it_is_taken_over_when_it_was_not_renewed_for_longer_than_it_lives(objects: Objects, clock: Clock) -> None:
    one, two = Lease(objects, "one"), Lease(objects, "two")
    assert one.take() is None
    assert two.take() is not None
    clock.seconds += leases.TTL_SECONDS * leases.PATIENCE
    assert two.take() is not None, "not a moment early"
    clock.seconds += 1
    assert two.take() is None
    assert two.epoch == one.epoch + 1
    with pytest.raises(LeaseLost, match=r"taken over by process \d+ on .*\(run two"):
        one.check()
    one.give_back()
    two.check()
    two.give_back()


def test_who_was_late_and_was_not_replaced_goes_on(objects: Objects, clock: Clock) -> None:
    one = Lease(objects, "one")
    assert one.take() is None
    clock.seconds += 10 * leases.TTL_SECONDS
    one.check()
    one.give_back()


def test_renewing_keeps_it(objects: Objects) -> None:
    one, two = Lease(objects, "one", ttl_seconds=0.5), Lease(objects, "two")
    assert one.take() is None
    renewed = {objects.tag(LEASE_NAME)}
    while len(renewed) < 4:
        assert two.take() is not None
        renewed.add(objects.tag(LEASE_NAME))
    one.check()
    one.give_back()


def test_a_renewal_whose_answer_was_lost_loses_nothing(objects: Objects) -> None:
    one = Lease(objects, "one")
    assert one.take() is None
    found = objects.read(LEASE_NAME)
    assert found is not None
    objects.write(LEASE_NAME, json.dumps(json.loads(found[0]) | {"nonce": "of the lost answer"}).encode())
    one.check()
    one.give_back()
    assert read_holder(objects) == ""


def test_a_renewal_whose_answer_was_lost_keeps_nobody_waiting_once_it_is_given_back(objects: Objects) -> None:
    one = Lease(objects, "one")
    assert one.take() is None
    found = objects.read(LEASE_NAME)
    assert found is not None
    objects.write(LEASE_NAME, json.dumps(json.loads(found[0]) | {"nonce": "of the lost answer"}).encode())
    one.give_back()
    assert read_holder(objects) == ""
    assert not one.is_held


@pytest.mark.parametrize(
    "content", [b"null", b"\xff", b"[" * 100_000, b'{"owner": "a", "epoch": 1e400, "ttl_seconds": 1, "is_free": true}']
)
def test_a_damaged_lease_is_of_somebody_who_is_not_known(content: bytes) -> None:
    row = leases.Row.of(content)
    assert (row.owner, row.is_free) == ("not known", False)


def test_a_lease_that_was_damaged_is_waited_for_and_one_that_was_removed_is_made_with_a_later_epoch(
    objects: Objects, clock: Clock
) -> None:
    one, two = Lease(objects, "one"), Lease(objects, "two")
    assert one.take() is None
    objects.write(LEASE_NAME, b"{")
    assert two.take() is not None
    clock.seconds += leases.TTL_SECONDS * leases.PATIENCE + 1
    assert two.take() is None
    assert two.epoch > one.epoch
    objects.delete(LEASE_NAME)
    with pytest.raises(LeaseLost):
        two.check()
    assert one.take() is None
    assert one.epoch >= two.epoch
    one.give_back()
    two.give_back()


def test_a_store_that_does_not_answer_can_be_tried_again_and_keeps_the_lease_while_it_lives(
    server: S3Server, objects: Objects
) -> None:
    one = Lease(objects, "one")
    assert one.take() is None
    server.behave(fails=rf".*{LEASE_NAME}")
    with pytest.raises(StoreUnavailable) as refused:
        one.check()
    assert refused.value.retryable
    server.behave()
    one.check()
    one.give_back()


def test_two_writers_are_never_in_at_once(server: S3Server, root: str, tmp_path: Path) -> None:
    counter, inside = tmp_path / "counter", []
    counter.write_text("0")

    def write() -> None:
        lock = LeaseLock(Objects(root, server.options), "racing", 60)
        for _ in range(ROUNDS):
            with lock.held(), lock.held():
                inside.append(threading.get_ident())
                seen = int(counter.read_text())
                lock.lease.check()
                counter.write_text(str(seen + 1))
                assert inside.pop() == threading.get_ident()

    racing = [threading.Thread(target=write) for _ in range(2)]
    for each in racing:
        each.start()
    for each in racing:
        each.join()
    assert counter.read_text() == str(2 * ROUNDS)


def test_who_waits_is_told_for_whom_and_gives_up(objects: Objects) -> None:
    holder = LeaseLock(objects, "first", 60)
    said: list[str] = []
    second = LeaseLock(objects, "second", 0.3)
    refused = pytest.raises(LakeBusy, match=r"\(run first, since .*nothing was changed")
    with holder.held(), said_by(said.append), refused, second.held():
        raise AssertionError
    assert len(said) == 1
    assert "(run first, since" in said[0]


@pytest.mark.parametrize(
    ("forgets", "why"),
    [("create", "created an object that was there already"), ("replace", "replaced an object that had been changed")],
)
def test_a_store_that_forgets_conditions_is_refused(server: S3Server, objects: Objects, forgets: str, why: str) -> None:
    server.behave(forgets=[forgets])
    with pytest.raises(StoreUnfit, match=why):
        settle_store(objects)
    assert not [name for _, name in _listed(objects) if not name.startswith(TRIAL)]


@pytest.mark.parametrize("number", range(3))
def test_a_store_is_not_refused_for_an_answer_that_was_lost_while_it_was_tried(
    server: S3Server, objects: Objects, number: int
) -> None:
    server.behave(fails="PUT .*conditional-writes", after=number, most=1, does=True)
    settle_store(objects)
    assert [name for _, name in _listed(objects)] == ["lake.json"]


def test_a_store_is_tried_once_for_a_lake(server: S3Server, objects: Objects) -> None:
    settle_store(objects)
    assert [name for _, name in _listed(objects)] == ["lake.json"]
    server.asked()
    settle_store(objects)
    assert server.counted() == {"GET": 1}


def test_a_lake_of_a_newer_program_is_not_written(objects: Objects) -> None:
    objects.write("lake.json", b'{"format": 99}')
    with pytest.raises(LakeTooNew):
        settle_store(objects)
    assert [name for _, name in _listed(objects)] == ["lake.json"]


def test_a_client_that_is_told_to_write_without_conditions_is_refused(server: S3Server, root: str) -> None:
    objects = Objects(root, {**server.options, "aws_conditional_put": "disabled"})
    with pytest.raises(StoreUnfit, match="conditional_put"):
        settle_store(objects)


def test_a_bucket_that_is_not_there_is_named(server: S3Server) -> None:
    lock = LeaseLock(Objects("s3://no-such-bucket/lake", server.options), "run", timeout_seconds=0)
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/lake.*no such bucket"), lock.held():
        raise AssertionError


def test_options_have_one_name_each() -> None:
    options = {"endpoint": "other", "aws_endpoint": "this", "AWS_REGION": "r", "allow_http": "true", "timeout": "5s"}
    assert sorted_options("s3://b/p", options) == (
        {"allow_http": "true", "timeout": "5s"},
        {"aws_endpoint": "this", "aws_region": "r"},
    )
    # Those say how Delta and LanceDB try again, and are unknown to the client that is opened.
    assert sorted_options("s3://b/p", {"max_retries": "3", "client_retry_timeout": "9"}) == ({}, {})
    assert sorted_options("gs://b/p", {"service_account": "f"}) == ({}, {"google_service_account": "f"})


def _listed(objects: Objects) -> list[tuple[str, str]]:
    import obstore

    return [(found["path"], found["path"]) for page in obstore.list(objects._store) for found in page]
