"""Between two evaluations: documents that changed explain what moved, and what nothing explains is named."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from rag_pipeline.contracts.evaluation import QUESTION_RESULTS
from rag_pipeline.refresh.evaluation import evaluation_history
from rag_pipeline.refresh.moved_hits import hits_moved_without_cause
from rag_pipeline.transforms.moved_hits import MovedHits
from rag_pipeline_tests.defs.test_evaluation_asset import asked_project
from rag_pipeline_tests.pipeline.project import Project


def moved(project: Project) -> tuple[list[MovedHits], int]:
    with project.workspace() as workspace:
        return hits_moved_without_cause(workspace, "small")


def test_what_changed_explains_hits_that_moved_and_what_nothing_explains_is_named(tmp_path: Path) -> None:
    project = asked_project(tmp_path)
    # What is published does not matter here.
    project.settings["evaluation"]["tolerance"] = 1.0
    project.refresh(evaluate=True)
    assert moved(project) == ([], 0)
    # Three new documents push others out, and are a cause.
    for number in range(3):
        project.write(f"new{number}.md", f"# Lantern0\n\nThe lantern0 lantern0 number {number}.\n")
    project.refresh(evaluate=True)
    assert moved(project) == ([], 3)
    project.write("aside.md", "# Rope\n\nThe rope hangs from the bell.\n")
    project.refresh(evaluate=True)
    assert moved(project) == ([], 3)
    # As if the evaluation before had found other documents, which are there and did not change since.
    with project.workspace() as workspace:
        results = workspace.lake.read(QUESTION_RESULTS)
        uris = sorted({uri for found in results["found"] for uri in found})
        others = [uri for uri in uris if uri.rpartition("/")[2] in ("1.md", "2.md")]
        before = evaluation_history(workspace, "small")[1].evaluation_id
        chosen = (pl.col("evaluation_id") == before) & (pl.col("question_id") == "q0")
        rows = [row | {"found": others} for row in results.filter(chosen).to_dicts()]
        workspace.lake.merge(QUESTION_RESULTS, QUESTION_RESULTS.frame(rows))
    [found], compared = moved(project)
    assert (found.question_id, set(found.lost), compared) == ("q0", set(others), 3)
