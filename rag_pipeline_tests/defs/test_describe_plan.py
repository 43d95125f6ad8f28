"""How a plan looks in the UI."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from rag_pipeline.defs.describe_plan import plan_metadata
from rag_pipeline.refresh.plan import plan_run
from rag_pipeline_tests.pipeline.project import Project


class Large(str):
    """Stands for what takes long to copy."""

    def __deepcopy__(self, _: object) -> NoReturn:
        raise AssertionError("it was copied")


def test_figures_of_a_plan_are_shown_without_copying_what_it_names(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.write("a.md", "# A lamp\n\nIt burns.\n")
    metadata = plan_metadata(replace(plan_run(project.pipeline()), faults=[Large("it is slow")]))
    assert metadata["rag/plan_said"] == "it is slow"
    assert (metadata["rag/plan_parsed"], metadata["rag/plan_documents_cut"]) == (1, 1)
    assert "rag/plan_faults" not in metadata
