"""Readers of a lake in an object store ask for what they have once, and never go on with what is not so any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.errors import SettingsError, StoreError
from rag_pipeline.refresh.restore import restore
from rag_pipeline.retrieval import memberships, published
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.stores.backup import back_up
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.lake_files import remove_folder
from rag_pipeline.stores.objects import Objects
from rag_pipeline.stores.opened_tables import OpenedTables
from rag_pipeline_tests.object_store.server import S3Server
from rag_pipeline_tests.object_store.test_fences import NOTES, keys, rows
from rag_pipeline_tests.pipeline.project import Project

pytestmark = pytest.mark.slow

# Of a search: the columns of a small index, which it goes through, and the rows of the hits.
MOST_OF_DATA = 8
# Of a look, at most once a second: at memberships and publications, and whether the published version still opens.
MOST_OF_A_LOOK = 4


@pytest.fixture(autouse=True)
def well_behaved(server: S3Server) -> Iterator[None]:
    yield
    server.behave()


@pytest.fixture
def lakes(server: S3Server, root: str) -> tuple[Lake, Lake]:
    return Lake(root, server.options, "writer"), Lake(root, server.options, "reader")


def test_a_second_search_asks_for_rows_alone_and_a_look_for_few_objects(
    server: S3Server, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = Searcher.open(project.pipeline())

    def counted() -> tuple[int, int]:
        server.asked()
        assert searcher.search("green lamp", principals={"public"}, k=3)
        paths = [path for _, path in server.asked()]
        data = [path for path in paths if "/gold/index/" in path and "/data/" in path]
        return len(data), len(paths) - len(data)

    # No look is due while the clock of the pointer stands.
    for module in (published, memberships):
        monkeypatch.setattr(module, "POINTER_SECONDS", float("inf"))
    counted()
    data, others = counted()
    assert data <= MOST_OF_DATA
    assert others == 0
    for module in (published, memberships):
        monkeypatch.setattr(module, "POINTER_SECONDS", -1.0)
    data, others = counted()
    assert data <= MOST_OF_DATA
    assert others <= MOST_OF_A_LOOK


def test_a_table_is_opened_again_only_after_a_commit(server: S3Server, lakes: tuple[Lake, Lake]) -> None:
    writer, reader = lakes
    assert keys(reader, NOTES) == []
    with writer.writing():
        writer.append(NOTES, rows("a"))
    assert reader.version(NOTES) == 1
    server.asked()
    assert reader.version(NOTES) == 1
    assert len(server.asked()) == 1
    with writer.writing():
        writer.append(NOTES, rows("b"))
    assert keys(reader, NOTES) == ["a", "b"]


def test_a_table_that_was_made_again_at_the_same_version_is_another_one(lakes: tuple[Lake, Lake]) -> None:
    writer, reader = lakes
    with writer.writing():
        writer.append(NOTES, rows("a"))
    before = reader.identity(NOTES)
    remove_folder(writer, NOTES.path)
    assert keys(reader, NOTES) == [], "it is gone"
    again = Lake(writer.root, writer.storage_options, "again")
    with again.writing():
        again.append(NOTES, rows("b"))
    assert reader.identity(NOTES)[1] == before[1]
    assert reader.identity(NOTES) != before
    assert keys(reader, NOTES) == ["b"]


def test_what_was_opened_is_not_handed_out_while_the_store_is_silent(
    server: S3Server, lakes: tuple[Lake, Lake]
) -> None:
    writer, reader = lakes
    with writer.writing():
        writer.append(NOTES, rows("a"))
    assert keys(reader, NOTES) == ["a"]
    server.behave(fails="GET /lakes")
    with pytest.raises(StoreError) as refused:
        reader.version(NOTES)
    assert refused.value.retryable
    server.behave()
    assert keys(reader, NOTES) == ["a"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("is_local", [False, True])
def test_a_searcher_follows_a_lake_that_was_restored_and_reached_the_same_versions_again(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_local: bool
) -> None:
    copies = tmp_path / "copies"
    with project.workspace() as workspace:
        back_up(workspace.lake, copies, datetime.now(UTC))
    if is_local:
        project.settings["lake"] = "lake"
        restore(project.pipeline(), copies, to=None, name=None, may_replace=False)
    for module in (published, memberships):
        monkeypatch.setattr(module, "POINTER_SECONDS", -1.0)

    def said(searcher: Searcher) -> list[str]:
        return [hit.text for hit in searcher.search("door lamp", principals={"public"}, k=3) if "amp" in hit.text]

    project.write("lamps.md", "# Lamps\n\nA blue lamp hangs above the door since the green one broke last winter.\n")
    project.refresh()
    searcher = Searcher.open(project.pipeline())
    assert "blue" in said(searcher)[0]
    restore(project.pipeline(), copies, to=None, name=None, may_replace=True)
    project.write("lamps.md", "# Lamps\n\nA red lamp hangs above the door since the green one was stolen in May.\n")
    project.refresh()
    assert "red" in said(Searcher.open(project.pipeline()))[0]
    assert "red" in said(searcher)[0]


def test_a_table_that_is_replaced_while_it_is_opened_is_opened_again(
    lakes: tuple[Lake, Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = lakes
    with writer.writing():
        writer.append(NOTES, rows("a"))
    newest = OpenedTables.newest

    def replaced_after(tables: OpenedTables, objects: Objects, path: str, opening: Callable[[], Any]) -> Any:
        def opened() -> Any:
            table = opening()
            remove_folder(writer, NOTES.path)
            again = Lake(writer.root, writer.storage_options, "again")
            with again.writing():
                again.append(NOTES, rows("b"))
            return table

        return newest(tables, objects, path, opened)

    with monkeypatch.context() as patched:
        patched.setattr(OpenedTables, "newest", replaced_after)
        reader.version(NOTES)
    assert keys(reader, NOTES) == ["b"]


@pytest.mark.parametrize("place", ["x#y", "x?y", "x//y", "[x]", "x/../y", "./x"])
def test_an_address_that_the_libraries_take_for_different_places_is_refused(server: S3Server, place: str) -> None:
    server.asked()
    with pytest.raises(SettingsError, match="the same place"):
        Lake(f"s3://lakes/{place}", server.options).version(NOTES)
    assert not server.asked()


def test_a_number_of_tries_does_not_keep_a_lake_from_being_read(lakes: tuple[Lake, Lake]) -> None:
    options = {**(lakes[0].storage_options or {}), "max_retries": "1", "retry_timeout": "5s"}
    lake = Lake(lakes[0].root, options)
    with lake.writing():
        lake.append(NOTES, rows("a"))
    assert keys(lake, NOTES) == ["a"]
