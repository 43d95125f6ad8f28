"""Each event says in words what happened, figures are rounded, and what is refused is shown with what to do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.words import figure
from rag_pipeline_tests.pipeline.project import Project


def run_of(project: Project, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = build_definitions(project.pipeline()).resolve_job_def("nightly")
    return job.execute_in_process(instance=instance, partition_key="small", raise_on_error=False)


def facts_of(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, object]]:
    events = result.get_asset_materialization_events()
    return {
        event.asset_key.to_user_string(): {k: v.value for k, v in event.materialization.metadata.items()}
        for event in events
        if event.asset_key is not None
    }


def assert_rounded(metadata: Mapping[str, dg.MetadataValue]) -> None:
    for key, found in metadata.items():
        if isinstance(found, dg.FloatMetadataValue):
            assert found.value is not None
            assert found.value == figure(found.value), (key, found)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.create(tmp_path / "project")
    for number in range(7):
        project.write(f"{number}.md", f"# Page {number}\n\nA lamp of number {number}, and {number * 7} more.\n")
    for number in range(23):
        project.write(f"broken-{number:02}.pdf", b"%PDF-1.4 broken")
    return project


def test_each_event_of_a_run_says_a_sentence_and_no_figure_is_longer_than_anybody_reads(project: Project) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        results = [run_of(project, instance)]
        (project.folder / "docs" / "3.md").unlink()
        results.append(run_of(project, instance))
        results.append(run_of(project, instance))
    checks = 0
    for result in results:
        for name, facts in facts_of(result).items():
            said = str(facts["rag/what_happened"])
            assert said.endswith("."), (name, said)
            assert next(iter(facts)) == "rag/what_happened", name
        for event in result.get_asset_materialization_events():
            assert_rounded(event.materialization.metadata)
        for evaluation in result.get_asset_check_evaluations():
            checks += 1
            assert evaluation.description, evaluation.check_name
            assert_rounded(evaluation.metadata)
    assert checks > 3 * 15
    first, second, third = (facts_of(result) for result in results)
    assert first["bronze/docs"]["rag/what_happened"] == "30 added; it holds 30 documents."
    revoked = str(second["silver/revocations"]["rag/what_happened"])
    assert revoked.startswith("1 removed; revoked from readers: 1 document, by version ")
    assert third["gold/index"]["rag/what_happened"] == "Nothing changed; now 6 chunks of 6 documents."


def test_quarantine_shows_its_first_rows_with_address_reason_and_what_to_do(project: Project) -> None:
    project.write("x" * 120 + "\u202e.pdf", b"%PDF-1.4 broken")
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_of(project, instance)
    [check] = [found for found in result.get_asset_check_evaluations() if found.check_name == "quarantine_is_small"]
    asset = facts_of(result)["silver/quarantine"]
    for table in (asset["rag/first_rows"], check.metadata["rag/first_rows"].value):
        rows = [record.data for record in table.records]  # type: ignore[attr-defined]
        assert len(rows) == 20
        assert set(rows[0]) == {"address", "reason", "what to do", "source"}
        assert str(rows[0]["address"]).startswith("docs/")
        assert any(row["address"] == f"docs/{'x' * 120}·.pdf" for row in rows)
        assert rows[0]["reason"] == "unparsable"
        assert len(str(rows[0]["what to do"])) > 20
        assert max(len(str(cell)) for row in rows for cell in row.values()) <= 320
    assert asset["rag/rows_not_shown"] == 4


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, 0.0), (1 / 3, 0.333), (2.0, 2.0), (123456.789123, 123456.789), (0.000123456, 0.000123)]
)
def test_a_figure_is_rounded_and_a_small_one_keeps_what_it_says(value: float, shown: float) -> None:
    assert figure(value) == shown
