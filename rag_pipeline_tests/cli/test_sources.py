"""`rag-pipeline sources`: what the sources can tell, and trying one without the lake."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.pipeline.project import Project


def written(project: Project) -> None:
    (project.folder / "pipeline.yaml").write_text(json.dumps(project.settings), "utf-8")


def test_sources_are_listed_with_what_they_can_tell(tmp_path: Path) -> None:
    project = Project.create(tmp_path, ["docs", "hr"])
    written(project)
    rows = ask_in(tmp_path, "sources", "list", "--json").records
    assert [(row["source"], row["kind"], row["sees_deletions"]) for row in rows] == [
        ("docs", "files", True),
        ("hr", "files", True),
    ]
    out = ask_in(tmp_path, "sources", "list").out
    assert "deletions" in out
    assert "content" not in out


def test_a_source_is_tried_without_the_lake(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    for number in range(12):
        project.write(f"{number:02}.md", f"# Lamp {number}\n\nThe lamp of berth {number} burns.\n")
    written(project)
    rows = ask_in(tmp_path, "sources", "test", "docs", "--json").records
    assert [row["address"] for row in rows[:-1]] == [f"{number:02}.md" for number in range(10)]
    assert (rows[-1]["address"], rows[-1]["allowed_principals"]) == ("00.md", ["public"])
    assert "berth 0" in rows[-1]["chunks"][0][0]
    assert not (tmp_path / "lake").exists()
    shown = ask_in(tmp_path, "sources", "test", "docs", "--address", "11.md")
    assert "12 objects" in shown.out
    assert "berth 11" in shown.out


def test_a_refused_object_is_a_finding(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.write("broken.pdf", b"%PDF-1.4 and nothing more")
    written(project)
    result = ask_in(tmp_path, "sources", "test", "docs")
    assert result.code == 1
    assert "unparsable" in result.err
    assert ask_in(tmp_path, "sources", "test", "nobody").code == 2
    assert ask_in(tmp_path, "sources", "test", "docs", "--address", "x").code == 2


def test_a_broken_file_that_comes_first_is_named_and_the_next_is_shown(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.write("a.pdf", b"%PDF-1.4 and nothing more")
    project.write("b.md", "# Lamp\n\nThe lamp burns.\n")
    written(project)
    result = ask_in(tmp_path, "sources", "test", "docs")
    assert result.code == 0
    assert "a.pdf is refused (unparsable)" in result.err
    assert "The lamp burns" in result.out


def test_a_database_is_tried_and_a_missing_one_is_named(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    fields = {"kind": "sql", "location": "t.db", "query": "SELECT 7 AS id, 'Lamp' AS body", "key": ["id"]}
    project.settings["sources"]["docs"] = fields | {"text": ["body"], "allowed_principals": ["crew"]}
    written(project)
    assert "there is no database" in ask_in(tmp_path, "config", "check").err
    sqlite3.connect(tmp_path / "t.db").close()
    (tmp_path / "t.db").touch()
    assert ask_in(tmp_path, "config", "check").code == 0
    [row] = ask_in(tmp_path, "sources", "list", "--json").records
    assert (row["kind"], row["gives_permissions"]) == ("sql", True)
    [_, fetched] = ask_in(tmp_path, "sources", "test", "docs", "--json").records
    assert (fetched["address"], fetched["allowed_principals"], fetched["texts"]) == ("7", ["crew"], ["Lamp"])
