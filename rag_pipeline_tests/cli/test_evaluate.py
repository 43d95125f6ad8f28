"""`rag-pipeline eval`: figures, two sides, and the gate for CI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.documents import refresh_documents
from rag_pipeline.refresh.embeddings import refresh_embeddings
from rag_pipeline.refresh.index import refresh_index
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.pipeline.project import Project

QUESTIONS = [
    {"id": "stop", "question": "how do I stop the pump?", "expected": [{"uri_suffix": "docs/guide.md"}]},
    {"id": "lever", "question": "which lever?", "expected": [{"uri_suffix": "guide.md", "quote": "red lever"}]},
    {"id": "pay", "question": "what does a pump keeper earn?", "expected": []},
]


@pytest.fixture
def project(published: Project, tmp_path: Path) -> Project:
    project = published.copied(tmp_path)
    lines = (json.dumps(question | {"principals": ["public"]}) for question in QUESTIONS)
    (tmp_path / "questions.jsonl").write_text("\n".join(lines), "utf-8")
    project.settings["evaluation"] = {"questions": ["questions.jsonl"]}
    project.pipeline()
    return project


def test_figures_are_printed_for_people_and_as_one_object(project: Project) -> None:
    shown = ask_in(project.folder, "eval")
    assert shown.code == 0
    assert "Span nDCG" in shown.out
    answer = ask_in(project.folder, "eval", "--json")
    (record,) = answer.records
    assert (record["alias"], record["scored"], record["leaks"], record["recall"]) == ("small", 2, 0, 1.0)
    assert {result["mode"] for result in record["results"]} == {"hybrid", "vector", "text"}


def test_an_equal_baseline_passes_and_a_better_one_does_not(project: Project) -> None:
    path = project.folder / "baseline.json"
    path.write_text(ask_in(project.folder, "eval", "--json").out, "utf-8")
    assert ask_in(project.folder, "eval", "--baseline", str(path)).code == 0
    # The step of docs/ for CI says nothing where nothing fell.
    gate = ("eval", "--ci", "--baseline", str(path))
    same = ask_in(project.folder, *gate)
    assert (same.code, same.out) == (0, "")
    project.write("guide.md", "# Running the pump\n\nNothing to see. The red lever is gone.\n")
    for number in range(12):
        project.write(f"stop{number}.md", f"# Stop the pump {number}\n\nStop the pump at once, crew {number}.\n")
    project.write("last.md", "# Lever\n\nWhich lever? This lever.\n")
    build(project)
    failed = ask_in(project.folder, "eval", "--baseline", str(path))
    assert failed.code == 1
    assert "nDCG@10 fell by" in failed.err
    assert ask_in(project.folder, *gate).code == 1
    assert ask_in(project.folder, *gate, "--tolerance", "1").code == 0


def build(project: Project) -> None:
    """A new audited version that is not published."""
    published = dict(project.settings)
    del project.settings["evaluation"]
    project.refresh()
    project.settings.update(published)
    project.pipeline()


def test_a_worse_model_is_published_only_by_an_override_with_a_reason(project: Project) -> None:
    ask_in(project.folder, "eval")
    for number in range(12):
        project.write(f"stop{number}.md", f"# Stop the pump {number}\n\nStop the pump at once, crew {number}.\n")
    project.write("guide.md", "# Running it\n\nPull the red lever.\n")
    with project.workspace() as workspace:
        refresh_source(workspace, "docs")
        refresh_documents(workspace)
        refresh_chunks(workspace)
        refresh_embeddings(workspace, "small")
        refresh_index(workspace, "small")
    refused = ask_in(project.folder, "models", "publish", "small")
    assert (refused.code, "has not been evaluated" in refused.err) == (1, True)
    ask_in(project.folder, "eval")
    refused = ask_in(project.folder, "models", "publish", "small")
    assert (refused.code, "nDCG@10 fell by" in refused.err) == (1, True)
    assert ask_in(project.folder, "models", "publish", "small", "--override-gate").code == 2
    assert ask_in(project.folder, "models", "publish", "small", "--override-gate", "--note", "agreed").code == 0


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"results": [{}]}'])
def test_what_is_no_baseline_is_refused(project: Project, content: str) -> None:
    path = project.folder / "baseline.json"
    path.write_text(content, "utf-8")
    answer = ask_in(project.folder, "eval", "--baseline", str(path))
    assert answer.code == 2
    assert "is not a baseline" in answer.err


def test_two_models_are_set_side_by_side(project: Project) -> None:
    answer = ask_in(project.folder, "eval", "--compare", "small", "small")
    assert answer.code == 0
    assert "0 better, 0 worse, 2 the same" in answer.err
    name = ask_in(project.folder, "eval", "--json").records[0]["evaluation_id"]
    record = ask_in(project.folder, "eval", "--json", "--compare", name[:8], "small").records[0]
    assert [each["mode"] for each in record["comparisons"]] == ["hybrid", "vector", "text"]
    assert ask_in(project.folder, "eval", "--compare", "small", "nobody").code == 2
    assert ask_in(project.folder, "eval", "--compare", "small", "small", "--model", "small").code == 2


def test_without_questions_it_says_what_to_do(project: Project) -> None:
    del project.settings["evaluation"]
    project.pipeline()
    answer = ask_in(project.folder, "eval")
    assert answer.code == 2
    assert "evaluation.questions" in answer.err
    given = project.folder / "questions.jsonl"
    assert ask_in(project.folder, "eval", "--questions", str(given)).code == 0
