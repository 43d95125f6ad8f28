"""Readers of a lake in an object store ask for what they have once, and never go on with what is not so any more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag_pipeline.errors import StoreError
from rag_pipeline.retrieval import memberships, published
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.lake_files import remove_folder
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
