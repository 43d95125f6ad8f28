"""How silver looks is recorded by the runs that change it, and by no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rag_pipeline.contracts.directions import LEAST_TEXTS
from rag_pipeline.contracts.history import HISTORY_FILE, line_of
from rag_pipeline.contracts.neighbours import NEIGHBOURS_FILE, SAMPLE_TEXTS
from rag_pipeline.errors import StoreError
from rag_pipeline.refresh import neighbours
from rag_pipeline.refresh.history import reader_hash
from rag_pipeline.refresh.plan import plan_run
from rag_pipeline.stores.directions import read_directions
from rag_pipeline.stores.history import read_history
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.neighbours import read_neighbours
from rag_pipeline.transforms.directions import turned
from rag_pipeline_tests.pipeline.project import Project


def lake_of(project: Project) -> Lake:
    return Lake(str(project.folder / "lake"))


def aged(project: Project, by: timedelta) -> None:
    """As if everything that is known had been so long ago."""
    lines = [line_of(replace(each, at=each.at - by)) for each in read_history(lake_of(project))]
    (project.folder / "lake" / HISTORY_FILE).write_bytes(b"".join(lines))


def test_a_run_that_changes_silver_records_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.create(tmp_path, ("docs", "people"))
    project.settings["sources"]["people"]["allowed_principals"] = ["hr"]
    for number in range(3):
        project.write(
            f"{number}.md",
            f"---\nband: seven\n---\n# Bands {number}\n\nA keeper of lamps is paid in copper.\n",
            "people",
        )
    sized = project.write("lamp.md", "# The lamp\n\nThe lamp of the tower is lit by hand at dusk.\n")
    project.write("empty.md", "")
    project.refresh()
    [first] = read_history(lake_of(project))
    docs, people = first.sources["docs"], first.sources["people"]
    assert (docs.documents, docs.chunks, docs.bytes, docs.public) == (1, 1, sized.stat().st_size, 1)
    assert docs.refused == {"empty": 1}
    assert (docs.sampled, docs.low_quality, docs.field_names) == (1, 0, 0)
    assert (people.sampled, people.fields) == (3, {"text band": 3})
    assert 0.5 < people.quality_mean <= 1
    assert b"seven" not in (tmp_path / "lake" / HISTORY_FILE).read_bytes()
    assert people.readers == {reader_hash("hr"): 3}
    assert b"hr" not in (tmp_path / "lake" / HISTORY_FILE).read_bytes().replace(b'"docs"', b"")
    project.refresh()
    project.write("new.md", "# The bell\n\nThe bell rings at noon.\n")
    plan_run(project.pipeline())
    assert len(read_history(lake_of(project))) == 1
    with monkeypatch.context() as patch:
        patch.setattr("rag_pipeline.refresh.history.add_snapshot", full)
        project.refresh()
    assert "bell" in str(project.published())
    project.write("newer.md", "# The rope\n\nThe rope hangs from the bell.\n")
    project.refresh()
    assert [each.sources["docs"].documents for each in read_history(lake_of(project))] == [1, 3]


def test_a_run_records_where_its_vectors_point_by_source_if_they_are_enough(tmp_path: Path) -> None:
    project = Project.create(tmp_path, ("docs", "people"))
    for number in range(LEAST_TEXTS):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe lamp number {number} hangs in hall {number}.\n")
    project.write("one.md", "# One\n\nThe only one.\n", "people")
    project.refresh()
    [row] = read_directions(lake_of(project))
    assert {name: each.texts for name, each in row.sources.items()} == {"docs": LEAST_TEXTS}
    project.write("more.md", "# Bell\n\nThe bell rings at noon.\n")
    project.refresh()
    assert len(read_directions(lake_of(project))) == 1
    for number in range(LEAST_TEXTS):
        project.write(f"z{number}.md", f"# \u96ea {number}\n\n\u706f\u5854 {number * 7} \u5c71\u6d77\u98ce\n")
    project.refresh()
    with project.workspace() as workspace:
        space = workspace.space("small").fingerprint
        found = turned(read_directions(workspace.lake), space, workspace.now())
    assert [(each.source, each.texts) for each in found] == [("docs", LEAST_TEXTS)]


def test_how_near_texts_lie_is_recorded_from_what_changed_and_what_cannot_be_fails_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.create(tmp_path, ("docs", "people"))
    for number in range(SAMPLE_TEXTS + 5):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe lamp {number * 7} hangs in hall {number}.\n")
    project.write("one.md", "# One\n\nThe only one.\n", "people")
    project.refresh()
    [first] = read_neighbours(lake_of(project))
    assert first.sources.keys() == {"docs"}
    assert 0 < first.sources["docs"].p50 < 1
    read: list[int] = []
    asked = neighbours.rows_with
    monkeypatch.setattr(neighbours, "rows_with", lambda *args: read.append(len(args[2])) or asked(*args))
    project.write("two.md", "# Two\n\nThe second one.\n", "people")
    project.refresh()
    assert (read, len(read_neighbours(lake_of(project)))) == ([], 1)
    file = project.folder / "lake" / NEIGHBOURS_FILE
    content = file.read_bytes()
    file.unlink()
    file.mkdir()
    project.write("0.md", "# Bell\n\nThe bell rings at noon.\n")
    project.refresh()
    assert "bell" in str(project.published())
    file.rmdir()
    file.write_bytes(content + b'{"half')
    for number in range(SAMPLE_TEXTS):
        project.write(f"{number}.md", f"# Bell {number}\n\nThe bell number {number} rings.\n")
    project.refresh()
    assert len(read_neighbours(lake_of(project))) == 2
    assert read == [SAMPLE_TEXTS] * 2


def full(*_: object) -> None:
    raise StoreError("no space left")
