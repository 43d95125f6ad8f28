"""P6 without a price in P4 or P1: a broken source takes nothing away, and nothing stays open because of it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import polars as pl
import pytest

from rag_pipeline.contracts.tables import QUARANTINE
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.defs.summary import RunSummary
from rag_pipeline.errors import MassDeletion
from rag_pipeline.refresh.bronze import update_source
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.documents import refresh_documents, update_documents
from rag_pipeline.refresh.embeddings import refresh_embeddings
from rag_pipeline.refresh.everything import Everything, refresh_everything
from rag_pipeline.refresh.holds import read_holds
from rag_pipeline.refresh.index import refresh_index
from rag_pipeline.refresh.publication import publish
from rag_pipeline.refresh.rebuild import rebuild
from rag_pipeline.refresh.source_guard import SourceGuard
from rag_pipeline.refresh.status import read_status
from rag_pipeline_tests.pipeline.project import Project

COUNT = 24


def filled(folder: Path, count: int = COUNT) -> Project:
    project = Project.create(folder)
    for number in range(count):
        project.write(address(number), f"# Document {number}\n\nLantern number {number} hangs in hall {number}.\n")
    return project


def address(number: int) -> str:
    return f"doc{number:02}.md"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = filled(tmp_path_factory.mktemp("built"))
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return built.copied(tmp_path / "project")


def path_of(project: Project, number: int) -> Path:
    return project.folder / "docs" / address(number)


def seen_by(project: Project, principal: str) -> set[str]:
    """Addresses that are open to a principal by name."""
    rows = [row for row in project.published() if principal in row["allowed_principals"]]
    uris = {hit.uri for hit in project.search("lantern", principal, mode="text", k=300)}
    assert uris >= {row["uri"] for row in rows}
    return {row["uri"].removeprefix("docs/") for row in rows}


def red_checks(summary: RunSummary) -> list[str]:
    assert summary.errors == []
    assert not summary.success
    return [check["check"] for check in summary.checks_failed if check["severity"] == "ERROR"]


def night(project: Project, *allowed: str) -> Everything:
    """What a run in Dagster does, in its order and without it: what is held stops nothing else."""
    with project.workspace() as workspace:
        return refresh_everything(workspace, evaluate=False, allow_mass_deletion=allowed)


def held_codes(project: Project) -> list[str]:
    return [finding["code"] for finding in project.verify().findings]


def revoke_from_public(project: Project, *numbers: int) -> None:
    project.settings["sources"]["docs"]["permission_rules"] = [
        {"pattern": address(number), "allowed_principals": ["staff"]} for number in numbers
    ]


# Vanished: the guard in bronze -----------------------------------------------------------------------------------


def test_everything_but_the_deletions_reaches_readers_while_the_guard_holds(project: Project) -> None:
    for number in range(10):
        path_of(project, number).unlink()
    revoke_from_public(project, 3, 20)
    project.write("doc21.md.meta.yaml", "allowed_principals: [staff]\n")
    project.write("doc22.md.meta.yaml", "allowed_principals: [staff\n")
    project.write("doc23.md", "# Document 23\n\nLantern number 23 was repaired.\n")
    (project.folder / "docs" / "moved").mkdir()
    path_of(project, 19).rename(project.folder / "docs" / "moved" / address(19))
    summary = launch_refresh(project.pipeline())
    assert red_checks(summary) == ["deletion_guard_holds_nothing"]
    assert summary.published is not None
    assert summary.published["moved"]
    kept = {address(number) for number in range(19)} | {f"moved/{address(19)}", address(23)}
    assert seen_by(project, "public") == kept - {address(3)}
    assert seen_by(project, "staff") == {address(number) for number in (3, 20, 21)}
    assert any("repaired" in row["embedded_text"] for row in project.published())
    assert held_codes(project) == ["held_because_vanished"]
    assert night(project).commits == 0
    assert night(project, "docs").bronze["docs"].held == 0
    assert len(project.published()) == 13
    assert project.published() == project.rebuilt()


def test_a_source_that_comes_back_is_as_it_was(project: Project) -> None:
    before = project.published()
    (project.folder / "docs").rename(project.folder / "away")
    (project.folder / "docs").mkdir()
    revoke_from_public(project, 3)
    held = night(project)
    assert (held.bronze["docs"].held, held.documents.held) == (COUNT, 0)
    assert held_codes(project) == ["held_because_vanished"]
    assert address(3) not in seen_by(project, "public")
    (project.folder / "docs").rmdir()
    (project.folder / "away").rename(project.folder / "docs")
    del project.settings["sources"]["docs"]["permission_rules"]
    project.refresh(allow_mass_deletion=False)
    assert project.published() == before
    assert project.verify().findings == []
    assert project.refresh() == 0


def test_unknown_permissions_shut_out_everybody_and_are_no_loss_to_hold(project: Project) -> None:
    for number in range(COUNT):
        project.write(f"{address(number)}.meta.yaml", "allowed_principals: [staff\n")
    project.refresh(allow_mass_deletion=False)
    assert project.published() == []
    assert project.verify().findings == []


def test_documents_that_cannot_be_read_any_more_are_held_with_the_permissions_of_now(project: Project) -> None:
    project.settings["sources"]["docs"]["max_document_bytes"] = 1
    revoke_from_public(project, 3)
    with pytest.raises(MassDeletion, match="became unreadable"):
        project.refresh(allow_mass_deletion=False)
    red = red_checks(launch_refresh(project.pipeline()))
    assert sorted(red) == ["deletion_guard_holds_nothing", "no_source_is_refused_at_once"]
    assert seen_by(project, "public") == {address(number) for number in range(COUNT) if number != 3}
    assert seen_by(project, "staff") == {address(3)}
    project.refresh()
    assert project.published() == []


@pytest.mark.parametrize(("count", "is_held"), [(1, False), (2, False), (3, True), (19, True)])
def test_an_emptied_source_is_held_whatever_its_size_unless_one_person_may_have_done_it(
    tmp_path: Path, count: int, is_held: bool
) -> None:
    small = filled(tmp_path, count)
    small.refresh()
    for number in range(count):
        path_of(small, number).unlink()
    if is_held:
        with pytest.raises(MassDeletion, match="nothing else is left"):
            small.refresh(allow_mass_deletion=False)
        assert len(small.published()) == count
    small.refresh(allow_mass_deletion=is_held)
    assert small.published() == []


def test_a_small_source_may_be_replaced_as_a_whole(tmp_path: Path) -> None:
    small = filled(tmp_path, 5)
    small.refresh()
    for number in range(5):
        path_of(small, number).unlink()
    small.write("new.md", "# New\n\nOne lantern for all halls.\n")
    small.refresh(allow_mass_deletion=False)
    assert seen_by(small, "public") == {"new.md"}


def test_objects_that_nobody_could_read_do_not_hide_a_loss(tmp_path: Path) -> None:
    project = filled(tmp_path)
    for number in range(60):
        project.write(f"blob{number}.bin", bytes([0, 1, 2, number]))
        (project.folder / "docs" / f"link{number}").symlink_to("/outside")
    project.refresh()
    for number in range(COUNT):
        path_of(project, number).unlink()
    with pytest.raises(MassDeletion, match="24 of 24"):
        project.refresh(allow_mass_deletion=False)
    assert len(project.published()) == COUNT


def test_objects_that_nobody_could_read_may_all_go(tmp_path: Path) -> None:
    project = filled(tmp_path)
    for number in range(60):
        project.write(f"blob{number}.bin", bytes([0, 1, 2, number]))
    project.refresh()
    for path in (project.folder / "docs").glob("*.bin"):
        path.unlink()
    project.refresh(allow_mass_deletion=False)
    assert project.verify().findings == []


def test_a_third_may_go_every_night(tmp_path: Path) -> None:
    project = filled(tmp_path, 27)
    project.refresh()
    for first, last in ((0, 9), (9, 15)):
        for number in range(first, last):
            path_of(project, number).unlink()
        project.refresh(allow_mass_deletion=False)
    assert len(project.published()) == 12


def test_a_source_that_was_taken_out_of_the_settings_goes_at_once(tmp_path: Path) -> None:
    project = filled(tmp_path)
    project.settings["sources"]["wiki"] = {"location": "wiki", "allowed_principals": ["public"]}
    project.write("a.md", "# A\n\nA lantern apart.\n", source="wiki")
    project.refresh()
    del project.settings["sources"]["docs"]
    project.refresh(allow_mass_deletion=False)
    assert len(project.published()) == 1


# Refused: the guard in silver ------------------------------------------------------------------------------------


def test_documents_that_are_refused_at_once_stay_as_they_were_with_the_permissions_of_now(project: Project) -> None:
    for number in range(12):
        path_of(project, number).write_bytes(b"")
    revoke_from_public(project, 3)
    project.write("doc04.md.meta.yaml", "allowed_principals: [staff]\n")
    project.write("doc23.md", "# Document 23\n\nLantern number 23 was repaired.\n")
    path_of(project, 22).unlink()
    summary = launch_refresh(project.pipeline())
    assert not summary.success
    assert summary.errors == []
    failed = [check for check in summary.checks_failed if check["severity"] == "ERROR"]
    assert [check["check"] for check in failed] == ["no_source_is_refused_at_once"]
    assert "12 of 23 documents of source docs were refused at once (12 empty)" in failed[0]["description"]
    shown = {address(number) for number in range(COUNT) if number != 22}
    assert seen_by(project, "public") == shown - {address(3), address(4)}
    assert seen_by(project, "staff") == {address(3), address(4)}
    assert any("repaired" in row["embedded_text"] for row in project.published())
    assert held_codes(project) == ["held_because_refused"]
    with project.workspace() as workspace:
        assert not read_status(workspace).is_behind
        held = workspace.lake.read(QUARANTINE)
    assert held["stage"].to_list() == ["held"] * 12


def test_the_guard_holds_every_night_until_it_is_allowed(project: Project) -> None:
    before = [row["embedded_text"] for row in project.published()]
    for number in range(12):
        path_of(project, number).write_bytes(b"")
    for _ in range(2):
        with pytest.raises(MassDeletion, match=r"12 empty.*--allow-mass-deletion docs"):
            project.refresh(allow_mass_deletion=False)
        assert night(project).documents.held == 12
        assert [row["embedded_text"] for row in project.published()] == before
    assert night(project, "docs").documents.held == 0
    assert project.published() == project.rebuilt()
    assert len(project.published()) == 12
    assert project.verify().findings == []
    assert project.refresh(allow_mass_deletion=False) == 0


def test_documents_that_are_mended_are_held_no_longer(project: Project) -> None:
    before = project.published()
    texts = {number: path_of(project, number).read_bytes() for number in range(12)}
    for number in texts:
        path_of(project, number).write_bytes(b"")
    assert night(project).documents.held == 12
    assert held_codes(project) == ["held_because_refused"]
    for number, text in texts.items():
        path_of(project, number).write_bytes(text)
    project.refresh(allow_mass_deletion=False)
    assert [row["embedded_text"] for row in project.published()] == [row["embedded_text"] for row in before]
    assert project.verify().findings == []
    assert project.refresh() == 0


def test_a_few_refusals_and_those_of_small_sources_hide_documents_at_once(project: Project, tmp_path: Path) -> None:
    small = filled(tmp_path / "small", 5)
    small.refresh()
    for number in range(5):
        path_of(small, number).write_bytes(b"")
        path_of(project, number).write_bytes(b"")
    small.refresh(allow_mass_deletion=False)
    project.refresh(allow_mass_deletion=False)
    assert small.published() == []
    assert len(project.published()) == COUNT - 5


def test_only_the_source_that_is_named_is_released(project: Project) -> None:
    for number in range(12):
        path_of(project, number).write_bytes(b"")
    project.settings["sources"]["wiki"] = {"location": "wiki", "allowed_principals": ["public"]}
    project.write("a.md", "# A\n\nA lantern apart.\n", source="wiki")
    assert night(project, "wiki").documents.held == 12
    assert len(project.published()) == COUNT + 1
    with project.workspace() as workspace:
        assert update_documents(workspace).held == 12
        assert refresh_documents(workspace, allow_mass_deletion=["docs"]).held == 0


def test_a_refused_revision_takes_a_revoked_permission_along_where_the_last_good_one_stays(tmp_path: Path) -> None:
    project = filled(tmp_path, 3)
    project.settings["quarantined_documents"] = "keep_last_good"
    project.refresh()
    path_of(project, 0).write_bytes(b"")
    revoke_from_public(project, 0)
    project.refresh(allow_mass_deletion=False)
    assert seen_by(project, "public") == {address(1), address(2)}
    assert seen_by(project, "staff") == {address(0)}


def test_an_object_that_cannot_be_read_is_for_nobody_also_where_its_last_good_text_stays(tmp_path: Path) -> None:
    """Its bytes may say who may read it."""
    project = filled(tmp_path, 3)
    project.settings["quarantined_documents"] = "keep_last_good"
    project.refresh()
    text = path_of(project, 0).read_text()
    path_of(project, 0).write_text(text + "\nmore" * 300)
    project.settings["sources"]["docs"]["max_document_bytes"] = 1_000
    project.refresh()
    assert seen_by(project, "public") == {address(1), address(2)}
    # Neither do the next runs give it back, nor take it away again.
    assert project.refresh() == 0
    assert project.verify().findings == []
    path_of(project, 0).write_text(text)
    project.refresh()
    assert seen_by(project, "public") == {address(0), address(1), address(2)}


# What it is measured against stays ----------------------------------------------------------------------------


def test_what_a_held_run_adds_and_running_again_never_release_it(tmp_path: Path) -> None:
    project = filled(tmp_path, 30)
    project.refresh()
    before = seen_by(project, "public")
    for number in range(20):
        path_of(project, number).unlink()
    for number in range(35):
        project.write(f"new{number:02}.md", f"# Novelty {number}\n\nAnother lantern, number {number}, entirely.\n")
    for _ in range(3):
        with pytest.raises(MassDeletion, match="20 of 30 documents of source docs vanished"):
            project.refresh(allow_mass_deletion=False)
        update_all(project)
    assert seen_by(project, "public") >= before
    with project.workspace() as workspace:
        (hold,) = read_holds(workspace)
    assert (len(hold.held), len(hold.measured)) == (20, 30)
    project.refresh()
    assert project.published() == project.rebuilt()
    with project.workspace() as workspace:
        assert read_holds(workspace) == []


def test_a_run_that_was_killed_does_not_dilute_the_loss(tmp_path: Path) -> None:
    project = filled(tmp_path, 30)
    project.refresh()
    for number in range(20):
        path_of(project, number).unlink()
    for number in range(35):
        project.write(f"new{number:02}.md", f"# Novelty {number}\n\nAnother lantern, number {number}, entirely.\n")
    with project.workspace() as workspace, pytest.MonkeyPatch.context() as patch:
        patch.setattr(SourceGuard, "held", killed)
        with pytest.raises(RuntimeError, match="killed"):
            update_source(workspace, "docs")
    with project.workspace() as workspace:
        refresh_documents(workspace)
        assert update_source(workspace, "docs").held == 20


def killed(*_: object) -> None:
    raise RuntimeError("killed")


def update_all(project: Project) -> None:
    """What a run in Dagster does: what is held stops nothing else."""
    with project.workspace() as workspace:
        update_source(workspace, "docs")
        update_documents(workspace)
        refresh_chunks(workspace)
        refresh_embeddings(workspace, "small")
        refresh_index(workspace, "small")
        publish(workspace, "small")


def test_a_small_source_that_was_emptied_stays_held_when_one_document_appears(tmp_path: Path) -> None:
    small = filled(tmp_path, 5)
    small.refresh()
    for number in range(5):
        path_of(small, number).unlink()
    with pytest.raises(MassDeletion):
        small.refresh(allow_mass_deletion=False)
    small.write("new.md", "# New\n\nOne lantern for all halls.\n")
    with pytest.raises(MassDeletion, match="5 of 5"):
        small.refresh(allow_mass_deletion=False)
    update_all(small)
    assert len(small.published()) == 6


def test_a_hold_ends_when_enough_is_back(project: Project) -> None:
    texts = {number: path_of(project, number).read_bytes() for number in range(12)}
    for number in texts:
        path_of(project, number).unlink()
    with pytest.raises(MassDeletion):
        project.refresh(allow_mass_deletion=False)
    for number in range(6):
        path_of(project, number).write_bytes(texts[number])
    project.refresh(allow_mass_deletion=False)
    assert project.published() == project.rebuilt()
    assert len(project.published()) == COUNT - 6
    assert project.verify().findings == []


def test_what_is_lost_on_top_is_held_and_measured_too(tmp_path: Path) -> None:
    project = filled(tmp_path, 30)
    project.refresh()
    away = {number: path_of(project, number).read_bytes() for number in range(20)}
    for number in away:
        path_of(project, number).unlink()
    for number in range(35):
        project.write(f"new{number:02}.md", f"# Novelty {number}\n\nAnother lantern, number {number}, entirely.\n")
    update_all(project)
    for number in range(33):
        (project.folder / "docs" / f"new{number:02}.md").unlink()
    update_all(project)
    for number in range(100):
        project.write(f"more{number:03}.md", f"# Yet more {number}\n\nA third lantern with the number {number}.\n")
    for number, text in away.items():
        path_of(project, number).write_bytes(text)
    update_all(project)
    assert {f"new{number:02}.md" for number in range(33)} <= seen_by(project, "public")


@pytest.mark.parametrize("table", ["documents", "deletion_holds"])
def test_a_damaged_table_of_silver_neither_opens_the_guard_nor_holds_up_permissions(tmp_path: Path, table: str) -> None:
    project = filled(tmp_path)
    project.refresh()
    for number in range(10):
        path_of(project, number).unlink()
    update_all(project)
    for path in (project.folder / "lake" / "silver" / table).rglob("*.parquet"):
        path.write_bytes(b"damaged")
    revoke_from_public(project, 3, 20)
    project.write("doc21.md.meta.yaml", "allowed_principals: [staff]\n")
    with project.workspace() as workspace:
        assert update_source(workspace, "docs").held == 10
        state = workspace.lake.bronze_state("docs").filter(pl.col("change") != "deleted")
    assert state.height == COUNT
    closed = state.filter(~pl.col("allowed_principals").list.contains("public"))["address"].to_list()
    assert sorted(closed) == [address(3), address(20), address(21)]


def test_a_run_with_a_damaged_record_of_holds_goes_on_holds_all_and_says_the_way_out(project: Project) -> None:
    project.refresh()
    for number in range(10):
        path_of(project, number).unlink()
    update_all(project)
    for path in (project.folder / "lake" / "silver" / "deletion_holds").rglob("*.parquet"):
        path.write_bytes(b"damaged")
    project.write("new.md", "# New\n\nA new lantern.\n")
    path_of(project, 20).write_bytes(b"\x00\x01 no text \xff")
    summary = launch_refresh(project.pipeline())
    said = {check["check"]: check["description"] for check in summary.checks_failed}
    assert "rag-pipeline rebuild silver.deletion_holds" in said["tables_are_whole"]
    assert "made again" not in said["tables_are_whole"]
    assert {"deletion_guard_holds_nothing", "no_source_is_refused_at_once"} <= set(said)
    assert {address(3), address(20), "new.md"} <= seen_by(project, "public")
    with project.workspace() as workspace:
        rebuild(workspace, ["silver.deletion_holds"])
    assert night(project).bronze["docs"].held == 10
    with project.workspace() as workspace:
        assert [(hold.kind, len(hold.held)) for hold in read_holds(workspace)] == [("vanished", 10)]
    assert address(3) in seen_by(project, "public")


# Moves with small edits ---------------------------------------------------------------------------------------

WORDS = [f"{first}{second}" for first in ("lan", "hal", "pum", "dor", "riv", "mol") for second in ("tern", "per", "ka")]


def page(number: int, *, edited: bool = False) -> str:
    chosen = random.Random(number)
    words = [f"{chosen.choice(WORDS)}{chosen.randrange(100)}" for _ in range(60)]
    if edited:
        words[30] = "replaced"
        words += ["added", "words"]
    return f"# Page {number}\n\n{' '.join(words)}.\n"


def test_a_reorganisation_with_small_edits_is_no_loss(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    for number in range(40):
        project.write(f"old/{number}.md", page(number))
    project.refresh()
    shutil.rmtree(project.folder / "docs" / "old")
    for number in range(40):
        project.write(f"new/{number % 4}/page{number}.md", page(number, edited=number % 4 != 0))
    project.refresh(allow_mass_deletion=False)
    assert project.published() == project.rebuilt()
    assert {row["uri"] for row in project.published()} == {f"docs/new/{n % 4}/page{n}.md" for n in range(40)}
    assert project.verify().findings == []
    assert project.refresh(allow_mass_deletion=False) == 0


def test_other_pages_at_new_addresses_are_no_moves(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    for number in range(40):
        project.write(f"old/{number}.md", page(number))
    project.refresh()
    shutil.rmtree(project.folder / "docs" / "old")
    for number in range(40):
        moved = number >= 30
        project.write(f"new/{number}.md", page(number if moved else number + 1000, edited=moved))
    with pytest.raises(MassDeletion, match="30 of 40 documents"):
        project.refresh(allow_mass_deletion=False)
    update_all(project)
    kept = {row["uri"] for row in project.published()}
    assert kept == {f"docs/old/{n}.md" for n in range(30)} | {f"docs/new/{n}.md" for n in range(40)}
    with pytest.raises(MassDeletion, match="30 of 40 documents"):
        project.refresh(allow_mass_deletion=False)
