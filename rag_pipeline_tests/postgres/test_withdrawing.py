"""What is withdrawn leaves PostgreSQL after the run, whatever else failed in it: by its own rows where it must."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from rag_pipeline.defs.delivery_checks import delivery_results
from rag_pipeline.defs.specs import REVOCATIONS_KEY
from rag_pipeline.errors import StoreError
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.deliver import deliver_published
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.revoke import revoke_now
from rag_pipeline.refresh.unsettled import finish_revocations
from rag_pipeline.stores.vectors import VectorTable
from rag_pipeline_tests.faults.test_revoking import cut_files, emptied_log, raising
from rag_pipeline_tests.postgres.conftest import Database, Delivering, delivering

SECRETS = ("menu", "salaries", "xyzzy")
KEPT = ("lamp", "rota")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Delivering:
    project = delivering(tmp_path_factory.mktemp("withdrawing"), database)
    project.write("menu.md", "# Menu\n\nThe menu of Monday.\n")
    project.write("salaries.md", "# Salaries\n\nThe salaries of the board.\n")
    project.write("door.md", "# Door\n\nA door.\n\n## Code\n\nThe code is xyzzy.\n")
    project.write("lamp.md", "# Lamp\n\nA lamp stays where it is.\n")
    project.write("rota.md", "# Rota\n\nThe rota of the crew.\n")
    project.refresh()
    return project


@pytest.fixture
def copy(project: Delivering, database: Database, tmp_path: Path) -> Iterator[Delivering]:
    copy = project.copied(tmp_path / "copy", polled=True)
    copy.dsn = project.dsn
    database.run("UPDATE rag.delivery SET lake = ''")
    with copy.workspace() as workspace:
        deliver_published(workspace)
    yield copy
    database.run("DROP SCHEMA IF EXISTS rag CASCADE")
    with project.workspace() as workspace:
        deliver_published(workspace)


def seen(database: Database) -> str:
    return " ".join(text for (text,) in database.rows("SELECT text FROM rag.chunks", role="stranger"))


def index_gone(project: Delivering, _: pytest.MonkeyPatch, __: Database) -> None:
    shutil.rmtree(project.folder / "lake" / "gold" / "index")


def index_damaged(project: Delivering, _: pytest.MonkeyPatch, __: Database) -> None:
    cut_files(project.folder / "lake" / "gold" / "index", "*.manifest")


def index_cannot_be_written(_: Delivering, patch: pytest.MonkeyPatch, __: Database) -> None:
    for method in ("delete", "update_columns", "add", "restore"):
        patch.setattr(VectorTable, method, raising(StoreError("input/output error")))


def log_of_publications_broken(project: Delivering, patch: pytest.MonkeyPatch, _: Database) -> None:
    emptied_log("gold/publications")(project, patch)


def postgres_takes_no_text(_: Delivering, __: pytest.MonkeyPatch, database: Database) -> None:
    database.run("ALTER TABLE rag.chunks ADD CONSTRAINT full_disk CHECK (length(text) < 0) NOT VALID")


Broken = Callable[[Delivering, pytest.MonkeyPatch, Database], None]
BROKEN: tuple[Broken, ...] = (
    index_gone,
    index_damaged,
    index_cannot_be_written,
    log_of_publications_broken,
    postgres_takes_no_text,
)


def take_away(project: Delivering) -> None:
    (project.folder / "docs" / "menu.md").unlink()
    project.write("salaries.md.meta.yaml", "allowed_principals: [hr]\n")
    project.write("door.md", "# Door\n\nA door.\n")


def poll_and_revoke(project: Delivering) -> str:
    """A run whose every step after the revocation fails, and its end."""
    with project.workspace() as workspace:
        refresh_source(workspace, "docs", allow_mass_deletion=True)
        with suppress(*FAULTS):
            revoke_now(workspace)
        return finish_revocations(workspace)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_what_is_withdrawn_leaves_postgres_whatever_else_fails(
    copy: Delivering, database: Database, monkeypatch: pytest.MonkeyPatch, broken: Broken
) -> None:
    assert all(word in seen(database) for word in (*SECRETS, *KEPT))
    take_away(copy)
    # PostgreSQL must take in a text for its refusal to count.
    copy.write("new.md", "# New\n\nA new page.\n")
    with monkeypatch.context() as patch:
        broken(copy, patch, database)
        with suppress(*FAULTS):
            copy.refresh()
        poll_and_revoke(copy)
        public = seen(database)
        assert [word for word in SECRETS if word in public] == []
        assert all(word in public for word in KEPT)
    database.run("ALTER TABLE rag.chunks DROP CONSTRAINT IF EXISTS full_disk")


def test_what_was_withdrawn_there_comes_back_with_nothing_but_a_sound_version(
    copy: Delivering, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_away(copy)
    with monkeypatch.context() as patch:
        index_cannot_be_written(copy, patch, database)
        poll_and_revoke(copy)
        # Readers of the lake are still pointed to a version that holds it all.
        with copy.workspace() as workspace:
            report = deliver_published(workspace)
        assert report is not None
        assert report.fault == ""
        assert [word for word in SECRETS if word in seen(database)] == []
    copy.write("menu.md", "# Menu\n\nThe menu of Monday.\n")
    copy.refresh()
    assert "menu" in seen(database)
    assert [word for word in SECRETS[1:] if word in seen(database)] == []
    assert copy.verify().findings == []


def test_a_revocation_that_reached_postgres_alone_is_said_to_have_left_it(copy: Delivering, database: Database) -> None:
    take_away(copy)
    with copy.workspace() as workspace:
        refresh_source(workspace, "docs", allow_mass_deletion=True)
        shutil.rmtree(copy.folder / "lake" / "gold" / "index")
        revoke_now(workspace)
        [result] = delivery_results(workspace, REVOCATIONS_KEY)
    assert result.passed
    assert "left it all the same" in str(result.description)
    assert "menu" not in seen(database)


@pytest.mark.usefixtures("copy")
def test_rows_of_another_lake_are_left_alone(database: Database, tmp_path: Path) -> None:
    before = seen(database)
    other = delivering(tmp_path / "other", database)
    other.write("one.md", "# One\n\nAnother lake.\n")
    with other.workspace() as workspace:
        refresh_source(workspace, "docs")
        finish_revocations(workspace)
    with suppress(*FAULTS):
        other.refresh()
    shutil.rmtree(other.folder / "lake" / "gold" / "index")
    poll_and_revoke(other)
    assert seen(database) == before


def test_tables_that_are_not_those_of_a_delivery_show_nothing_any_more(copy: Delivering, database: Database) -> None:
    take_away(copy)
    database.run("ALTER TABLE rag.chunks RENAME COLUMN uri TO location")
    shutil.rmtree(copy.folder / "lake" / "gold" / "index")
    poll_and_revoke(copy)
    assert seen(database) == ""
    copy.refresh()
    assert "lamp" in seen(database)


def test_groups_that_were_left_are_lost_although_no_version_can_be_delivered(
    copy: Delivering, database: Database
) -> None:
    copy.settings["sources"]["docs"]["groups"] = {"file": "groups.yaml"}
    (copy.folder / "groups.yaml").write_text("crew: [eve]\n")
    copy.write("rota.md", '---\nallowed_principals: ["docs:crew"]\n---\n# Rota\n\nThe rota of the crew.\n')
    copy.refresh()
    groups = "SELECT member_principal FROM rag.groups"
    assert database.rows(groups) == [("eve",)]
    (copy.folder / "groups.yaml").write_text("crew: [dan]\n")
    shutil.rmtree(copy.folder / "lake" / "gold" / "index")
    poll_and_revoke(copy)
    assert ("eve",) not in database.rows(groups)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.rows("UPDATE rag.groups SET member_principal = 'eve'", role="stranger")
