"""The last run in figures that Prometheus' own parser reads."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from rag_pipeline.cli.app import cli
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.refresh.test_polls import set_back

parser = pytest.importorskip("prometheus_client.parser", reason="needs the extra `serve`")


def values(text: str) -> dict[tuple[str, str], float]:
    """By name and last label."""
    found = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            label = list(sample.labels.values())[-1] if sample.labels else ""
            found[sample.name.removeprefix("rag_pipeline_"), label] = sample.value
    return found


def test_the_last_run_is_told_to_prometheus_and_nothing_of_what_documents_say(tmp_path: Path) -> None:
    project = Project.create(tmp_path, ("docs", "people"))
    project.write("lamp.md", "# The lamp\n\nThe lamp of the tower is lit by hand at dusk.\n")
    project.write("bell.md", "# The bell\n\nThe bell rings at noon.\n")
    project.write("empty.md", "")
    environment = {"RAG_PIPELINE_CONFIG": str(project.pipeline().path)}

    def typed(*arguments: str) -> str:
        result = CliRunner().invoke(cli, ["metrics", *arguments], env=environment)
        assert result.exit_code == 0, result.output
        return result.stdout

    # A lake that is not there yet has no figures, and is no fault.
    assert values(typed()).keys() <= {("source_overdue", "docs"), ("source_overdue", "people")}
    project.refresh()
    set_back(project, timedelta(days=2), source="people")
    target = tmp_path / "collected" / "rag.prom"
    assert typed("--file", str(target)) == ""
    found = values(target.read_text("utf-8"))
    assert (found["documents", "docs"], found["documents", "people"], found["chunks", "docs"]) == (2, 0, 2)
    assert (found["quarantined_objects", "empty"], found["published_chunks", "small"]) == (1, 2)
    assert (found["source_overdue", "docs"], found["source_overdue", "people"]) == (0, 1)
    assert (found["run_embedded_texts", ""], found["run_price", ""]) == (2, 0)
    assert found["published_timestamp_seconds", "small"] >= found["run_timestamp_seconds", ""]
    assert "lamp" not in target.read_text("utf-8")
