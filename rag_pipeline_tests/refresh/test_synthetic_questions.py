"""Questions that a program wrote: unconfirmed they decide nothing, and a changed source is told from a lost text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.errors import EvaluationBelowBaseline, PermissionLeak
from rag_pipeline.refresh.evaluation import evaluation_history, refresh_evaluation
from rag_pipeline.refresh.gate import judge_unconfirmed
from rag_pipeline.refresh.questions import generate
from rag_pipeline.retrieval.questions import read_questions
from rag_pipeline.stores import selection
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.refresh.test_evaluation import LAMPS, ask, build, page, published, question, spoil

MADE = {"generator": "templates 1", "verifier": "words 1", "made_on": "2026-01-01", "readable_by": ["public"]}


def synthetic(number: int, standing: str = "open", inputs: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    return question(number, synthetic=MADE | {"standing": standing, "inputs": list(inputs)}, **more)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.create(tmp_path)
    for number in range(LAMPS):
        project.write(f"{number}.md", page(number))
    return project


def input_of(project: Project, name: str) -> str:
    with project.workspace() as workspace:
        rows = workspace.lake.read(DOCUMENTS, ["uri", "input_key"])
    return str(next(key for uri, key in rows.iter_rows() if uri.endswith(name)))


def test_unconfirmed_ones_are_measured_apart_and_hold_nothing_back(project: Project) -> None:
    ask(project, *(synthetic(number) for number in range(LAMPS)))
    first = build(project)
    assert first is not None
    assert first.evaluation is None
    assert first.unconfirmed is not None
    assert (first.unconfirmed.row.questions, first.unconfirmed.row.is_confirmed) == (LAMPS, False)
    published(project)
    spoil(project, 4)
    build(project)
    with project.workspace() as workspace:
        audit = workspace.lake.last_audit(workspace.space("small").fingerprint)
        assert audit is not None
        verdict = judge_unconfirmed(workspace, "small", audit, workspace.lake.last_publication())
        assert evaluation_history(workspace, "small") == []
    assert verdict.is_below
    assert "q4" in verdict.reason
    assert published(project).moved


def test_confirmed_ones_decide_and_dropped_ones_are_not_asked(project: Project) -> None:
    others = [synthetic(number, "confirmed") for number in range(LAMPS - 1)]
    ask(project, *others, synthetic(LAMPS - 1, "dropped"))
    report = build(project)
    assert report is not None
    assert report.evaluation is not None
    assert (report.evaluation.row.questions, report.unconfirmed) == (LAMPS - 1, None)
    published(project)
    spoil(project, 4)
    build(project)
    with pytest.raises(EvaluationBelowBaseline, match="q4"):
        published(project)


def test_an_unconfirmed_question_that_finds_a_leak_stops_publication(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.settings["sources"]["docs"]["permission_rules"] = [{"pattern": "2.md", "allowed_principals": ["hr"]}]
    ask(project, question(3), synthetic(2, expected=[]))
    monkeypatch.setattr(selection, "where_of", lambda *_: "true")
    build(project)
    with pytest.raises(PermissionLeak, match="q2"):
        published(project, override_gate=True, note="try")


def test_the_run_that_changes_a_source_marks_its_questions_stale(project: Project) -> None:
    build(project, evaluated=False)
    ask(project, synthetic(2, inputs=(input_of(project, "/2.md"),)), synthetic(3, inputs=(input_of(project, "/3.md"),)))
    project.write("2.md", page(2).replace("keeper2", "nobody"))
    report = build(project)
    assert report is not None
    assert report.unconfirmed is not None
    found = {result.question_id: result for result in report.unconfirmed.results if result.mode == "text"}
    assert (found["q2"].status, found["q3"].status) == ("stale", "scored")
    assert "its source text changed" in str(found["q2"].reason)
    assert report.unconfirmed.row.stale == 1
    # What changes elsewhere in the document leaves its question as it is.
    project.write("2.md", page(2) + "\nA line more.\n")
    again = build(project)
    assert again is not None
    assert again.unconfirmed is not None
    assert again.unconfirmed.row.stale == 0


def test_a_question_of_a_text_that_its_source_had_replaced_already_is_stale_and_no_loss(project: Project) -> None:
    """What readers see is older than silver while a publication is held back, or before it has come."""
    for name in ("granite cedar walnut", "crimson marble saffron"):
        first, *_ = name.split()
        project.write(f"{first}.md", f"# About {first}\n\nVisitors with {name} wait 7 minutes.\n")
    build(project, evaluated=False)
    published(project)
    project.write("granite.md", "# Office\n\nNobody has any of it now.\n")
    build(project, evaluated=False)
    file = project.folder / "mine.jsonl"
    with project.workspace() as workspace:
        generate(workspace, file, count=LAMPS * 8)
        made = read_questions([file])
        report = refresh_evaluation(workspace, files=[file])
    assert report.evaluation is not None
    of_the_other = {each.id for each in made if any(one.address.endswith("/granite.md") for one in each.expected)}
    assert of_the_other
    found = {each.question_id: each.status for each in report.evaluation.results if each.question_id in of_the_other}
    assert set(found.values()) == {"stale"}
    others = [each for each in made if each.expected and each.id not in of_the_other]
    assert others
    assert all(len(each.synthetic.inputs) == len(each.expected) for each in others if each.synthetic)


def test_what_the_source_says_and_no_chunk_does_is_a_loss_and_counts(project: Project) -> None:
    build(project, evaluated=False)
    lost = [{"uri_suffix": "docs/2.md", "quote": "a line that a parser left out"}]
    ask(project, synthetic(2, inputs=(input_of(project, "/2.md"),), expected=lost))
    report = build(project)
    assert report is not None
    assert report.unconfirmed is not None
    result = next(each for each in report.unconfirmed.results if each.mode == "text")
    assert (result.status, result.span_recall, result.recall) == ("scored", 0.0, 1.0)


def test_files_named_by_hand_are_asked_as_they_are(project: Project) -> None:
    build(project, evaluated=False)
    file = project.folder / "mine.jsonl"
    file.write_text("\n".join(json.dumps(each) for each in (synthetic(1), question(2))), "utf-8")
    with project.workspace() as workspace:
        report = refresh_evaluation(workspace, files=[file])
    assert report.evaluation is not None
    assert report.evaluation.row.questions == 2
