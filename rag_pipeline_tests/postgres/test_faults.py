"""What stands beside a delivery breaks: readers have whole versions, and the next run makes up for it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from rag_pipeline.contracts.delivery import Delivered, Published
from rag_pipeline.defs.delivery_checks import delivery_results, delivery_specs
from rag_pipeline.defs.specs import PUBLICATION_KEY, REVOCATIONS_KEY
from rag_pipeline.errors import DeliveryFailed
from rag_pipeline.refresh import deliver
from rag_pipeline.refresh.deliver import deliver_published
from rag_pipeline.stores.postgres.delivery import PostgresTarget
from rag_pipeline_tests.postgres.conftest import Database, Delivering, delivering

# Far longer than any of it takes: it only ends a test that would wait for ever.
PATIENCE_SECONDS = 60
VERSION = """
SELECT d.sequence, d.rows, d.dimension, (SELECT md5(string_agg(text, '' ORDER BY chunk_id)) FROM rag.chunks),
    (SELECT md5(string_agg(chunk_id || vector_dims(embedding), '' ORDER BY chunk_id)) FROM rag.vectors),
    (SELECT md5(string_agg(chunk_id || allowed_principals::text, '' ORDER BY chunk_id)) FROM rag.permissions)
FROM rag.delivery d"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Delivering:
    project = delivering(tmp_path_factory.mktemp("faults"), database, approximate_from_rows=4)
    for number in range(8):
        project.write(f"page{number}.md", f"# Page {number}\n\nThe pump number {number} hums.\n")
    project.settings["embedding_models"]["wide"] = {"kind": "hashing", "model": "hashing", "dimension": 96}
    project.refresh()
    return project


@pytest.fixture
def copy(project: Delivering, database: Database, tmp_path: Path) -> Iterator[Delivering]:
    copy = project.copied(tmp_path / "copy", polled=True)
    copy.dsn = project.dsn
    database.run("UPDATE rag.delivery SET lake = ''")
    yield copy
    database.run("UPDATE rag.delivery SET lake = ''")
    deliver_now(project)


def deliver_now(project: Delivering) -> str:
    with project.workspace() as workspace:
        report = deliver_published(workspace)
    assert report is not None
    return report.fault


def eventually(holds: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if found := holds():
            return found
    pytest.fail("it did not come to that")


def told(project: Delivering, asset: dg.AssetKey) -> dg.AssetCheckResult:
    """The check of a step, as the step says it."""
    specs = delivery_specs(project.pipeline(), asset)
    with project.workspace() as workspace:
        [result] = delivery_results(workspace, asset)
    assert [spec.name for spec in specs] == [result.check_name]
    return result


def version(database: Database) -> tuple[Any, ...]:
    [row] = database.rows(VERSION)
    return row


def test_whoever_polls_sees_whole_versions_only(copy: Delivering, database: Database) -> None:
    seen: set[tuple[Any, ...]] = set()
    stop = threading.Event()

    def poll() -> None:
        with database.connect() as connection:
            while not stop.is_set():
                seen.update(connection.execute(VERSION).fetchall())

    poller = threading.Thread(target=poll)
    whole = {version(database)}
    poller.start()
    try:
        for night in range(4):
            copy.write(f"page{night}.md", f"# Page {night}\n\nThe valve of night {night} leaks.\n")
            copy.write(f"new{night}.md", f"# New {night}\n\nA new page.\n")
            copy.settings["sources"]["docs"]["allowed_principals"] = [f"night{night}"]
            copy.settings["serve"] = ("wide", "small")[night % 2]
            before = version(database)[0]
            copy.refresh()
            with copy.workspace() as workspace:
                moved = [each.sequence for each in workspace.lake.publications()][before:]
            assert version(database)[0] == moved[-1]
            whole.add(version(database))
    finally:
        stop.set()
        poller.join()
    # A run takes away first, and that is a version of its own.
    by_sequence = {row[0]: row for row in seen}
    assert len(by_sequence) == len(seen)
    assert all(by_sequence.get(row[0], row) == row for row in whole)


@contextmanager
def locked(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """Nobody else writes who may read what, which is the last that a delivery brings of its rows."""
    with database.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE rag.permissions IN SHARE MODE")
        yield connection


WAITING = "SELECT pid FROM pg_stat_activity WHERE application_name = 'rag_pipeline' AND wait_event_type = 'Lock'"
CHILD = """
import os, signal, sys
from pathlib import Path
from rag_pipeline.refresh import deliver
from rag_pipeline.refresh.deliver import deliver_published
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import load_pipeline
def killed_after_its_look(*given):
    check(*given)
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[3:]:
    check, deliver._check_still = deliver._check_still, killed_after_its_look
with Workspace(load_pipeline(Path(sys.argv[1]), {"SEARCH_DSN": sys.argv[2]}), run_id="killed") as workspace:
    deliver_published(workspace)
"""


def killed_while_it_writes(database: Database, arguments: list[str]) -> None:
    with locked(database), subprocess.Popen(arguments, env=os.environ | {"PYTHONWARNINGS": "ignore"}) as child:
        [(backend,)] = eventually(lambda: database.rows(WAITING))
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    eventually(lambda: not database.rows("SELECT FROM pg_stat_activity WHERE pid = %s", backend))


def killed_before_its_commit(database: Database, arguments: list[str]) -> None:
    done = subprocess.run([*arguments, "after its look"], env=os.environ | {"PYTHONWARNINGS": "ignore"}, check=False)
    assert done.returncode == -signal.SIGKILL
    theirs = "SELECT FROM pg_stat_activity WHERE application_name = 'rag_pipeline'"
    eventually(lambda: not database.rows(theirs))


@pytest.mark.parametrize(
    "kill", [killed_while_it_writes, pytest.param(killed_before_its_commit, marks=pytest.mark.exhaustive)]
)
def test_a_delivery_that_is_killed_leaves_the_version_before(
    copy: Delivering, database: Database, kill: Callable[[Database, list[str]], None]
) -> None:
    before = version(database)
    copy.write("page1.md", "# Page 1\n\nThe valve leaks.\n")
    copy.write("page9.md", "# Page 9\n\nA new page.\n")
    reachable, copy.dsn = copy.dsn, "host=127.0.0.1 port=1"
    copy.refresh()
    copy.dsn = reachable
    kill(database, [sys.executable, "-c", CHILD, str(copy.folder / "pipeline.yaml"), copy.dsn])
    assert version(database) == before
    assert deliver_now(copy) == ""
    assert version(database)[1] == before[1] + 1


def test_a_server_that_is_down_holds_up_nothing_and_is_made_up_for(copy: Delivering, database: Database) -> None:
    before = version(database)
    reachable, copy.dsn = copy.dsn, "postgresql://writer:hush@127.0.0.1:1/search"
    (copy.folder / "docs" / "page0.md").unlink()
    copy.write("page1.md", "# Page 1\n\nThe valve leaks.\n")
    copy.refresh()
    assert not any("page0" in row["uri"] for row in copy.published())
    fault = deliver_now(copy)
    assert "127.0.0.1" in fault
    assert "hush" not in fault
    assert version(database) == before
    checks = [told(copy, key) for key in (PUBLICATION_KEY, REVOCATIONS_KEY)]
    assert [(check.passed, "127.0.0.1" in str(check.description)) for check in checks] == [(False, True)] * 2
    copy.dsn = reachable
    # Nothing else changed, and the run makes up for it all the same.
    copy.refresh()
    assert version(database)[1] == before[1] - 1
    assert told(copy, PUBLICATION_KEY).passed


def test_a_slow_delivery_holds_up_no_writer_and_brings_no_older_version(copy: Delivering, database: Database) -> None:
    before = version(database)
    reachable, copy.dsn = copy.dsn, "host=127.0.0.1 port=1"
    copy.write("page1.md", "# Page 1\n\nThe valve leaks.\n")
    copy.refresh()
    copy.dsn = reachable
    faults: list[str] = []
    slow = threading.Thread(target=lambda: faults.append(deliver_now(copy)))
    with locked(database):
        slow.start()
        eventually(lambda: database.rows(WAITING))
        copy.dsn = "host=127.0.0.1 port=1"
        # It would wait for the lake's lock here.
        copy.write("page2.md", "# Page 2\n\nThe gasket leaks.\n")
        copy.refresh()
        with copy.workspace() as workspace:
            last = workspace.lake.last_publication()
    slow.join()
    copy.dsn = reachable
    assert faults == [""]
    assert last is not None
    assert version(database)[0] == last.sequence > before[0] + 1


def test_a_delivery_that_another_one_overtook_takes_nothing_back(
    copy: Delivering, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.settings["sources"]["docs"]["groups"] = {"file": "groups.yaml"}
    (copy.folder / "groups.yaml").write_text("crew: [eve]\n")
    copy.refresh()
    target, overtaken, meanwhile = deliver._target, [], [left, edited]

    class Slow:
        """It has read what to bring, and begins when another run, which took eve's group away, is done."""

        def deliver(self, published: Published, still_published: Callable[[], None]) -> Delivered:
            monkeypatch.setattr(deliver, "_target", target)
            meanwhile.pop(0)(copy)
            overtaken.append(version(database))
            with copy.workspace() as workspace:
                return target(workspace).deliver(published, still_published)

    for _ in list(meanwhile):
        monkeypatch.setattr(deliver, "_target", lambda _: Slow())
        assert deliver_now(copy) == ""
        assert version(database) == overtaken[-1]
        assert database.rows("SELECT member_principal FROM rag.groups") == [("dan",)]
    assert overtaken[1][0] > overtaken[0][0]


def left(project: Delivering) -> None:
    (project.folder / "groups.yaml").write_text("crew: [dan]\n")
    project.refresh()


def edited(project: Delivering) -> None:
    project.write("page1.md", "# Page 1\n\nThe gasket leaks.\n")
    project.refresh()


def test_a_server_that_does_not_answer_is_given_up(copy: Delivering) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        copy.dsn = f"host=127.0.0.1 port={port} dbname=search connect_timeout=2"
        assert "timeout" in deliver_now(copy)


def test_a_delivery_that_takes_too_long_is_broken_off(copy: Delivering, database: Database) -> None:
    before = version(database)
    with copy.workspace() as workspace:
        published = deliver._published(workspace)
    assert published is not None
    target = PostgresTarget(copy.dsn, "rag", readers=["alice"], timeout_seconds=0.5)
    with locked(database), pytest.raises(DeliveryFailed):
        target.deliver(replace(published, name="another"), lambda: None)
    assert version(database) == before


def test_a_writer_that_lost_its_lease_commits_nothing(copy: Delivering, database: Database) -> None:
    before = version(database)
    with copy.workspace() as workspace:
        published = deliver._published(workspace)
    assert published is not None

    def lost() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        PostgresTarget(copy.dsn, "rag").deliver(replace(published, sequence=99, name="another"), lost)
    assert version(database) == before


@pytest.mark.parametrize(
    ("dsn", "said"),
    [("no address at all", "no address of PostgreSQL"), ("", "not set")],
)
def test_what_is_no_address_is_said(copy: Delivering, dsn: str, said: str) -> None:
    copy.dsn = dsn
    if not dsn:
        copy.settings["publish_to"]["postgres"]["dsn"] = "$NOT_THERE"
    assert said in deliver_now(copy)
