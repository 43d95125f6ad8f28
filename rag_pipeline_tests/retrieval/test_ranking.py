"""The order of hits: by score, equal ones by place, and the same after a rebuild."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.errors import TableOutdated
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.documents import refresh_documents
from rag_pipeline.refresh.embeddings import refresh_embeddings
from rag_pipeline.refresh.evaluation import refresh_evaluation
from rag_pipeline.refresh.index import refresh_index, revoke
from rag_pipeline.refresh.publication import publish
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores import vectors
from rag_pipeline_tests.pipeline.project import Project

LINE = "The lever of the pump is red and is pulled twice."


def refresh(workspace: Workspace) -> None:
    """Everything, the evaluation too."""
    refresh_source(workspace, "docs")
    refresh_documents(workspace)
    refresh_chunks(workspace)
    refresh_embeddings(workspace, "small")
    refresh_index(workspace, "small")
    refresh_evaluation(workspace, "small")
    publish(workspace, "small")


def places(project: Project, mode: str) -> list[tuple[str, int]]:
    hits = project.search("red lever of the pump", "public", mode=mode, k=50)
    return [(hit.uri, hit.start_char) for hit in hits]


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_what_stands_twice_is_cited_where_it_stands_first_also_after_a_rebuild(tmp_path: Path, mode: str) -> None:
    project = Project.create(tmp_path, deduplication={"near": False}, boilerplate={"leave_out": False})
    for number in (3, 1, 2):
        project.write(f"{number}.md", f"## Start\n\n{LINE}\n\n## Stop\n\nNumber {number}.\n\n## Start\n\n{LINE}\n")
    project.refresh()
    # A document keeps its id when it moves, and ids must not decide.
    (project.folder / "docs" / "1.md").rename(project.folder / "docs" / "9.md")
    (project.folder / "docs" / "3.md").rename(project.folder / "docs" / "0.md")
    project.refresh()
    found = places(project, mode)
    assert found[0] == ("docs/0.md", 0)
    project.settings["lake"] = "rebuilt"
    project.refresh()
    assert places(project, mode) == found


def test_an_index_of_an_older_program_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.create(tmp_path)
    project.write("a.md", f"# A\n\n{LINE}\n")
    project.refresh()
    later: dict[str, Any] = dict(vectors.ROW_COLUMNS) | {"shelf": vectors.pa.string()}
    monkeypatch.setattr(vectors, "ROW_COLUMNS", later)
    with pytest.raises(TableOutdated, match=r"has no shelf.*rag-pipeline run"):
        project.search("lever", "public")


def test_an_index_that_an_older_program_published_holds_nothing_up(tmp_path: Path) -> None:
    project = Project.create(tmp_path, evaluation={"questions": ["q.jsonl"]})
    project.write("a.md", f"# A\n\n{LINE}\n")
    question = {"id": "q", "question": "red lever", "expected": [{"uri_suffix": "a.md"}], "principals": ["public"]}
    (tmp_path / "q.jsonl").write_text(json.dumps(question) + "\n")
    with project.workspace() as workspace:
        refresh(workspace)
        last = workspace.lake.last_publication()
        assert last is not None
        store = vectors.VectorStore(workspace.lake.uri("gold/index"))
        rows = store._connection.open_table(last.table_name).to_arrow().drop_columns(["rank_weight"])
        store._connection.create_table("chunks_v1", rows)
        old = replace(last, sequence=last.sequence + 1, table_name="chunks_v1", table_version=1)
        workspace.lake.append_publication(old)
    with pytest.raises(TableOutdated):
        project.search("lever", "public")
    (tmp_path / "q.jsonl").write_text(json.dumps(question | {"question": "where is the red lever"}) + "\n")
    project.write("b.md", f"# B\n\nAnother. {LINE}\n")
    with project.workspace() as workspace:
        assert revoke(workspace) is None
        refresh(workspace)
    assert {hit.uri for hit in project.search("lever", "public")} == {"docs/a.md", "docs/b.md"}
