"""`config check` and `config schema`."""

from __future__ import annotations

import json
from pathlib import Path

from rag_pipeline_tests.cli.conftest import Ask, ask_in
from rag_pipeline_tests.pipeline.project import Project


def test_a_valid_pipeline_is_summed_up(ask: Ask) -> None:
    [record] = ask("config", "check", "--json").records
    assert record["valid"] is True
    assert record["sources"] == ["docs", "people"]
    assert record["embedding_models"] == ["small", "wide-2"]
    assert record["serve"] == "small"
    assert "is valid" in ask("config", "check").out


def test_an_unknown_key_is_refused_with_its_path(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.settings["sources"]["docs"]["locaton"] = "x"
    (tmp_path / "pipeline.yaml").write_text(json.dumps(project.settings), "utf-8")
    answer = ask_in(tmp_path, "config", "check")
    assert answer.code == 2
    assert "sources.docs.locaton" in answer.err


def test_an_environment_variable_that_is_missing_is_named(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.settings["sources"]["docs"]["storage_options"] = {"key": "$NOT_SET_ANYWHERE"}
    (tmp_path / "pipeline.yaml").write_text(json.dumps(project.settings), "utf-8")
    answer = ask_in(tmp_path, "config", "check")
    assert answer.code == 2
    assert "NOT_SET_ANYWHERE" in answer.err


def test_the_schema_is_json_and_needs_no_pipeline(tmp_path: Path) -> None:
    schema = json.loads(ask_in(tmp_path, "config", "schema").out)
    assert {"lake", "sources", "embedding_models", "serve"} <= set(schema["properties"])
