"""Damage to any file of a lake is named by `verify` and `status`, and healed by `rebuild`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rag_pipeline.contracts.holds import DELETION_HOLDS, Hold
from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.errors import LakeDamaged, StoreError, UsageError
from rag_pipeline.refresh.damage import damaged_indexes, damaged_tables
from rag_pipeline.refresh.rebuild import RebuildReport, rebuild
from rag_pipeline.refresh.status import read_status
from rag_pipeline.refresh.verify import verify
from rag_pipeline.retrieval.search import Mode, Searcher
from rag_pipeline.stores import vectors
from rag_pipeline.stores.upkeep import FILTER_INDEXES, TEXT_INDEX
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.pipeline.project import Project

TABLES = [
    "bronze/docs",
    "silver/documents",
    "silver/quarantine",
    "silver/duplicates",
    "silver/signatures",
    "silver/similar_pairs",
    "silver/boilerplate",
    "silver/chunks",
    "gold/audits",
    "gold/publications",
    "gold/unused_embeddings",
    "gold/canaries",
    "gold/embeddings/*",
]
MODES_OF_ONE: tuple[Mode, ...] = ("vector", "text")
NOTICE = "This page is licensed to whoever can read it, and may be copied as often as it is wanted, by all."


@pytest.fixture(scope="module", autouse=True)
def every_index() -> Iterator[None]:
    """Tables have all the indexes of large ones, so that there is something to damage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "needed_indexes", lambda _: {**TEXT_INDEX, **FILTER_INDEXES})
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A lake in which every table has rows, from two runs and a round of housekeeping."""
    from rag_pipeline.refresh.maintenance import maintain

    project = Project.create(tmp_path_factory.mktemp("built"))
    project.settings["deduplication"] = {"near": True, "min_words": 20}
    project.settings["boilerplate"] = {"leave_out": True, "min_documents": 3, "min_share": 0.1}
    words = [f"word{number}" for number in range(200)]
    for name in ("a", "b", "c", "d"):
        project.write(f"{name}.md", f"# Page {name}\n\nThe lamp of {name} is lit by hand.\n\n{NOTICE}\n")
    project.write("near.md", "# Near\n\n" + " ".join(words) + " once\n")
    project.write("nearer.md", "# Near\n\n" + " ".join(words) + " twice\n")
    project.write("twin.md", (project.folder / "docs" / "a.md").read_bytes())
    project.write("empty.txt", "")
    project.write("gone.md", "# Gone\n\nSoon it is not there.\n")
    project.refresh()
    (project.folder / "docs" / "gone.md").unlink()
    project.write("late.md", "# Late\n\nIt came with the second run.\n")
    project.refresh()
    with project.workspace() as workspace:
        maintain(workspace)
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path)


@pytest.fixture(scope="module")
def before(built: Project) -> list[dict[str, Any]]:
    """What is published before anything is damaged."""
    return built.published()


def table_folder(project: Project, table: str) -> Path:
    [folder] = (project.folder / "lake").glob(table)
    return folder


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def newest(files: Iterator[Path]) -> Path:
    return max(files, key=lambda file: (file.stat().st_mtime_ns, file.name))


def cut_data(folder: Path) -> None:
    cut(newest(folder.glob("**/part-*.parquet")))


def remove_data(folder: Path) -> None:
    for file in folder.glob("**/part-*.parquet"):
        file.unlink()


def cut_log(folder: Path) -> None:
    cut(max((folder / "_delta_log").glob("*.json"), key=lambda file: file.name))


DAMAGES = {"data cut": cut_data, "data removed": remove_data, "log cut": cut_log}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("table", TABLES)
def test_a_damaged_table_is_a_finding_and_no_crash(
    project: Project, table: str, damage: Callable[[Path], None]
) -> None:
    folder = table_folder(project, table)
    path = str(folder.relative_to(project.folder / "lake"))
    damage(folder)
    with project.workspace() as workspace:
        status, report = read_status(workspace), verify(workspace)
    layer, name = path.split("/")[:2]
    step = "rag-pipeline run" if layer == "bronze" else f"rag-pipeline rebuild {layer}.{name}"
    assert [(found.table, found.next_step) for found in status.damaged] == [(path, step)]
    assert [(found["table"], found["next_step"]) for found in report.damaged] == [(path, step)]
    [finding] = [finding for finding in report.findings if finding["kind"] == "damaged"]
    assert (finding["code"], finding["next_step"]) == ("table_is_damaged", step)
    assert str(folder) in finding["sample"][0]
    assert ("backup" in finding["sample"][0]) == (layer == "bronze")


def index_files(project: Project) -> list[Path]:
    """Files of the published version of the index that readers need, as paths below the lake."""
    lake = project.folder / "lake"
    [table] = (lake / "gold" / "index").glob("*.lance")
    wanted = [*table.glob("data/*"), *table.glob("_indices/*/*"), *table.glob("_deletions/*")]
    return [file.relative_to(lake) for file in sorted(wanted)]


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, Path.unlink], ids=["cut", "gone"])
def test_every_damaged_file_that_kills_a_search_is_found(
    built: Project, project: Project, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    found = 0
    for number, file in enumerate(index_files(project)):
        copy = Project(tmp_path / f"copy{number}", project.settings)
        # Nothing here writes to a lake: what stays whole is the same file, and the one to damage is a copy.
        shutil.copytree(built.folder / "lake", copy.folder / "lake", copy_function=os.link)
        own = copy.folder / "lake" / file
        own.unlink()
        shutil.copy2(built.folder / "lake" / file, own)
        damage(own)
        with copy.workspace() as workspace:
            damaged = damaged_indexes(workspace, thorough=True)
            # All other tables are the same files each time.
            assert found or damaged_tables(workspace, thorough=True) == damaged
        assert damaged or not _search_fails(copy), file
        assert all(
            (item.table, item.next_step) == ("gold/index", "rag-pipeline rebuild gold.index") for item in damaged
        )
        found += bool(damaged)
    assert found >= 8


def _search_fails(project: Project) -> bool:
    try:
        with Searcher.open(project.pipeline()) as searcher:
            hits = [
                searcher.search("lamp lit by hand", principals=["public"], mode=mode, sources=["docs"])
                for mode in MODES_OF_ONE
            ]
    except StoreError:
        return True
    return not all(hits)


def test_a_damaged_manifest_of_the_index_is_found(project: Project) -> None:
    [table] = (project.folder / "lake" / "gold" / "index").glob("*.lance")
    # Versions are counted down in the names.
    cut(min((table / "_versions").glob("*.manifest")))
    with project.workspace() as workspace:
        assert {found.table for found in read_status(workspace).damaged} == {"gold/index"}
        assert {found["table"] for found in verify(workspace).damaged} == {"gold/index"}


def test_a_sound_lake_has_no_damage(project: Project) -> None:
    with project.workspace() as workspace:
        assert damaged_tables(workspace, thorough=True) == []
        report = verify(workspace)
    assert (report.damaged, report.findings) == ([], [])


def rebuilt(project: Project, *names: str) -> RebuildReport:
    project.embedded.clear()
    with project.workspace(run_id="rebuild") as workspace:
        return rebuild(workspace, names)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("table", TABLES[1:])
def test_a_rebuild_heals_a_table_and_embeds_nothing(
    project: Project, before: list[dict[str, Any]], table: str, damage: Callable[[Path], None]
) -> None:
    folder = table_folder(project, table)
    path = str(folder.relative_to(project.folder / "lake"))
    damage(folder)
    layer, name = path.split("/")[:2]
    report = rebuilt(project, f"{layer}.{name}")
    assert report.files_set_aside >= 1
    assert (project.embedded, report.embeddings_computed) == ([], 0)
    assert project.published() == before
    assert project.verify().findings == []
    project.refresh()
    assert (project.published(), project.embedded) == (before, [])


def test_a_rebuild_without_names_heals_all_that_is_damaged(project: Project, before: list[dict[str, Any]]) -> None:
    for table in ("silver/documents", "silver/chunks", "gold/embeddings/*"):
        remove_data(table_folder(project, table))
    report = rebuilt(project)
    assert report.tables == ["silver/documents", "silver/chunks", "gold/embeddings"]
    assert report.vectors_saved > 5
    assert (project.embedded, project.published(), project.verify().findings) == ([], before, [])
    assert rebuilt(project).tables == []


@pytest.mark.parametrize("kind", ["data", "_indices", "_versions"])
@pytest.mark.parametrize("damage", [cut, Path.unlink], ids=["cut", "gone"])
def test_a_damaged_index_is_rebuilt_from_stored_vectors(
    project: Project, before: list[dict[str, Any]], damage: Callable[[Path], None], kind: str
) -> None:
    [table] = (project.folder / "lake" / "gold" / "index").glob("*.lance")
    files = [file for file in (table / kind).rglob("*") if file.is_file() and file.suffix != ".json"]
    # The newest manifest is the one that is published; of the others every one is damaged.
    for file in [min(files)] if kind == "_versions" else files:
        damage(file)
    rebuilt(project, "gold.index")
    assert project.embedded == []
    assert project.published() == before
    assert project.verify().findings == []
    assert project.search("lamp lit by hand", "public", mode="text")
    project.refresh()
    assert (project.published(), project.embedded) == (before, [])


def test_what_is_served_stays_readable_while_the_index_is_rebuilt(
    project: Project, before: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr("rag_pipeline.refresh.rebuild.refresh_index", refuse)
    with pytest.raises(StoreError, match="full"):
        rebuilt(project, "gold.index")
    assert project.published() == before
    assert project.search("lamp lit by hand", "public")
    monkeypatch.undo()
    project.refresh()
    assert (project.published(), project.embedded) == (before, [])


def test_bronze_says_what_to_restore_and_nothing_is_touched(project: Project) -> None:
    cut_data(table_folder(project, "bronze/docs"))
    for names in (["bronze.docs"], ["silver.documents"], []):
        with pytest.raises(LakeDamaged, match=r"restore the folder .*bronze/docs from a backup"):
            rebuilt(project, *names)
    assert not (project.folder / "lake" / ".damaged").exists()


def test_what_the_deletion_guard_holds_is_not_thrown_away_unasked(project: Project) -> None:
    with project.workspace() as workspace:
        hold = Hold("docs", "vanished", frozenset("a"), frozenset("ab"), "1 of 2 vanished", workspace.now(), "run")
        workspace.lake.append(DELETION_HOLDS, DELETION_HOLDS.frame([hold.row()]))
    folder = table_folder(project, "silver/deletion_holds")
    cut_data(folder)
    before = sorted(folder.rglob("*"))
    with pytest.raises(LakeDamaged, match=r"rag-pipeline rebuild silver\.deletion_holds"):
        rebuilt(project)
    assert sorted(folder.rglob("*")) == before
    rebuilt(project, "silver.deletion_holds")
    rebuilt(project)


def test_an_unknown_table_is_refused_with_the_names_there_are(project: Project) -> None:
    with pytest.raises(UsageError, match=r"silver\.documents.*gold\.embeddings, gold\.index"):
        rebuilt(project, "silver.chunk")


def test_parts_of_a_container_come_back_whole(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    mails = [
        f"From a@example.org Mon Jan  1 10:00:0{number} 2024\nMessage-ID: <{number}@example.org>\n"
        f"Subject: Lamp {number}\nFrom: a@example.org\n\nThe lamp number {number} is lit by hand.\n\n"
        for number in range(5)
    ]
    project.write("notes.mbox", "".join(mails))
    project.write("alone.md", "# Alone\n\nOne document.\n")
    project.refresh()
    before = project.published()
    with project.workspace() as workspace:
        lake = workspace.lake
        rows = lake.read(DOCUMENTS)
        parts = rows.filter(pl.col("document_id") != pl.col("origin_id")).sort("document_id")
        assert parts.height > 2
        # Two files hold parts of one container, as compaction and merges may leave them.
        lake.clear(DOCUMENTS)
        lake.append(DOCUMENTS, pl.concat([rows.filter(pl.col("uri").str.contains("alone")), parts[:2]]))
        lake.append(DOCUMENTS, parts[2:])
    cut_data(project.folder / "lake" / "silver" / "documents")
    rebuilt(project, "silver.documents")
    assert (project.published(), project.verify().findings) == (before, [])


def test_the_command_line_says_what_to_type_and_then_heals(project: Project) -> None:
    project.pipeline()
    remove_data(table_folder(project, "silver/chunks"))
    found = ask_in(project.folder, "verify", "--json")
    assert found.code == 1
    assert found.records[0]["damaged"][0]["next_step"] == "rag-pipeline rebuild silver.chunks"
    assert ask_in(project.folder, "status").code == 1
    healed = ask_in(project.folder, "rebuild", "silver.chunks", "--json")
    assert (healed.code, healed.records[0]["embeddings_computed"]) == (0, 0)
    assert ask_in(project.folder, "verify").code == 0
    assert "silver/chunks" not in ask_in(project.folder, "rebuild").out


@pytest.mark.parametrize("what", ["_delta_log", "."])
def test_a_source_whose_history_is_gone_is_named_until_a_run_begins_it_again(
    built: Project, tmp_path: Path, what: str
) -> None:
    project = built.copied(tmp_path)
    shutil.rmtree(project.folder / "lake" / "bronze" / "docs" / what)
    answer = ask_in(project.folder, "status")
    assert answer.code == 1
    assert "Restore the folder from a backup" in " ".join((answer.out + answer.err).split())
    project.refresh()
    with project.workspace() as workspace:
        assert [found.table for found in read_status(workspace).damaged] == []
    assert ask_in(project.folder, "search", "word3", "--as", "public").out
