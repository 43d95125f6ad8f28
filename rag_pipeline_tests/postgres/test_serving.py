"""`serve_from: postgres`: a Searcher finds there what it finds in the lake, for the same readers, of one version."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_pipeline.contracts.filters import Filter, parse_condition
from rag_pipeline.errors import BadQuery, NothingPublished, StoreError, StoreUnavailable, TableOutdated
from rag_pipeline.refresh.deliver import deliver_published
from rag_pipeline.refresh.status import read_status
from rag_pipeline.retrieval.readable import ReadableSources
from rag_pipeline.retrieval.search import Hit, Searcher
from rag_pipeline.retrieval.windows import WINDOWS_BY
from rag_pipeline.stores.postgres.reader import PostgresReader
from rag_pipeline.stores.postgres.served import ServedRows
from rag_pipeline_tests.embedding.cross_models import make_late_model
from rag_pipeline_tests.levels import tries
from rag_pipeline_tests.postgres.conftest import Database, Delivering, delivering, searcher_of
from rag_pipeline_tests.retrieval.test_leaks import ASKERS, READERS, check_nothing_is_told, mark_of, note

T = TypeVar("T")
COUNT = 9
# A cosine of 32-bit numbers is summed in another order there.
ROUNDING = 1e-6
EVERYBODY = ("public", "staff", "board", "ada", 'o\'brien, "x" {y}')
NOWHERE = "postgresql://reader:hush@127.0.0.1:1/search"


@dataclass(frozen=True)
class World:
    """A pipeline that is delivered, what is found of everything, and the marks that each asker may know of."""

    project: Delivering
    before: datetime
    known: dict[str, frozenset[str]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, database: Database) -> World:
    folder = tmp_path_factory.mktemp("serving")
    make_late_model(folder / "late")
    project = delivering(folder, database)
    project.settings["deduplication"] = {"near": False}
    project.settings["boilerplate"] = {"leave_out": False}
    project.settings["late_interaction"] = {"model": "tiny", "folder": "late", "time_budget_seconds": 3_600}
    project.settings["sources"]["docs"]["groups"] = {"file": "groups.yaml", "prefix": ""}
    (folder / "groups.yaml").write_text("staff: [ada]\n")
    places = [f"{('open/', 'deep/er/')[at % 2]}{mark_of(at)}.md" for at in range(COUNT)]
    for at, place in enumerate(places):
        project.write(place, note(at, READERS[(at + 1) % len(READERS)], 0, COUNT))
    project.refresh()
    before = datetime.now(UTC)
    for at, place in enumerate(places):
        project.write(place, note(at, READERS[at % len(READERS)], 1, COUNT))
    # One whose file is gone, and one that is in quarantine.
    (folder / "docs" / places[8]).unlink()
    project.write(places[7], f"---\nallowed_principals: [board, {{x: y}}]\n---\n{mark_of(7)}\n")
    project.refresh()
    database.run("INSERT INTO rag.gateways VALUES ('gateway')")
    known = {
        asker: frozenset(mark_of(at) for at in range(7) if {asker, "public"} & set(READERS[at % 4].split(", ")))
        for asker in ASKERS
    }
    return World(project, before, known)


@pytest.fixture(scope="module")
def project(world: World) -> Delivering:
    return world.project


@pytest.fixture(scope="module")
def lake(project: Delivering) -> Iterator[Searcher]:
    with Searcher.open(project.pipeline()) as searcher:
        yield searcher


@pytest.fixture(scope="module", params=[None, "gateway"])
def postgres(project: Delivering, request: pytest.FixtureRequest) -> Iterator[Searcher]:
    """As the owner, whom no policy limits, and as a gateway, whom row-level security does."""
    with searcher_of(project, request.param) as searcher:
        yield searcher


LIMITS: tuple[dict[str, Any], ...] = (
    {},
    {"paths": ("deep/**",)},
    {"paths": ("heron[ab]?.md", "*.md#x", "er/heron?.md", "öffen/*.md")},
    {"sources": ("docs",), "languages": ("en",), "media_types": ("text/markdown",)},
    {"conditions": (parse_condition("number>=4"), parse_condition("number != 5"))},
    {"conditions": (parse_condition("number in 1,2,3"), parse_condition("superseded_by"))},
    {"modified_after": datetime(2020, 1, 1, tzinfo=UTC), "least_quality": 0.1},
    {"modified_before": datetime(2020, 1, 1, tzinfo=UTC)},
    {"document_ids": (), "closed_ids": frozenset({"x'; DROP"})},
)


@pytest.mark.parametrize("limits", LIMITS)
def test_the_same_is_found_as_in_the_lake(lake: Searcher, postgres: Searcher, limits: dict[str, Any]) -> None:
    limited = Filter(frozenset(), **limits)
    for asker in EVERYBODY:
        asked: dict[str, Any] = {"principals": [asker], "mode": "vector", "k": 30, "limits": limited}
        expected, found = (one.search("the pump of the hall", **asked) for one in (lake, postgres))
        assert [told(hit) for hit in found] == [told(hit) for hit in expected]
        distances = [[hit.vector_distance or 0 for hit in hits] for hits in (found, expected)]
        assert np.allclose(*distances, rtol=0, atol=ROUNDING)
        # By words the same rows, in another order.
        by_words = [
            {hit.chunk_id for hit in one.search("porter", **asked | {"mode": "text"})} for one in (lake, postgres)
        ]
        assert by_words[0] == by_words[1]


def told(hit: Hit) -> dict[str, Any]:
    """A hit without what is rounded or looked up elsewhere."""
    return hit.record() | dict.fromkeys(["score", "vector_distance", "source_polled_at"])


def test_texts_around_chunks_and_explanations_are_those_of_the_lake(
    world: World, lake: Searcher, postgres: Searcher
) -> None:
    everything = lake.search("heron note of the hall", principals=ASKERS, k=50)
    assert postgres.published()["sequence"] == lake.published()["sequence"]
    for asker in EVERYBODY:
        who = [asker]
        assert postgres.principals_of(who) == lake.principals_of(who)
        for by in WINDOWS_BY:
            assert postgres.windows(everything, principals=who, by=by) == lake.windows(
                everything, principals=who, by=by
            )
        for hit in everything:
            assert postgres.chunk(hit.chunk_id, principals=who) == lake.chunk(hit.chunk_id, principals=who)
            assert postgres.around(hit.chunk_id, principals=who) == lake.around(hit.chunk_id, principals=who)
        for at in range(COUNT):
            asked: dict[str, Any] = {"principals": who, "mode": "vector", "k": 3, "document": f"{mark_of(at)}.md"}
            explained = [one.explain("key of the porter", **asked).documents for one in (lake, postgres)]
            assert [[(why.reason, why.uri) for why in each] for each in explained] == [
                [(why.reason, why.uri) for why in explained[0]]
            ] * 2
        reranked = postgres.search("key beside the door", principals=who)
        assert any(hit.rerank_score is not None for hit in reranked)
        then = [one.search("note", principals=who, as_of=world.before, rerank=False) for one in (lake, postgres)]
        assert [told(hit) for hit in then[0]] == [told(hit) for hit in then[1]]


@settings(max_examples=tries(10, 2_000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_way_of_asking_tells_of_what_is_closed(
    world: World, lake: Searcher, postgres: Searcher, data: st.DataObject
) -> None:
    everybody = lake.search("heron note of the hall", principals=ASKERS, k=50)
    check_nothing_is_told(postgres, everybody, world.known, world.before, COUNT, data.draw)


def test_readable_sources_are_counted_there(project: Delivering) -> None:
    pipeline = project.pipeline()
    there = replace(pipeline, settings=pipeline.settings.model_copy(update={"serve_from": "postgres"}))
    counts = [ReadableSources(one) for one in (pipeline, there)]
    for asker in EVERYBODY:
        # A second time from what was kept.
        for _ in range(2):
            assert counts[0].of([asker]) == counts[1].of([asker])
    for each in counts:
        each.close()


def test_status_says_what_postgres_serves(project: Delivering, tmp_path: Path) -> None:
    with project.workspace() as workspace:
        deliver_published(workspace)
        last, found = workspace.lake.last_publication(), read_status(workspace).delivered
    assert last is not None
    assert found is not None
    assert (found.sequence, found.rows, found.is_behind, found.problem) == (last.sequence, last.rows, False, "")
    copy = project.copied(tmp_path / "copy", polled=True)
    copy.settings["serve_from"] = "postgres"
    copy.dsn = NOWHERE
    copy.write("one_more.md", "# One\n\nOne more.\n")
    copy.refresh()
    for copy.dsn, problem in ((project.dsn, ""), (NOWHERE, "did not answer")):
        with copy.workspace() as workspace:
            behind = read_status(workspace).delivered
        assert behind is not None
        assert (behind.is_behind, behind.serves_searches, problem in behind.problem) == (True, True, True)


# Faults -------------------------------------------------------------------------------------------------------------


def test_a_server_that_is_down_is_one_clear_error(project: Delivering) -> None:
    with searcher_of(project, dsn=NOWHERE) as searcher, pytest.raises(StoreUnavailable) as caught:
        searcher.search("pump", principals=["public"])
    assert "127.0.0.1" in caught.value.message
    assert "hush" not in caught.value.message


def answered(searcher: Searcher, action: Callable[[ServedRows], T]) -> T:
    """What happens in the middle of an answer."""
    return searcher._served_from.answered(["staff"], lambda served, _: action(cast(ServedRows, served.table)))


def end_of_all_readers(database: Database) -> None:
    database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rag_pipeline'")


def test_a_server_that_is_started_again_in_the_middle_is_asked_once_more(
    project: Delivering, database: Database
) -> None:
    ends = [end_of_all_readers]

    def broken_off(rows: ServedRows) -> int:
        if ends:
            ends.pop()(database)
        return rows.count()

    with searcher_of(project, "gateway") as searcher:
        whole = answered(searcher, ServedRows.count)
        end_of_all_readers(database)
        assert answered(searcher, ServedRows.count) == whole
        assert answered(searcher, broken_off) == whole
        ends += [end_of_all_readers] * 2
        with pytest.raises(StoreUnavailable, match="Try again"):
            answered(searcher, broken_off)
        assert answered(searcher, ServedRows.count) == whole


def test_a_role_without_rights_is_told_what_it_lacks(project: Delivering, database: Database) -> None:
    with searcher_of(project, "stranger") as searcher, pytest.raises(StoreError, match="may not say who asks"):
        searcher.search("pump", principals=["staff"])
    database.run("DROP ROLE IF EXISTS outsider", "CREATE ROLE outsider LOGIN")
    with (
        searcher_of(project, "outsider") as searcher,
        pytest.raises(StoreError, match=r"publish_to\.postgres\.readers"),
    ):
        searcher.search("pump", principals=["staff"])


def test_a_delivery_in_the_middle_of_an_answer_shows_one_version(
    project: Delivering, database: Database, tmp_path: Path
) -> None:
    copy = project.copied(tmp_path / "copy", polled=True)
    copy.dsn = project.dsn
    database.run("UPDATE rag.delivery SET lake = ''")
    columns = ["chunk_id", "embedded_text", "allowed_principals"]

    def moved(rows: ServedRows) -> tuple[Any, ...]:
        before = rows.read(columns).sort("chunk_id")
        copy.write(f"open/{mark_of(0)}.md", "# Another\n\nAnother text of the hall.\n")
        copy.settings["sources"]["docs"]["permission_rules"] = [{"pattern": "deep/**", "allowed_principals": ["board"]}]
        copy.refresh()
        assert rows.read(columns).sort("chunk_id").equals(before)
        return before, rows.version.publication.sequence

    with searcher_of(project, "gateway") as searcher:
        before, sequence = answered(searcher, moved)
        after = answered(searcher, lambda rows: rows.read(columns))
        assert searcher.published()["sequence"] > sequence
        assert before["embedded_text"].str.contains("heron").sum() > after["embedded_text"].str.contains("heron").sum()
    database.run("UPDATE rag.delivery SET lake = ''")
    deliver_again(project)


def deliver_again(project: Delivering) -> None:
    with project.workspace() as workspace:
        report = deliver_published(workspace)
    assert report is not None
    assert report.fault == ""


OTHERS = (
    ("ALTER TABLE rag.delivery DROP COLUMN searched CASCADE", TableOutdated, "another version of this program"),
    ("UPDATE rag.delivery SET layout = 1", TableOutdated, "another version of this program"),
    ("DELETE FROM rag.delivery", NothingPublished, "nothing stands"),
    ("DROP TABLE rag.chunks CASCADE", NothingPublished, "rag-pipeline run"),
    ("DROP SCHEMA rag CASCADE", NothingPublished, "rag-pipeline run"),
)


@pytest.mark.parametrize(("change", "error", "said"), OTHERS)
def test_what_another_version_or_nobody_delivered_is_said(
    project: Delivering, database: Database, change: str, error: type[Exception], said: str
) -> None:
    database.run(change)
    with searcher_of(project) as searcher:
        with pytest.raises(error, match=said):
            searcher.search("pump", principals=["staff"])
        # The next run makes it good, and nobody has to open anything again.
        deliver_again(project)
        database.run("INSERT INTO rag.gateways VALUES ('gateway') ON CONFLICT DO NOTHING")
        assert searcher.search("pump", principals=["staff"])


def test_a_statement_that_takes_too_long_is_given_up_and_a_model_that_does_is_waited_for(
    project: Delivering, database: Database
) -> None:
    reader = PostgresReader(project.dsn, "rag", statement_seconds=0.2)

    def thought(rows: ServedRows) -> int:
        threading.Event().wait(0.5)
        return rows.count()

    assert reader.answered(["public"], thought)
    with database.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE rag.delivery IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable):
            reader.answered(["public"], ServedRows.count)
    reader.close()


def test_a_server_that_stands_still_is_given_up(project: Delivering) -> None:
    reader = PostgresReader(project.dsn, "rag", statement_seconds=0.2)

    def stopped(rows: ServedRows) -> int:
        [(backend,)] = rows._connection.execute("SELECT pg_backend_pid()").fetchall()
        os.kill(backend, signal.SIGSTOP)
        try:
            return rows.count()
        finally:
            os.kill(backend, signal.SIGCONT)

    with pytest.raises(StoreUnavailable):
        reader.answered(["public"], stopped)
    reader.close()


def test_no_lake_is_needed_for_what_is_published_now(project: Delivering, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with searcher_of(project, "gateway", lake=str(nowhere)) as searcher:
        assert searcher.search("pump", principals=["ada"])
        assert "staff" in searcher.principals_of(["ada"])
        (why,) = searcher.explain("pump", principals=["ada"], document="nothing.md").documents
        assert why.reason == "unknown"
        with pytest.raises(NothingPublished, match="no lake"):
            searcher.search("pump", principals=["ada"], as_of=datetime.now(UTC))
        with pytest.raises(BadQuery, match="with its lake"):
            searcher.search("pump", principals=["ada"], space="small")
    assert not nowhere.exists()


def test_whoever_left_a_group_reads_nothing_by_it(project: Delivering, database: Database) -> None:
    with searcher_of(project, "gateway") as searcher:
        assert any("staff" in hit.allowed_principals for hit in searcher.search("hall", principals=["ada"], k=30))
        database.run("DELETE FROM rag.groups WHERE member_principal = 'ada'")
        hits = searcher.search("hall", principals=["ada"], k=30)
        assert hits
        assert all("public" in hit.allowed_principals for hit in hits)
    deliver_again(project)


def test_what_was_taken_from_a_version_makes_it_another(project: Delivering, database: Database) -> None:
    taken = "UPDATE rag.delivery SET publication = publication || ', less', delivered_at = pg_catalog.clock_timestamp()"
    with searcher_of(project) as searcher:
        seen = [searcher.published()]
        for _ in range(2):
            database.run(taken)
            seen.append(searcher.published())
    assert seen[0]["note"] == ""
    assert len({str(each) for each in seen}) == 3
    deliver_again(project)
