"""Several embedding spaces side by side: built beside the served one, switched, gone back to, retired."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rag_pipeline.errors import (
    AuditFailed,
    EmbeddingSpaceMismatch,
    IndexIncomplete,
    NothingPublished,
    TableMissing,
    UsageError,
)
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.documents import refresh_documents
from rag_pipeline.refresh.embeddings import refresh_embeddings
from rag_pipeline.refresh.generations import aliases_behind, is_held, living_aliases, retire, served_alias
from rag_pipeline.refresh.index import refresh_index
from rag_pipeline.refresh.publication import publish, rollback
from rag_pipeline.refresh.status import read_status, space_statuses
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline_tests.pipeline.project import Project


def hashing(dimension: int) -> dict[str, object]:
    return {"kind": "hashing", "model": "hashing", "dimension": dimension}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(
        tmp_path_factory.mktemp("built"), embedding_models={"small": hashing(64), "large": hashing(128)}
    )
    for number in range(12):
        project.write(f"doc{number}.md", f"# Document {number}\n\nLantern number {number} hangs in hall {number}.\n")
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path)


def build(project: Project, alias: str) -> None:
    with project.workspace() as workspace:
        refresh_embeddings(workspace, alias)
        refresh_index(workspace, alias)


def test_a_model_is_built_beside_the_served_one_switched_to_and_back_without_embedding_again(
    project: Project,
) -> None:
    project.embedded.clear()
    build(project, "large")
    assert len(project.embedded) == 12
    assert project.search("lantern", "public")[0] is not None
    with project.workspace() as workspace:
        assert served_alias(workspace) == "small"
        assert living_aliases(workspace) == ["small", "large"]
        assert publish(workspace, "large", by_hand=True).moved
        assert served_alias(workspace) == "large"
    project.refresh(alias="large")
    with project.workspace() as workspace:
        assert rollback(workspace).alias == "small"
        assert served_alias(workspace) == "small"
    project.refresh()
    assert len(project.embedded) == 12
    assert project.verify().findings == []


def test_readers_notice_a_model_change_by_nothing(project: Project) -> None:
    searcher = Searcher.open(project.pipeline())
    stop = threading.Event()
    faults: list[BaseException] = []
    counts: set[int] = set()

    def poll() -> None:
        try:
            while not stop.is_set():
                counts.add(len(searcher.search("lantern hall", principals={"public"}, k=50)))
                stop.wait(0.02)
        except BaseException as error:
            faults.append(error)

    reader = threading.Thread(target=poll)
    reader.start()
    build(project, "large")
    with project.workspace() as workspace:
        publish(workspace, "large", by_hand=True)
    stop.wait(1.5)
    with project.workspace() as workspace:
        rollback(workspace)
    stop.wait(1.5)
    stop.set()
    reader.join()
    assert not faults
    assert counts == {12}


def test_a_living_model_that_falls_behind_is_named_and_not_published(project: Project) -> None:
    build(project, "large")
    project.write("doc3.md", "# Document 3\n\nThis lantern is broken.\n")
    project.refresh()
    with project.workspace() as workspace:
        assert aliases_behind(workspace) == ["large"]
        with pytest.raises(IndexIncomplete, match="--model large"):
            publish(workspace, "large", by_hand=True)
    build(project, "large")
    with project.workspace() as workspace:
        assert aliases_behind(workspace) == []
        assert publish(workspace, "large", by_hand=True).moved


def test_a_model_that_was_never_built_is_not_published(project: Project) -> None:
    with project.workspace() as workspace, pytest.raises(AuditFailed, match="not been audited"):
        publish(workspace, "large", by_hand=True)


def test_going_back_to_an_older_version_holds_until_a_person_publishes(project: Project) -> None:
    project.write("doc3.md", "# Document 3\n\nThis lantern is broken.\n")
    project.refresh()
    with project.workspace() as workspace:
        rollback(workspace, note="doc3 is wrong")
    assert not any("broken" in row["embedded_text"] for row in project.published())
    project.write("doc4.md", "# Document 4\n\nThis one is mended.\n")
    project.refresh()
    assert not any("mended" in row["embedded_text"] for row in project.published())
    with project.workspace() as workspace:
        assert publish(workspace, "small", by_hand=True).moved
    assert any("mended" in row["embedded_text"] for row in project.published())
    project.write("doc5.md", "# Document 5\n\nThis one follows.\n")
    project.refresh()
    assert any("follows" in row["embedded_text"] for row in project.published())


def open_doc6_to(project: Project, *principals: str) -> None:
    rule = {"pattern": "doc6.md", "allowed_principals": list(principals)}
    project.settings["sources"]["docs"]["permission_rules"] = [rule]


def closed_and_deleted(project: Project) -> None:
    (project.folder / "docs" / "doc5.md").unlink()
    open_doc6_to(project, "staff")


def seen_by(project: Project, principal: str) -> set[str]:
    return {hit.uri for hit in project.search("lantern", principal, k=50)}


def test_going_back_brings_back_nothing_that_was_revoked_since(project: Project) -> None:
    open_doc6_to(project, "public", "staff")
    project.refresh()
    project.write("doc3.md", "# Document 3\n\nThis lantern is broken.\n")
    project.refresh()
    closed_and_deleted(project)
    project.refresh()
    project.write("doc4.md", "# Document 4\n\nThis lantern is worse.\n")
    project.refresh()
    for _ in range(3):
        with project.workspace() as workspace:
            assert rollback(workspace).is_held
        assert not {"docs/doc5.md", "docs/doc6.md"} & seen_by(project, "public")
        assert "docs/doc6.md" in seen_by(project, "staff")
        assert "docs/doc5.md" not in seen_by(project, "staff")
    assert not any("broken" in row["embedded_text"] for row in project.published())


def test_what_is_revoked_while_readers_are_held_leaves_them_and_they_stay_held(project: Project) -> None:
    open_doc6_to(project, "public", "staff")
    project.refresh()
    project.write("doc3.md", "# Document 3\n\nThis lantern is broken.\n")
    project.refresh()
    with project.workspace() as workspace:
        rollback(workspace)
    closed_and_deleted(project)
    project.refresh()
    assert not {"docs/doc5.md", "docs/doc6.md"} & seen_by(project, "public")
    assert "docs/doc6.md" in seen_by(project, "staff")
    assert not any("broken" in row["embedded_text"] for row in project.published())
    with project.workspace() as workspace:
        assert is_held(workspace)
        assert publish(workspace, "small", by_hand=True).moved
    assert any("broken" in row["embedded_text"] for row in project.published())
    assert project.published() == project.rebuilt()
    assert project.verify().findings == []


def test_what_is_served_cannot_be_retired_and_what_is_not_can(project: Project) -> None:
    build(project, "large")
    with project.workspace() as workspace:
        with pytest.raises(UsageError, match="readers are pointed to"):
            retire(workspace, "small")
        dropped = retire(workspace, "large")
        assert living_aliases(workspace) == ["small"]
        with pytest.raises(TableMissing):
            workspace.vectors.open(dropped.table_name, dropped.space_fingerprint)
    project.embedded.clear()
    build(project, "large")
    assert project.embedded == []


def test_a_retired_model_is_not_published_into_an_outage(project: Project) -> None:
    build(project, "large")
    before = project.published()
    with project.workspace() as workspace:
        retire(workspace, "large")
        with pytest.raises(TableMissing, match="run --model large"):
            publish(workspace, "large", by_hand=True)
        assert [(s.alias, s.is_current, bool(s.index_problem)) for s in space_statuses(workspace)] == [
            ("small", True, False),
            ("large", False, True),
        ]
        status = read_status(workspace)
        assert status.published_problem == ""
    assert project.published() == before
    assert project.search("lantern", "public")
    assert project.verify().findings == []


def test_a_lost_index_is_said_and_is_not_what_readers_see_already(project: Project) -> None:
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
        assert last is not None
        workspace.vectors.drop(last.table_name)
        assert read_status(workspace).published_problem
        with pytest.raises(TableMissing, match="cannot be searched any more"):
            publish(workspace, "small", by_hand=True)
    (found,) = project.verify().findings
    assert (found["code"], found["kind"], found["count"]) == ("published_index_not_there", "missing", last.rows)


def test_changing_serve_in_the_settings_wins_over_an_earlier_choice_by_hand(project: Project) -> None:
    build(project, "large")
    with project.workspace() as workspace:
        publish(workspace, "large", by_hand=True)
    project.settings["embedding_models"]["third"] = hashing(32)
    project.settings["serve"] = "third"
    with project.workspace() as workspace:
        assert served_alias(workspace) == "third"


def test_an_alias_whose_model_changed_is_refused(project: Project) -> None:
    project.settings["embedding_models"]["small"] = hashing(96)
    with pytest.raises(EmbeddingSpaceMismatch, match="new alias"):
        project.refresh()
    assert len(project.published()) == 12


def test_the_first_publication_cannot_be_rolled_back(project: Project) -> None:
    with project.workspace() as workspace, pytest.raises(NothingPublished, match="earlier"):
        rollback(workspace)


def test_while_a_new_model_is_refused_readers_of_the_old_one_miss_nothing(project: Project) -> None:
    project.settings["serve"] = "large"
    (project.folder / "docs" / "doc3.md").unlink()
    project.settings["sources"]["docs"]["permission_rules"] = [{"pattern": "doc4.md", "allowed_principals": ["staff"]}]
    with project.workspace() as workspace:
        refresh_source(workspace, "docs")
        refresh_documents(workspace)
        refresh_chunks(workspace)
    build(project, "small")
    with project.workspace() as workspace:
        assert served_alias(workspace) == "large"
        with pytest.raises(AuditFailed, match="large"):
            publish(workspace)
        assert served_alias(workspace) == "large"
    seen = {hit.uri for hit in project.search("lantern", "public", k=50)}
    assert seen == {f"docs/doc{number}.md" for number in range(12) if number not in (3, 4)}


def test_going_back_twice_goes_back_two_steps(project: Project) -> None:
    for word in ("broken", "mended"):
        project.write("doc3.md", f"# Document 3\n\nThis lantern is {word}.\n")
        project.refresh()
    versions = []
    with project.workspace() as workspace:
        for _ in range(2):
            report = rollback(workspace)
            assert report.is_held
            versions.append(report.table_version)
    assert versions == sorted(versions, reverse=True)
    assert not any("broken" in row["embedded_text"] or "mended" in row["embedded_text"] for row in project.published())


def test_a_retired_index_cannot_be_gone_back_to(project: Project) -> None:
    build(project, "large")
    with project.workspace() as workspace:
        publish(workspace, "large", by_hand=True)
        rollback(workspace)
        retire(workspace, "large")
        publish(workspace, "small", by_hand=True)
    before = project.published()
    with project.workspace() as workspace, pytest.raises((TableMissing, NothingPublished)):
        rollback(workspace)
    assert project.published() == before
