"""An operator asks in Dagster where a document is, and is told the first thing that keeps it from readers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from rag_pipeline.contracts.tables import CHUNKS
from rag_pipeline.defs.words import HAPPENED
from rag_pipeline.refresh.erase import begin_erasure, finish_erasure
from rag_pipeline.refresh.erase_plan import Wanted
from rag_pipeline_tests.defs.test_operator_jobs import launched, told
from rag_pipeline_tests.pipeline.project import Project

SAID = "quarrelsome keeper"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Each document is kept from readers by another layer."""
    project = Project.create(tmp_path_factory.mktemp("traced"), deduplication={"near": False})
    project.write("found.md", f"# Keeper\n\nThe {SAID} of the lamp left in June.\n")
    project.write("later_copy.md", f"# Keeper\n\nThe {SAID} of the lamp left in June.\n")
    project.write("gone.md", "# Gone\n\nThe rope of the well.\n")
    project.write("empty.md", "")
    project.write("closed.md", "---\nallowed_principals: []\n---\n# Closed\n\nThe board meets.\n")
    project.write("erased.md", "# Erased\n\nThe tailor of the town moved away.\n")
    project.refresh()
    (project.folder / "docs" / "gone.md").unlink()
    project.refresh()
    with project.workspace() as workspace, workspace.lake.writing():
        begin_erasure(workspace, Wanted("", ("docs", "erased.md"), "", False), reason="asked", erased_by="ada")
        finish_erasure(workspace, lambda *_: [])
    with project.workspace() as workspace:
        project.write("late.md", "# Late\n\nThe ferry came in.\n")
        from rag_pipeline.refresh.bronze import poll_source

        poll_source(workspace, "docs")
    return project


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def asked(project: Project, instance: dg.DagsterInstance, document: str, **more: Any) -> dict[str, Any]:
    result = launched(project, instance, "trace", document=document, **more)
    assert result.success
    return told(result)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("found.md", "is in the index that readers search, for public"),
        ("later_copy.md", "says the same to the same readers, and stands for it"),
        ("docs/gone.md", "its source has not had it since"),
        ("empty.md", "it is in quarantine: empty"),
        ("closed.md", "nobody may read it"),
        ("late.md", "it was not parsed yet"),
        ("erased.md", "It was erased from docs"),
        ("../never.md", "No source has ever listed '../never.md'"),
    ],
)
def test_the_first_thing_that_keeps_a_document_back_is_told(
    built: Project, instance: dg.DagsterInstance, document: str, why: str
) -> None:
    found = asked(built, instance, document)
    assert why in found[HAPPENED]
    assert SAID not in str(found)


def test_a_question_tells_at_which_place_it_is_found_and_as_whom(built: Project, instance: dg.DagsterInstance) -> None:
    kept = asked(built, instance, "keeper", question="who left in june")
    assert kept["rag/documents"] == 0
    hit = asked(built, instance, "found.md", question="keeper lamp june")
    assert "Asked as public: it is hit 1" in hit["rag/in_search"]
    again = asked(built, instance, hit["rag/document_id"], question="keeper", principals=["stranger"])
    assert "Asked as stranger" in again["rag/in_search"]
    assert "Nobody may read it" in asked(built, instance, "closed.md", question="board")["rag/in_search"]


def test_a_damaged_layer_is_told_and_the_others_too(
    built: Project, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    project = built.copied(tmp_path)
    for file in (project.folder / "lake" / CHUNKS.path).rglob("*.parquet"):
        file.write_bytes(b"")
    rows = asked(project, instance, "found.md")["rag/way"].records
    assert {row.data["layer"] for row in rows} >= {"bronze/docs", "silver/documents", "silver/chunks"}
    assert "cannot be read" in next(row.data["holds"] for row in rows if row.data["layer"] == "silver/chunks")
    shutil.rmtree(project.folder / "lake")
    assert asked(project, instance, "found.md")["rag/documents"] == 0
