"""Text that repeats across a source: left out of the index, found once by everyone who may read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rag_pipeline.contracts.tables import BOILERPLATE
from rag_pipeline.refresh.boilerplate import most_repeated
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.documents import refresh_documents
from rag_pipeline.refresh.evaluation import refresh_evaluation
from rag_pipeline.refresh.index import revoke
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline_tests.pipeline.project import Project

NOTICE = "This page belongs to the handbook of the works at the harbour."
TOPICS = ["pump", "tide", "crane", "rope", "lamp", "gate", "buoy", "dock"]


def page(topic: str, notice: str = NOTICE) -> str:
    body = f"The {topic} is looked after by the {topic} crew, who know each {topic} by its number."
    return f"# About the {topic}\n\n{body}\n\n## Notice\n\n{notice}\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    # Short pages that differ in one word are near duplicates, which is another matter.
    project = Project.create(tmp_path_factory.mktemp("built"), deduplication={"near": False})
    for topic in TOPICS:
        project.write(f"{topic}.md", page(topic))
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path, polled=True)


def holding(project: Project, text: str = NOTICE) -> list[str]:
    return [row["uri"].removeprefix("docs/") for row in project.published() if text in row["embedded_text"]]


def readable(project: Project, caller: str) -> list[str]:
    hits = [hit for hit in project.search(NOTICE, caller, mode="text", k=20) if NOTICE in hit.text]
    # Pages that say nearly the same are one hit, which names the others.
    return sorted(place.uri for hit in hits for place in (hit, *hit.elsewhere))


def table(project: Project) -> list[dict[str, Any]]:
    with project.workspace() as workspace:
        frame: pl.DataFrame = workspace.lake.read(BOILERPLATE)
        return frame.to_dicts()


def commits_and_texts(project: Project) -> tuple[int, int]:
    known = len(project.embedded)
    return project.refresh(), len(project.embedded) - known


def test_only_the_first_document_keeps_it(project: Project) -> None:
    assert holding(project) == ["buoy.md"]
    found = {row["text"]: (row["documents"], row["of_documents"], len(row["kept_in"])) for row in table(project)}
    assert found == {NOTICE.casefold(): (8, 8, 1), f"## notice\n{NOTICE.casefold()}": (8, 8, 1)}
    # The heading above it stands in all of them too, so it went with it.
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


def test_headings_that_only_one_document_has_stay_findable(tmp_path: Path) -> None:
    project = Project.create(tmp_path, deduplication={"near": False})
    for number, topic in enumerate(TOPICS):
        text = f"# About the {topic}\n\nThe {topic} is looked after by its crew, day and night.\n\n"
        project.write(f"{topic}.md", f"{text}## Emergency number {number}00\n\n### Scope {topic}\n\n{NOTICE}\n")
    project.refresh()
    for number, topic in enumerate(TOPICS):
        for words in (f"Emergency number {number}00", f"Scope {topic}"):
            hits = project.search(words, "public", mode="text", k=1)
            assert [hit.uri for hit in hits] == [f"docs/{topic}.md"], words
    assert project.published() == project.rebuilt()


def test_what_is_stored_of_it_says_no_more_than_a_document_that_is_there(project: Project) -> None:
    project.write("aaa.md", page("anchor", notice=NOTICE.upper()))
    project.refresh()
    (project.folder / "docs" / "aaa.md").unlink()
    project.refresh()
    assert {row["text"] for row in table(project)} == {NOTICE.casefold(), f"## notice\n{NOTICE.casefold()}"}


def test_verify_sees_chunks_that_are_behind(project: Project) -> None:
    assert project.verify().findings == []
    project.write("buoy.md.meta.yaml", "allowed_principals: [crew]\n")
    with project.workspace() as workspace:
        refresh_source(workspace, "docs")
        refresh_documents(workspace)
    codes = {finding["code"] for finding in project.verify().findings}
    assert "chunk_is_stale" in codes
    project.refresh()
    assert project.verify().findings == []


def test_nothing_leaves_readers_because_its_heading_is_left_out(project: Project) -> None:
    for topic in TOPICS:
        project.write(f"{topic}.md", page(topic).replace("## Notice", "## The **works** notice"))
    project.settings["boilerplate"] = {"leave_out": False}
    project.refresh()
    before = project.published()
    del project.settings["boilerplate"]
    with project.workspace() as workspace:
        refresh_documents(workspace)
        refresh_chunks(workspace)
        # As when the model is down: what is revoked goes, and this is only left out.
        revoke(workspace)
    project.settings["boilerplate"] = {"leave_out": False}
    assert project.published() == before


def test_a_quote_is_looked_for_where_it_is_kept(project: Project) -> None:
    question = {"id": "q", "question": "which handbook is this page of", "principals": ["public"]}
    question["expected"] = [{"uri_suffix": "tide.md", "quote": NOTICE}]  # type: ignore[assignment]
    (project.folder / "q.jsonl").write_text(json.dumps(question) + "\n")
    project.settings["evaluation"] = {"questions": ["q.jsonl"]}
    with project.workspace() as workspace:
        evaluation = refresh_evaluation(workspace).evaluation
    assert evaluation is not None
    for result in evaluation.results:
        assert (result.status, result.reason) == ("scored", None)
        assert result.span_ndcg is not None
    text = next(result for result in evaluation.results if result.mode == "text")
    assert text.span_rank == 1


def test_wording_that_not_everybody_may_read_is_not_written_into_records_of_runs(project: Project) -> None:
    with project.workspace() as workspace:
        assert NOTICE.casefold() in {row["text"] for row in most_repeated(workspace)}
    project.settings["sources"]["docs"]["allowed_principals"] = ["crew"]
    project.refresh()
    with project.workspace() as workspace:
        assert {row["text"] for row in most_repeated(workspace)} == {"not public; see silver.boilerplate"}


def test_a_window_shows_where_something_was_left_out(tmp_path: Path) -> None:
    project = Project.create(tmp_path, deduplication={"near": False})
    for topic in TOPICS:
        first, last = f"The {topic} opens at six in the morning.", f"The {topic} closes at ten in the evening."
        project.write(f"{topic}.md", f"# About the {topic}\n\n{first}\n\n{NOTICE}\n\n{last}\n")
    project.refresh()
    searcher = Searcher.open(project.pipeline())
    (hit,) = searcher.search("tide closes ten evening", principals={"public"}, mode="text", k=1)
    window = searcher.window(hit, principals={"public"})
    assert "in the morning.\n\n[…]\n\nThe tide closes" in window
