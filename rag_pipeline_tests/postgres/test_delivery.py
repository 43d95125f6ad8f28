"""What is published stands in PostgreSQL: all of it, nothing else, by difference and in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import polars as pl
import pytest

from rag_pipeline.refresh.deliver import compare_delivered, deliver_published
from rag_pipeline.refresh.erase import begin_erasure, finish_if_begun
from rag_pipeline.refresh.erase_plan import Wanted
from rag_pipeline.stores.erasures import pending_erasure
from rag_pipeline.stores.kept import open_version
from rag_pipeline.stores.postgres import delivery, withdrawal
from rag_pipeline.stores.postgres import rows as rows_module
from rag_pipeline_tests.postgres.conftest import Database, Delivering, delivering

COLUMNS = ["chunk_id", "uri", "title", "language", "section_path", "facts", "source_modified_at", "embedded_text"]
COLUMNS += ["quality_score", "allowed_principals"]
HOSTILE = 'Pump "A\\B" {x,y}\t\\.\n\n\\.\n\nNULL \\N and é 漢字, one, two; it\'s ${1} %s.\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Delivering:
    project = delivering(tmp_path_factory.mktemp("delivered"), database)
    for number in range(12):
        project.write(f"page{number}.md", f"# Page {number}\n\nThe pump number {number} hums in hall {number % 3}.\n")
    project.write("hostile.md", HOSTILE)
    project.write("seite.md", "# Häuser\n\nDie Pumpen in den Häusern wurden von den Technikern gestern gewartet.\n")
    project.settings["sources"]["docs"]["permission_rules"] = [
        {"pattern": "page1*.md", "allowed_principals": ["staff"]},
        {"pattern": "page2.md", "allowed_principals": ['o\'brien, "x"', "board"]},
    ]
    project.refresh()
    return project


@pytest.fixture
def delivered(project: Delivering, database: Database, tmp_path: Path) -> Iterator[Delivering]:
    """The project, to be changed; database and lake stand again as they were afterwards."""
    copy = project.copied(tmp_path / "copy", polled=True)
    copy.dsn = project.dsn
    database.run("UPDATE rag.delivery SET lake = ''")
    yield copy
    database.run("DROP SCHEMA IF EXISTS rag CASCADE")
    with project.workspace() as workspace:
        assert said(deliver_published(workspace)) == ""


def said(report: Any) -> str:
    assert report is not None
    return str(report.fault)


def in_lake(project: Delivering) -> dict[str, tuple[Any, ...]]:
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
        assert last is not None
        rows = open_version(workspace.vectors, last).read([*COLUMNS, "vector"])
        return {row[0]: (*row[1:-1], np.array(row[-1], np.float32).tobytes()) for row in rows.iter_rows()}


def in_postgres(database: Database) -> dict[str, tuple[Any, ...]]:
    rows = database.rows(
        f"SELECT {', '.join(COLUMNS)}, embedding::real[] FROM rag.chunks JOIN rag.permissions USING (chunk_id) "
        "JOIN rag.vectors USING (chunk_id)"
    )
    return {row[0]: (*row[1:-1], np.array(row[-1], np.float32).tobytes()) for row in rows}


def counts(database: Database) -> list[int]:
    return [database.rows(f"SELECT count(*) FROM rag.{name}")[0][0] for name in ("chunks", "vectors", "permissions")]


def test_every_row_is_there_to_the_last_bit(project: Delivering, database: Database) -> None:
    expected = in_lake(project)
    assert in_postgres(database) == expected
    assert counts(database) == [len(expected)] * 3
    [(text, words)] = database.rows("SELECT text, words::text FROM rag.chunks WHERE uri LIKE '%seite.md'")
    assert text.startswith("# Häuser\n\nDie Pumpen")
    # By the German stemmer, and without its stop words.
    assert "'pump'" in words
    assert "'den'" not in words


def test_what_is_there_is_not_delivered_again(project: Delivering) -> None:
    with project.workspace() as workspace:
        report = deliver_published(workspace)
    assert report is not None
    assert report.fault == ""
    assert report.delivered.is_nothing


def test_an_edit_brings_the_rows_that_differ(delivered: Delivering, database: Database) -> None:
    before = dict(database.rows("SELECT chunk_id, xmin::text FROM rag.vectors"))
    delivered.write("page3.md", "# Page 3\n\nThe valve number 3 leaks.\n")
    (delivered.folder / "docs" / "page4.md").unlink()
    delivered.refresh()
    assert in_postgres(database) == in_lake(delivered)
    after = dict(database.rows("SELECT chunk_id, xmin::text FROM rag.vectors"))
    assert len(after.keys() - before.keys()) == 1
    assert all(after[name] == before[name] for name in after.keys() & before.keys())


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Rows that were sent to each table, each time."""
    counts: dict[str, list[int]] = {}

    def counted(cursor: Any, place: str, rows: pl.DataFrame) -> None:
        counts.setdefault(place.partition(" ")[0].removeprefix("pg_temp."), []).append(rows.height)
        rows_module.copy_rows(cursor, place, rows)

    for module in (delivery, withdrawal):
        monkeypatch.setattr(module, "copy_rows", counted)
    return counts


def test_an_edit_sends_what_it_changes_and_nothing_else(
    delivered: Delivering, database: Database, sent: dict[str, list[int]]
) -> None:
    deliver_published_of(delivered)
    sent.clear()
    delivered.write("page3.md", "# Page 3\n\nThe valve number 3 leaks.\n")
    delivered.write("page4.md.meta.yaml", "allowed_principals: [crew]\n")
    (delivered.folder / "docs" / "page5.md").unlink()
    delivered.refresh()
    assert in_postgres(database) == in_lake(delivered)
    # First what is revoked leaves; then the rest comes, of which the narrowed row has its metadata again.
    assert sent["leaving"] == [1, 1]
    assert sent["desired"] == [1, 2]
    assert sent["staged_vectors"] == [1]


def deliver_published_of(project: Delivering) -> str:
    with project.workspace() as workspace:
        return said(deliver_published(workspace))


def thinned(project: Delivering, _: Database) -> None:
    for manifest in older_manifests(project):
        manifest.unlink()


def damaged(project: Delivering, _: Database) -> None:
    for manifest in older_manifests(project):
        manifest.write_bytes(manifest.read_bytes()[:40])


def hidden(_: Delivering, database: Database) -> None:
    # Somebody who may do anything takes a row, and hides that.
    database.run(
        "DELETE FROM rag.permissions p USING rag.chunks c WHERE p.chunk_id = c.chunk_id AND uri LIKE '%page6.md'",
        "UPDATE rag.delivery SET is_touched = false, rows = rows - 1",
    )


def older_manifests(project: Delivering) -> list[Path]:
    """What opens the versions of the index before the newest; the lake forgets a version by removing it."""
    folder = project.folder / "lake" / "gold" / "index"
    connection = lancedb.connect(str(folder))
    found = []
    for each in folder.glob("*.lance"):
        newest = f"{2**64 - 1 - connection.open_table(each.stem).version}.manifest"
        found += [path for path in (each / "_versions").glob("*.manifest") if path.name != newest]
    assert found
    return found


@pytest.mark.parametrize("lose", [thinned, damaged, hidden])
def test_a_version_that_cannot_be_compared_with_is_no_loss(
    delivered: Delivering, database: Database, sent: dict[str, list[int]], lose: Callable[..., None]
) -> None:
    deliver_published_of(delivered)
    reachable, delivered.dsn = delivered.dsn, "host=127.0.0.1 port=1"
    delivered.write("page3.md", "# Page 3\n\nThe valve number 3 leaks.\n")
    delivered.refresh()
    delivered.dsn = reachable
    lose(delivered, database)
    sent.clear()
    assert deliver_published_of(delivered) == ""
    rows = in_lake(delivered)
    assert in_postgres(database) == rows
    assert sent["desired"] == [len(rows)]


def test_other_readers_of_every_row_write_no_text_and_no_vector(delivered: Delivering, database: Database) -> None:
    query = "SELECT array_agg(xmin::text ORDER BY chunk_id) FROM rag."
    before = [database.rows(query + name) for name in ("chunks", "vectors")]
    delivered.settings["sources"]["docs"] |= {"allowed_principals": ["crew"], "permission_rules": []}
    delivered.embedded.clear()
    delivered.refresh()
    assert delivered.embedded == []
    assert in_postgres(database) == in_lake(delivered)
    assert [database.rows(query + name) for name in ("chunks", "vectors")] == before
    assert database.rows(
        "SELECT count(DISTINCT xmin::text), array_agg(DISTINCT allowed_principals::text) FROM rag.permissions"
    ) == [(1, ["{crew}"])]


DAMAGES = (
    "UPDATE rag.permissions SET allowed_principals = '{public}'",
    "UPDATE rag.chunks SET embedded_text = 'nonsense', title = NULL WHERE uri LIKE '%page5.md'",
    "UPDATE rag.vectors SET embedding = embedding * embedding WHERE chunk_id < '8'",
    "DELETE FROM rag.vectors WHERE chunk_id IN (SELECT chunk_id FROM rag.vectors LIMIT 3)",
    "DELETE FROM rag.permissions",
    "TRUNCATE rag.chunks",
    "INSERT INTO rag.permissions VALUES ('ghost', '{public}', 'x')",
    "DELETE FROM rag.delivery",
    "DROP TABLE rag.vectors",
    "ALTER TABLE rag.chunks DROP COLUMN title CASCADE",
    "DROP SCHEMA rag CASCADE",
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_others_wrote_there_is_mended_by_the_next_run(
    delivered: Delivering, database: Database, damage: str
) -> None:
    expected = in_postgres(database)
    database.run(damage)
    # `verify` says it, too, and changes nothing of it.
    with delivered.workspace() as workspace:
        assert compare_delivered(workspace)
        report = deliver_published(workspace)
    assert said(report) == ""
    assert in_postgres(database) == expected
    assert counts(database) == [len(expected)] * 3


RIGHTS = (
    "ALTER TABLE rag.chunks DISABLE ROW LEVEL SECURITY",
    "DROP POLICY readers ON rag.vectors",
    "CREATE POLICY everybody ON rag.permissions USING (true)",
    "GRANT SELECT ON rag.delivery TO PUBLIC",
    "GRANT ALL ON rag.chunks TO bob",
    "CREATE OR REPLACE FUNCTION rag.principals() RETURNS text[] LANGUAGE sql AS $$ SELECT ARRAY['staff'] $$",
    "ALTER TABLE rag.permissions DISABLE TRIGGER touched_by_truncate",
    "DROP INDEX rag.chunks_words",
)


@pytest.mark.parametrize("change", RIGHTS)
def test_rights_that_others_changed_are_mended_by_the_next_run(
    delivered: Delivering, database: Database, change: str
) -> None:
    def standing() -> Any:
        return database.rows(
            "SELECT c.relname, c.relrowsecurity, coalesce(c.relacl, acldefault('r', relowner))::text, "
            "(SELECT array_agg(polname::text || pg_get_expr(polqual, polrelid)) FROM pg_policy WHERE polrelid = c.oid),"
            " (SELECT array_agg(tgenabled) FROM pg_trigger WHERE tgrelid = c.oid) "
            "FROM pg_class c WHERE relnamespace = 'rag'::regnamespace ORDER BY 1"
        )

    expected = standing()
    bodies = "SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'rag'::regnamespace ORDER BY 1"
    functions = database.rows(bodies)
    database.run(change)
    with delivered.workspace() as workspace:
        report = deliver_published(workspace)
    assert said(report) == ""
    assert report is not None
    assert report.delivered.healed
    assert (standing(), database.rows(bodies)) == (expected, functions)


def test_verify_finds_what_no_trigger_saw_and_the_next_run_mends_it(delivered: Delivering, database: Database) -> None:
    with delivered.workspace() as workspace:
        deliver_published(workspace)
    assert delivered.verify().findings == []
    staff = "SELECT count(*) FROM rag.permissions WHERE allowed_principals = '{staff}'"
    [(changed,)] = database.rows(staff)
    database.run(
        # Whoever may do this may do anything, and says afterwards that nothing was.
        "UPDATE rag.chunks SET title = 'Another' WHERE uri LIKE '%page5.md'",
        "UPDATE rag.permissions SET allowed_principals = '{public}' WHERE allowed_principals = '{staff}'",
        "UPDATE rag.delivery SET is_touched = false",
    )
    counted = {found["code"]: found["count"] for found in delivered.verify().findings}
    assert counted == {"postgres_mismatched": changed + 1}
    with delivered.workspace() as workspace:
        assert said(deliver_published(workspace)) == ""
    assert delivered.verify().findings == []
    assert in_postgres(database) == in_lake(delivered)


def test_verify_says_that_the_server_is_down(delivered: Delivering) -> None:
    delivered.dsn = "host=127.0.0.1 port=1"
    [found] = delivered.verify().findings
    assert found["code"] == "postgres_cannot_be_compared"


def test_what_is_erased_leaves_it_or_the_erasure_is_not_done(delivered: Delivering, database: Database) -> None:
    [(document,)] = database.rows("SELECT document_id FROM rag.chunks WHERE uri LIKE '%page5.md'")
    rows = counts(database)
    reachable, delivered.dsn = delivered.dsn, "host=127.0.0.1 port=1"
    with delivered.workspace() as workspace:
        begin_erasure(workspace, Wanted(document=document), reason="a wish", erased_by="test")
        assert "not finished" in finish_if_begun(workspace)
        assert pending_erasure(workspace.lake) is not None
    assert counts(database) == rows
    delivered.dsn = reachable
    with delivered.workspace() as workspace:
        assert finish_if_begun(workspace) == ""
        assert pending_erasure(workspace.lake) is None
    assert counts(database) == [count - 1 for count in rows]
    assert database.rows("SELECT FROM rag.chunks WHERE document_id = %s", document) == []


def test_another_model_moves_over_in_one_transaction(delivered: Delivering, database: Database) -> None:
    models = delivered.settings["embedding_models"]
    models["wide"] = {"kind": "hashing", "model": "hashing", "dimension": 96}
    delivered.settings |= {"serve": "wide"}
    delivered.settings["publish_to"]["postgres"]["approximate_from_rows"] = 1
    delivered.refresh()
    assert in_postgres(database) == in_lake(delivered)
    assert database.rows("SELECT DISTINCT vector_dims(embedding), space_fingerprint FROM rag.vectors") == database.rows(
        "SELECT dimension, space_fingerprint FROM rag.delivery"
    )
    assert database.rows("SELECT alias, dimension, is_approximate FROM rag.delivery") == [("wide", 96, True)]
    delivered.settings |= {"serve": "small"}
    delivered.refresh()
    assert in_postgres(database) == in_lake(delivered)
    assert len(database.rows("SELECT FROM pg_indexes WHERE schemaname = 'rag' AND indexname LIKE 'hnsw%'")) == 1


def test_another_lake_does_not_write_over_it(delivered: Delivering, database: Database, tmp_path: Path) -> None:
    before = in_postgres(database)
    with delivered.workspace() as workspace:
        assert said(deliver_published(workspace)) == ""
    other = delivering(tmp_path / "other", database)
    other.write("one.md", "# One\n\nAnother lake.\n")
    other.refresh()
    with other.workspace() as workspace:
        assert "Name another schema_name" in said(deliver_published(workspace))
    assert in_postgres(database) == before


def test_a_frame_of_any_texts_reads_back(database: Database) -> None:
    from rag_pipeline.stores.postgres.rows import copy_text

    texts = ["", "\\N", "\\.", "a\tb\nc\rd\\", '{"x"}', "é漢", None, "\u2028\x01"]
    rows = pl.DataFrame({"n": range(len(texts)), "t": texts, "l": [[t or ""] * 2 for t in texts]})
    with database.connect() as connection:
        connection.execute("CREATE TEMPORARY TABLE x (n int, t text, l text[])")
        with connection.cursor().copy("COPY x FROM STDIN") as copy:
            copy.write(copy_text(rows))
        assert connection.execute("SELECT * FROM x ORDER BY n").fetchall() == rows.rows()
