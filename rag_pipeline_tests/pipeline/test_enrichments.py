"""Enrichments over a real lake: each text is read once, readers filter by it, and a removed line undoes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.filters import Filter, parse_condition
from rag_pipeline.contracts.tables import DOCUMENTS, ENRICHMENTS
from rag_pipeline.embedding.open import open_model
from rag_pipeline.errors import BadQuery
from rag_pipeline.refresh.enrichments import EnrichmentsReport, refresh_enrichments
from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline.refresh.retained_readings import retain_readings
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.kept import open_version
from rag_pipeline_tests.pipeline.project import Project

PUMPS = "# The pump\n\nPull the red lever twice, then wait for the pump.\n"
LAMPS = "# The lamp\n\nThe lamp burns until dawn.\n"
RULES = {"topic": {"labels": {"pumps": ["pump"], "lamps": ["lamp"]}}}
NEAREST = {
    "subject": {
        "kind": "nearest",
        "labels": {
            "water": "Pull the red lever twice, then wait for the pump.",
            "light": ["The lamp burns until dawn."],
        },
        "threshold": 0.4,
    }
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.create(tmp_path, cache="cache", enrichments=RULES | NEAREST)
    project.write("pump.md", PUMPS)
    project.write("lamp.md", LAMPS)
    project.write("sea.md", "---\ntopic: pumps\n---\n# The sea\n\nNothing is known of it.\n")
    project.refresh()
    return project


def run(project: Project) -> EnrichmentsReport:
    with project.workspace() as workspace:
        report = refresh_everything(workspace, evaluate=False).enrichments
    assert report is not None
    return report


def found(project: Project, condition: str) -> set[str]:
    limits = Filter(frozenset(), conditions=(parse_condition(condition),))
    hits = project.search("pump lamp sea", "public", k=20, limits=limits)
    return {Path(hit.uri).name for hit in hits}


def facts(project: Project) -> list[Any]:
    """What readers filter by, beside what they see."""
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
        assert last is not None
        rows = open_version(workspace.vectors, last).read(["uri", "facts", "embedded_text"])
        return sorted(rows.rows())


def both(project: Project) -> tuple[list[Any], list[Any]]:
    """What is published and filtered by, and what a build from nothing gives."""
    rebuilt = project.rebuilt()
    other = Project(project.folder, project.settings | {"lake": "rebuilt"})
    return [project.published(), facts(project)], [rebuilt, facts(other)]


def test_labels_are_metadata_to_filter_by_and_no_document_labels_itself(project: Project) -> None:
    assert found(project, "topic=pumps") == {"pump.md"}
    assert found(project, "topic=lamps") == {"lamp.md"}
    assert found(project, "topic=none") == {"sea.md"}
    assert found(project, "subject=water") == {"pump.md"}
    assert found(project, "subject in light,none") == {"lamp.md", "sea.md"}
    published, rebuilt = both(project)
    assert published == rebuilt
    report = project.verify()
    assert (report.ghosts, report.missing, report.mismatched) == (0, 0, 0)


def test_what_was_read_is_not_read_again_and_a_removed_line_undoes_it(project: Project) -> None:
    embedded = len(project.embedded)
    assert project.refresh() == 0
    assert len(project.embedded) == embedded
    # A rename, a copy, other readers: no text is another one.
    (project.folder / "docs" / "pump.md").rename(project.folder / "docs" / "pump2.md")
    project.write("copy.md", LAMPS)
    project.settings["sources"]["docs"]["allowed_principals"] = ["public", "staff"]
    assert run(project).computed == 0
    assert found(project, "topic=pumps") == {"pump2.md"}
    # An edit is one text, for each of the two.
    project.write("pump2.md", PUMPS.replace("twice", "thrice"))
    assert run(project).computed == 2
    # Other labels concern theirs alone, and the labels of before cost nothing.
    project.settings["enrichments"] = {"topic": {"labels": {"levers": ["lever"]}}} | NEAREST
    report = run(project)
    assert [each.computed for each in report.enrichments] == [3, 0]
    assert report.enrichments[0].labels == {"none": 2, "levers": 1}
    assert found(project, "topic=levers") == {"pump2.md"}
    project.settings["enrichments"] = {"theme": {**RULES["topic"]}}
    assert run(project).computed == 0
    assert found(project, "theme=pumps") == {"pump2.md"}
    assert found(project, "topic=pumps") == {"sea.md"}, "what a document says of itself counts again"
    del project.settings["enrichments"]
    assert project.refresh() > 0
    published, rebuilt = both(project)
    assert published == rebuilt
    with project.workspace() as workspace:
        assert workspace.lake.read(DOCUMENTS, ["enriched"])["enriched"].null_count() == 4
    assert project.refresh() == 0


def test_a_model_that_is_not_there_leaves_its_texts_waiting_and_hinders_nothing(project: Project) -> None:
    project.settings["embedding_models"]["lost"] = {"model": "nowhere/lost", "folder": "nowhere"}
    project.settings["enrichments"]["subject"] = NEAREST["subject"] | {"model": "lost"}
    project.write("new.md", "# New\n\nA new pump.\n")
    (project.folder / "docs" / "lamp.md").unlink()
    report = run(project)
    assert [(each.name, each.computed, each.waiting) for each in report.enrichments] == [
        ("topic", 1, 0),
        ("subject", 0, 3),
    ]
    assert "nowhere" in report.enrichments[1].waiting_because
    assert found(project, "topic=pumps") == {"pump.md", "new.md"}
    assert found(project, "topic=lamps") == set()
    with pytest.raises(BadQuery, match="no field 'subject'"):
        found(project, "subject=water")


def test_a_model_that_fails_in_its_own_way_hinders_nothing_either(project: Project) -> None:
    project.settings["embedding_models"]["odd"] = {"kind": "hashing", "model": "hashing", "dimension": 32}
    project.settings["enrichments"] = {"subject": NEAREST["subject"] | {"model": "odd"}}
    project.write("new.md", "# New\n\nA new pump.\n")

    def opened(spec: EmbeddingModelSpec) -> Any:
        if spec.alias == "odd":
            raise RuntimeError("the device is gone")
        return open_model(spec, project.pipeline().cache_folder)

    with Workspace(project.pipeline(), run_id="test", open_model=opened) as workspace:
        did = refresh_everything(workspace, evaluate=False)
    assert did.enrichments is not None
    assert did.enrichments.enrichments[0].waiting_because == "RuntimeError: the device is gone"
    assert (did.publication.moved, did.publication.documents) == (True, 4)


def test_what_documents_say_is_compared_with_what_was_read(project: Project) -> None:
    with project.workspace() as workspace:
        row = workspace.lake.read(DOCUMENTS, ["document_id", "enriched"]).head(1)
        workspace.lake.update(DOCUMENTS, row.with_columns(enriched=pl.lit('{"topic": ["gold"]}')))
    found = {finding["code"]: finding["count"] for finding in project.verify().findings}
    assert found == {"enriched_is_not_what_was_read": 1}
    project.refresh()
    assert project.verify().findings == []


def test_readings_that_nothing_uses_are_kept_for_a_time(project: Project) -> None:
    def kept_after(days: int) -> int:
        with project.workspace() as workspace:
            workspace.now = lambda: datetime.now(UTC) + timedelta(days=days)
            retain_readings(workspace, workspace.now())
            return workspace.lake.read(ENRICHMENTS, ["recipe"]).height

    (project.folder / "docs" / "pump.md").unlink()
    project.refresh()
    # Of each of three texts two labels, and the vector that one of these was made of.
    assert (kept_after(0), kept_after(89)) == (9, 9)
    with project.workspace() as workspace:
        before = workspace.lake.version(ENRICHMENTS)
    assert kept_after(89) == 9
    with project.workspace() as workspace:
        assert workspace.lake.version(ENRICHMENTS) == before, "what was noted is not written again"
    project.write("pump.md", PUMPS)
    assert run(project).computed == 0
    assert kept_after(91) == 9, "what is used again is not unused"
    (project.folder / "docs" / "pump.md").unlink()
    project.refresh()
    assert (kept_after(91), kept_after(182)) == (9, 6)


def test_readings_that_are_lost_are_read_again(project: Project) -> None:
    with project.workspace() as workspace:
        workspace.lake.clear(ENRICHMENTS)
        report = refresh_enrichments(workspace, ask="nobody")
        assert (report.computed, report.waiting, report.documents_changed) == (0, 6, 3)
        assert report.enrichments[0].waiting_because == "no model is asked now"
    assert run(project).computed == 6
    assert found(project, "subject=water") == {"pump.md"}


def test_labels_are_compared_with_those_of_people_and_no_file_holds_up_a_run(project: Project) -> None:
    labelled = project.folder / "labels.csv"
    project.settings["enrichments"] = {"topic": RULES["topic"] | {"labelled": "labels.csv"}} | NEAREST
    (without,) = [each.agreement for each in run(project).enrichments if each.name == "topic"]
    assert without is not None
    assert "labels.csv" in without.problem

    labelled.write_text("uri,label\npump.md,pumps\nlamp.md,pumps\nsea.md,none\ngone.md,lamps\n", "utf-8")
    report = run(project)
    topic, subject = (each.agreement for each in report.enrichments)
    assert topic is not None
    assert (topic.compared, topic.agreed, topic.absent, topic.is_enough) == (3, 2, 1, False)
    assert [Path(each.uri).name for each in topic.disagreements] == ["lamp.md"]
    assert subject is None
    # It decides no reading.
    assert report.computed == 0
