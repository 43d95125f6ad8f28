"""Patterns that match nothing are named, since what they were to close is open."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from rag_pipeline.contracts.sources import PermissionRule, SourceSpec
from rag_pipeline.sources import open_source
from rag_pipeline.sources.review import review
from rag_pipeline_tests.pipeline.project import Project


def rules(*patterns: str) -> tuple[PermissionRule, ...]:
    return tuple(PermissionRule(pattern, ("crew",)) for pattern in patterns)


@pytest.mark.parametrize("location", ["folder", "memory://watched"])
def test_what_matches_nothing_is_named_with_what_may_be_meant(tmp_path: Path, location: str) -> None:
    if location == "folder":
        location = str(tmp_path)
    memory = fsspec.filesystem("memory")
    for address in ("Crew/a.md", "{x}/b.md", "[q]/c.md", "deep/er/d.txt", "old/e.md", "gone.md.meta.yaml"):
        (tmp_path / address).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / address).write_text("{}", "utf-8")
        memory.pipe_file(f"/watched/{address}", b"{}")
    spec = SourceSpec(
        "x",
        location,
        include=("**/*.md", "*.txt", "**/*.pdf"),
        exclude=("old/**", "older/**"),
        permission_rules=rules("crew/**", "Crew", "[q]/*", "{x}/**", "old/**"),
    )
    source = open_source(spec)
    source.list()
    found = {(each.field, each.name): each.text for each in source.idle()}
    assert set(found) == {
        ("include", "*.txt"),
        ("include", "**/*.pdf"),
        ("exclude", "older/**"),
        ("permission_rules", "crew/**"),
        ("permission_rules", "Crew"),
        ("permission_rules", "[q]/*"),
        ("permission_rules", "old/**"),
        ("sidecar", "gone.md.meta.yaml"),
    }
    assert "another case" in found["permission_rules", "crew/**"]
    assert "Crew/**" in found["permission_rules", "Crew"]
    assert "[[]q]/*" in found["permission_rules", "[q]/*"]
    assert "**/*.txt" in found["include", "*.txt"]
    source.list()
    assert {(each.field, each.name) for each in source.idle()} == set(found)


def test_a_rule_that_never_decides_is_named_with_the_one_that_does(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    for address in ("pay/a.md", "pay/board/b.md", "open.md"):
        project.write(address, "# A")
    said = {"pattern": "**", "allowed_principals": ["public"]}
    closing = {"pattern": "pay/**", "allowed_principals": ["crew"]}
    board = {"pattern": "pay/board/**", "allowed_principals": ["board"]}
    docs = project.settings["sources"]["docs"]
    docs["permission_rules"] = [said, closing, board]
    assert [text.partition("rule for ")[2].partition(" decides")[0] for text in review(project.pipeline())] == [
        "pay/**",
        "pay/board/**",
    ]
    docs["permission_rules"] = [board, closing, said]
    assert review(project.pipeline()) == []
    # One that says the same closes as much.
    docs["permission_rules"] = [closing, board | {"allowed_principals": ["crew"]}, said]
    assert review(project.pipeline()) == []


def test_a_pipeline_in_which_all_is_used_has_nothing_to_review(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.write("a/b.md", "# B")
    project.settings["sources"]["docs"] |= {"location": ".", "include": ["docs/**"], "exclude": ["lake/**"]}
    (tmp_path / "lake").mkdir()
    assert review(project.pipeline()) == []


def test_sources_that_overlap_with_other_permissions_are_named(tmp_path: Path) -> None:
    project = Project.create(tmp_path, ["docs"])
    project.write("crew/pay.md", "# Pay")
    project.write("open.md", "# Open")
    project.settings["sources"]["crew"] = {"location": "docs/crew", "allowed_principals": ["crew"]}
    [said] = review(project.pipeline())
    assert "docs and crew both take crew/pay.md" in said
    project.settings["sources"]["docs"]["permission_rules"] = [{"pattern": "crew/*", "allowed_principals": ["crew"]}]
    assert review(project.pipeline()) == []
    del project.settings["sources"]["docs"]["permission_rules"]
    project.settings["sources"]["docs"]["exclude"] = ["crew/**"]
    assert review(project.pipeline()) == []


def test_buckets_that_overlap_are_named_without_being_asked(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    for name, place, reader in (("all", "s3://b/x", "public"), ("part", "s3://b/x/y", "hr"), ("other", "s3://c", "hr")):
        project.settings["sources"][name] = {"location": place, "allowed_principals": [reader]}
    [said] = review(project.pipeline())
    assert "sources all and part overlap" in said
