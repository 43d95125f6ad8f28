"""Language, quality and sensitive content from end to end, and what a change of their options costs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.tables import DOCUMENTS, QUARANTINE
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.documents import refresh_documents
from rag_pipeline_tests.pipeline.project import Project

KEY = "AKIA" + "IOSFODNN7EXAMPLE"
GUIDE = f"# Pump guide\n\nThe pump is started by turning the green wheel twice to the left.\n\nThe key is {KEY}.\n"
NOTICE = "Die Pumpe wird gestartet, indem man das grüne Rad zweimal nach links dreht und dann wartet.\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"), ["docs", "wiki"])
    project.write("guide.md", GUIDE)
    letters = random.Random(7)
    mash = " ".join("".join(letters.choices("qwrtzpsdfghjklxcvbnm", k=7)) for _ in range(200))
    project.write("mash.txt", mash)
    project.write("notiz.txt", NOTICE, source="wiki")
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path)


def rows(project: Project) -> dict[str, dict[str, Any]]:
    with project.workspace() as workspace:
        return {row["uri"]: row for row in workspace.lake.read(DOCUMENTS).iter_rows(named=True)}


def reasons(project: Project) -> dict[str, tuple[str, str]]:
    with project.workspace() as workspace:
        frame = workspace.lake.read(QUARANTINE)
        return {row["uri"]: (row["reason_code"], row["detail"]) for row in frame.iter_rows(named=True)}


def parsed_again(project: Project) -> int:
    with project.workspace() as workspace:
        return refresh_documents(workspace).parsed


def test_every_document_has_a_language_and_a_score(project: Project) -> None:
    found = rows(project)
    assert {uri: row["language"] for uri, row in found.items()} == {
        "docs/guide.md": "en",
        "docs/mash.txt": None,
        "wiki/notiz.txt": "de",
    }
    assert found["docs/guide.md"]["quality_score"] > 0.8
    assert found["docs/mash.txt"]["quality_score"] < 0.3


def test_a_threshold_quarantines_garbage_of_its_source_alone(project: Project) -> None:
    project.settings["sources"]["docs"]["min_quality"] = 0.4
    project.refresh()
    assert set(rows(project)) == {"docs/guide.md", "wiki/notiz.txt"}
    assert reasons(project)["docs/mash.txt"][0] == "low_quality"
    assert project.published() == project.rebuilt()
    assert parsed_again(project) == 0
    del project.settings["sources"]["docs"]["min_quality"]
    project.refresh()
    assert "docs/mash.txt" in rows(project)
    assert reasons(project) == {}


def test_changed_options_parse_only_their_source_again(project: Project) -> None:
    assert parsed_again(project) == 0
    project.settings["sources"]["wiki"]["sensitive"] = "flag"
    assert parsed_again(project) == 1
    assert parsed_again(project) == 0


def test_redaction_reaches_the_index_and_equals_a_rebuild(project: Project) -> None:
    assert any(KEY in row["embedded_text"] for row in project.published())
    project.settings["sources"]["docs"]["sensitive"] = "redact"
    project.refresh()
    texts = [row["embedded_text"] for row in project.published()]
    assert not any(KEY in text for text in texts)
    assert any("The key is [redacted:aws_key]." in text for text in texts)
    assert project.published() == project.rebuilt()
    assert project.verify().findings == []


def test_what_a_sidecar_says_is_redacted_too_when_it_changes_alone(project: Project) -> None:
    project.settings["sources"]["docs"]["sensitive"] = "redact"
    project.refresh()
    project.write("guide.md.meta.yaml", "author: Anna <anna@port.example.org>\nteam: crew@port.example.org\n")
    with project.workspace() as workspace:
        refresh_source(workspace, "docs")
        report = refresh_documents(workspace)
    assert (report.parsed, report.metadata_changed) == (0, 1)
    project.refresh()
    row = rows(project)["docs/guide.md"]
    assert row["author"] == "Anna <[redacted:email]>"
    assert "example.org" not in row["declared"]
    assert project.published() == project.rebuilt()


def test_sensitive_documents_are_refused_without_telling_what_they_hold(project: Project) -> None:
    project.settings["sources"]["docs"]["sensitive"] = "quarantine"
    project.refresh()
    code, detail = reasons(project)["docs/guide.md"]
    assert (code, "aws_key 1" in detail, KEY in detail) == ("sensitive_content", True, False)
    assert not any(KEY in row["embedded_text"] for row in project.published())


def test_low_quality_can_be_ranked_down_instead(project: Project) -> None:
    garbage = (project.folder / "docs" / "mash.txt").read_text().split()[:4]
    question = " ".join([*garbage, "pump"])

    def found() -> dict[str, tuple[int, float, float]]:
        hits = project.search(question, "public", mode="text", k=5)
        return {hit.uri: (hit.rank, hit.score, hit.rank_weight) for hit in reversed(hits)}

    before = found()
    assert before["docs/mash.txt"][0] < before["docs/guide.md"][0]
    known = len(project.embedded)
    project.settings["sources"]["docs"] |= {"min_quality": 0.4, "low_quality": "rank_down", "low_quality_weight": 0.1}
    project.refresh()
    after = found()
    assert len(project.embedded) == known
    assert reasons(project) == {}
    assert after["docs/mash.txt"][0] > after["docs/guide.md"][0]
    assert after["docs/mash.txt"][1] == pytest.approx(before["docs/mash.txt"][1] * 0.1)
    assert (after["docs/guide.md"][1:], after["docs/mash.txt"][2]) == (before["docs/guide.md"][1:], 0.1)
    assert project.published() == project.rebuilt()
    assert parsed_again(project) == 0
