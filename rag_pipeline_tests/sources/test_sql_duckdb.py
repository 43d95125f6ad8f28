"""Rows of DuckDB files, and of Parquet and CSV files by DuckDB's queries, as documents."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from rag_pipeline.contracts.groups import Membership
from rag_pipeline.contracts.sources import KnowsGroups, Source
from rag_pipeline.errors import DocumentVanished, SourceUnavailable
from rag_pipeline.sources import open_source
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.test_conformance import sql_spec

ROWS = """
    SELECT 1 AS id, 'The lamp of berth 4 burns.' AS body, ['crew', 'staff'] AS readers, 'open' AS status,
        TIMESTAMP '2026-03-01 10:00:00' AS changed
    UNION ALL SELECT 2, 'The key lies under the mat.', NULL, 'closed', NULL
"""


def source_of(path: Path, **fields: Any) -> Source:
    return open_source(sql_spec(path, **{"principals": "readers", "modified": "changed"} | fields))


def say(path: Path, *statements: str) -> None:
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    path = tmp_path / "warehouse.duckdb"
    say(path, f"CREATE TABLE tickets AS {ROWS}")
    return path


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    folder = tmp_path / "exports"
    (folder / "parts").mkdir(parents=True)
    say(folder.parent / "made.db", f"COPY ({ROWS}) TO '{folder}/parts/first.parquet'")
    return folder


def test_rows_of_a_duckdb_file_are_documents_with_readers_and_times(warehouse: Path) -> None:
    source = source_of(warehouse, revision="changed")
    lamp, key = source.list()
    assert (lamp.address, lamp.modified_at) == ("1", datetime(2026, 3, 1, 10, tzinfo=UTC))
    fetched = source.fetch(lamp)
    assert (fetched.raw, fetched.declared.allowed_principals, fetched.declared.extra) == (
        b"The lamp of berth 4 burns.",
        ("crew", "staff"),
        {"status": "open"},
    )
    assert source.fetch(key).declared.allowed_principals == ()
    # Nothing of it is kept open: somebody else writes between two listings.
    say(warehouse, "UPDATE tickets SET body = 'It is dark.', changed = TIMESTAMP '2026-03-02' WHERE id = 1")
    say(warehouse, "DELETE FROM tickets WHERE id = 2")
    [after] = source.list()
    assert after.stamp != lamp.stamp
    assert source.fetch(after).raw == b"It is dark."
    with pytest.raises(DocumentVanished):
        source.fetch(key)


def test_parquet_and_csv_files_of_a_folder_are_rows_of_a_query(exports: Path) -> None:
    source = source_of(exports, query="SELECT * FROM read_parquet('parts/*.parquet')")
    assert [source.fetch(item).raw for item in source.list()] == [
        b"The lamp of berth 4 burns.",
        b"The key lies under the mat.",
    ]
    (exports / "more.csv").write_text("id;body;readers\n7;Seven;crew\n")
    csv = source_of(exports, query="SELECT * FROM read_csv('more.csv', delim = ';')", modified=None)
    [seven] = csv.list()
    assert (seven.address, csv.fetch(seven).declared.allowed_principals) == ("7", ("crew",))
    # What is gone is no empty table.
    (exports / "parts" / "first.parquet").unlink()
    with pytest.raises(SourceUnavailable, match="No files found that match"):
        source.list()


def test_a_file_that_is_not_there_or_is_written_to_is_unavailable_and_nothing_is_made(
    warehouse: Path, tmp_path: Path
) -> None:
    with pytest.raises(SourceUnavailable, match="database does not exist"):
        source_of(tmp_path / "other.duckdb").list()
    assert not (tmp_path / "other.duckdb").exists()
    warehouse.write_bytes(b"no database at all" * 1_000)
    with pytest.raises(SourceUnavailable, match="not a valid DuckDB database"):
        source_of(warehouse).list()


def test_a_query_of_duckdb_cannot_write(warehouse: Path, tmp_path: Path) -> None:
    before = warehouse.read_bytes()
    with pytest.raises(SourceUnavailable):
        source_of(warehouse, query="DELETE FROM tickets RETURNING *").list()
    assert warehouse.read_bytes() == before
    # Whoever only reads a database, or none, could write files all the same.
    written = tmp_path / "written.csv"
    two = (
        f"SELECT 1) AS one; COPY (SELECT 1) TO '{written}'; SELECT * FROM (SELECT 1 AS id, 'x' AS body, 'a' AS readers"
    )
    for place in (warehouse, tmp_path):
        with pytest.raises(SourceUnavailable, match="one SELECT"):
            source_of(place, query=two, modified=None).list()
    assert not written.exists()


def test_groups_of_duckdb_come_by_a_query(warehouse: Path) -> None:
    say(warehouse, "CREATE TABLE members AS SELECT 'crew' AS group_name, 'ada' AS member_name")
    source = source_of(warehouse, groups={"query": "SELECT * FROM members"})
    assert isinstance(source, KnowsGroups)
    assert source.memberships().memberships == (Membership("crew", "ada"),)


@pytest.mark.slow
def test_a_pipeline_over_a_folder_of_parquet_follows_its_files(tmp_path: Path, exports: Path) -> None:
    project = Project.create(tmp_path / "project", ["docs"])
    query = "SELECT * FROM read_parquet('parts/*.parquet')"
    settings = {"kind": "sql", "location": str(exports), "query": query, "key": ["id"], "text": ["body"]}
    project.settings["sources"] = {"reports": settings | {"principals": "readers", "max_deleted_floor": 10}}
    project.refresh()
    assert [row["uri"] for row in project.published()] == ["reports:1", "reports:2"]
    say(tmp_path / "made.db", f"COPY (SELECT * FROM ({ROWS}) WHERE id = 1) TO '{exports}/parts/first.parquet'")
    project.refresh()
    assert project.published() == project.rebuilt()
    assert [row["uri"] for row in project.published()] == ["reports:1"]
