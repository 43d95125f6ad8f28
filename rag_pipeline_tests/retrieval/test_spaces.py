"""The index of another embedding model is searched beside the published one, and shows no more than that one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rag_pipeline import Searcher
from rag_pipeline.errors import BadQuery
from rag_pipeline.refresh.embeddings import refresh_embeddings
from rag_pipeline.refresh.everything import refresh_layers
from rag_pipeline.refresh.index import refresh_index
from rag_pipeline.refresh.publication import publish
from rag_pipeline.refresh.unsettled import finish_revocations
from rag_pipeline.retrieval.search import MODES
from rag_pipeline_tests.pipeline.project import Project

ASKED = "which lantern hangs in hall 3"


def hashing(dimension: int) -> dict[str, object]:
    return {"kind": "hashing", "model": "hashing", "dimension": dimension}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """`small` is published, `large` built beside it, and of `bare` there is no index."""
    project = Project.create(
        tmp_path_factory.mktemp("spaces"),
        embedding_models={"small": hashing(64), "large": hashing(128), "bare": hashing(32)},
    )
    for number in range(8):
        readers = "[staff]" if number % 2 else "[public]"
        body = f"# Document {number}\n\nLantern number {number} hangs in hall {number}.\n"
        project.write(f"doc{number}.md", f"---\nallowed_principals: {readers}\n---\n{body}")
    project.refresh()
    with project.workspace() as workspace:
        refresh_embeddings(workspace, "large")
        refresh_index(workspace, "large")
    return project


def test_what_is_found_is_what_would_be_found_if_it_were_published(built: Project, tmp_path: Path) -> None:
    with Searcher.open(built.pipeline()) as searcher:
        assert searcher.spaces() == ["large", "small"]
        beside = searcher.search(ASKED, principals=["staff"], space="large")
        own = searcher.search(ASKED, principals=["staff"], space="small")
        assert own == searcher.search(ASKED, principals=["staff"])
        why = searcher.explain(ASKED, principals=["staff"], document="doc3.md", space="large")
    project = built.copied(tmp_path)
    with project.workspace() as workspace:
        publish(workspace, "large", by_hand=True)
    with Searcher.open(project.pipeline()) as searcher:
        published = searcher.search(ASKED, principals=["staff"])
    assert [(hit.chunk_id, hit.vector_distance) for hit in beside] == [
        (hit.chunk_id, hit.vector_distance) for hit in published
    ]
    assert [hit.vector_distance for hit in beside] != [hit.vector_distance for hit in own]
    assert list(why.hits) == beside
    assert why.documents[0].reason == "hit"


def test_an_index_that_is_behind_shows_nothing_that_is_not_published_now(built: Project, tmp_path: Path) -> None:
    project = built.copied(tmp_path)
    project.write("doc0.md", "# Document 0\n\nThe first lantern went out.\n")
    (project.folder / "docs" / "doc2.md").unlink()
    project.write(
        "doc4.md", "---\nallowed_principals: [staff]\n---\n# Document 4\n\nLantern number 4 hangs in hall 4.\n"
    )
    project.refresh()
    with Searcher.open(project.pipeline()) as searcher:
        for mode in ("vector", "text", "hybrid"):
            hits = searcher.search("lantern", principals=["public"], k=50, mode=mode, space="large")
            assert {hit.uri.rpartition("/")[2] for hit in hits} == {"doc6.md"}, mode
        staff = searcher.search("lantern", principals=["staff"], k=50, space="large")
        why = searcher.explain("lantern", principals=["public"], document="doc4.md", space="large")
        unknown = searcher.explain("lantern", principals=["public"], document="doc9.md", space="large")
    names = {hit.uri.rpartition("/")[2]: hit for hit in staff}
    assert names.keys() == {"doc1.md", "doc3.md", "doc5.md", "doc6.md", "doc7.md"}
    assert names["doc1.md"].allowed_principals == ("staff",)
    assert [each.reason for each in why.documents] == [each.reason for each in unknown.documents]


def test_no_text_is_found_beside_that_was_closed_by_itself(built: Project, tmp_path: Path) -> None:
    project = built.copied(tmp_path)
    head = "---\nallowed_principals: [public]\n---\n"
    kept = "# Lanterns\n\n" + "Lantern one hangs in hall one and shines all night long. " * 40 + "\n\n"
    project.write("vault.md", f"{head}{kept}# Vault\n\nThe password of the lantern vault is swordfish.\n")
    project.refresh()
    with project.workspace() as workspace:
        refresh_embeddings(workspace, "large")
        refresh_index(workspace, "large")
    project.write("vault.md", head + kept)

    def found(space: str) -> list[str]:
        with Searcher.open(project.pipeline()) as searcher:
            asked = "password of the lantern vault"
            hits = [
                hit
                for mode in MODES
                for hit in searcher.search(asked, principals=["public"], k=50, mode=mode, space=space)
            ]
        return [hit.text for hit in hits if hit.uri.endswith("vault.md")]

    assert any("swordfish" in text for text in found("large"))
    with project.workspace() as workspace:
        # A run that took the text in and then failed: what has left it is closed, and all else of it stays.
        refresh_layers(workspace)
        assert not finish_revocations(workspace)
    assert found("small")
    assert not [text for text in found("small") + found("large") if "swordfish" in text]


def test_nothing_is_told_beside_that_is_said_otherwise_now(built: Project, tmp_path: Path) -> None:
    project = built.copied(tmp_path)
    docs = project.folder / "docs"
    (docs / "doc0.md").rename(docs / "renamed.md")
    body = "\n# Document 2\n\nLantern number 2 hangs in hall 2.\n"
    project.write("doc2.md", f"---\nallowed_principals: [public]\nauthor: Ada\n---{body}")
    project.refresh()
    with Searcher.open(project.pipeline()) as searcher:
        now = searcher.search("lantern", principals=["public"], k=50)
        assert {hit.uri.rpartition("/")[2] for hit in now} == {"renamed.md", "doc2.md", "doc4.md", "doc6.md"}
        for mode in MODES:
            hits = searcher.search("lantern", principals=["public"], k=50, mode=mode, space="large")
            assert {hit.uri.rpartition("/")[2] for hit in hits} == {"doc4.md", "doc6.md"}, mode


def test_what_cannot_be_searched_is_said(built: Project) -> None:
    with Searcher.open(built.pipeline()) as searcher:
        for name in ("bare", "nowhere"):
            with pytest.raises(BadQuery, match=rf"model '{name}'.*large, small"):
                searcher.search(ASKED, principals=["public"], space=name)
        with pytest.raises(BadQuery, match="leave out space or as_of"):
            searcher.search(ASKED, principals=["public"], space="large", as_of=datetime.now(UTC))
        with pytest.raises(BadQuery, match="at least one name"):
            searcher.search(ASKED, principals=[], space="large")
    with Searcher.open(built.pipeline().lake_root) as searcher:
        assert searcher.spaces() == []
        with pytest.raises(BadQuery, match=r"pipeline\.yaml"):
            searcher.search(ASKED, principals=["public"], space="large")
