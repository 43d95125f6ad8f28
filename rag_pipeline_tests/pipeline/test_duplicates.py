"""Documents of nearly the same wording in a project: what is left out, what comes back, and what it costs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import DUPLICATES, SIGNATURES, SIMILAR_PAIRS
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.delta import DeltaStore
from rag_pipeline_tests.levels import tries
from rag_pipeline_tests.pipeline.project import Project


def page(topic: str, *changed: int) -> str:
    """A page of 120 words on a topic, with the words at some places changed."""
    words = [f"{topic}{place}" for place in range(120)]
    for place in changed:
        words[place] = f"changed{place}"
    return f"# About {topic}\n\n" + " ".join(words) + ".\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    project.write("b.md", page("pump"))
    project.write("c.md", page("pump", 4))
    project.write("other.md", page("tide"))
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path, polled=True)


def uris(project: Project) -> set[str]:
    return {row["uri"].removeprefix("docs/") for row in project.published()}


def table(project: Project, contract: TableContract) -> pl.DataFrame:
    with project.workspace() as workspace:
        return workspace.lake.read(contract)


def duplicates(project: Project) -> list[dict[str, Any]]:
    return table(project, DUPLICATES).to_dicts()


@pytest.fixture
def texts_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """document_id of every text of silver/documents that was read."""
    seen: list[str] = []
    read, stream = DeltaStore.read, DeltaStore.stream

    def counted_read(self: DeltaStore, table: TableContract, *arguments: Any, **options: Any) -> pl.DataFrame:
        frame = read(self, table, *arguments, **options)
        if table.path == "silver/documents" and "text" in frame.columns:
            seen.extend(frame["document_id"])
        return frame

    def counted_stream(
        self: DeltaStore, table: TableContract, *arguments: Any, **options: Any
    ) -> Iterator[pl.DataFrame]:
        for frame in stream(self, table, *arguments, **options):
            if table.path == "silver/documents" and "text" in frame.columns:
                seen.extend(frame["document_id"])
            yield frame

    monkeypatch.setattr(DeltaStore, "read", counted_read)
    monkeypatch.setattr(DeltaStore, "stream", counted_stream)
    return seen


def refresh_duplicates(workspace: Workspace) -> Any:
    from rag_pipeline.refresh import documents, duplicates

    rows = workspace.lake.read(documents.DOCUMENTS, documents.DOCUMENT_FACTS)
    return duplicates.refresh_duplicates(workspace, rows)


def test_a_near_copy_is_left_out_with_the_reason(project: Project) -> None:
    assert uris(project) == {"b.md", "other.md"}
    (row,) = duplicates(project)
    assert 0.9 <= row["similarity"] < 1
    assert "docs/b.md" in row["reason"]
    assert project.verify().findings == []


def test_when_the_one_that_stands_goes_its_copy_takes_its_place(project: Project) -> None:
    (project.folder / "docs" / "b.md").unlink()
    project.refresh()
    assert uris(project) == {"c.md", "other.md"}
    assert duplicates(project) == []
    assert project.published() == project.rebuilt()
    assert project.verify().findings == []


def test_a_copy_that_came_back_costs_no_embedding(project: Project) -> None:
    project.write("a.md", page("pump", 5))
    project.refresh()
    assert uris(project) == {"a.md", "other.md"}
    (project.folder / "docs" / "a.md").unlink()
    project.embedded.clear()
    project.refresh()
    assert uris(project) == {"b.md", "other.md"}
    assert project.embedded == []


def test_an_earlier_near_copy_takes_over_as_in_a_rebuild(project: Project) -> None:
    project.write("a.md", page("pump", 5))
    project.refresh()
    assert uris(project) == {"a.md", "other.md"}
    assert {row["duplicate_of"] for row in duplicates(project)} != set()
    assert project.published() == project.rebuilt()


def test_an_edit_beyond_the_bar_brings_a_document_back(project: Project) -> None:
    project.write("c.md", page("pump", 4, 40, 80, 100))
    project.refresh()
    assert uris(project) == {"b.md", "c.md", "other.md"}
    assert project.published() == project.rebuilt()


def test_documents_with_other_readers_all_stand(project: Project) -> None:
    rules = [{"pattern": "c.md", "allowed_principals": ["keepers"]}]
    project.settings["sources"]["docs"]["permission_rules"] = rules
    project.refresh()
    assert uris(project) == {"b.md", "c.md", "other.md"}
    project.settings["sources"]["docs"]["permission_rules"] = []
    project.refresh()
    assert uris(project) == {"b.md", "other.md"}
    assert project.verify().findings == []


def test_short_documents_and_code_are_only_compared_exactly(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    for name, last in (("a", "one"), ("b", "two")):
        project.write(f"{name}.txt", " ".join(f"word{n}" for n in range(45)) + f" {last}\n")
        project.write(f"{name}.py", "\n".join(f"value_{n} = read({n})" for n in range(60)) + f"\nlast = {last!r}\n")
    project.refresh()
    assert uris(project) == {"a.txt", "b.txt", "a.py", "b.py"}
    assert table(project, SIGNATURES)["words"].to_list() == [46, 46]


def test_the_settings_decide(project: Project) -> None:
    project.settings["deduplication"] = {"near": False}
    project.refresh()
    assert uris(project) == {"b.md", "c.md", "other.md"}
    assert table(project, SIGNATURES).is_empty()
    project.settings["deduplication"] = {"similarity": 0.95}
    project.refresh()
    assert uris(project) == {"b.md", "c.md", "other.md"}
    project.settings["deduplication"] = {"similarity": 0.8}
    project.refresh()
    assert uris(project) == {"b.md", "other.md"}
    assert project.published() == project.rebuilt()


def test_tables_hold_nothing_of_texts_that_are_gone(project: Project) -> None:
    assert table(project, SIMILAR_PAIRS).height == 1
    (project.folder / "docs" / "c.md").unlink()
    project.refresh()
    assert table(project, SIGNATURES).height == 2
    assert table(project, SIMILAR_PAIRS).is_empty()


def test_an_unchanged_run_reads_no_text_and_commits_nothing(project: Project, texts_read: list[str]) -> None:
    assert project.refresh() == 0
    with project.workspace() as workspace:
        report = refresh_duplicates(workspace)
        assert (report.signed, report.compared, workspace.lake.commits) == (0, 0, 0)
    assert texts_read == []


def test_one_new_document_is_compared_with_those_like_it_only(tmp_path: Path, texts_read: list[str]) -> None:
    project = Project.create(tmp_path)
    for number in range(60):
        project.write(f"{number:02}.md", page(f"topic{number}x"))
    project.refresh()
    texts_read.clear()
    project.write("new.md", page("topic7x", 3))
    project.refresh()
    new, *_ = (row for row in duplicates(project))
    # Its own text once to sign it and once to compare it, and the text of the one document like it.
    assert sorted(texts_read) == sorted([new["document_id"], new["document_id"], new["duplicate_of"]])


places = st.lists(st.sampled_from([4, 5, 44, 45, 116]), max_size=3, unique=True)
edits = st.tuples(st.sampled_from(["a.md", "b.md", "c.txt", "d.md"]), st.sampled_from(["pump", "tide"]), places)
deletions = st.tuples(st.sampled_from(["a.md", "b.md", "c.txt", "d.md"]), st.none(), st.none())


@pytest.mark.slow
@given(nights=st.lists(st.lists(edits | deletions, min_size=1, max_size=3), min_size=2, max_size=4))
@settings(max_examples=tries(3, 12), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_after_any_changes_the_outcome_is_that_of_a_rebuild(nights: list[list[tuple[str, Any, Any]]]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        project = Project.create(folder)
        project.write("always.md", page("lamp"))
        for night in nights:
            for name, topic, changed in night:
                if topic is None:
                    (folder / "docs" / name).unlink(missing_ok=True)
                else:
                    project.write(name, page(topic, *changed))
            project.refresh()
            assert project.published() == project.rebuilt()
            assert project.verify().findings == []
            assert project.refresh() == 0
    finally:
        shutil.rmtree(folder)
