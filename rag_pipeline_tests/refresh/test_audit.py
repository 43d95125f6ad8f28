"""A run audits what it changed, and finds there what it always found; everything is looked at again in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rag_pipeline.contracts.ids import text_hash
from rag_pipeline.errors import AuditFailed
from rag_pipeline.refresh import audit, index
from rag_pipeline.refresh.maintenance import maintain
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.pipeline.test_promises import tamper

DOCUMENTS = 12


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.create(tmp_path)
    for number in range(DOCUMENTS):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe lamp of house {number} is lit.\n")
    project.refresh()
    return project


@pytest.fixture
def texts_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that audits have read."""
    texts: list[str] = []

    def hashed(text: str) -> str:
        texts.append(text)
        return text_hash(text)

    monkeypatch.setattr(audit, "text_hash", hashed)
    return texts


def edited(project: Project, number: int = 3) -> None:
    project.write(f"{number}.md", f"# Lamp {number}\n\nThe lamp of house {number} went out.\n")


def last_audit(project: Project) -> dict[str, Any]:
    with project.workspace() as workspace:
        found = workspace.lake.last_audit(workspace.space("small").fingerprint)
    assert found is not None
    return found


def test_an_edit_has_its_own_rows_read(project: Project, texts_read: list[str]) -> None:
    edited(project)
    project.refresh()
    assert len(texts_read) == 1
    assert last_audit(project)["passed"]


def test_what_others_did_to_the_table_has_all_of_it_read(project: Project, texts_read: list[str]) -> None:
    name = tamper(project, embedded_text=["Something else."])
    with project.workspace() as workspace:
        table = workspace.vectors.open_or_create(workspace.space("small"))
        [tampered] = table.read(["uri"], where=f"chunk_id = '{name}'")["uri"]
    edited(project, 4 if tampered.endswith("/3.md") else 3)
    project.refresh()
    assert len(texts_read) >= DOCUMENTS
    assert last_audit(project)["repaired"] == 1
    assert project.verify().findings == []


WRONG: dict[str, pl.Expr] = {
    "permissions": pl.lit(["public", "spy"], dtype=pl.List(pl.String)).alias("allowed_principals"),
    "stale": pl.lit("0" * 64).alias("metadata_hash"),
    "content": pl.lit("Something else.").alias("embedded_text"),
    "ghosts": pl.concat_str(pl.lit("0"), pl.col("chunk_id").str.slice(1)).alias("chunk_id"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_a_run_itself_wrote_wrong_is_found(kind: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = project.published()
    rows_of = index.shaped
    edited(project)
    with monkeypatch.context() as patch:
        patch.setattr(index, "shaped", lambda *parts: rows_of(*parts).with_columns(WRONG[kind]))
        with pytest.raises(AuditFailed):
            project.refresh()
    found = last_audit(project)
    assert not found["passed"]
    assert f'"{kind}"' in found["findings"]
    # What readers see was never made of it, and the next run mends it.
    assert project.published() == before
    project.refresh()
    assert last_audit(project)["passed"]
    assert project.verify().findings == []


def test_maintenance_looks_at_everything_and_the_next_run_mends_what_it_finds(
    project: Project, texts_read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    edited(project)
    project.refresh()
    with project.workspace() as workspace:
        assert maintain(workspace).at_fault == []
    assert len(texts_read) == 1 + DOCUMENTS
    with monkeypatch.context() as patch, project.workspace() as workspace:
        patch.setattr(audit, "invalid_vectors", lambda names, _: names[:1])
        assert maintain(workspace).at_fault == ["small"]
    assert not last_audit(project)["passed"]
    project.refresh()
    assert last_audit(project)["passed"]
