"""One small project end to end: what a first build, an unchanged one and small changes do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rag_pipeline_tests.pipeline.project import Project

GUIDE = "# Guide\n\nHow to start the pump.\n\n## Rollback\n\nPull the red lever twice.\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    project.write("guide.md", GUIDE)
    project.write("note.txt", "The cellar key hangs behind the clock.\n")
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path, polled=True)


def test_a_first_build_publishes_what_the_source_holds(project: Project) -> None:
    texts = [row["embedded_text"] for row in project.published()]
    assert any("red lever" in text for text in texts)
    assert any("cellar key" in text for text in texts)
    assert project.verify().findings == []


def test_an_unchanged_run_computes_and_commits_nothing(project: Project) -> None:
    project.embedded.clear()
    assert project.refresh() == 0
    assert project.embedded == []


def test_an_edit_embeds_only_the_chunk_it_touched(project: Project) -> None:
    project.embedded.clear()
    project.write("guide.md", GUIDE.replace("twice", "three times"))
    project.refresh()
    assert len(project.embedded) == 1
    assert "three times" in project.embedded[0]
    assert project.published() == project.rebuilt()


def test_a_deleted_document_is_gone(project: Project) -> None:
    (project.folder / "docs" / "note.txt").unlink()
    project.refresh()
    assert not any("cellar" in row["embedded_text"] for row in project.published())
    assert project.verify().findings == []


def test_a_renamed_document_keeps_its_id_and_embeds_nothing(project: Project) -> None:
    before = project.search("cellar key", "public", mode="text")[0]
    project.embedded.clear()
    docs = project.folder / "docs"
    (docs / "note.txt").rename(docs / "keys.txt")
    project.refresh()
    after = project.search("cellar key", "public", mode="text")[0]
    assert (after.document_id, after.chunk_id) == (before.document_id, before.chunk_id)
    assert after.uri == "docs/keys.txt"
    assert project.embedded == []
    assert project.published() == project.rebuilt()


def test_a_copy_is_a_named_duplicate_and_takes_over_when_the_first_goes(project: Project) -> None:
    project.embedded.clear()
    project.write("a/copy.md", GUIDE)
    project.refresh()
    assert {row["uri"] for row in project.published()} == {"docs/a/copy.md", "docs/note.txt"}
    (project.folder / "docs" / "a" / "copy.md").unlink()
    project.refresh()
    assert {row["uri"] for row in project.published()} == {"docs/guide.md", "docs/note.txt"}
    assert project.embedded == []
    assert project.verify().findings == []


def test_a_permission_change_embeds_nothing_and_holds_at_once(project: Project) -> None:
    project.embedded.clear()
    project.settings["sources"]["docs"]["permission_rules"] = [
        {"pattern": "note.txt", "allowed_principals": ["keepers"]}
    ]
    project.refresh()
    assert not [hit for hit in project.search("cellar key", "public") if "cellar" in hit.text]
    assert project.search("cellar key", "keepers")[0].allowed_principals == ("keepers",)
    assert project.embedded == []
    assert project.published() == project.rebuilt()


def test_a_new_chunk_size_cuts_again_and_matches_a_rebuild(project: Project) -> None:
    project.settings["chunking"] = {"max_tokens": 24, "min_tokens": 0, "header_max_tokens": 8}
    project.refresh()
    assert project.published() == project.rebuilt()
    assert project.verify().findings == []


def test_a_source_taken_out_of_the_settings_leaves_nothing_behind(tmp_path: Path) -> None:
    project = Project.create(tmp_path, ["docs", "wiki"])
    project.write("a.txt", "One about bees.\n")
    project.write("b.txt", "One about wasps.\n", source="wiki")
    project.refresh()
    del project.settings["sources"]["wiki"]
    project.refresh()
    assert {row["source"] for row in project.published()} == {"docs"}
    assert project.verify().findings == []


def test_sizes_may_differ_by_source_and_media_type_and_cut_again_only_what_they_concern(tmp_path: Path) -> None:
    project = Project.create(tmp_path, ["docs", "wiki"])
    for name, source in (("a.md", "docs"), ("a.txt", "docs"), ("b.md", "wiki")):
        project.write(name, " ".join(f"Sentence {n} of {name} is here." for n in range(40)) + "\n", source=source)
    project.refresh()
    before = project.published()
    small = {"max_tokens": 32, "header_max_tokens": 8, "min_tokens": 0}
    project.settings["chunking"] = {"media_types": {"text/markdown": small}, "sources": {"wiki": {"max_tokens": 64}}}
    project.refresh()
    after = project.published()
    assert project.published() == project.rebuilt()

    def longest(rows: list[dict[str, Any]], uri: str) -> int:
        return max(row["token_count"] for row in rows if row["uri"] == uri)

    assert longest(after, "docs/a.md") <= 32 < longest(after, "wiki/b.md") <= 64 < longest(after, "docs/a.txt")
    assert [row for row in after if row["uri"] == "docs/a.txt"] == [r for r in before if r["uri"] == "docs/a.txt"]
