"""Equal lakes answer equally: what was built in steps gives the hits, places and scores of a build from nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_pipeline.retrieval.search import MODES
from rag_pipeline.stores.vectors import VectorTable
from rag_pipeline_tests.pipeline.project import Project

# More than a retriever takes.
NOTES = 160
TEXT = "The pump starts when the green lamp is lit. Nobody enters without a helmet.\n"
QUERIES = ("Which lamp starts the pump?", "pump", "note number seven", "helmet", "lamp lamp hall")
AT = (1, 3, 10, 37, 120, 1_000)


def write(project: Project, numbers: range) -> None:
    for number in numbers:
        # Equal text in every note, and readers that differ, so that none is left out as a copy.
        project.write(f"{number:03}.md", TEXT)
        project.write(f"{number:03}.md.meta.yaml", f"allowed_principals: [staff, p{number}]\n")


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Project]:
    """The same equal notes and some others: built in steps with edits and deletions, and built at once."""
    folder = tmp_path_factory.mktemp("equal")
    settings = {"deduplication": {"near": False}, "boilerplate": {"leave_out": False}}
    steps = Project.create(folder, **settings)
    write(steps, range(NOTES // 2, NOTES))
    steps.write("zebra.md", "# Zebra\n\nA lamp in the hall, and a helmet that is deleted.\n")
    steps.write("other.md", "# Other\n\nA note about a hall.\n")
    steps.refresh()
    write(steps, range(NOTES // 2))
    (folder / "docs" / "zebra.md").unlink()
    steps.write("other.md", "# Other\n\nA note about a lamp in the hall, number seven.\n")
    steps.refresh()
    once = Project(folder, steps.settings | {"lake": "once"})
    once.refresh()
    return steps, once


@pytest.mark.parametrize("principals", [("staff",), ("p7",), ("public",)])
def test_steps_and_one_build_answer_equally(lakes: tuple[Project, Project], principals: tuple[str, ...]) -> None:
    steps, once = (project.answers(QUERIES, principals, AT) for project in lakes)
    for asked, hits in once.items():
        assert steps[asked] == hits, asked
    assert any(once.values()), "nothing was found, so nothing was compared"


def small(folder: Path) -> Project:
    project = Project.create(folder)
    for number in range(8):
        project.write(
            f"{number}.md", f"# Hall {number}\n\nA lamp of hall {number} hangs there{' and a helmet' * (number % 3)}.\n"
        )
    return project


def same_as_at_once(project: Project) -> None:
    once = Project(project.folder, project.settings | {"lake": "once"})
    once.refresh()
    found = project.answers(QUERIES, ["public"])
    for asked, hits in once.answers(QUERIES, ["public"]).items():
        assert found[asked] == hits, asked


def test_a_night_that_only_deletes_leaves_no_trace_in_scores(tmp_path: Path) -> None:
    project = small(tmp_path)
    project.refresh()
    for number in (2, 5):
        (tmp_path / "docs" / f"{number}.md").unlink()
    project.refresh()
    same_as_at_once(project)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_refresh_killed_before_its_indexes_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    project = small(tmp_path)
    if not is_first:
        project.refresh()
        (tmp_path / "docs" / "2.md").unlink()
        project.write("3.md", "# Hall 3\n\nNothing is left in it.\n")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(VectorTable, "index", killed)
        with pytest.raises(KeyboardInterrupt):
            project.refresh()
    project.refresh()
    same_as_at_once(project)
    assert project.verify().findings == []


def test_the_first_by_place_is_found(lakes: tuple[Project, Project]) -> None:
    """Of equal texts the one that stands first is the hit, though more are as good than a retriever takes."""
    for project in lakes:
        for mode in MODES:
            hits = project.search("The pump starts when the green lamp is lit", "staff", mode=mode, k=1)
            assert [hit.uri for hit in hits] == ["docs/000.md"], mode


def test_a_retriever_gives_the_columns_that_were_asked_for(lakes: tuple[Project, Project]) -> None:
    with lakes[0].workspace() as workspace:
        last = workspace.lake.last_publication()
        assert last is not None
        table = workspace.vectors.open(last.table_name, last.space_fingerprint)
        for limit in (1, 1_000):
            assert table.matching("pump", "true", limit, ["chunk_id"]).columns == ["chunk_id", "_score"]
