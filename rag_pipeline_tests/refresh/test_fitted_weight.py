"""The weight of the vector retriever is fitted on the configured questions, recorded and served until switched off."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.refresh.publication import publish
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.refresh.test_evaluation import ask, build, question

QUESTIONS = 50


def figures(project: Project) -> Mapping[str, Any]:
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
    assert last is not None
    return last.figures


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Each question holds a rare word: words lead to the page that repeats it, vectors to the page that answers."""
    project = Project.create(tmp_path, deduplication={"near": False})
    project.settings["embedding_models"]["small"]["dimension"] = 256
    for n in range(QUESTIONS):
        project.write(f"{n}.md", f"hill{n} village town\n")
        project.write(f"other-{n}.md", f"{f'rare{n} ' * 7}\n")
    asked = [
        question(n, question=f"hill{n} village town rare{n}", expected=[{"uri_suffix": f"docs/{n}.md"}])
        for n in range(QUESTIONS)
    ]
    ask(project, *asked)
    return project


def test_it_is_recorded_with_the_publication_and_served_until_it_is_switched_off(project: Project) -> None:
    report = build(project)
    assert report is not None
    with project.workspace() as workspace:
        publish(workspace)
    found = figures(project)
    assert found["fit"]["questions"] == QUESTIONS
    assert found["recipe"]["vector_scale"] == found["fit"]["scale"] != 1
    assert found["fit"]["chance"] < 0.05
    assert report.evaluation is not None
    assert report.computed == 2
    hybrid = Searcher.open(project.pipeline()).search("hill7 village town rare31", principals=["public"], k=3)
    unchanged = build(project)
    assert unchanged is not None
    assert (unchanged.computed, unchanged.commits) == (0, 0)
    with project.workspace() as workspace:
        assert not publish(workspace).moved
    project.settings["evaluation"]["fit_weight"] = False
    build(project)
    with project.workspace() as workspace:
        assert publish(workspace).moved
    assert "recipe" not in figures(project)
    assert "fit" not in figures(project)
    plain = Searcher.open(project.pipeline()).search("hill7 village town rare31", principals=["public"], k=3)
    assert plain[0].vector_weight != hybrid[0].vector_weight
