"""What was erased leaves Dagster's records in PostgreSQL, too: its rows, and the files in which they stood."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import psycopg
import pytest
import yaml
from psycopg.sql import SQL, Identifier

from rag_pipeline.defs import erased_database
from rag_pipeline.defs.instance import opened_instance
from rag_pipeline.defs.scrub import scrub_of
from rag_pipeline.errors import StoreUnavailable
from rag_pipeline.stores.byte_search import MARK, Needles
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.postgres.conftest import server  # noqa: F401 - the fixture

needs("dagster_postgres", "needs rag-pipeline[deploy]")

LONG = "The minutes of the meeting about Quillsby and the harbour"
SHORT = "Quillsby"
NEEDLES = Needles((LONG.encode(), SHORT.encode()))
OTHER = "What the weather was on Tuesday"


@dg.op(config_schema={"principal": str, "text": str})
def read(context: dg.OpExecutionContext) -> None:
    said = context.op_config["text"]
    context.log.info(said)
    context.log_event(dg.AssetMaterialization("minutes", metadata={"title": said}))
    raise ValueError(said)


@dg.job
def reading() -> None:
    read()


class Records:
    """A Dagster home whose records are in a database."""

    def __init__(self, home: Path, uri: str) -> None:
        self.home, self.uri = home, uri
        home.mkdir()
        self.says(uri)

    def says(self, uri: str, **more: Any) -> None:
        at = urlsplit(uri)
        address = f"postgresql+psycopg2://{at.username}@{at.hostname or ''}:{at.port or 5432}{at.path}?{at.query}"
        settings = {"storage": {"postgres": {"postgres_url": address}}, "telemetry": {"enabled": False}} | more
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(settings))

    def ran(self, text: str, principal: str) -> str:
        with opened_instance(self.home) as instance:
            config = {"ops": {"read": {"config": {"text": text, "principal": principal}}}}
            done = reading.execute_in_process(
                run_config=config, instance=instance, raise_on_error=False, tags={"title": text}
            )
            return done.run_id

    def rows(self) -> dict[str, list[Any]]:
        """Every row of every table, as the server writes it."""
        with psycopg.connect(self.uri) as connection:
            named = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            asked = {name: SQL("SELECT t::text FROM {} t ORDER BY 1").format(Identifier(name)) for (name,) in named}
            return {name: [row for (row,) in connection.execute(query).fetchall()] for name, query in asked.items()}

    def files_with(self, text: str) -> list[str]:
        """The tables and indexes of the database whose files hold a text; the server's log of writes is left out."""
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            found = connection.execute(
                "SELECT current_setting('data_directory'), oid FROM pg_database WHERE datname = current_database()"
            ).fetchone()
            asked = "SELECT pg_relation_filenode(oid)::text, oid::regclass::text FROM pg_class"
            names = dict(connection.execute(asked).fetchall())
        assert found is not None
        files = (Path(found[0]) / "base" / str(found[1])).iterdir()
        return [names.get(path.name, path.name) for path in files if text.encode() in path.read_bytes()]


@pytest.fixture
def records(server: Any, tmp_path: Path) -> Records:  # noqa: F811
    name = f"dagster_{tmp_path.name}"
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {} TEMPLATE template0").format(Identifier(name)))
    host = parse_qs(urlsplit(server.get_uri()).query)["host"][0]
    return Records(tmp_path / "home", f"postgresql://postgres@/{name}?host={host}")


def test_a_mark_takes_the_place_of_what_was_erased_and_all_else_stays(records: Records) -> None:
    with psycopg.connect(records.uri, autocommit=True) as connection:
        # Of another program in the same database.
        connection.execute("CREATE TABLE theirs (title text)")
        connection.execute("INSERT INTO theirs VALUES (%s)", (OTHER,))
    about, other = records.ran(LONG, "mo"), records.ran(OTHER, "alex")
    before = records.rows()
    assert any(LONG in row for rows in before.values() for row in rows)
    assert "event_logs" in records.files_with(LONG)
    notes = scrub_of(records.home, {"mo"})(NEEDLES)
    assert any("tables of Dagster's database named it" in note and "event_logs" in note for note in notes)
    assert any("log of writes" in note for note in notes)
    after = records.rows()
    left = [row for rows in after.values() for row in rows if SHORT in row or '"mo"' in row.replace("\\", "")]
    assert left == []
    assert records.files_with(SHORT) == []
    assert {name: len(rows) for name, rows in after.items()} == {name: len(rows) for name, rows in before.items()}
    changed = {row for name, rows in before.items() for row in rows if row not in set(after[name])}
    assert all(SHORT in row or "mo" in row for row in changed)
    assert after["theirs"] == before["theirs"]
    with opened_instance(records.home) as instance:
        for run_id, said in ((about, MARK), (other, OTHER)):
            run = instance.get_run_by_id(run_id)
            assert run is not None
            assert run.tags["title"] == said
            failed = [each.dagster_event for each in instance.all_logs(run_id) if each.dagster_event is not None]
            assert any(event.is_step_failure for event in failed)
    # There is nothing to do a second time.
    assert not any("named it" in note for note in scrub_of(records.home, {"mo"})(NEEDLES))


def test_a_server_that_is_away_or_busy_leaves_the_erasure_open(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.ran(LONG, "mo")
    away = f"postgresql://postgres@127.0.0.1:1/{urlsplit(records.uri).path[1:]}"
    records.says(away)
    monkeypatch.setattr("dagster_postgres.utils.retry_pg_connection_fn.__defaults__", (0, 0.0))
    with pytest.raises(StoreUnavailable, match="erase --finish") as told:
        scrub_of(records.home)(NEEDLES)
    assert SHORT not in str(told.value)
    records.says(records.uri)
    monkeypatch.setattr(erased_database, "_BUSY_SECONDS", 1)
    before = records.rows()
    with psycopg.connect(records.uri) as holder:
        holder.execute("LOCK TABLE event_logs IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable, match="erase --finish"):
            scrub_of(records.home)(NEEDLES)
    # Each storage is changed as a whole, or not at all.
    assert records.rows()["event_logs"] == before["event_logs"]
    scrub_of(records.home)(NEEDLES)
    assert not any(SHORT in row for rows in records.rows().values() for row in rows)
    assert records.files_with(SHORT) == []


def test_a_variable_that_is_not_set_is_said(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_ADDRESS", raising=False)
    settings = {"storage": {"postgres": {"postgres_url": {"env": "NO_SUCH_ADDRESS"}}}}
    (records.home / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(StoreUnavailable, match="Set the variables"):
        scrub_of(records.home)(NEEDLES)
    assert "NO_SUCH_ADDRESS" not in os.environ


def test_files_beyond_the_home_and_logs_elsewhere(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    settings = {"storage": {"sqlite": {"base_dir": str(elsewhere)}}, "telemetry": {"enabled": False}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with opened_instance(home) as instance:
        config = {"ops": {"read": {"config": {"text": LONG, "principal": "mo"}}}}
        reading.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
    assert any(SHORT.encode() in path.read_bytes() for path in elsewhere.rglob("*") if path.is_file())
    notes = scrub_of(home, {"mo"})(NEEDLES)
    assert any("files of Dagster's records named it" in note for note in notes)
    assert not any(SHORT.encode() in path.read_bytes() for path in elsewhere.rglob("*") if path.is_file())
    assert not any("not searched" in note for note in notes)
    logs = {"module": "dagster._core.storage.local_compute_log_manager", "class": "LocalComputeLogManager"}
    logs["config"] = {"base_dir": str(tmp_path / "logs")}  # type: ignore[assignment]
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings | {"compute_logs": logs}))
    assert any("compute_logs" in note and "not searched" in note for note in scrub_of(home)(NEEDLES))
