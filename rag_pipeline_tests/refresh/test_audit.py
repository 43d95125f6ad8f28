"""A run audits what it changed, and finds there what it always found; everything is looked at again in time."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from rag_pipeline.contracts.ids import text_hash
from rag_pipeline.contracts.log_rows import Audit
from rag_pipeline.errors import AuditFailed
from rag_pipeline.refresh import audit, index
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.embeddings import refresh_embeddings
from rag_pipeline.refresh.index import refresh_index
from rag_pipeline.refresh.maintenance import maintain
from rag_pipeline.refresh.revoke import revoke_now
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.pipeline.test_promises import tamper

DOCUMENTS = 12


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    for number in range(DOCUMENTS):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe lamp of house {number} is lit.\n")
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path)


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


def last_audit(project: Project) -> Audit:
    with project.workspace() as workspace:
        found = workspace.lake.last_audit(workspace.space("small").fingerprint)
    assert found is not None
    return found


def test_an_edit_has_its_own_rows_read(project: Project, texts_read: list[str]) -> None:
    edited(project)
    project.refresh()
    assert len(texts_read) == 1
    assert last_audit(project).passed


def test_what_others_did_to_the_table_has_all_of_it_read(project: Project, texts_read: list[str]) -> None:
    name = tamper(project, embedded_text=["Something else."])
    with project.workspace() as workspace:
        table = workspace.vectors.open_or_create(workspace.space("small"))
        [tampered] = table.read(["uri"], where=f"chunk_id = '{name}'")["uri"]
    edited(project, 4 if tampered.endswith("/3.md") else 3)
    project.refresh()
    assert len(texts_read) >= DOCUMENTS
    assert last_audit(project).repaired == 1
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
    assert not found.passed
    assert kind in found.findings
    # What readers see was never made of it, and the next run mends it.
    assert project.published() == before
    project.refresh()
    assert last_audit(project).passed
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
    assert not last_audit(project).passed
    project.refresh()
    assert last_audit(project).passed


def rows_written_wrong(patch: pytest.MonkeyPatch) -> None:
    """From here on a refresh writes other texts than silver holds."""
    rows_of = index.shaped
    patch.setattr(index, "shaped", lambda *parts: rows_of(*parts).with_columns(WRONG["content"]))


def unseen_fault(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers are shown a text that is not silver's, and the audit of it passed."""
    edited(project)
    with monkeypatch.context() as patch:
        rows_written_wrong(patch)
        patch.setattr(audit, "_unsound_rows", lambda *_: [])
        project.refresh()
    assert published_wrong(project) == 1


def published_wrong(project: Project) -> int:
    return [row["embedded_text"] for row in project.published()].count("Something else.")


@pytest.mark.parametrize("audits", ["failed", "lost"])
def test_a_revocation_vouches_for_no_row_that_an_audit_did_not(
    audits: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseen_fault(project, monkeypatch)
    if audits == "failed":
        with project.workspace() as workspace:
            assert maintain(workspace).at_fault == ["small"]
    else:
        shutil.rmtree(project.folder / "lake" / "gold" / "audits")
    for number in (5, 6):
        # A revocation upon a revocation, before any refresh of the index.
        (project.folder / "docs" / f"{number}.md").unlink()
        with project.workspace() as workspace:
            refresh_source(workspace, "docs", allow_mass_deletion=True)
            assert revoke_now(workspace).documents == 1
    project.refresh()
    assert last_audit(project).repaired == 1
    assert published_wrong(project) == 0
    assert project.verify().findings == []


def test_a_revocation_has_nothing_read_again_that_an_audit_passed(project: Project, texts_read: list[str]) -> None:
    for number in (5, 6):
        (project.folder / "docs" / f"{number}.md").unlink()
        with project.workspace() as workspace:
            refresh_source(workspace, "docs", allow_mass_deletion=True)
            assert revoke_now(workspace).documents == 1
    edited(project)
    project.refresh()
    assert len(texts_read) == 1
    assert last_audit(project).passed


def test_a_revocation_from_another_index_vouches_for_no_row_of_a_killed_refresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {n: {"kind": "hashing", "model": "hashing", "dimension": d} for n, d in (("small", 64), ("large", 96))}
    project = Project.create(tmp_path, embedding_models=models)
    for number in range(DOCUMENTS):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe lamp of house {number} is lit.\n")
    for alias in models:
        project.refresh(alias=alias)
    project.refresh(alias="small")
    edited(project)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        rows_written_wrong(patch)
        patch.setattr(index, "audit_table", killed)
        with pytest.raises(KeyboardInterrupt):
            project.refresh(alias="large")
    (project.folder / "docs" / "5.md").unlink()
    project.refresh(alias="small")
    with project.workspace() as workspace:
        refresh_embeddings(workspace, "large")
        report = refresh_index(workspace, "large")
        texts = workspace.vectors.open_or_create(workspace.space("large")).read(["embedded_text"])["embedded_text"]
    assert report.audit.passed
    assert report.audit.repaired == 1
    assert "Something else." not in texts.to_list()
