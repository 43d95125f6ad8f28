"""SQL over the lake: the tables that can be seen, and everything that cannot be done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.errors import UsageError
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.sql import LakeSql
from rag_pipeline_tests.pipeline.project import Project

TEXT = "# Running the pump\n\nHow to start the pump.\n\n## Stopping it\n\nPull the red lever twice.\n"
# What `rag-pipeline sql` promises to people who wrote queries.
LEAST_COLUMNS = {
    "silver.documents": "document_id, source, uri, title, media_type, text, allowed_principals, duplicate_of",
    "silver.chunks": "chunk_id, document_id, source, uri, section_path, start_char, end_char, token_count, page, text, "
    "title, allowed_principals",
    "silver.quarantine": "document_id, source, uri, stage, reason_code, detail",
    "silver.duplicates": "document_id, duplicate_of, reason",
    "gold.publications": "sequence, alias, space_fingerprint, table_name, table_version, published_at",
    "gold.audits": "audit_id, passed",
    'gold."embeddings_small-1"': "text_hash, vector",
    "bronze.docs": "document_id, revision, change, raw, bytes_hash",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("sql") / "it's", serve="small-1")
    project.settings["embedding_models"] = {"small-1": {"kind": "hashing", "model": "hashing", "dimension": 64}}
    project.write("guide.md", TEXT)
    project.write("twin.md", TEXT)
    project.write("empty.txt", "")
    project.refresh()
    return project


@pytest.fixture
def database(project: Project) -> Iterator[LakeSql]:
    with project.workspace() as workspace:
        space = str(workspace.space("small-1").fingerprint)
        with LakeSql(workspace.lake, ["docs"], {"small-1": space}) as opened:
            yield opened


def rows(database: LakeSql, query: str) -> list[tuple[Any, ...]]:
    return list(database.query(query).rows)


@pytest.mark.parametrize(("table", "columns"), LEAST_COLUMNS.items())
def test_every_table_has_at_least_the_promised_columns_and_rows(database: LakeSql, table: str, columns: str) -> None:
    result = database.query(f"SELECT {columns} FROM {table}")
    assert result.columns == columns.split(", ")
    assert list(result.rows)


@pytest.mark.parametrize(("table", "columns"), LEAST_COLUMNS.items())
def test_a_lake_that_is_still_empty_has_the_same_tables_without_rows(tmp_path: Path, table: str, columns: str) -> None:
    with LakeSql(Lake(str(tmp_path / "none")), ["docs"], {"small-1": None}) as database:
        assert rows(database, f"SELECT {columns} FROM {table}") == []
    assert not (tmp_path / "none").exists()


def test_chunks_know_their_document(database: LakeSql) -> None:
    found = rows(database, "SELECT uri, title, allowed_principals FROM silver.chunks WHERE text LIKE '%red lever%'")
    assert found == [("docs/guide.md", "Running the pump", ["public"])]


def test_a_chunk_is_a_span_of_its_documents_text(database: LakeSql) -> None:
    query = (
        "SELECT count(*) FROM silver.chunks c JOIN silver.documents d USING (document_id) "
        "WHERE substr(d.text, c.start_char + 1, c.end_char - c.start_char) <> c.text"
    )
    assert rows(database, query) == [(0,)]


def test_a_duplicate_names_the_document_that_stands_for_it(database: LakeSql) -> None:
    query = "SELECT a.uri, b.uri FROM silver.documents a JOIN silver.documents b ON a.duplicate_of = b.document_id"
    assert rows(database, query) == [("docs/twin.md", "docs/guide.md")]


def test_times_are_in_utc(database: LakeSql) -> None:
    [(at,)] = rows(database, "SELECT published_at FROM gold.publications")
    assert at.utcoffset().total_seconds() == 0


@pytest.mark.parametrize(
    "query",
    ["FROM silver.documents", "WITH a AS (SELECT 1) FROM a", "DESCRIBE silver.chunks", "SHOW ALL TABLES",
     "SUMMARIZE silver.chunks", "EXPLAIN SELECT 1", "explain analyze select 1", "VALUES (1)", "SELECT 1;"],
)  # fmt: skip
def test_reading_may_be_said_in_many_ways(database: LakeSql, query: str) -> None:
    assert rows(database, query)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "  ",
        "SELECT 1; SELECT 2",
        "SELEC 1",
        "SELECT * FROM silver.nothing",
        "SELECT 'a'::INTEGER FROM silver.documents",
        "INSERT INTO silver.documents SELECT * FROM silver.documents",
        "CREATE TABLE t AS SELECT 1",
        "DROP VIEW silver.documents",
        "COPY (SELECT 1) TO '{file}'",
        "COPY (SELECT 1) TO '{data}' (FORMAT parquet, USE_TMP_FILE false)",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{data}' (FORMAT parquet, USE_TMP_FILE false)",
        "EXPLAIN EXPLAIN ANALYZE COPY (SELECT 1) TO '{data}' (FORMAT parquet, USE_TMP_FILE false)",
        "EXPLAIN /* */ ANALYZE COPY (SELECT 1) TO '{data}' (FORMAT parquet, USE_TMP_FILE false)",
        "EXPORT DATABASE '{file}'",
        "ATTACH '{file}' AS other",
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM read_csv('{secret}')",
        "FROM '{secret}'",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_parquet('https://example.org/x.parquet')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA enable_profiling",
        "PREPARE p AS SELECT 1",
    ],
)
def test_nothing_else_can_be_done(database: LakeSql, project: Project, tmp_path: Path, query: str) -> None:
    with project.workspace() as workspace:
        [data] = workspace.lake.file_uris(DOCUMENTS)
    before = Path(data).read_bytes()
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n", "utf-8")
    places = {"file": tmp_path / "new", "data": data.replace("'", "''"), "secret": secret, "folder": tmp_path}
    with pytest.raises(UsageError):
        rows(database, query.format(**places))
    assert Path(data).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_variables_of_the_program_cannot_be_read(database: LakeSql) -> None:
    secret_frame = [1]
    with pytest.raises(UsageError):
        rows(database, "SELECT * FROM secret_frame")
    assert secret_frame


def test_a_large_answer_is_read_as_it_is_asked_for(database: LakeSql) -> None:
    result = database.query("SELECT range FROM range(1000000000000)")
    assert [next(result.rows) for _ in range(3)] == [(0,), (1,), (2,)]


def test_a_lake_that_duckdb_cannot_open_itself_is_read_through_polars(project: Project) -> None:
    """An address with a scheme goes the way of object stores."""
    address = (project.folder / "lake").as_uri()
    with LakeSql(Lake(address), ["docs"], {"small-1": None}) as database:
        found = rows(database, "SELECT uri FROM silver.documents WHERE uri LIKE '%guide%' AND media_type IS NOT NULL")
        assert found == [("docs/guide.md",)]
        assert rows(database, 'SELECT count(*) FROM gold."embeddings_small-1"') == [(0,)]
