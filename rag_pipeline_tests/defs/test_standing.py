"""What the page of gold/publication says of how everything stands, and what of it is left out where nobody can tell."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import dagster as dg
import pytest
import yaml

from rag_pipeline.contracts.sources import Capabilities
from rag_pipeline.contracts.tables import BRONZE
from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.describe import INLINE_CHARS
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.standing import UNKNOWN, source_facts, standing_facts, told_by
from rag_pipeline.errors import SourceUnavailable
from rag_pipeline.refresh.bronze import update_source
from rag_pipeline_tests.defs.test_evaluation_asset import asked_project
from rag_pipeline_tests.pipeline.project import Project


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = asked_project(tmp_path_factory.mktemp("standing"))
    (project.folder / "minutes").mkdir()
    project.settings["sources"]["minutes"] = {"location": "minutes", "allowed_principals": ["board"]}
    project.write("a.md", "# Ropes\n\nA rope for the well.\n", source="minutes")
    project.refresh(evaluate=True)
    return project


def test_the_links_lead_to_the_job_with_the_document_filled_in(published: Project) -> None:
    prefix = Prefix(("search",))
    with published.workspace() as workspace:
        found = standing_facts(workspace, prefix)
        shown = f"{found['rag/way_of_hit_1'].value} {found['rag/way_of_another'].value}"
        ids = workspace.lake.bronze_state("docs", ["document_id"])["document_id"].to_list()
    linked = [unquote(found) for found in re.findall(r"playground/setup\?config=([^)]+)", shown)]
    read = [yaml.safe_load(each)["ops"]["search_trace_document"]["config"]["document"] for each in linked]
    assert read[0] in ids
    assert read[-1] == ""
    assert "](../../../guess/search_trace/playground" in shown
    defined = build_definitions(published.pipeline(), prefix="search").resolve_job_def("search_trace")
    validated = dg.validate_run_config(defined, yaml.safe_load(linked[0]))
    assert validated["ops"]["search_trace_document"]["config"]["document"] == read[0]


def test_a_name_draws_nothing_and_what_is_not_found_is_no_example(published: Project, tmp_path: Path) -> None:
    project = published.copied(tmp_path)
    for path in (tmp_path / "minutes").iterdir():
        path.unlink()
    project.write("![x](q).md", "# Bells\n\nA bell for the tower.\n", source="minutes")
    project.refresh(evaluate=True)
    assert r"!\[x\](q).md" in lines(facts(project)["rag/way_of_hit_2"])[0]
    project.settings["sources"]["minutes"]["allowed_principals"] = []
    project.refresh(evaluate=True)
    assert "rag/way_of_hit_2" not in facts(project)


def facts(project: Project) -> dict[str, Any]:
    with project.workspace() as workspace:
        return standing_facts(workspace)


def lines(shown: Any) -> list[str]:
    return [line.removeprefix("- ") for line in str(shown.value).splitlines()]


def test_it_says_what_is_stale_how_good_it_is_and_what_it_cost(published: Project, tmp_path: Path) -> None:
    project = published.copied(tmp_path, polled=True)
    well = facts(project)
    assert well["rag/served_ndcg"] == 1.0
    assert [line.partition(", polled")[0] for line in lines(well["rag/sources"])] == [
        "**docs**: all is well; 3 documents",
        "**minutes**: all is well; 1 document",
    ]
    for number, source in enumerate(("docs", "minutes"), start=1):
        way = lines(well[f"rag/way_of_hit_{number}"])
        assert [line.partition(":")[0] for line in way[1:]] == [
            f"source/{source}",
            f"bronze/{source}",
            "silver/documents",
            "silver/chunks",
            "gold/embeddings",
            "gold/publication",
        ]
        assert way[2].startswith(f"bronze/{source}: revision 1, ")
        assert way[5] == "gold/embeddings: 1 of 1 texts have a vector of small"
        assert way[6].startswith("gold/publication: 1 rows in publication 0 of ")
        assert len(well[f"rag/way_of_hit_{number}"].value) < INLINE_CHARS
    [day] = lines(well["rag/costs_by_day"])
    assert "price 0" in day
    assert "4 texts embedded" in day
    (tmp_path / "minutes").rename(tmp_path / "away")
    project.settings["sources"]["docs"] |= {"max_deleted_share": 0.1, "max_deleted_floor": 0}
    (tmp_path / "docs" / "0.md").unlink()
    with project.workspace() as workspace:
        update_source(workspace, "docs")
        with pytest.raises(SourceUnavailable):
            update_source(workspace, "minutes")
    assert [line.partition(";")[0] for line in lines(facts(project)["rag/sources"])] == [
        "**docs**: 1 held by the deletion guard",
        "**minutes**: does not answer",
    ]


def test_what_cannot_be_read_is_left_out_and_the_rest_is_told(published: Project, tmp_path: Path) -> None:
    project = published.copied(tmp_path, polled=True)
    for file in (tmp_path / "lake" / BRONZE.of("docs").path).rglob("*.parquet"):
        file.write_bytes(b"")
    found = facts(project)
    assert "rag/sources" not in found
    assert found.keys() >= {"rag/served_ndcg", "rag/costs_by_day"}
    with project.workspace() as workspace:
        assert source_facts(workspace, "docs", 3) == {"rag/listed_count": 3}
    shutil.rmtree(tmp_path / "lake")
    bare = facts(project)
    assert all(f"0 documents, polled {UNKNOWN}" in line for line in lines(bare.pop("rag/sources")))
    assert bare == {}


def test_a_source_tells_its_newest_content_and_no_age_that_grows_old(published: Project, tmp_path: Path) -> None:
    project = published.copied(tmp_path, polled=True)
    with project.workspace() as workspace:
        found = source_facts(workspace, "docs", 3)
    newest = max(path.stat().st_mtime for path in (tmp_path / "docs").iterdir())
    assert found["rag/newest_content"].value == pytest.approx(newest)
    assert (found["rag/listed_count"], found["rag/documents"]) == (3, 3)


def test_what_a_kind_of_source_tells_is_a_sentence() -> None:
    assert told_by(Capabilities()).startswith("By full listing: what is deleted. Not: who may read each object,")
    assert "Not:" not in told_by(Capabilities(True, "full listing", True, True, True, True, True))
