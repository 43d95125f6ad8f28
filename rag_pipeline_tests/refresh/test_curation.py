"""What people are told to look at, over a real lake."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rag_pipeline.contracts.curation import Curated, Curation
from rag_pipeline.defs.curation import curation_metadata
from rag_pipeline.errors import NothingPublished
from rag_pipeline.refresh.curation import curation
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.pipeline.project import Project

OLD = timedelta(days=365)
HOTELS = "The travel desk books hotels up to {} euros a night for everybody who travels for the company."


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("curation"), cache="cache", deduplication={"near": False})
    project.settings["sources"]["docs"]["owners"] = ["team:travel"]
    written(project, "2023.md", f"# Travel\n\n{HOTELS.format(120)}\n", days=900)
    written(project, "2026.md", f"# Travel\n\n{HOTELS.format(180)}\n", days=10)
    written(project, "lamp.md", "# The lamp\n\nThe lamp of the lighthouse burns from dusk until dawn.\n", days=20)
    project.refresh()
    return project


def written(project: Project, name: str, text: str, *, days: int) -> None:
    path = project.write(name, text)
    at = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    os.utime(path, (at, at))


def report(project: Project) -> Curation:
    with project.workspace() as workspace:
        return curation(workspace, old=OLD)


def told(project: Project, kind: str) -> list[Curated]:
    return [each for each in report(project).findings if each.kind == kind]


def test_what_a_newer_document_says_otherwise_is_told_of_the_older_one(project: Project) -> None:
    (found,) = told(project, "contradicted")
    assert (Path(found.uri).name, Path(str(found.other_uri)).name) == ("2023.md", "2026.md")
    assert found.detail == "other numbers"
    assert "120 euros" in found.example
    assert "180 euros" in found.example
    assert found.owners == ("team:travel",)
    assert [Path(each.uri).name for each in told(project, "old")] == ["2023.md"]


def test_what_is_mended_or_gone_is_told_no_more(project: Project, tmp_path: Path) -> None:
    copy = project.copied(tmp_path, polled=True)
    written(copy, "2023.md", f"# Travel\n\n{HOTELS.format(180)}\n", days=5)
    copy.refresh()
    assert told(copy, "contradicted") == []
    (copy.folder / "docs" / "2023.md").unlink()
    copy.refresh()
    assert {Path(each.uri).name for each in report(copy).findings} & {"2023.md"} == set()


def test_before_anything_is_published_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(NothingPublished):
        report(Project.create(tmp_path))


def test_the_command_shows_it_by_kind_source_and_owner(project: Project) -> None:
    project.pipeline()
    shown = ask_in(project.folder, "curate", "--owner", "team:travel", "--kind", "contradicted").out
    assert "Said otherwise by a newer document: 1 document" in shown
    assert "2026.md" in shown
    assert "Not modified" not in shown
    assert ask_in(project.folder, "curate", "--owner", "team:lamps").code == 2
    assert ask_in(project.folder, "curate", "--source", "docs", "--json").records[0]["kind"] == "contradicted"


def test_the_job_tells_by_addresses_and_nothing_of_what_texts_say(project: Project) -> None:
    told = curation_metadata(report(project))
    assert "120 euros" not in repr(told)
    assert "2026.md" in repr(told)
