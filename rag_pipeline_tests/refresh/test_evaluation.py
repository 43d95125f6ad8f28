"""Every audited version is evaluated once, and publication is held to it without being held up for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.evaluation import EVALUATIONS, QUESTION_RESULTS
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.errors import AuditFailed, EvaluationBelowBaseline, PermissionLeak, SettingsError, UsageError
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.documents import refresh_documents
from rag_pipeline.refresh.embeddings import refresh_embeddings
from rag_pipeline.refresh.evaluation import EvaluationReport, refresh_evaluation
from rag_pipeline.refresh.index import refresh_index
from rag_pipeline.refresh.publication import PublicationReport, publish
from rag_pipeline.stores import selection
from rag_pipeline_tests.pipeline.project import Project

LAMPS = 12


def page(number: int) -> str:
    lit = f"It was lit by keeper{number} in the year {1800 + number}."
    return f"# Hall {number}\n\nThe lantern{number} hangs high.\n\n{lit}\n"


def question(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"q{number}",
        "question": f"who lit lantern{number}?",
        "expected": [{"uri_suffix": f"docs/{number}.md", "quote": f"keeper{number}\nin the"}],
        "principals": ["public"],
    } | more


def ask(project: Project, *questions: dict[str, Any]) -> None:
    lines = "\n".join(json.dumps(each) for each in questions)
    (project.folder / "questions.jsonl").write_text(lines, "utf-8")
    project.settings["evaluation"] = {"questions": ["questions.jsonl"], "mode": "text"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.create(tmp_path)
    for number in range(LAMPS):
        project.write(f"{number}.md", page(number))
    ask(project, *(question(number) for number in range(LAMPS)))
    return project


def build(project: Project, *, evaluated: bool = True, alias: str | None = None) -> EvaluationReport | None:
    """Everything up to publication, which is left out."""
    with project.workspace() as workspace:
        for name in workspace.settings.sources:
            refresh_source(workspace, name, allow_mass_deletion=True)
        refresh_documents(workspace)
        refresh_chunks(workspace)
        served = alias or workspace.settings.serve
        refresh_embeddings(workspace, served)
        refresh_index(workspace, served)
        return refresh_evaluation(workspace, served) if evaluated else None


def published(project: Project, alias: str | None = None, **options: Any) -> PublicationReport:
    with project.workspace() as workspace:
        return publish(workspace, alias, **options)


def rows(project: Project) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    with project.workspace() as workspace:
        lake = workspace.lake
        evaluations = lake.read(EVALUATIONS).sort("evaluated_at").to_dicts()
        return evaluations, lake.read(QUESTION_RESULTS).to_dicts()


def results(report: EvaluationReport | None, mode: str = "hybrid") -> dict[str, Any]:
    assert report is not None
    assert report.evaluation is not None
    return {result.question_id: result for result in report.evaluation.results if result.mode == mode}


def spoil(project: Project, number: int) -> None:
    """The page keeps its text, which alone takes nothing from readers, but other pages come before it."""
    for other in range(LAMPS, LAMPS + 15):
        text = f"# Visitor {other}\n\nWho lit lantern{number}? It lit lantern{number}, day {other}.\n"
        project.write(f"other-{number}-{other}.md", text)


# once ------------------------------------------------------------------------------------------------------------


def test_a_version_is_evaluated_once_and_then_only_read(project: Project) -> None:
    first = build(project)
    assert first is not None
    assert (first.computed, first.commits) == (1, 2)
    evaluations, kept = rows(project)
    assert len(evaluations) == 1
    assert len(kept) == 3 * LAMPS
    with project.workspace() as workspace:

        def no_model(alias: str) -> Any:
            raise AssertionError(f"{alias} was opened")

        workspace.model = no_model  # type: ignore[method-assign]
        again = refresh_evaluation(workspace)
    assert (again.computed, again.commits) == (0, 0)
    assert again.evaluation is not None
    assert first.evaluation is not None
    assert again.evaluation.results == first.evaluation.results
    assert again.evaluation.row.row() == evaluations[0]


def test_an_unchanged_refresh_evaluates_and_commits_nothing(project: Project) -> None:
    build(project)
    published(project)
    again = build(project)
    assert again is not None
    assert (again.computed, again.commits) == (0, 0)
    assert not published(project).moved


def test_a_new_version_is_evaluated_beside_the_one_that_readers_see(project: Project) -> None:
    build(project)
    published(project)
    project.write("new.md", "# New\n\nA new page.\n")
    report = build(project)
    assert report is not None
    assert report.computed == 1
    assert report.published is not None
    assert report.evaluation is not None
    assert report.published.row.table_version < report.evaluation.row.table_version
    assert published(project).moved


def test_without_questions_nothing_is_evaluated_and_publication_is_free(project: Project) -> None:
    del project.settings["evaluation"]
    report = build(project)
    assert report is not None
    assert (report.evaluation, report.commits) == (None, 0)
    assert published(project).moved


def test_a_bad_file_of_questions_is_named_with_its_line(project: Project) -> None:
    build(project, evaluated=False)
    (project.folder / "questions.jsonl").write_text("{}\n", "utf-8")
    with pytest.raises(SettingsError, match=r"questions\.jsonl:1: "):
        build(project)


def test_an_index_that_was_never_audited_is_not_evaluated(project: Project) -> None:
    with project.workspace() as workspace, pytest.raises(AuditFailed, match="has not been audited"):
        refresh_evaluation(workspace)


def test_results_that_a_kill_left_without_their_evaluation_are_replaced(project: Project) -> None:
    with project.workspace() as workspace:
        build(project, evaluated=False)
        append = workspace.lake.append

        def killed(table: TableContract, *arguments: Any) -> int:
            if table is EVALUATIONS:
                raise KeyboardInterrupt
            return append(table, *arguments)

        workspace.lake.append = killed  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            refresh_evaluation(workspace)
    build(project)
    evaluations, kept = rows(project)
    assert len(evaluations) == 1
    assert len(kept) == 3 * LAMPS


# what counts -----------------------------------------------------------------------------------------------------


def test_documents_and_quotes_are_ranked(project: Project) -> None:
    found = results(build(project), "text")
    assert {result.status for result in found.values()} == {"scored"}
    assert found["q3"].document_rank == found["q3"].span_rank == 1
    assert found["q3"].found[0].endswith("docs/3.md")
    assert found["q3"].ndcg == found["q3"].span_ndcg == 1


def test_a_copy_that_stands_for_the_expected_document_counts(project: Project) -> None:
    project.write("copy.md", page(3))
    expected = [{"uri_suffix": "docs/copy.md", "quote": "keeper3"}]
    ask(project, question(3), question(30, question="who lit lantern3?", expected=expected))
    found = results(build(project), "text")
    assert found["q30"].status == found["q3"].status == "scored"
    assert found["q30"].document_rank == found["q3"].document_rank == 1
    assert found["q30"].span_rank == found["q3"].span_rank == 1


def test_a_question_goes_stale_with_its_document_its_readers_or_its_words(project: Project) -> None:
    project.settings["sources"]["docs"]["permission_rules"] = [{"pattern": "2.md", "allowed_principals": ["hr"]}]
    (project.folder / "docs" / "1.md").unlink()
    project.write("3.md", "# Hall 3\n\nThe lantern3 was sold.\n")
    found = results(build(project))
    assert (found["q1"].status, found["q1"].reason) == ("stale", "not in the index: docs/1.md")
    assert (found["q2"].status, found["q2"].reason) == ("stale", "its askers may not read docs/2.md")
    assert found["q3"].status == "scored"
    assert found["q3"].span_ndcg is None
    assert found["q3"].reason == "its document no longer says: keeper3 in the"


def test_a_question_without_an_answer_is_only_a_leak_check(project: Project) -> None:
    ask(project, question(1), question(2, expected=[]))
    report = build(project)
    found = results(report)
    assert (found["q2"].status, found["q2"].ndcg, found["q2"].leaks) == ("no-answer", None, 0)
    assert report is not None
    assert report.evaluation is not None
    assert report.evaluation.metrics("hybrid").questions == 1


def test_a_leak_is_found_and_stops_publication_whatever_is_overridden(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.settings["sources"]["docs"]["permission_rules"] = [{"pattern": "2.md", "allowed_principals": ["hr"]}]
    ask(project, question(2, expected=[]))
    monkeypatch.setattr(selection, "where_of", lambda *_: "true")
    assert results(build(project))["q2"].leaks >= 1
    with pytest.raises(PermissionLeak, match="q2"):
        published(project, override_gate=True, note="try")


# the gate --------------------------------------------------------------------------------------------------------


def test_a_version_that_was_not_evaluated_is_refused(project: Project) -> None:
    build(project, evaluated=False)
    with pytest.raises(EvaluationBelowBaseline, match="rag-pipeline eval --model small"):
        published(project)


def test_a_worse_version_is_refused_by_how_much_and_on_which_questions(project: Project) -> None:
    build(project)
    before = published(project)
    spoil(project, 4)
    build(project)
    with pytest.raises(EvaluationBelowBaseline, match=r"nDCG@10 fell by 0\.\d+ from 1\.000.*q4 \(-\d") as caught:
        published(project)
    assert caught.value.exit_code == 1
    assert "who lit lantern4?" in caught.value.message
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
    assert last is not None
    assert last.table_version == before.table_version


def test_an_override_needs_a_reason_and_is_recorded(project: Project) -> None:
    build(project)
    published(project)
    spoil(project, 4)
    build(project)
    with pytest.raises(UsageError, match="note"):
        published(project, override_gate=True)
    assert published(project, override_gate=True, note="the new pages matter more").moved
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
    assert last is not None
    assert last.note == "the new pages matter more"
    figures = last.figures
    assert "q4" in figures["gate_overridden"]
    assert figures["ndcg"] < 1


def test_a_deleted_document_takes_its_questions_out_of_both_sides(project: Project) -> None:
    build(project)
    published(project)
    for number in range(5):
        (project.folder / "docs" / f"{number}.md").unlink()
    build(project)
    assert published(project).moved


def test_a_worse_version_that_revokes_a_document_reaches_readers_and_says_so(project: Project) -> None:
    build(project)
    published(project)
    spoil(project, 4)
    (project.folder / "docs" / "7.md").unlink()
    build(project)
    assert published(project).moved
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
    assert last is not None
    assert "revokes 1 documents" in last.figures["published_below_baseline"]


def test_on_changed_questions_what_readers_see_is_evaluated_again(project: Project) -> None:
    build(project)
    published(project)
    # Unanswerable as asked, now and before: a low figure on the new set is no loss against the old one.
    ask(project, *(question(number, question="something else entirely") for number in range(LAMPS)))
    project.write("new.md", "# New\n\nA new page.\n")
    report = build(project)
    assert report is not None
    assert report.computed == 2
    assert published(project).moved


def test_another_model_is_compared_with_the_served_one(project: Project) -> None:
    tiny = {"kind": "hashing", "model": "hashing", "dimension": 8}
    project.settings["embedding_models"]["tiny"] = tiny
    project.settings["evaluation"] |= {"mode": "vector", "tolerance": 0.0}
    build(project)
    published(project)
    report = build(project, alias="tiny")
    assert report is not None
    assert report.published is not None
    with pytest.raises(EvaluationBelowBaseline, match="embedding model tiny is worse"):
        published(project, "tiny", by_hand=True)
    assert published(project, "tiny", by_hand=True, override_gate=True, note="cheaper").alias == "tiny"
    # Gone from pipeline.yaml, its published index still serves as the baseline: the log knows how to open it.
    del project.settings["embedding_models"]["tiny"]
    project.write("new.md", "# New\n\nA new page.\n")
    report = build(project)
    assert report is not None
    assert report.published is not None
    assert published(project).alias == "small"


def test_figures_by_language_show_which_one_the_index_does_not_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = Project.create(tmp_path, sources=("docs", "wiki"))
    german = (
        "Die Elternzeit dauert für alle Angestellten der Reederei sechs Wochen, und wer länger bleiben will, fragt "
    )
    asked = []
    for number in range(6):
        english = f"The lantern{number} hangs high above the old wooden door of the hall, where people wait."
        project.write(f"{number}.md", f"# Hall {number}\n\n{english}\n")
        project.write(f"{number}.md", f"# Amt {number}\n\n{german} im Amt{number} nach.\n", source="wiki")
        asked.append(question(number, expected=[{"uri_suffix": f"docs/{number}.md"}]))
        # Nothing of it is said by the page that should answer.
        asked.append(question(90 + number, question=f"lantern{number}", expected=[{"uri_suffix": f"wiki/{number}.md"}]))
    ask(project, *asked)
    report = build(project)
    assert report is not None
    assert report.evaluation is not None
    found = {one.mode: one for one in report.evaluation.row.metrics}
    assert found["text, language en"].ndcg == found["text, source docs"].ndcg > 0.9
    assert found["text, language de"].ndcg < 0.5
    assert found["text, language de"].questions == 6
    assert "questions answered in de are" in caplog.text
