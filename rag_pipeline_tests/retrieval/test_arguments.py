"""Arguments of a search that are no query, and an index table that was damaged on disk."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.errors import BadQuery, StoreError
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.stores.index_schema import table_name
from rag_pipeline.stores.vectors import VectorStore
from rag_pipeline_tests.pipeline.project import Project

HALF_A_PAIR = "\ud800"


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    project = Project.create(tmp_path_factory.mktemp("arguments"))
    project.write("a.md", "# A\n\nThe lever is red.")
    project.refresh()
    return Searcher.open(project.pipeline())


@pytest.mark.parametrize("k", [0, -1, 10_001, 10**9, 10**19, 1.5, "3", None])
def test_a_number_of_hits_out_of_range_is_refused(searcher: Searcher, k: Any) -> None:
    with pytest.raises(BadQuery, match="1 to 10,000"):
        searcher.search("lever", principals=["public"], k=k)


@pytest.mark.parametrize("k", [1, 10_000])
def test_a_number_of_hits_in_range_is_answered(searcher: Searcher, k: int) -> None:
    assert len(searcher.search("lever", principals=["public"], k=k)) == 1


@pytest.mark.parametrize(
    "names", [[HALF_A_PAIR], "x" + HALF_A_PAIR, [None], [b"hr"], None, 5, [["hr"]], [], [""], "", [" "], ["\u200b"]]
)
def test_who_asks_must_have_a_name(searcher: Searcher, names: Any) -> None:
    with pytest.raises(BadQuery):
        searcher.search("lever", principals=names)
    with pytest.raises(BadQuery):
        searcher.chunk("0", principals=names)


@pytest.mark.parametrize("name", ["fin\u200bance", " finance", "finance\n", "\ufefffinance"])
def test_a_name_that_looks_like_another_is_refused_with_what_to_type(searcher: Searcher, name: str) -> None:
    with pytest.raises(BadQuery, match=r"principals must be non-empty strings.*type 'finance'"):
        searcher.search("lever", principals=[name])


@pytest.mark.parametrize("names", [[HALF_A_PAIR], [None], [b"docs"], 5, [["docs"]]])
def test_a_source_must_have_a_name(searcher: Searcher, names: Any) -> None:
    with pytest.raises(BadQuery, match="sources"):
        searcher.search("lever", principals=["public"], sources=names)


def test_one_source_may_be_named_without_a_list(searcher: Searcher) -> None:
    assert len(searcher.search("lever", principals="public", sources="docs")) == 1
    assert searcher.search("lever", principals="public", sources=[]) == []


@pytest.mark.parametrize("text", ["", " ", HALF_A_PAIR, None, b"lever"])
def test_a_query_must_be_text(searcher: Searcher, text: Any) -> None:
    with pytest.raises(BadQuery):
        searcher.search(text, principals=["public"])


@pytest.mark.parametrize("chunk_id", [HALF_A_PAIR, None, 5])
def test_a_chunk_id_must_be_text(searcher: Searcher, chunk_id: Any) -> None:
    with pytest.raises(BadQuery):
        searcher.chunk(chunk_id, principals=["public"])


def index_folder(project: Project) -> Path:
    with project.workspace() as workspace:
        return project.folder / "lake/gold/index" / f"{table_name(workspace.space('small').fingerprint)}.lance"


def test_an_index_table_with_a_damaged_newest_version_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = Project.create(tmp_path)
    for name in ("a", "b"):
        project.write(f"{name}.md", f"# {name}\n\nThe lever of {name} is red.")
        project.refresh()
    # Newer versions sort first.
    min((index_folder(project) / "_versions").glob("*.manifest")).write_bytes(b"")
    project.write("c.md", "# c\n\nThe lever of c is red.")
    with caplog.at_level(logging.WARNING):
        project.refresh()
    assert "is damaged and is made anew" in caplog.text
    assert project.published() == project.rebuilt()
    assert {hit.uri for hit in project.search("lever", "public")} == {"docs/a.md", "docs/b.md", "docs/c.md"}


def test_a_table_is_kept_when_the_store_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.create(tmp_path)
    project.write("a.md", "# A\n\nThe lever is red.")
    project.refresh()
    before = sorted(index_folder(project).rglob("*"))
    with project.workspace() as workspace:
        space = workspace.space("small")
        store = VectorStore(workspace.lake.uri("gold/index"))

    def silent(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    for call in ("open_table", "create_table", "list_tables"):
        monkeypatch.setattr(store._connection, call, silent)
    with pytest.raises(StoreError, match="no route"):
        store.open_or_create(space)
    assert sorted(index_folder(project).rglob("*")) == before
