"""Text that repeats across a source: left out of the index, found once by everyone who may read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rag_pipeline.contracts.tables import BOILERPLATE
from rag_pipeline_tests.pipeline.project import Project

NOTICE = "This page belongs to the handbook of the works at the harbour."
TOPICS = ["pump", "tide", "crane", "rope", "lamp", "gate", "buoy", "dock"]


def page(topic: str, notice: str = NOTICE) -> str:
    body = f"The {topic} is looked after by the {topic} crew, who know each {topic} by its number."
    return f"# About the {topic}\n\n{body}\n\n## Notice\n\n{notice}\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    # Short pages that differ in one word are near duplicates, which is another matter.
    project = Project.create(tmp_path, deduplication={"near": False})
    for topic in TOPICS:
        project.write(f"{topic}.md", page(topic))
    project.refresh()
    return project


def holding(project: Project, text: str = NOTICE) -> list[str]:
    return [row["uri"].removeprefix("docs/") for row in project.published() if text in row["embedded_text"]]


def readable(project: Project, caller: str) -> list[str]:
    return sorted(hit.uri for hit in project.search(NOTICE, caller, mode="text", k=20) if NOTICE in hit.text)


def table(project: Project) -> list[dict[str, Any]]:
    with project.workspace() as workspace:
        frame: pl.DataFrame = workspace.lake.read("silver/boilerplate", BOILERPLATE)
        return frame.to_dicts()


def commits_and_texts(project: Project) -> tuple[int, int]:
    known = len(project.embedded)
    return project.refresh(), len(project.embedded) - known


def test_only_the_first_document_keeps_it(project: Project) -> None:
    assert holding(project) == ["buoy.md"]
    (row,) = table(project)
    assert (row["text"], row["documents"], row["of_documents"], len(row["kept_in"])) == (NOTICE, 8, 8, 1)
    # The heading above it says nothing alone, so it went too.
    assert [row["section_path"] for row in project.published() if row["uri"] == "docs/pump.md"] == [["About the pump"]]
    assert project.published() == project.rebuilt()


def test_an_unchanged_run_costs_nothing(project: Project) -> None:
    assert commits_and_texts(project) == (0, 0)


def test_a_new_page_embeds_only_its_own_text(project: Project) -> None:
    project.write("winch.md", page("winch"))
    assert commits_and_texts(project)[1] == 1
    assert holding(project) == ["buoy.md"]


def test_another_document_takes_over_when_the_first_goes(project: Project) -> None:
    (project.folder / "docs" / "buoy.md").unlink()
    project.refresh()
    assert holding(project) == ["crane.md"]
    assert project.published() == project.rebuilt()


def test_it_comes_back_when_it_is_rare(project: Project) -> None:
    for topic in TOPICS[:4]:
        project.write(f"{topic}.md", page(topic, notice=f"Only the {topic} crew reads this line."))
    project.refresh()
    assert sorted(holding(project)) == sorted(f"{topic}.md" for topic in TOPICS[4:])
    assert table(project) == []
    assert project.published() == project.rebuilt()


def test_every_audience_keeps_one(project: Project) -> None:
    for topic in TOPICS[:3]:
        project.write(f"{topic}.md.meta.yaml", "allowed_principals: [crew]\n")
    project.refresh()
    assert sorted(holding(project)) == ["buoy.md", "crane.md"]
    assert readable(project, "public") == ["docs/buoy.md"]
    assert readable(project, "crew") == ["docs/buoy.md", "docs/crane.md"]
    (project.folder / "docs" / "buoy.md").unlink()
    project.refresh()
    assert readable(project, "public") == ["docs/dock.md"]
    assert project.published() == project.rebuilt()


def test_it_can_be_switched_off_and_on_again(project: Project) -> None:
    project.settings["boilerplate"] = {"leave_out": False}
    project.refresh()
    assert len(holding(project)) == len(TOPICS)
    del project.settings["boilerplate"]
    assert commits_and_texts(project)[1] == 0
    assert holding(project) == ["buoy.md"]


def test_sources_do_not_mix(tmp_path: Path) -> None:
    project = Project.create(tmp_path, ["docs", "wiki"])
    for number, topic in enumerate(TOPICS):
        project.write(f"{topic}.md", page(topic), source=("docs", "wiki")[number % 2])
    project.refresh()
    assert len(holding(project)) == len(TOPICS)


def test_copies_of_one_document_make_no_boilerplate_of_it(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    for number in range(8):
        project.write(f"copy{number}.md", page("pump"))
    project.refresh()
    assert table(project) == []
    assert holding(project) == ["copy0.md"]


def test_forms_made_mostly_of_shared_text_are_kept_whole(tmp_path: Path) -> None:
    project = Project.create(tmp_path, deduplication={"near": False})
    for topic in TOPICS:
        project.write(f"{topic}.md", f"# {topic}\n\n{NOTICE}\n\nNumber {topic}.\n")
    project.refresh()
    assert len(table(project)) == 1
    assert len(holding(project)) == len(TOPICS)
    assert project.published() == project.rebuilt()
