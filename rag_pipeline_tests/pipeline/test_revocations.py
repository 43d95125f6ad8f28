"""What is revoked leaves readers although embedding or evaluation fails, and never comes back by a rollback."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.defs.summary import RunSummary
from rag_pipeline.errors import (
    EmbeddingError,
    EvaluationBelowBaseline,
    IndexIncomplete,
    NothingPublished,
    SettingsError,
    TableMissing,
)
from rag_pipeline.refresh import embeddings
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.documents import refresh_documents
from rag_pipeline.refresh.evaluation import refresh_evaluation
from rag_pipeline.refresh.generations import aliases_behind, retire
from rag_pipeline.refresh.index import refresh_index, revoke
from rag_pipeline.refresh.publication import publish, publish_revocations, revocations_reach_readers, rollback
from rag_pipeline.refresh.status import is_behind, space_statuses
from rag_pipeline_tests.pipeline.project import Project

TWO = {name: {"kind": "hashing", "model": "hashing", "dimension": n} for name, n in (("small", 64), ("large", 96))}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"), embedding_models=TWO)
    project.write("salaries.md", "# Salaries\n\nThe secret salaries of the board.\n")
    project.write("menu.md", "# Menu\n\nThe secret menu of Monday.\n")
    project.write(
        "code.md", "# Code\n\nA secret word.\n\n## Door\n\nThe secret code is xyzzy.\n\n## Lamp\n\nA secret lamp.\n"
    )
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return built.copied(tmp_path / "project")


def revoke_much(project: Project) -> None:
    """A permission, a file and a section are revoked; a new file needs a vector."""
    project.write("salaries.md.meta.yaml", "allowed_principals: [hr]\n")
    (project.folder / "docs" / "menu.md").unlink()
    project.write("code.md", "# Code\n\nA secret word.\n\n## Lamp\n\nA secret lamp.\n")
    project.write("new.md", "# New\n\nA new secret.\n")


def fill(project: Project, *aliases: str, publishing: bool = True) -> None:
    with project.workspace() as workspace:
        refresh_silver(workspace)
        for alias in aliases:
            embeddings.refresh_embeddings(workspace, alias)
            refresh_index(workspace, alias)
        if publishing:
            publish(workspace)


def refresh_silver(workspace: Any) -> None:
    refresh_source(workspace, "docs", allow_mass_deletion=True)
    refresh_documents(workspace)
    refresh_chunks(workspace)


def seen(project: Project, *principals: str) -> set[str]:
    hits = project.search("secret", *(principals or ("public",)), mode="text", k=50)
    return {" ".join(hit.text.split()) for hit in hits}


def launched(project: Project) -> RunSummary:
    return launch_refresh(project.pipeline(), allow_mass_deletion=["docs"])


# embedding fails --------------------------------------------------------------------------------------------------


def test_a_run_that_cannot_embed_still_takes_from_readers_what_was_revoked(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoke_much(project)
    with monkeypatch.context() as patch:

        def down(*_: object) -> None:
            raise EmbeddingError("the endpoint is down")

        patch.setattr(embeddings, "_compute", down)
        summary = launched(project)
    assert not summary.success
    assert "the endpoint is down" in summary.errors[0]["message"]
    public = " ".join(seen(project))
    assert "A secret lamp" in public
    assert not any(word in public for word in ("salaries", "menu", "xyzzy", "new"))
    assert "salaries" in " ".join(seen(project, "hr"))
    report = project.verify()
    assert (report.ghosts, report.mismatched) == (0, 0)
    assert report.missing > 0
    with project.workspace() as workspace:
        assert is_behind(workspace)
        assert not next(space for space in space_statuses(workspace) if space.is_published).is_current
        audit = workspace.lake.audits()[-1]
        assert (audit.passed, audit.withheld) == (True, audit.missing)
    assert launched(project).success
    assert project.verify().findings == []
    assert project.published() == project.rebuilt()


def test_a_failure_with_nothing_revoked_leaves_readers_where_they_were(project: Project) -> None:
    before = project.published()
    project.write("new.md", "# New\n\nA new secret.\n")
    with project.workspace() as workspace:
        refresh_silver(workspace)
        commits = workspace.lake.commits
        assert revoke(workspace) is None
        assert publish_revocations(workspace) is None
        assert workspace.lake.commits == commits
    assert project.published() == before


def test_text_that_is_only_cut_differently_is_kept_until_its_vectors_are_there_with_the_permissions_of_now(
    project: Project,
) -> None:
    project.write("long.md", "# Long\n\n" + "\n\n".join(f"Paragraph {n} of a secret tale." for n in range(40)) + "\n")
    project.refresh()
    project.settings["chunking"] = {"max_tokens": 96}
    project.write("long.md.meta.yaml", "allowed_principals: [hr]\n")
    with project.workspace() as workspace:
        refresh_silver(workspace)
        report = publish_revocations(workspace)
        assert report is not None
        assert report.documents == 4
        audit = workspace.lake.last_audit(report.space_fingerprint)
        assert audit is not None
        assert audit.withheld > audit.missing > 0
        assert "rechunked" in audit.findings
    assert "salaries" in " ".join(seen(project))
    assert "tale" not in " ".join(seen(project))
    assert "tale" in " ".join(seen(project, "hr"))
    project.refresh()
    assert project.verify().findings == []


def test_while_a_new_model_cannot_embed_readers_of_the_old_one_lose_what_was_revoked(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.settings["serve"] = "large"
    revoke_much(project)

    def down(*_: object) -> None:
        raise EmbeddingError("the endpoint is down")

    monkeypatch.setattr(embeddings, "_compute", down)
    launched(project)
    assert not any(word in " ".join(seen(project)) for word in ("salaries", "menu", "xyzzy"))
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
    assert last is not None
    assert last.alias == "small"


def test_a_version_with_chunks_withheld_is_never_switched_to(project: Project) -> None:
    fill(project, "small", "large")
    with project.workspace() as workspace:
        publish(workspace, "large", by_hand=True)
    revoke_much(project)
    with project.workspace() as workspace:
        refresh_silver(workspace)
        report = publish_revocations(workspace)
        assert report is not None
        assert report.alias == "large"
    fill(project, "small", publishing=False)
    with project.workspace() as workspace:
        assert publish(workspace, "small", by_hand=True).moved
        assert aliases_behind(workspace) == ["large"]
        with pytest.raises(IndexIncomplete, match="run --model large"):
            publish(workspace, "large", by_hand=True)
        with pytest.raises(IndexIncomplete, match="run --model large"):
            rollback(workspace)


# evaluation fails -------------------------------------------------------------------------------------------------


def ask(project: Project, text: str | None = None) -> None:
    question = {
        "id": "q",
        "question": "lamp",
        "expected": [{"uri_suffix": "docs/code.md"}],
        "principals": ["public"],
    }
    (project.folder / "questions.jsonl").write_text(text or json.dumps(question), "utf-8")
    project.settings["evaluation"] = {"questions": ["questions.jsonl"], "mode": "text"}


def evaluate_and_publish(project: Project) -> None:
    with project.workspace() as workspace:
        refresh_silver(workspace)
        embeddings.refresh_embeddings(workspace, "small")
        refresh_index(workspace, "small")
        with revocations_reach_readers(workspace):
            refresh_evaluation(workspace)
        publish(workspace)


def test_removed_text_reaches_readers_in_a_version_that_searches_worse(project: Project) -> None:
    ask(project)
    evaluate_and_publish(project)
    project.write("code.md", "# Code\n\nA secret word.\n\n## Lamp\n\nA secret lamp.\n")
    project.write("lamp.md", "# Lamp\n\nlamp lamp lamp\n")
    evaluate_and_publish(project)
    assert "xyzzy" not in " ".join(seen(project))
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
    assert last is not None
    assert "1 chunks of others" in last.figures["published_below_baseline"]


def test_a_version_that_searches_worse_and_revokes_nothing_is_refused(project: Project) -> None:
    ask(project)
    evaluate_and_publish(project)
    project.write("lamp.md", "# Lamp\n\nlamp lamp lamp\n")
    with pytest.raises(EvaluationBelowBaseline):
        evaluate_and_publish(project)


@pytest.mark.parametrize("through_dagster", [True, False])
def test_broken_questions_hold_up_no_revocation(project: Project, through_dagster: bool) -> None:
    ask(project)
    evaluate_and_publish(project)
    ask(project, "{broken")
    revoke_much(project)
    if through_dagster:
        summary = launched(project)
        assert "questions.jsonl:1" in summary.errors[0]["message"]
    else:
        with pytest.raises(SettingsError, match=r"questions\.jsonl:1"):
            evaluate_and_publish(project)
    assert not any(word in " ".join(seen(project)) for word in ("salaries", "menu", "xyzzy"))


def test_broken_questions_hold_up_everything_else(project: Project) -> None:
    ask(project, "{broken")
    project.write("new.md", "# New\n\nA new secret.\n")
    with pytest.raises(EvaluationBelowBaseline, match=r"questions\.jsonl:1"):
        project.refresh()
    revoke_much(project)
    project.refresh()
    assert not any(word in " ".join(seen(project)) for word in ("salaries", "menu", "xyzzy"))


# going back -------------------------------------------------------------------------------------------------------


def test_going_back_to_another_model_leads_to_its_index_as_it_is_now(project: Project) -> None:
    project.settings["serve"] = "large"
    revoke_much(project)
    fill(project, "large", "small")
    with project.workspace() as workspace:
        report = rollback(workspace)
        assert (report.alias, report.is_held) == ("small", False)
    assert not any(word in " ".join(seen(project)) for word in ("salaries", "menu", "xyzzy"))
    assert "A new secret" in " ".join(seen(project))
    assert project.verify().findings == []
    with project.workspace() as workspace, pytest.raises(NothingPublished):
        rollback(workspace)


def test_going_back_to_another_model_that_is_behind_is_refused_with_the_command_to_type(project: Project) -> None:
    project.settings["serve"] = "large"
    revoke_much(project)
    fill(project, "large")
    before = project.published()
    with project.workspace() as workspace, pytest.raises(IndexIncomplete, match="rag-pipeline run --model small"):
        rollback(workspace)
    assert project.published() == before


def test_a_model_to_go_back_to_can_be_named_after_nights_of_the_new_one(project: Project) -> None:
    project.settings["serve"] = "large"
    fill(project, "large", "small")
    project.write("new.md", "# New\n\nA new secret.\n")
    fill(project, "large", "small")
    with project.workspace() as workspace:
        report = rollback(workspace, to="small")
        assert (report.alias, report.is_held) == ("small", False)
        with pytest.raises(NothingPublished, match="model other"):
            rollback(workspace, to="other")
    assert "A new secret" in " ".join(seen(project))


def test_a_version_of_an_index_that_was_made_again_is_not_gone_back_to(project: Project) -> None:
    fill(project, "large", publishing=False)
    with project.workspace() as workspace:
        publish(workspace, "large", by_hand=True)
    project.settings["serve"] = "large"
    with project.workspace() as workspace:
        retire(workspace, "small")
    for word in ("one", "two"):
        project.write(f"{word}.md", f"# {word}\n\nThe secret of {word}.\n")
        fill(project, "large", "small")
    with project.workspace() as workspace:
        publish(workspace, "small", by_hand=True)
        assert rollback(workspace).alias == "large"
        publish(workspace, "small", by_hand=True)
        with pytest.raises(TableMissing, match="made again"):
            rollback(workspace, to="small")


def test_a_version_made_again_with_the_same_number_is_not_gone_back_to(project: Project) -> None:
    fill(project, "large", publishing=False)
    with project.workspace() as workspace:
        publish(workspace, "large", by_hand=True)
    project.settings["serve"] = "large"
    with project.workspace() as workspace:
        retire(workspace, "small")
    fill(project, "small", publishing=False)
    project.write("one.md", "# one\n\nThe secret of one.\n")
    fill(project, "large", "small")
    with project.workspace() as workspace:
        audits = workspace.lake.audits()
        versions = [audit.table_version for audit in audits if audit.alias == "small"]
        assert versions == sorted(versions), "the versions fall, which tells that the table was made again"
        publish(workspace, "small", by_hand=True)
        with pytest.raises(TableMissing, match="made again"):
            rollback(workspace, to="small")


# clocks -----------------------------------------------------------------------------------------------------------


def test_a_clock_that_steps_back_holds_nothing_up(project: Project) -> None:
    revoke_much(project)
    with project.workspace() as workspace:
        workspace.now = lambda: datetime.now(UTC) - timedelta(days=1)
        refresh_silver(workspace)
        embeddings.refresh_embeddings(workspace, "small")
        refresh_index(workspace, "small")
        assert publish(workspace).moved
    assert project.published() == project.rebuilt()
