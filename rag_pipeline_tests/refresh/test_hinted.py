"""A hint that names an object has that one looked at, and whatever it cannot tell has all of them looked at."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from rag_pipeline.errors import StoreError
from rag_pipeline.refresh import hinted
from rag_pipeline.refresh.bronze import BronzeReport
from rag_pipeline.refresh.hinted import poll_hinted
from rag_pipeline.sources.local import LocalFiles
from rag_pipeline.stores.hints import HintFolder
from rag_pipeline.stores.polls import read_polls
from rag_pipeline_tests.pipeline.project import Project

COUNT = 30
Shown = dict[str, tuple[str, frozenset[str]]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("hinted"), hints={"folder": "hints"})
    for number in range(COUNT):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe lamp hangs in hall {number * number}.\n")
    (project.folder / "docs" / "3.md.meta.yaml").write_text("allowed_principals: [staff]\n")
    with project.workspace() as workspace:
        poll_hinted(workspace, "docs")
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path, polled=True)


def look(project: Project, *addresses: str) -> BronzeReport:
    HintFolder(project.folder / "hints", {"docs"}).give("docs", addresses)
    with project.workspace() as workspace:
        return poll_hinted(workspace, "docs")


def shown(project: Project) -> Shown:
    with project.workspace() as workspace:
        live = workspace.lake.bronze_state("docs").filter(pl.col("change") != "deleted")
        columns = live.select("address", "bytes_hash", "allowed_principals").iter_rows()
        return {address: (hashed, frozenset(readers)) for address, hashed, readers in columns}


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was listed as a whole."""
    looks: list[str] = []
    listed = LocalFiles.list

    def counted(self: LocalFiles) -> object:
        looks.append(self.name)
        return listed(self)

    monkeypatch.setattr(LocalFiles, "list", counted)
    return looks


def test_one_file_is_looked_at_however_many_lie_beside_it(
    project: Project, whole: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    seen = LocalFiles._object
    monkeypatch.setattr(LocalFiles, "_object", lambda *args: looked.append(args[2]) or seen(*args))
    project.write("7.md", "# Bell\n\nThe bell rings.\n")
    project.write("new/late.md", "# Rope\n\nThe rope is new.\n")
    project.write("8.md", "# Unsaid\n\nNobody hinted at this one.\n")
    with project.workspace() as workspace:
        polled = read_polls(workspace.lake).by_source
    report = look(project, "7.md", "new/late.md")
    assert (whole, sorted(looked)) == ([], ["7.md", "new/late.md"])
    assert (report.hinted, report.added, report.modified, report.live) == (2, 1, 1, COUNT + 1)
    with project.workspace() as workspace:
        # Nobody knows more of the others than before.
        assert read_polls(workspace.lake).by_source == polled
    assert look(project).modified == 1
    assert len(whole) == 1
    assert HintFolder(project.folder / "hints", {"docs"}).waiting() == []


def gone(project: Project) -> str:
    (project.folder / "docs" / "5.md").unlink()
    return "5.md"


def moved(project: Project) -> str:
    (project.folder / "docs" / "5.md").rename(project.folder / "docs" / "six.md")
    return "six.md"


def closed(project: Project) -> str:
    (project.folder / "docs" / "5.md.meta.yaml").write_text("allowed_principals: []\n")
    return "5.md.meta.yaml"


def broken(project: Project) -> str:
    (project.folder / "docs" / "5.md").unlink()
    os.mkfifo(project.folder / "docs" / "5.md")
    return "5.md"


def linked(project: Project) -> str:
    (project.folder / "docs" / "link.md").symlink_to("5.md")
    with project.workspace() as workspace:
        hinted.poll_source(workspace, "docs")
    (project.folder / "docs" / "5.md.meta.yaml").write_text("allowed_principals: [staff]\n")
    return "5.md"


@pytest.mark.parametrize("change", [gone, moved, closed, broken, linked, lambda _: "lie.md", lambda _: "../secret.md"])
def test_what_an_object_does_not_tell_is_looked_for_everywhere(
    project: Project, whole: list[str], change: Callable[[Project], str]
) -> None:
    address = change(project)
    whole.clear()
    assert look(project, address).hinted == 0
    assert whole == ["docs"]
    with project.workspace() as workspace:
        now = shown(project)
        assert hinted.poll_source(workspace, "docs").commits == 0
    assert shown(project) == now


def test_a_move_of_which_both_ends_are_named_needs_nothing_else(project: Project, whole: list[str]) -> None:
    with project.workspace() as workspace:
        before = dict(workspace.lake.bronze_state("docs").select("address", "document_id").iter_rows())
    moved(project)
    report = look(project, "5.md", "six.md")
    assert (whole, report.hinted, report.moved) == ([], 2, 1)
    with project.workspace() as workspace:
        after = dict(workspace.lake.bronze_state("docs").select("address", "document_id").iter_rows())
    assert after["six.md"] == before["5.md"]


def test_settings_close_what_no_hint_names_and_a_sidecar_beside_a_named_one_counts(project: Project) -> None:
    (project.folder / "docs" / "7.md.META.YAML").write_text("allowed_principals: [staff]\n")
    project.settings["sources"]["docs"]["permission_rules"] = [{"pattern": "9.md", "allowed_principals": ["board"]}]
    assert look(project, "7.md").hinted == 1
    found = shown(project)
    assert (found["7.md"][1], found["9.md"][1]) == ({"staff"}, {"board"})


def test_a_look_that_cannot_be_recorded_is_one_of_all_and_a_hold_too(
    project: Project, whole: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("7.md", "# Bell\n\nThe bell rings.\n")

    def full(*_: object, **__: object) -> None:
        raise StoreError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("rag_pipeline.refresh.hinted.SourceRefresh.fetch_and_commit", full)
        with pytest.raises(StoreError):
            look(project, "7.md")
    assert whole == ["docs"]
    with project.workspace() as workspace:
        assert read_polls(workspace.lake).by_source["docs"].unrecorded
    # What is not recorded may be more than what is named.
    assert look(project, "7.md").hinted == 0
    for number in range(10, COUNT):
        (project.folder / "docs" / f"{number}.md").unlink()
    project.settings["sources"]["docs"] |= {"max_deleted_share": 0.1, "max_deleted_floor": 0}
    assert look(project).held == COUNT - 10
    project.write("1.md", "# Bell\n\nThe bell rings twice.\n")
    report = look(project, "1.md")
    assert (report.hinted, report.held, report.modified) == (0, COUNT - 10, 1)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_hinted_the_next_look_at_all_finds_what_a_new_lake_would(
    project: Project, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chance = random.Random(seed)
    docs = project.folder / "docs"
    for step in range(12):
        names = sorted(path.name for path in docs.iterdir() if path.suffix == ".md")
        name = chance.choice(names)
        match chance.randrange(5):
            case 0:
                (docs / name).write_text(f"# Step {step}\n\nChanged {seed}.\n")
            case 1:
                (docs / name).unlink()
            case 2:
                (docs / name).rename(docs / f"moved{step}.md")
            case 3:
                (docs / f"{name}.meta.yaml").write_text(f"allowed_principals: [r{step}]\n")
            case 4:
                (docs / f"added{step}.md").write_bytes((docs / name).read_bytes())
        told = [each for each in (name, f"moved{step}.md", f"{name}.meta.yaml", f"added{step}.md", "lie.md")]
        look(project, *chance.sample(told, chance.randrange(1, 4)))
    look(project)
    fresh = project.copied(tmp_path_factory.mktemp("fresh"))
    fresh.settings["lake"] = "another"
    with fresh.workspace() as workspace:
        hinted.poll_source(workspace, "docs")
    assert shown(project) == shown(fresh)


def test_what_a_guard_holds_is_let_go_once_a_hint_tells_where_it_went(tmp_path: Path, whole: list[str]) -> None:
    project = Project.create(tmp_path, ("docs", "vault"), hints={"folder": "hints"})
    project.settings["sources"]["vault"]["allowed_principals"] = ["board"]
    for number in range(COUNT):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe secret lamp hangs in hall {number * number}.\n")
    with project.workspace() as workspace:
        for name in ("docs", "vault"):
            hinted.poll_source(workspace, name)
    names = [f"{number}.md" for number in range(COUNT)]
    for name in names:
        (project.folder / "docs" / name).rename(project.folder / "vault" / name)
    with project.workspace() as workspace:
        assert hinted.poll_source(workspace, "docs").held == COUNT
    whole.clear()
    HintFolder(project.folder / "hints", {"docs", "vault"}).give("vault", names)
    with project.workspace() as workspace:
        assert poll_hinted(workspace, "vault").hinted == COUNT
    assert whole == ["docs"]
    # Their old readers are gone with them, and do not wait for the next look at all.
    assert shown(project) == {}


def test_a_source_that_names_more_than_it_was_asked_for_doubles_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalFiles, "list_some", lambda self, _: self.list())
    project.write("7.md", "# Bell\n\nThe bell rings.\n")
    before = shown(project)
    assert look(project, "7.md").modified == 1
    assert shown(project).keys() == before.keys()
    with project.workspace() as workspace:
        assert workspace.lake.bronze_state("docs")["address"].is_unique().all()
