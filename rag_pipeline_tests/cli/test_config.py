"""`config check` and `config schema`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag_pipeline_tests.cli.conftest import Ask, ask_in
from rag_pipeline_tests.embedding.cross_models import make_cross_encoder
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


def test_places_that_are_not_there_are_named_with_their_fields(tmp_path: Path) -> None:
    project = Project.create(tmp_path, sources=("docs", "gone", "file"))
    (tmp_path / "gone").rmdir()
    (tmp_path / "file").rmdir()
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "empty").mkdir()
    project.settings["sources"]["bucket"] = {"location": "memory://nobody/there"}
    project.settings["sources"]["odd"] = {"location": "zip://*.md::nothing://amy:b0at@host"}
    project.settings["embedding_models"] |= {
        "away": {"model": "some/model", "folder": "weights/nowhere"},
        "empty": {"model": "some/model", "folder": "empty"},
        "path": {"model": "./neither", "kind": "static"},
    }
    project.settings["evaluation"] = {"questions": ["questions.jsonl"]}
    project.settings["rerank"] = {"model": "some/reranker", "folder": "empty"}
    (tmp_path / "pipeline.yaml").write_text(json.dumps(project.settings), "utf-8")
    answer = ask_in(tmp_path, "config", "check", "--json")
    assert answer.code == 1
    [record] = answer.records
    assert [missing["field"] for missing in record["missing"]] == [
        "sources.gone.location",
        "sources.file.location",
        "sources.odd.location",
        "embedding_models.away.folder",
        "embedding_models.empty.folder",
        "embedding_models.path.model",
        "rerank.folder",
        "evaluation.questions.0",
    ]
    shown = ask_in(tmp_path, "config", "check")
    assert shown.code == 1
    for missing in record["missing"]:
        assert f"{missing['field']}: " in shown.err
    assert "nothing://" in shown.err
    assert "b0at" not in shown.err
    assert str(tmp_path / "gone") in shown.err


def test_what_a_first_run_would_stumble_over_is_said_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    project = Project.create(tmp_path)
    project.settings["embedding_models"]["away"] = {"model": "nobody/such-model"}
    del project.settings["sources"]["docs"]["allowed_principals"]
    (tmp_path / "pipeline.yaml").write_text(json.dumps(project.settings), "utf-8")
    answer = ask_in(tmp_path, "config", "check", "--json")
    assert answer.code == 1
    [record] = answer.records
    [missing] = record["missing"]
    assert missing["field"] == "embedding_models.away.model"
    assert "nobody/such-model) were not found. Looked at: model hub" in missing["problem"]
    [warning] = record["warnings"]
    assert "nobody finds a document that does not name its readers itself" in warning


def test_a_reranker_is_opened_and_what_is_wrong_in_its_folder_is_said(tmp_path: Path) -> None:
    project = Project.create(tmp_path, cache="cache")
    make_cross_encoder(tmp_path / "reranker")
    project.settings["rerank"] = {"model": "tiny", "folder": "reranker"}
    (tmp_path / "pipeline.yaml").write_text(json.dumps(project.settings), "utf-8")
    assert ask_in(tmp_path, "config", "check").code == 0
    make_cross_encoder(tmp_path / "other", model_type="deberta-v2")
    project.settings["rerank"]["folder"] = "other"
    (tmp_path / "pipeline.yaml").write_text(json.dumps(project.settings), "utf-8")
    answer = ask_in(tmp_path, "config", "check")
    assert answer.code == 1
    assert "rerank.folder" in answer.err
    assert "models of type deberta-v2" in " ".join(answer.err.split())
    # The same folder is no model of token vectors, and only one of the two orders the hits.
    project.settings["late_interaction"] = {"model": "tiny", "folder": "reranker"}
    (tmp_path / "pipeline.yaml").write_text(json.dumps(project.settings), "utf-8")
    assert "one of the two may order the hits" in " ".join(ask_in(tmp_path, "config", "check").err.split())
    del project.settings["rerank"]
    (tmp_path / "pipeline.yaml").write_text(json.dumps(project.settings), "utf-8")
    assert "late_interaction.folder" in ask_in(tmp_path, "config", "check").err


def test_places_that_are_there_are_no_finding(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text("{}")
    project.settings["embedding_models"]["there"] = {"model": "some/model", "folder": "weights"}
    (tmp_path / "pipeline.yaml").write_text(json.dumps(project.settings), "utf-8")
    answer = ask_in(tmp_path, "config", "check", "--json")
    assert answer.code == 0
    assert answer.records[0]["missing"] == []


def test_the_schema_is_json_and_needs_no_pipeline(tmp_path: Path) -> None:
    schema = json.loads(ask_in(tmp_path, "config", "schema").out)
    assert {"lake", "sources", "embedding_models", "serve"} <= set(schema["properties"])
