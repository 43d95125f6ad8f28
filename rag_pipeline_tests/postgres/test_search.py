"""`rag_search` finds what its caller may read: exactly as the search of the lake by vector, and by words with BM25."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import psycopg
import pytest

from rag_pipeline.contracts.filters import Filter
from rag_pipeline.refresh.deliver import _published
from rag_pipeline.stores.kept import open_version
from rag_pipeline.stores.postgres.delivery import PostgresTarget
from rag_pipeline.stores.postgres.search import functions
from rag_pipeline.stores.selection import Selection
from rag_pipeline_tests.postgres.conftest import Database, Delivering, delivering

ASKED = (
    "pump hums in the hall",
    "valve",
    "Who maintains the boiler of hall 7?",
    "it's \\ ' | & ! (pump) :* <->",
    "the",
)
PRINCIPALS = {"alice": ["staff"], "bob": ["board"], "stranger": []}
# A cosine of 32-bit numbers is summed in another order there.
ROUNDING = 1e-6


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Delivering:
    project = delivering(tmp_path_factory.mktemp("search"), database)
    things = ("pump", "valve", "boiler", "motor", "filter")
    for number in range(40):
        thing = things[number % 5]
        text = f"# The {thing} {number}\n\nThe {thing} of hall {number % 9} hums. Ada maintains it on day {number}.\n"
        project.write(f"{('open', 'staff', 'board')[number % 3]}{number}.md", text)
    # Equal texts, of which each is as near as the other.
    for name in ("open-a", "open-b", "staff-a"):
        project.write(f"{name}.md", "# Notice\n\nThe hall is closed.\n")
    project.write("open-de.md", "# Häuser\n\nIn den Häusern wurden die Pumpen von den Technikern gewartet.\n")
    project.settings["deduplication"] = {"near": False}
    project.settings["sources"]["docs"]["permission_rules"] = [
        {"pattern": "staff*.md", "allowed_principals": ["staff"]},
        {"pattern": "board*.md", "allowed_principals": ["board"]},
    ]
    project.refresh()
    database.run("INSERT INTO rag.memberships VALUES ('alice', '{staff}'), ('bob', '{board}')")
    return project


def vector_of(project: Delivering, text: str) -> str:
    with project.workspace() as workspace:
        return "[" + ",".join(map(repr, workspace.model("small").embed_query(text).tolist())) + "]"


@pytest.mark.parametrize("role", PRINCIPALS)
def test_the_nearest_are_those_that_the_search_of_the_lake_ranks(
    project: Delivering, database: Database, role: str
) -> None:
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
        assert last is not None
        chosen = Filter(principals=frozenset({"public", *PRINCIPALS[role]}))
        selection = Selection(open_version(workspace.vectors, last), chosen)
        model = workspace.model("small")
        for query in ASKED:
            for k in (3, 25, 1_000):
                expected = selection.nearest(model.embed_query(query), k, ["chunk_id"])
                found = database.rows("SELECT * FROM rag.nearest(%s, %s)", vector_of(project, query), k, role=role)
                assert [chunk for chunk, _ in found] == expected["chunk_id"].to_list() or _only_ties_differ(
                    found, expected
                )
                assert np.allclose([distance for _, distance in found], expected["_distance"], rtol=0, atol=ROUNDING)
            only = database.rows(
                "SELECT chunk_id FROM rag.rag_search(%s, NULL, 25)", vector_of(project, query), role=role
            )
            nearest = database.rows("SELECT chunk_id FROM rag.nearest(%s, 25)", vector_of(project, query), role=role)
            assert only == nearest


def _only_ties_differ(found: list[Any], expected: pl.DataFrame) -> bool:
    """Distances that are equal but for rounding may come in another order, and either side of the end."""
    there = dict(expected.select("chunk_id", "_distance").iter_rows())
    last = expected["_distance"][-1]
    return all(abs(there.get(chunk, last) - distance) <= ROUNDING for chunk, distance in found)


@pytest.mark.usefixtures("project")
def test_words_are_weighed_by_bm25_over_what_the_caller_may_read(database: Database) -> None:
    for role in PRINCIPALS:
        rows = database.rows(
            "SELECT chunk_id, configuration::text, words::text, token_count FROM rag.chunks", role=role
        )
        found = dict(database.rows("SELECT * FROM rag.matching('pump in hall 7', 1000)", role=role))
        texts = {}
        for chunk, configuration, words, size in rows:
            lexemes = {part.split("'")[1]: part.count(",") + 1 for part in words.split(" ")}
            asked = {"english": {"pump", "hall", "7"}, "german": {"pump", "hall", "7"}}
            wanted = asked.get(configuration.removeprefix("pg_catalog."), {"pump", "in", "hall", "7"})
            texts[chunk] = (size, {name: count for name, count in lexemes.items() if name in wanted})
        matched = {chunk: (size, said) for chunk, (size, said) in texts.items() if said}
        assert found.keys() == matched.keys()
        mean = np.mean([size for size, _ in matched.values()])
        for chunk, (size, said) in matched.items():
            score = 0.0
            for name, times in said.items():
                having = sum(name in each for _, each in matched.values())
                weight = math.log(1 + (len(rows) - having + 0.5) / (having + 0.5))
                score += weight * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * size / mean))
            assert math.isclose(found[chunk], score, rel_tol=1e-9)


def test_both_legs_together_and_any_text(project: Delivering, database: Database) -> None:
    for query in ASKED:
        vector = vector_of(project, query)
        rows = database.rows("SELECT * FROM rag.rag_search(%s, %s, 7)", vector, query, role="alice")
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
        assert 0 < len(rows) <= 7
        assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
        assert not any("/board" in row[5] for row in rows)
    [(uri,)] = database.rows("SELECT uri FROM rag.rag_search(NULL, 'Techniker', 1)")
    assert uri.endswith("open-de.md")
    assert database.rows("SELECT FROM rag.rag_search(NULL, NULL)") == []
    assert database.rows("SELECT FROM rag.rag_search(NULL, '   ')") == []
    with pytest.raises(psycopg.errors.DataException, match="3 dimensions"):
        database.rows("SELECT rag.nearest('[1,2,3]', 3)", role="alice")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.run("CREATE ROLE nosy LOGIN", "SET ROLE nosy", "SELECT rag.rag_search(NULL, 'pump')")


def test_whoever_may_read_few_rows_finds_them_all_beside_an_approximate_index(
    project: Delivering, database: Database
) -> None:
    """Rows beyond those of the lake stand for a large table; the next delivery would take them out."""
    fewer = functions("rag", exact_rows=50)
    target = PostgresTarget(project.dsn, "rag", readers=[*PRINCIPALS], approximate_from_rows=1, functions=fewer)
    with project.workspace() as workspace:
        published = _published(workspace)
    assert published is not None
    target.deliver(published, lambda: None)
    rows = np.random.default_rng(7).standard_normal((2_000, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with database.connect() as connection:
        connection.execute("CREATE TEMPORARY TABLE more (n int, embedding vector(64))")
        with connection.cursor().copy("COPY more FROM STDIN") as copy:
            for number, row in enumerate(rows.tolist()):
                copy.write_row((number, str(row)))
        # Every hundredth is bob's, the rest is alice's.
        connection.execute(
            "INSERT INTO rag.permissions SELECT 'more' || n, "
            "CASE WHEN n % 100 = 0 THEN '{board}' ELSE '{staff}' END::text[], '' FROM more"
        )
        connection.execute(
            "INSERT INTO rag.vectors SELECT 'more' || n, (SELECT space_fingerprint FROM rag.delivery), embedding, '' "
            "FROM more"
        )
        columns = [
            name
            for (name,) in connection.execute(
                "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'rag' AND "
                "table_name = 'chunks' AND is_generated = 'NEVER' AND column_name <> 'chunk_id'"
            ).fetchall()
        ]
        names = ", ".join(columns)
        connection.execute(
            f"INSERT INTO rag.chunks (chunk_id, {names}) SELECT 'more' || n, {names} FROM more, "  # type: ignore[arg-type]
            "(SELECT * FROM rag.chunks LIMIT 1) AS one"
        )
        connection.execute("ANALYZE rag.vectors; ANALYZE rag.permissions; ANALYZE rag.chunks")
    index = "SELECT pg_stat_get_xact_numscans(i.oid) FROM pg_class i WHERE relname LIKE 'hnsw%'"
    scans, recall = {}, {}
    for role, mine in (("alice", lambda n: n % 100), ("bob", lambda n: not n % 100)):
        theirs = np.array([number for number in range(2_000) if mine(number)])
        hits = []
        with database.connect(role) as connection, connection.transaction():
            for query in rows[:40]:
                best = {f"more{n}" for n in theirs[np.argsort(-(rows[theirs] @ query), kind="stable")[:10]]}
                found = connection.execute(
                    "SELECT chunk_id FROM rag.nearest(%s, 60)", (str(query.tolist()),)
                ).fetchall()
                hits.append(len(best & {chunk for (chunk,) in found}) / len(best))
            scans[role] = connection.execute(index).fetchone()
        recall[role] = np.mean(hits)
    assert scans == {"alice": (40,), "bob": (0,)}
    assert recall["bob"] == 1.0
    assert recall["alice"] >= 0.95
