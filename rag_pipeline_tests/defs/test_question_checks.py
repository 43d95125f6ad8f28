"""Checks on questions that a program wrote, on a small published lake."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from rag_pipeline.defs.check_rows import Subject
from rag_pipeline.defs.hybrid_checks import questions_are_diverse, unconfirmed_questions_find_what_they_did
from rag_pipeline_tests.pipeline.project import Project

MADE = {"generator": "g 1", "verifier": "v 1", "made_on": "2026-01-01"}


def test_a_collapsed_set_and_a_broken_file_are_yellow_and_few_questions_are_not(tmp_path: Path) -> None:
    project = Project.create(tmp_path, evaluation={"questions": ["q.jsonl"]})
    project.write("a.md", "# Lanterns\n\nThe lanterns hang high.\n")
    file = tmp_path / "q.jsonl"
    file.write_text("", "utf-8")
    project.refresh()

    def write(count: int) -> None:
        lines = (
            {"id": f"q{number}", "question": f"What is number {number}?", "principals": ["public"], "synthetic": MADE}
            | {"expected": [{"uri_suffix": "docs/a.md"}]}
            for number in range(count)
        )
        file.write_text("\n".join(map(json.dumps, lines)), "utf-8")

    with project.workspace() as workspace:
        subject = Subject(workspace, cast(Any, SimpleNamespace(partition_key="small")))
        write(19)
        assert questions_are_diverse(subject).passed
        write(20)
        result = questions_are_diverse(subject)
        assert not result.passed
        assert "worded alike" in str(result.description)
        assert unconfirmed_questions_find_what_they_did(subject).passed
        file.write_text("{}\n", "utf-8")
        for check in (questions_are_diverse, unconfirmed_questions_find_what_they_did):
            assert not check(subject).passed
