"""A server that others use, too, and addresses with passwords: nobody is given more by what stands there already."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from rag_pipeline.errors import DeliveryFailed
from rag_pipeline.refresh.deliver import deliver_published
from rag_pipeline.stores.postgres.delivery import PostgresTarget
from rag_pipeline_tests.postgres.conftest import Database, Delivering, delivering


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Delivering:
    project = delivering(tmp_path_factory.mktemp("hostile"), database)
    project.write("plan.md", "# Plan\n\nThe plan of the board.\n")
    project.settings["sources"]["docs"]["allowed_principals"] = ["board"]
    project.refresh()
    return project


@pytest.fixture
def project(built: Delivering, database: Database) -> Iterator[Delivering]:
    database.run("DROP SCHEMA IF EXISTS rag CASCADE", "GRANT CREATE ON DATABASE of_test_hostile_server TO bob")
    yield built
    database.run("DROP SCHEMA IF EXISTS rag CASCADE")


def delivered(project: Delivering) -> str:
    with project.workspace() as workspace:
        report = deliver_published(workspace)
    assert report is not None
    return report.fault


SQUATTED = (
    "CREATE SCHEMA rag",
    "CREATE TABLE rag.memberships (role regrole PRIMARY KEY, principals text[] NOT NULL); "
    "INSERT INTO rag.memberships VALUES ('bob', '{board}')",
    "CREATE FUNCTION rag.own_principals() RETURNS text[] STABLE LANGUAGE sql AS $$ SELECT ARRAY['board'] $$",
    "CREATE VIEW rag.seen AS SELECT 1",
)


@pytest.mark.parametrize("made", SQUATTED)
def test_what_another_role_made_there_before_is_never_taken_for_ours(
    project: Delivering, database: Database, made: str
) -> None:
    # Our role may do anything, so nothing but we ourselves would refuse it.
    if made != "CREATE SCHEMA rag":
        database.run("CREATE SCHEMA rag", "GRANT ALL ON SCHEMA rag TO bob")
    with database.connect("bob") as connection:
        connection.execute(made)
    assert "belongs to role bob" in delivered(project)
    assert database.rows("SELECT to_regclass('rag.chunks')") == [(None,)]


def test_what_a_server_gives_everybody_on_new_tables_is_taken_back(project: Delivering, database: Database) -> None:
    give = "ALTER DEFAULT PRIVILEGES GRANT ALL ON {} TO bob"
    kinds = ("TABLES", "FUNCTIONS", "SCHEMAS")
    database.run(*(give.format(kind) for kind in kinds))
    try:
        assert delivered(project) == ""
    finally:
        database.run(*(give.format(kind).replace("GRANT", "REVOKE").replace(" TO ", " FROM ") for kind in kinds))
    refused = (
        "INSERT INTO rag.memberships VALUES ('bob', '{board}')",
        "INSERT INTO rag.gateways VALUES ('bob')",
        "TRUNCATE rag.memberships",
        "CREATE TRIGGER mine BEFORE INSERT ON rag.memberships EXECUTE FUNCTION rag.touched()",
        "CREATE FUNCTION rag.principals(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
        "DELETE FROM rag.permissions",
    )
    for statement in refused:
        with database.connect("bob") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
    assert database.rows("SELECT text FROM rag.chunks", role="bob") == []


def test_what_is_granted_on_tables_of_people_stays(project: Delivering, database: Database) -> None:
    assert delivered(project) == ""
    database.run(
        "GRANT SELECT, INSERT, DELETE ON rag.memberships TO alice", "CREATE POLICY hers ON rag.gateways TO bob"
    )
    assert delivered(project) == ""
    [(granted,)] = database.rows("SELECT has_table_privilege('alice', 'rag.memberships', 'INSERT')")
    assert granted


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://writer:hu@shush@127.0.0.1:1/x",
        "postgresql://writer:hu/shush@127.0.0.1:1/x",
        "postgresql://writer:hu:shush/1@127.0.0.1:1/x",
        "postgresql://writer:shush%zz@127.0.0.1:1/x",
        "postgresql://writer:hu%40shush@127.0.0.1:1/x",
        "postgresql://writer@127.0.0.1:1/x?password=shush1&sslpassword=shush2",
        "host=127.0.0.1 port=1 password='shush",
        "host=127.0.0.1 port=shush",
    ],
)
def test_no_part_of_a_password_is_said(dsn: str) -> None:
    with pytest.raises(DeliveryFailed) as failed:
        PostgresTarget(dsn, "rag").clean()
    error: BaseException | None = failed.value
    while error is not None:
        assert "shush" not in f"{error} {getattr(error, 'facts', '')}"
        error = None if error.__suppress_context__ and error.__cause__ is None else error.__cause__
