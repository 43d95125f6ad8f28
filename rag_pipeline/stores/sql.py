"""Read-only SQL over the lake: every Delta table as a DuckDB view.

Belongs here: everything that touches `duckdb`: the views, the lock-down, reading results.
Does not belong here: printing results (`cli/`), or tables that are written (`delta.py`, `vectors.py`).

The database lives in memory and is locked once the views stand: no file but the data files that the views were made
from, no network, no extension, no spilling to disk, no change of settings. One SELECT (or EXPLAIN of one) at a time is
taken, so nothing can be written over those files either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote

import duckdb

from rag_pipeline.contracts.catalog import FIXED_TABLES
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import (
    BRONZE,
    CHUNKS,
    DOCUMENTS,
    DUPLICATES,
    EMBEDDINGS,
)
from rag_pipeline.errors import LakeDamaged, StoreError, UsageError
from rag_pipeline.stores.failures import cause_of, cure, failed, reason_of
from rag_pipeline.stores.lake import (
    Lake,
)
from rag_pipeline.stores.quoting import sql_string

# What is held at once of an answer that is printed as it comes.
BATCH_ROWS = 1_000
# Stands in a view's query for a table that cannot be read.
UNREAD = "a table that cannot be read"
_EXPLAIN = re.compile(r"^\s*EXPLAIN\s+(ANALYZE\s+)?", re.IGNORECASE)
_OPENING = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
}


@dataclass(frozen=True, slots=True)
class SqlResult:
    """Columns of an answer, and its rows, read as they are asked for."""

    columns: list[str]
    rows: Iterator[tuple[Any, ...]]


class LakeSql:
    """The tables of one lake as they are now, ready to be queried.

    Args:
        sources: Source names; each is the view `bronze.<source>`.
        spaces: Embedding space fingerprint by model alias; each is `gold.embeddings_<alias>`. None where nothing was
            embedded yet; then the view is empty.

    A table that does not exist yet is an empty table with the right columns; one that is damaged has no view. Use it as
    a context manager.
    """

    def __init__(self, lake: Lake, sources: Iterable[str], spaces: Mapping[str, str | None]) -> None:
        self._lake = lake
        self._files: list[str] = []
        self._tables: dict[str, list[str]] = {}
        self._unread: dict[str, LakeDamaged] = {}
        self._sources = list(sources)
        self._spaces = dict(spaces)
        try:
            self._connection = duckdb.connect(":memory:", config=dict(_OPENING))
            self._create_views()
            self._lock_down()
        except duckdb.Error as error:
            raise failed("open for SQL the tables of", lake.root, "", error) from cause_of(error)

    def __enter__(self) -> LakeSql:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def query(self, sql: str) -> SqlResult:
        """Answer one SELECT, in DuckDB's dialect.

        Raises:
            UsageError: It is not one SELECT, or DuckDB does not understand it.
            LakeDamaged: It may ask for a table that cannot be read; the others can be queried.
            StoreError: The tables could not be read.
        """
        _check_reads(sql)
        try:
            relation = self._connection.sql(sql)
            reader = relation.to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as error:
            raise self._error(error) from error
        return SqlResult(list(reader.schema.names), self._rows(reader))

    def _rows(self, reader: Any) -> Iterator[tuple[Any, ...]]:
        try:
            for batch in reader:
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
        except (duckdb.Error, OSError) as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> UsageError | StoreError:
        damaged = self._unread or self._damaged_named_by(str(error))
        if damaged:
            return LakeDamaged("\n".join(found.message for found in damaged.values()), tables=", ".join(damaged))
        return _sql_error(error)

    def _damaged_named_by(self, message: str) -> dict[str, LakeDamaged]:
        """The table whose data file DuckDB could not read: its message holds the file's name."""
        found = {}
        for path, files in self._tables.items():
            if any(PurePath(file).name in message for file in files):
                place = self._lake.uri(path)
                found[path] = LakeDamaged(f"could not read {place}: {message}. {cure(path, place)}", table=path)
        return found

    def _create_views(self) -> None:
        self._run("SET TimeZone = 'UTC'")
        for schema in ("bronze", "silver", "gold"):
            self._run(f"CREATE SCHEMA {schema}")
        for source in self._sources:
            self._view(f'bronze."{source}"', f"FROM {self._relation(BRONZE.of(source))}")
        relations = {table.path: self._relation(table) for table in FIXED_TABLES}
        documents, duplicates, chunks = (relations[table.path] for table in (DOCUMENTS, DUPLICATES, CHUNKS))
        self._view(
            "silver.documents",
            f"SELECT d.*, x.duplicate_of FROM {documents} d LEFT JOIN {duplicates} x USING (document_id)",
        )
        self._view(
            "silver.chunks",
            f"SELECT c.*, d.source, d.uri, d.title, d.allowed_principals "
            f"FROM {chunks} c LEFT JOIN {documents} d USING (document_id)",
        )
        for table in FIXED_TABLES:
            if table not in (DOCUMENTS, CHUNKS):
                self._view(f"{table.layer}.{table.name}", f"FROM {relations[table.path]}")
        for alias, space in self._spaces.items():
            vectors = self._empty(EMBEDDINGS) if space is None else self._relation(EMBEDDINGS.of(space))
            self._view(f'gold."embeddings_{alias}"', f"FROM {vectors}")

    def _view(self, name: str, query: str) -> None:
        if UNREAD not in query:
            self._run(f"CREATE VIEW {name} AS {query}")

    def _relation(self, table: TableContract) -> str:
        """A Delta table as something to select from, or `UNREAD`, which no view is made of."""
        path = table.path
        try:
            relation = self._opened(table)
            # A data file that is damaged shows now, while its table is known.
            self._connection.execute(f"DESCRIBE FROM {relation}").fetchall()
            return relation
        except LakeDamaged as error:
            self._unread[path] = error
        except duckdb.Error as error:
            place = self._lake.uri(path)
            self._unread[path] = LakeDamaged(
                f"could not read {place}: {reason_of(error)}. {cure(path, place)}", table=path
            )
        return UNREAD

    def _opened(self, table: TableContract) -> str:
        scan = self._lake.scan(table)
        files = self._lake.file_uris(table) if scan is not None and self._lake.is_local else []
        # The log writes the names of its files as in an address; on a disk they are plain.
        files = [unquote(file) for file in files]
        if files:
            self._files += files
            self._tables[table.path] = files
            return f"read_parquet({_list(files)}, union_by_name = true, hive_partitioning = false)"
        if scan is None or self._lake.is_local:
            return self._empty(table)
        # DuckDB's own readers know no credentials of object stores and no network here; Polars reads for it.
        name = _stored_name(table.path)
        self._connection.register(name, scan)
        return name

    def _empty(self, table: TableContract) -> str:
        name = _stored_name(table.name if table.each else table.path)
        self._connection.register("empty_rows", table.empty().to_arrow())
        self._run(f"CREATE OR REPLACE TABLE {name} AS FROM empty_rows")
        self._connection.unregister("empty_rows")
        return f"memory.main.{name}"

    def _lock_down(self) -> None:
        self._run(f"SET allowed_paths = {_list(self._files)}")
        self._run("SET enable_external_access = false")
        self._run("SET lock_configuration = true")

    def _run(self, sql: str) -> None:
        self._connection.execute(sql)


def _stored_name(path: str) -> str:
    return f"stored_{re.sub(r'[^a-z0-9]', '_', path)}"


def _check_reads(sql: str) -> None:
    try:
        statements = duckdb.extract_statements(sql)
        explained = _EXPLAIN.sub("", sql, count=1)
        if len(statements) == 1 and statements[0].type == duckdb.StatementType.EXPLAIN and explained != sql:
            statements = duckdb.extract_statements(explained)
    except duckdb.Error as error:
        raise _sql_error(error) from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UsageError(
            "SQL here only reads: give one SELECT (or FROM, WITH, DESCRIBE, SHOW, SUMMARIZE, or EXPLAIN of one). "
            "To see the tables: SHOW ALL TABLES"
        )


def _sql_error(error: Exception) -> UsageError | StoreError:
    text = str(error).strip()
    if isinstance(error, (duckdb.ProgrammingError, duckdb.DataError, duckdb.PermissionException)):
        return UsageError(f"DuckDB does not take this query: {text}\nTo see the tables: SHOW ALL TABLES")
    return StoreError(f"the query could not be answered: {text}")


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(map(sql_string, values))}]"
