"""What a source wants redacted or refused from now on leaves readers before anything is parsed, and stays away."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.errors import LakeDamaged
from rag_pipeline.refresh import documents, exposed
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.publication import rollback
from rag_pipeline.refresh.revoke import revoke_now
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline_tests.faults.test_revoking import cut_files, lake, raising
from rag_pipeline_tests.pipeline.project import Project

KEY = "AKIAIOSFODNN7EXAMPLE"
CARD = "4111 1111 1111 1111"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.create(tmp_path, deduplication={"near": False}, boilerplate={"leave_out": False})
    project.write("key.md", f"# Key\n\nThe secret key is {KEY} and no other.\n")
    project.write("title.md", "---\nauthor: ada@example.org\n---\n# Author\n\nThe secret author writes.\n")
    project.write("lamp.md", "# Lamp\n\nA secret lamp stays where it is.\n")
    project.refresh()
    return project


def seen(project: Project, as_of: datetime | None = None) -> set[str]:
    """Names of the documents that the public finds."""
    with Searcher.open(project.pipeline()) as searcher:
        hits = searcher.search("secret", principals=["public"], mode="text", k=100, as_of=as_of)
    return {hit.uri.rpartition("/")[2] for hit in hits}


def texts(project: Project) -> str:
    with Searcher.open(project.pipeline()) as searcher:
        return " ".join(hit.text for hit in searcher.search("secret", principals=["public"], mode="text", k=100))


def wish(project: Project, wanted: str, **settings: object) -> None:
    project.settings["sources"]["docs"] |= {"sensitive": wanted, **settings}


@pytest.mark.parametrize("wanted", ["redact", "quarantine"])
@pytest.mark.parametrize("beside", ["nothing", "silver cut", "other settings", "a key in two chunks"])
def test_it_leaves_readers_before_anything_is_parsed(project: Project, wanted: str, beside: str) -> None:
    settings = {"max_document_bytes": 999_999} if beside == "other settings" else {}
    if beside == "a key in two chunks":
        project.settings["chunking"] = {"max_tokens": 16, "target_tokens": 12, "min_tokens": 1, "with_header": False}
        words = " ".join(f"secret{n}" for n in range(4))
        for shift in range(8):
            project.write(f"card{shift}.md", f"# Card\n\n{'secret ' * shift}{words} {CARD} {words}\n")
        project.refresh()
    if beside == "silver cut":
        cut_files(lake(project, "silver/documents"))
    wish(project, wanted, **settings)
    with project.workspace() as workspace:
        assert revoke_now(workspace).table_version is not None
        assert revoke_now(workspace).table_version is None
    assert seen(project) == {"lamp.md"}


def test_what_was_redacted_already_is_not_closed_for_another_recipe(project: Project) -> None:
    wish(project, "redact")
    project.refresh()
    assert seen(project) == {"key.md", "title.md", "lamp.md"}
    assert KEY not in texts(project)
    wish(project, "redact", max_document_bytes=999_999)
    with project.workspace() as workspace:
        assert revoke_now(workspace).table_version is None
    wish(project, "quarantine", max_document_bytes=999_999)
    with project.workspace() as workspace:
        assert revoke_now(workspace).table_version is None
    assert seen(project) == {"key.md", "title.md", "lamp.md"}


def test_a_person_who_stops_the_run_while_it_parses_leaves_nothing_to_read(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish(project, "redact")
    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(documents, "parsed_objects", raising(KeyboardInterrupt()))
        launch_refresh(project.pipeline())
    assert seen(project) == {"lamp.md"}
    project.refresh()
    assert seen(project) == {"key.md", "title.md", "lamp.md"}
    assert KEY not in texts(project)
    assert project.published() == project.rebuilt()


def test_texts_that_cannot_be_looked_at_hold_up_no_deletion(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    wish(project, "redact")
    (project.folder / "docs" / "lamp.md").unlink()
    with monkeypatch.context() as patch, project.workspace() as workspace:
        refresh_source(workspace, "docs", allow_mass_deletion=True)
        patch.setattr(exposed, "rows_with", raising(LakeDamaged("half of it")))
        revoke_now(workspace)
    assert seen(project) == set()
    project.refresh()
    assert seen(project) == {"key.md", "title.md"}
    assert KEY not in texts(project)


@pytest.mark.parametrize("kept_by", ["keep_last_good", "the deletion guard"])
def test_nothing_keeps_what_is_to_be_refused(project: Project, kept_by: str) -> None:
    for number in range(30):
        project.write(f"mail{number}.md", f"# Mail {number}\n\nThe secret mail {number} of eve{number}@example.org.\n")
    project.refresh()
    if kept_by == "keep_last_good":
        project.settings["quarantined_documents"] = "keep_last_good"
    wish(project, "quarantine")
    project.refresh()
    assert seen(project) == {"lamp.md"}
    assert project.refresh() == 0
    assert seen(project) == {"lamp.md"}
    assert project.verify().findings == []
    assert project.published() == project.rebuilt()


def test_no_document_that_cannot_be_parsed_any_more_keeps_what_is_to_be_redacted(project: Project) -> None:
    project.settings["quarantined_documents"] = "keep_last_good"
    wish(project, "redact", min_quality=1.0)
    project.refresh()
    assert seen(project) == {"lamp.md"}
    assert project.refresh() == 0


def test_neither_going_back_nor_an_earlier_time_shows_it_again(project: Project) -> None:
    before = datetime.now(UTC)
    wish(project, "redact")
    project.refresh()
    assert seen(project, before) == {"lamp.md"}
    with project.workspace() as workspace:
        rollback(workspace)
    assert seen(project) == {"lamp.md"}
