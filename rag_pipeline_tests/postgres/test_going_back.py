"""Going back while it is delivered: a rollback, a retired model and a backup bring nothing back that has gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rag_pipeline.refresh.deliver import deliver_published
from rag_pipeline.refresh.generations import retire
from rag_pipeline.refresh.publication import publish, rollback
from rag_pipeline.refresh.restore import restore
from rag_pipeline.stores.backup import back_up
from rag_pipeline.stores.kept import open_version
from rag_pipeline_tests.postgres.conftest import Database, Delivering, delivering

NOWHERE = "host=127.0.0.1 port=1"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Delivering:
    project = delivering(tmp_path_factory.mktemp("back"), database)
    for number in range(6):
        project.write(f"page{number}.md", f"# Page {number}\n\nThe pump number {number} hums.\n")
    project.settings["embedding_models"]["wide"] = {"kind": "hashing", "model": "hashing", "dimension": 96}
    project.refresh()
    return project


@pytest.fixture
def copy(project: Delivering, database: Database, tmp_path: Path) -> Iterator[Delivering]:
    copy = project.copied(tmp_path / "copy", polled=True)
    copy.dsn = project.dsn
    database.run("UPDATE rag.delivery SET lake = ''")
    deliver_now(copy)
    yield copy
    database.run("UPDATE rag.delivery SET lake = ''")
    deliver_now(project)


def deliver_now(project: Delivering) -> None:
    with project.workspace() as workspace:
        report = deliver_published(workspace)
    assert report is not None
    assert report.fault == ""


def there(database: Database) -> dict[str, tuple[str, tuple[str, ...]]]:
    rows = database.rows(
        "SELECT chunk_id, embedded_text, allowed_principals FROM rag.chunks JOIN rag.permissions USING (chunk_id)"
    )
    return {name: (text, tuple(who)) for name, text, who in rows}


def in_lake(project: Delivering) -> dict[str, tuple[str, tuple[str, ...]]]:
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
        assert last is not None
        rows = open_version(workspace.vectors, last).read(["chunk_id", "embedded_text", "allowed_principals"])
    return {name: (text, tuple(who)) for name, text, who in rows.iter_rows()}


def changed(project: Delivering) -> None:
    """One page is another, one is gone, and one is for fewer."""
    project.write("page1.md", "# Page 1\n\nThe valve leaks.\n")
    (project.folder / "docs" / "page2.md").unlink()
    project.write("page3.md.meta.yaml", "allowed_principals: [crew]\n")
    project.refresh()


@pytest.fixture
def seen(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What everybody could read there after each delivery."""
    texts: list[str] = []

    def looked(*given: object) -> object:
        report = deliver_published(*given)  # type: ignore[arg-type]
        texts.append(" ".join(text for text, who in there(database).values() if "public" in who))
        return report

    for module in ("moved", "memberships", "unsettled"):
        monkeypatch.setattr(f"rag_pipeline.refresh.{module}.deliver_published", looked)
    return texts


@pytest.mark.parametrize("is_down", [False, True])
def test_a_rollback_is_followed_and_brings_nothing_back_that_has_gone(
    copy: Delivering, database: Database, *, is_down: bool
) -> None:
    changed(copy)
    reachable = copy.dsn
    if is_down:
        copy.dsn = NOWHERE
    with copy.workspace() as workspace:
        rollback(workspace, note="it leaked")
    copy.dsn = reachable
    if is_down:
        assert "valve" in str(there(database))
        copy.refresh()
    shown = there(database)
    assert shown == in_lake(copy)
    assert "pump number 1" in str(shown)
    assert "pump number 2" not in str(shown)
    assert not any("public" in who for text, who in shown.values() if "number 3" in text)
    with copy.workspace() as workspace:
        publish(workspace, "small", by_hand=True)
    assert there(database) == in_lake(copy)
    assert "valve" in str(there(database))


def test_a_model_that_is_retired_while_it_is_delivered_is_left_for_the_next(
    copy: Delivering, database: Database
) -> None:
    copy.settings["serve"] = "wide"
    copy.refresh()
    assert database.rows("SELECT alias FROM rag.delivery") == [("wide",)]
    reachable, copy.dsn = copy.dsn, NOWHERE
    copy.settings["serve"] = "small"
    changed(copy)
    with copy.workspace() as workspace:
        retire(workspace, "wide")
    assert database.rows("SELECT alias FROM rag.delivery") == [("wide",)]
    copy.dsn = reachable
    deliver_now(copy)
    assert there(database) == in_lake(copy)
    assert database.rows(
        "SELECT alias, (SELECT array_agg(DISTINCT vector_dims(embedding)) FROM rag.vectors) FROM rag.delivery"
    ) == [("small", [64])]


def test_a_backup_that_is_restored_is_followed_without_what_has_gone_since(
    copy: Delivering, database: Database, seen: list[str]
) -> None:
    with copy.workspace() as workspace:
        back_up(workspace.lake, copy.folder / "copies", datetime.now(UTC))
    changed(copy)
    assert there(database) == in_lake(copy)
    restore(copy.pipeline(), copy.folder / "copies", to=None, name=None, may_replace=True)
    seen.clear()
    copy.refresh()
    assert there(database) == in_lake(copy)
    assert "valve" in seen[-1]
    # The lake came back with a page that is gone, and one that is closed; no delivery did.
    assert seen
    assert all("number 2" not in text and "number 3" not in text for text in seen)
