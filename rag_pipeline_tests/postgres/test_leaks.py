"""Nobody reads what they may not, whatever SQL their role runs."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rag_pipeline.refresh.deliver import deliver_published
from rag_pipeline.refresh.memberships import poll_memberships
from rag_pipeline.retrieval.search import MODES
from rag_pipeline.stores.postgres import served
from rag_pipeline_tests.postgres.conftest import Database, Delivering, delivering, searcher_of

ATTEMPTS = int(os.environ.get("RAG_PIPELINE_TEST_EXAMPLES", "300"))
READERS = {
    "open": ["public"],
    "staff": ["staff"],
    "board": ["board"],
    "both": ["staff", "board"],
    "nobody": [],
    "crew": ["docs:crew"],
}
MAY_READ = {
    "alice": {"open", "staff", "both", "crew"},
    "bob": {"open", "board", "both"},
    "stranger": {"open"},
    "gateway": {"open"},
}
PAGES = 3


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Delivering:
    project = delivering(tmp_path_factory.mktemp("leaks"), database, approximate_from_rows=5)
    source = project.settings["sources"]["docs"]
    source |= {"groups": {"file": "groups.yaml"}, "allowed_principals": []}
    (project.folder / "groups.yaml").write_text("crew: {members: [ada]}\n")
    source["permission_rules"] = [
        {"pattern": f"{name}*.md", "allowed_principals": readers} for name, readers in READERS.items()
    ]
    for name in READERS:
        for number in range(PAGES):
            project.write(
                f"{name}{number}.md", f"# The pump\n\nThe pump of token{name}{number} hums at {number} bar.\n"
            )
    project.refresh()
    database.run(
        "INSERT INTO rag.memberships VALUES ('alice', '{staff,ada}'), ('bob', '{board}')",
        "INSERT INTO rag.gateways VALUES ('gateway')",
        # Whoever may search may often do more.
        "GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC",
        "GRANT ALL ON DATABASE of_test_leaks TO PUBLIC",
    )
    return project


@pytest.fixture
def one_more(project: Delivering, database: Database, tmp_path: Path) -> Iterator[Delivering]:
    """The project, to be changed; the database stands again as it was afterwards."""
    copy = project.copied(tmp_path / "copy", polled=True)
    copy.dsn = project.dsn
    database.run("UPDATE rag.delivery SET lake = ''")
    yield copy
    database.run("UPDATE rag.delivery SET lake = ''")
    with project.workspace() as workspace:
        deliver_published(workspace)


def found(database: Database, role: str, *before: str) -> set[str]:
    with database.connect(role) as connection:
        for each in before:
            connection.execute(each)  # type: ignore[arg-type]
        query = "SELECT text FROM rag.chunks JOIN rag.vectors USING (chunk_id) JOIN rag.permissions USING (chunk_id)"
        rows = connection.execute(query).fetchall()
    return {name for (text,) in rows for name in re.findall(r"token([a-z]+)", text)}


@pytest.mark.usefixtures("project")
def test_each_role_reads_what_its_principals_may(database: Database) -> None:
    assert {role: found(database, role) for role in MAY_READ} == MAY_READ
    assert found(database, "gateway", "SELECT set_config('rag.principals', '{board}', false)") == {
        "open",
        "board",
        "both",
    }
    assert found(database, "gateway", "SELECT set_config('rag.principals', '{ada}', false)") == {"open", "crew"}
    # Whoever is no gateway says nothing by it.
    assert (
        found(database, "alice", "SELECT set_config('rag.principals', '{board,docs:crew}', false)") == MAY_READ["alice"]
    )


@pytest.mark.parametrize("exact_rows", [2, 10_000])
@pytest.mark.parametrize("role", [None, "gateway"])
def test_each_role_that_searches_for_callers_finds_what_they_may_read(
    project: Delivering, monkeypatch: pytest.MonkeyPatch, role: str | None, exact_rows: int
) -> None:
    """By the approximate index too, which finds next to nothing for somebody who may read few rows."""
    monkeypatch.setattr(served, "EXACT_ROWS", exact_rows)
    with searcher_of(project, role) as searcher:
        for asker, expected in (("eve", {"open"}), ("board", {"open", "board", "both"}), ("ada", {"open", "crew"})):
            for mode in MODES:
                hits = searcher.search("pump hums", principals=[asker], k=3 * PAGES, mode=mode)
                assert {name for hit in hits for name in re.findall(r"token([a-z]+)", hit.text)} == expected


@pytest.mark.usefixtures("project")
def test_a_role_has_the_principals_of_roles_that_it_is_in_and_one_that_is_gone_harms_nobody(
    database: Database,
) -> None:
    database.run("CREATE ROLE directors", "CREATE ROLE carol LOGIN IN ROLE directors", "CREATE ROLE gone")
    database.run("INSERT INTO rag.memberships VALUES ('directors', '{board}'), ('gone', '{staff}')", "DROP ROLE gone")
    database.run("GRANT alice TO carol")
    try:
        assert found(database, "carol") == MAY_READ["alice"] | MAY_READ["bob"]
        assert found(database, "stranger") == MAY_READ["stranger"]
    finally:
        database.run(
            "DELETE FROM rag.memberships WHERE principals <@ '{board,staff}' AND role::text NOT IN ('alice', 'bob')"
        )
        database.run("DROP ROLE carol", "DROP ROLE directors")


@pytest.mark.usefixtures("project")
def test_a_role_learns_nothing_of_who_else_is_in_what(database: Database) -> None:
    def told(role: str) -> list[Any]:
        tables = ("SELECT principals FROM rag.memberships", "SELECT role::text FROM rag.gateways", "TABLE rag.groups")
        return [database.rows(each, role=role) for each in tables]

    assert told("alice") == [[(["staff", "ada"],)], [], [("ada", "docs:crew")]]
    assert told("bob") == [[(["board"],)], [], []]
    assert told("stranger") == [[], [], []]


@pytest.mark.usefixtures("project")
def test_who_may_not_search_sees_nothing_at_all(database: Database) -> None:
    database.run("CREATE ROLE outsider LOGIN")
    try:
        for table in ("chunks", "vectors", "permissions", "groups", "memberships", "gateways", "delivery"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                database.rows(f"SELECT * FROM rag.{table}", role="outsider")
    finally:
        database.run("DROP ROLE outsider")


@pytest.mark.usefixtures("project")
def test_who_has_left_a_group_is_out_before_anything_else_runs(one_more: Delivering, database: Database) -> None:
    (one_more.folder / "groups.yaml").write_text("crew: {members: [eve]}\n")
    with one_more.workspace() as workspace:
        poll_memberships(workspace)
    assert found(database, "alice") == MAY_READ["alice"] - {"crew"}


@pytest.mark.usefixtures("project")
def test_what_is_revoked_has_left_before_anything_is_parsed(
    one_more: Delivering, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag_pipeline.refresh import everything

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("nothing can be parsed")

    one_more.settings["sources"]["docs"]["permission_rules"][1]["allowed_principals"] = ["board"]
    (one_more.folder / "docs" / "open0.md").unlink()
    monkeypatch.setattr(everything, "refresh_documents", broken)
    with pytest.raises(RuntimeError, match="nothing can be parsed"):
        one_more.refresh()
    assert found(database, "alice") == MAY_READ["alice"] - {"staff"}
    assert database.rows("SELECT FROM rag.chunks WHERE uri LIKE '%open0.md'") == []


BEFORE = (
    "SELECT set_config('rag.principals', '{{{principal}}}', {flag})",
    "SET rag.principals = '{{{principal}}}'",
    "SET rag.delivering = 'on'",
    "SET row_security = off",
    "SET ROLE {role}",
    "SET SESSION AUTHORIZATION {role}",
    "RESET ROLE",
    "SET enable_seqscan = {flag}",
    "SET enable_indexscan = {flag}",
    "SET plan_cache_mode = force_generic_plan",
    "SET search_path = pg_temp, public, rag",
    "SET check_function_bodies = off",
    "CREATE TEMPORARY TABLE permissions AS SELECT chunk_id, '{{public}}'::text[] AS allowed_principals FROM rag.chunks",
    "CREATE TEMPORARY TABLE memberships AS SELECT oid::regrole AS role, '{{{principal}}}'::text[] AS principals "
    "FROM pg_roles",
    "CREATE TEMPORARY TABLE gateways AS SELECT oid::regrole AS role FROM pg_roles",
    "CREATE FUNCTION public.pg_has_role(regrole, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "CREATE FUNCTION public.overlaps(text[], text[]) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "CREATE OPERATOR public.&& (LEFTARG = text[], RIGHTARG = text[], FUNCTION = public.overlaps)",
    "CREATE FUNCTION pg_temp.heard(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS "
    "$$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$",
    "INSERT INTO rag.memberships VALUES ('{role}', '{{{principal}}}')",
    "UPDATE rag.memberships SET principals = '{{{principal}}}'",
    "INSERT INTO rag.gateways VALUES ('{role}')",
    "UPDATE rag.permissions SET allowed_principals = '{{public}}'",
    "INSERT INTO rag.groups VALUES ('public', '{principal}')",
    "ALTER TABLE rag.chunks DISABLE ROW LEVEL SECURITY",
    "CREATE POLICY mine ON rag.permissions USING (true)",
    "CREATE OR REPLACE FUNCTION rag.principals() RETURNS text[] LANGUAGE sql AS $$ SELECT ARRAY['{principal}'] $$",
    "ALTER FUNCTION rag.principals() OWNER TO {role}",
    "CREATE VIEW public.seen AS SELECT * FROM rag.chunks",
    "CREATE RULE mine AS ON SELECT TO rag.chunks DO INSTEAD SELECT * FROM rag.chunks",
    "LOCK TABLE rag.chunks IN ACCESS EXCLUSIVE MODE",
    "CREATE STATISTICS public.told (mcv) ON text, uri FROM rag.chunks",
    "ANALYZE rag.chunks",
)
LOOKS = (
    "SELECT * FROM rag.{table}",
    "TABLE rag.{table}",
    "SELECT t::text FROM rag.{table} t ORDER BY random()",
    "SELECT * FROM rag.{table} TABLESAMPLE SYSTEM (100)",
    "SELECT * FROM rag.chunks WHERE pg_temp.heard(text)",
    "SELECT * FROM rag.chunks WHERE pg_temp.heard(uri) OR text LIKE '%token{page}%'",
    "SELECT * FROM rag.chunks LEFT JOIN rag.permissions USING (chunk_id) WHERE allowed_principals && '{{{principal}}}'",
    "SELECT count(*)::text || 'token{page}' FROM rag.chunks WHERE text LIKE '%token{page}%' HAVING count(*) > 0",
    "SELECT CASE WHEN text LIKE '%token{page}%' THEN (1 / 0)::text || text ELSE text END FROM rag.chunks",
    "SELECT text::integer FROM rag.chunks WHERE text LIKE '%token{page}%'",
    "EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM rag.chunks WHERE text LIKE '%token{page}%'",
    "SELECT * FROM ts_stat('SELECT words FROM rag.chunks')",
    "SELECT query_to_xml('SELECT * FROM rag.{table}', true, true, '')",
    "SELECT table_to_xml('rag.{table}'::regclass, true, true, '')",
    "SELECT schema_to_xml('rag', true, true, '')",
    "SELECT * FROM pg_stats WHERE schemaname = 'rag'",
    "SELECT * FROM pg_statistic",
    "SELECT * FROM pg_stats_ext",
    "SELECT * FROM pg_statistic_ext_data",
    "DELETE FROM rag.chunks RETURNING *",
    "UPDATE rag.chunks SET title = text RETURNING *",
    "INSERT INTO rag.chunks SELECT * FROM rag.chunks ON CONFLICT (chunk_id) DO UPDATE SET title = '' RETURNING *",
    "MERGE INTO rag.permissions p USING rag.chunks c ON p.chunk_id = c.chunk_id WHEN MATCHED THEN DELETE RETURNING *",
    "SELECT * FROM public.seen",
    "SELECT rag.principals()::text, c.* FROM rag.chunks c",
    "SELECT v::text, text FROM rag.vectors v LEFT JOIN rag.chunks USING (chunk_id) ORDER BY embedding <=> embedding",
    "WITH RECURSIVE r AS (SELECT * FROM rag.chunks UNION SELECT * FROM rag.chunks) SELECT * FROM r",
    "SELECT * FROM rag.chunks FOR UPDATE",
    "SELECT pg_read_file('base/' || oid) FROM pg_database",
    "SELECT * FROM pg_ls_dir('.')",
    "SELECT get_raw_page('rag.chunks', 0)",
    "SELECT query FROM pg_stat_activity",
    "SELECT rag.touched()",
    "DO $$ DECLARE r record; BEGIN FOR r IN SELECT * FROM rag.chunks LOOP RAISE NOTICE '%', r; END LOOP; END $$",
    "DECLARE c CURSOR FOR SELECT * FROM rag.chunks; FETCH ALL FROM c",
    "CREATE TEMPORARY TABLE kept AS SELECT * FROM rag.{table} RETURNING *",
    "CREATE TEMPORARY TABLE kept AS SELECT * FROM rag.{table}; SELECT * FROM kept",
    "SELECT * FROM rag.rag_search(NULL, 'token{page} pump', 50)",
    "SELECT * FROM rag.rag_search((SELECT embedding FROM rag.vectors LIMIT 1), 'pump', 50)",
    "SELECT * FROM rag.matching('token{page}', 50) JOIN rag.chunks USING (chunk_id)",
    "SELECT * FROM rag.nearest(array_fill(0.1, ARRAY[64])::vector, 50)",
    "PREPARE p AS SELECT * FROM rag.chunks; EXECUTE p",
)


@pytest.mark.usefixtures("project")
def test_no_sql_of_a_role_shows_what_it_may_not_read(database: Database) -> None:
    chance = random.Random(os.environ.get("RAG_PIPELINE_TEST_SEED", "1"))
    ids = dict(database.rows("SELECT chunk_id, substring(text from 'token([a-z]+)') FROM rag.chunks"))
    shown = 0
    for role in ("alice", "bob", "stranger"):
        forbidden = set(READERS) - MAY_READ[role]
        names = "|".join(forbidden)
        hidden = [name for name, of in ids.items() if of in forbidden]
        # A text, its words as `ts_stat` counts them, how many rows a condition on it finds, and its row by the id.
        told = re.compile("|".join([f"token({names})[0-9]'? hums|\\('token({names})|[1-9]token({names})", *hidden]))
        with database.connect(role) as connection:
            connection.autocommit = False
            heard: list[str] = []
            connection.add_notice_handler(lambda notice, to=heard: to.append(str(notice.message_primary)))
            for _ in range(ATTEMPTS // 3):
                attempt = [*chance.sample(BEFORE, chance.randrange(4)), chance.choice(LOOKS)]
                names = {
                    "principal": chance.choice(["staff", "board", "docs:crew", "public"]),
                    "role": chance.choice(["alice", "bob", "gateway", "postgres", role]),
                    "table": chance.choice(["chunks", "vectors", "permissions", "groups", "memberships", "delivery"]),
                    "page": f"{chance.choice(sorted(READERS))}{chance.randrange(PAGES)}",
                    "flag": chance.choice(["true", "false"]),
                }
                heard.clear()
                answer = attempted(connection, [each.format(**names) for each in attempt])
                seen = f"{answer} {heard}"
                assert not told.search(seen), (role, attempt, names)
                shown += bool(re.search("token[a-z]+[0-9] hums", seen))
    # They are attempts at something that answers.
    assert shown > ATTEMPTS // 10
    assert {role: found(database, role) for role in MAY_READ} == MAY_READ


def attempted(connection: psycopg.Connection[Any], statements: list[str]) -> str:
    """What all statements answered; what is refused is gone around, as an attacker would."""
    answers = []
    try:
        for each in statements:
            try:
                with connection.transaction():
                    cursor = connection.execute(each)  # type: ignore[arg-type]
                    while True:
                        if cursor.description:
                            answers.append(str(cursor.fetchall()))
                        if not cursor.nextset():
                            break
            except psycopg.Error as error:
                answers.append(f"{error} {error.diag.message_detail} {error.diag.context}")
    finally:
        connection.rollback()
        connection.execute("RESET SESSION AUTHORIZATION; RESET ALL")
        connection.commit()
    return " ".join(answers)
