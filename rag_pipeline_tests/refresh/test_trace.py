"""From a chunk to the bytes, through every state a lake can be in."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from rag_pipeline.contracts.tables import CHUNKS
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.documents import refresh_documents
from rag_pipeline.refresh.trace import Trace, trace_chunk
from rag_pipeline_tests.pipeline.project import Project


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    project.write("pump.md", "# Running the pump\n\nPull the lever.\n")
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path)


def traced(project: Project, chunk_id: str) -> Trace:
    with project.workspace() as workspace:
        trace = trace_chunk(workspace, chunk_id)
    assert trace is not None
    return trace


def only_chunk(project: Project) -> str:
    return str(project.search("lever", "public")[0].chunk_id)


def test_a_published_chunk_is_sound_down_to_its_bytes(project: Project) -> None:
    trace = traced(project, only_chunk(project))
    assert trace.is_sound
    assert len(trace.checks) == 8
    assert trace.content is not None
    assert trace.content["size_bytes"] == len("# Running the pump\n\nPull the lever.\n")


def test_a_move_and_an_edit_stay_in_the_history(project: Project) -> None:
    docs = project.folder / "docs"
    (docs / "pump.md").rename(docs / "moved.md")
    project.refresh()
    project.write("moved.md", "# Running the pump\n\nPull the lever twice.\n")
    project.refresh()
    trace = traced(project, only_chunk(project))
    assert [row["change"] for row in trace.revisions] == ["added", "moved", "modified"]
    assert trace.is_sound


def test_a_chunk_that_readers_do_not_see_yet_is_traced_from_silver(project: Project) -> None:
    project.write("new.md", "# New\n\nNot published.\n")
    with project.workspace() as workspace:
        refresh_source(workspace, "docs")
        refresh_documents(workspace)
        refresh_chunks(workspace)
        chunks = workspace.lake.read(CHUNKS, ["chunk_id"], where=pl.col("text").str.contains("Not"))
    trace = traced(project, chunks["chunk_id"][0])
    assert trace.index is None
    assert trace.embedding is None
    assert trace.content is not None
    assert trace.is_sound


def test_a_chunk_that_has_left_silver_while_readers_see_it_is_not_sound(project: Project) -> None:
    name = only_chunk(project)
    (project.folder / "docs" / "pump.md").unlink()
    with project.workspace() as workspace:
        refresh_source(workspace, "docs", allow_mass_deletion=True)
        refresh_documents(workspace)
        refresh_chunks(workspace)
    trace = traced(project, name)
    assert trace.chunk is None
    assert trace.document is None
    assert [row["change"] for row in trace.revisions] == ["added", "deleted"]
    assert not trace.is_sound


def test_a_document_in_quarantine_shows_why(project: Project) -> None:
    name = only_chunk(project)
    project.write("pump.md", b"")
    with project.workspace() as workspace:
        refresh_source(workspace, "docs")
        refresh_documents(workspace)
    trace = traced(project, name)
    assert trace.quarantine is not None
    assert trace.quarantine["reason_code"] == "empty"


def test_the_beginning_of_an_id_is_enough(project: Project) -> None:
    with project.workspace() as workspace:
        name = workspace.lake.read(CHUNKS, ["chunk_id"])["chunk_id"][0]
        found = trace_chunk(workspace, name[:8])
        assert found is not None
        assert found.chunk_id == name
        assert trace_chunk(workspace, name[:7]) is None


def test_a_chunk_that_nobody_knows_has_no_trace(project: Project) -> None:
    with project.workspace() as workspace:
        assert trace_chunk(workspace, "0" * 32) is None
