"""Folders inside one another, and folders whose names a lake cannot have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.errors import SettingsError
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.settings import Pipeline, load_pipeline
from rag_pipeline.sources.files import open_files
from rag_pipeline_tests.pipeline.project import Project


def addresses(pipeline: Pipeline) -> list[str]:
    return [item.address for item in open_files(pipeline.source_spec("docs")).list()]


def project_at(folder: Path, location: str, **settings: Any) -> Project:
    folder.mkdir(exist_ok=True)
    project = Project.create(folder, sources=(), **settings)
    project.settings["sources"] = {"docs": {"location": location, "allowed_principals": ["public"]}}
    return project


def test_a_lake_inside_a_source_is_left_out_of_it(tmp_path: Path) -> None:
    project = project_at(tmp_path, ".", lake="data/lake", cache="data/cache")
    project.settings["sources"]["docs"]["permission_rules"] = [{"pattern": "hr/**", "allowed_principals": ["hr"]}]
    project.write("salary.md", "# Salary\n\nThe zebra earns most.", "hr")
    project.write("a.md", "# A\n\nOpen to all.", "data")
    project.write("weights.txt", "zebra", "data/cache")
    for _ in range(2):
        project.refresh()
        assert addresses(project.pipeline()) == ["data/a.md", "hr/salary.md"]
    assert not [hit for hit in project.search("zebra", "public") if "zebra" in hit.text]
    assert not project.verify().findings


@pytest.mark.parametrize("name", ["la[k]e*?", "100% c"])
def test_a_folder_of_any_name_is_left_out(tmp_path: Path, name: str) -> None:
    project = project_at(tmp_path / "p", ".", lake=str(tmp_path / "lake"), cache=name)
    project.write("a.md", "# A", "")
    project.write("x.txt", "x", name)
    assert addresses(project.pipeline()) == ["a.md"]


def test_dagsters_home_is_left_out_even_of_a_source_that_takes_hidden_files(tmp_path: Path) -> None:
    project = project_at(tmp_path, ".", lake="lake")
    project.settings["sources"]["docs"]["include"] = ["**/*", "**/.*", ".dagster/**", "home/**"]
    project.write("run.txt", "x", ".dagster")
    project.write("run.txt", "x", "home")
    path = project.pipeline().path
    assert addresses(load_pipeline(path, {})) == ["home/run.txt"]
    assert "home/run.txt" not in addresses(load_pipeline(path, {"DAGSTER_HOME": str(tmp_path / "home")}))


def test_a_lake_behind_a_link_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    project = project_at(tmp_path, ".", lake="link/lake")
    project.write("part.json", "{}", "real/lake")
    assert addresses(project.pipeline()) == []


@pytest.mark.parametrize(
    ("lake", "location"), [(".", "docs"), ("docs", "docs"), ("docs", "./docs/x/../y"), ("a", "a/b")]
)
def test_a_source_inside_the_lake_is_refused_with_both_folders(tmp_path: Path, lake: str, location: str) -> None:
    with pytest.raises(SettingsError) as caught:
        project_at(tmp_path, location, lake=lake).pipeline()
    assert {str(caught.value.facts["folder"]), str(caught.value.facts["location"])} == {
        str(tmp_path / lake),
        str(tmp_path / location),
    }
    assert str(tmp_path / location) in str(caught.value)


def test_a_source_inside_the_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cache"):
        project_at(tmp_path, "store/docs", cache="store").pipeline()


def test_a_source_may_lie_beside_dagsters_folders_but_not_be_its_home(tmp_path: Path) -> None:
    inside = project_at(tmp_path, "docs").pipeline().path
    assert load_pipeline(inside, {"DAGSTER_HOME": str(tmp_path)}).location("docs") == str(tmp_path / "docs")
    same = project_at(tmp_path, ".").pipeline().path
    with pytest.raises(SettingsError, match="Dagster home"):
        load_pipeline(same, {"DAGSTER_HOME": str(tmp_path)})


@pytest.mark.parametrize("location", ["s3://bucket", "s3a://bucket/", "simplecache::s3://bucket"])
def test_a_lake_inside_a_buckets_source_is_left_out_of_it(tmp_path: Path, location: str) -> None:
    pipeline = project_at(tmp_path, location, lake="s3://bucket/data/lake").pipeline()
    assert pipeline.source_spec("docs").exclude == ("data/lake/**",)


def test_a_source_inside_a_buckets_lake_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="lies in the lake s3://bucket/data"):
        project_at(tmp_path, "s3://bucket/data/docs", lake="s3://bucket/data").pipeline()


def test_places_whose_names_only_begin_alike_are_apart(tmp_path: Path) -> None:
    pipeline = project_at(tmp_path, "lake-docs", lake="lake").pipeline()
    assert pipeline.source_spec("docs").exclude == ()


@pytest.mark.parametrize("name", ["a[b", "a]b", "a%20b", "a\\b", "a\nb", "a\tb"])
def test_a_lake_that_tables_cannot_be_written_to_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="character"):
        Project.create(tmp_path, lake=name).pipeline()
    with pytest.raises(SettingsError, match="character"):
        Searcher.open(tmp_path / name)


def test_a_link_to_a_folder_that_tables_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a[b]").mkdir()
    (tmp_path / "link").symlink_to("a[b]")
    with pytest.raises(SettingsError, match=r"a\[b\]"):
        Project.create(tmp_path, lake="link").pipeline()


def test_links_that_lead_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "lake").symlink_to("lake")
    with pytest.raises(SettingsError, match="cannot be followed"):
        Project.create(tmp_path).pipeline()


def test_a_lakes_name_may_hold_what_people_put_in_names(tmp_path: Path) -> None:
    name = "our lake \u00e9\u4e2d #1? 'q' {x} a+b&c=d*"
    project = Project.create(tmp_path, lake=name)
    project.write("a.md", "# A\n\nFound again.")
    project.refresh()
    project.write("a.md", "# A\n\nFound again, changed.")
    project.refresh()
    assert [hit.uri for hit in project.search("found", "public")] == ["docs/a.md"]


@pytest.mark.parametrize("folder", [".", "lake", "lake/hints", "weights", "state", "..", "link", "lake/../lake/"])
def test_hints_lie_in_a_folder_of_their_own(folder: str, tmp_path: Path) -> None:
    (tmp_path / "p" / "lake").mkdir(parents=True)
    (tmp_path / "p" / "link").symlink_to("lake")
    settings = {"lake": "lake", "cache": "weights", "hints": {"folder": "lakeside"}}
    project = project_at(tmp_path / "p", str(tmp_path.parent / "docs"), **settings)
    environment = {"DAGSTER_HOME": str(tmp_path / "p" / "state")}
    path = project.pipeline().path
    assert load_pipeline(path, environment).settings.hints
    with pytest.raises(SettingsError, match=r"hints\.folder .* is not a folder of its own"):
        load_pipeline(path, environment | {"RAG_PIPELINE__HINTS__FOLDER": folder})
