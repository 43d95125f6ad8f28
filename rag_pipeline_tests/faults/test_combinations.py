"""Faults and changes that come together, or one night after the other: what was revoked stays revoked."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.table import TableContract
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.errors import StoreError
from rag_pipeline.refresh import documents, polls
from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline.refresh.publication import publish, rollback
from rag_pipeline.refresh.revoke import revoke_now
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.vectors import VectorTable
from rag_pipeline_tests.faults.test_revoking import raising, run
from rag_pipeline_tests.pipeline.project import Project

PLAIN: dict[str, Any] = {"deduplication": {"near": False}, "boilerplate": {"leave_out": False}}
SIZES = {"small": 64, "large": 96}
TWO = {name: {"kind": "hashing", "model": "hashing", "dimension": size} for name, size in SIZES.items()}
KEY, MAIL, CARD = "AKIAIOSFODNN7EXAMPLE", "eve@example.org", "4111 1111 1111 1111"


def seen(project: Project) -> set[str]:
    """Names of the documents that the public finds."""
    with Searcher.open(project.pipeline()) as searcher:
        hits = searcher.search("secret", principals=["public"], mode="text", k=100)
    return {hit.uri.rpartition("/")[2] for hit in hits}


def beside(project: Project) -> str:
    """All that the public is shown of the documents beside their texts."""
    with Searcher.open(project.pipeline()) as searcher:
        hits = searcher.search("secret", principals=["public"], mode="text", k=100)
        rows = [searcher.chunk(hit.chunk_id, principals=["public"]) for hit in hits]
    return repr([(row["title"], row["author"], row["facts"]) for row in rows if row is not None])


def three(project: Project, source: str = "docs") -> None:
    for name in ("menu", "salaries", "lamp"):
        project.write(f"{name}.md", f"# {name}\n\nThe secret {name}.\n", source=source)


def take_two_away(project: Project) -> None:
    (project.folder / "docs" / "menu.md").unlink()
    project.write("salaries.md.meta.yaml", "allowed_principals: [hr]\n")


@contextmanager
def unwritable(monkeypatch: pytest.MonkeyPatch, *paths: str) -> Iterator[pytest.MonkeyPatch]:
    """No row can be added to these tables of bronze."""
    append = Lake.append

    def refuse(lake: Lake, table: TableContract, *rest: Any, **named: Any) -> Any:
        if table.path in paths:
            raise StoreError("no space left", table=table.path)
        return append(lake, table, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "append", refuse)
        yield patch


def test_members_of_archives_are_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def packed(**members: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in members.items():
                archive.writestr(name.replace("_", "."), content)
        return buffer.getvalue()

    project = Project.create(tmp_path, **PLAIN)
    inner = packed(deep_md=b"# Deep\n\nThe secret deep.\n")
    members = {"a_md": b"# A\n\nThe secret a.\n", "b#x_md": b"# B\n\nThe secret b.\n", "inner_zip": inner}
    (project.folder / "docs" / "pack.zip").write_bytes(packed(**members))
    project.write("lamp.md", "# Lamp\n\nA secret lamp.\n")
    project.refresh()
    everything = {"a.md", "b#x.md", "deep.md", "lamp.md"}
    assert seen(project) == everything
    with project.workspace() as workspace:
        assert revoke_now(workspace).table_version is None
    # Nor where the source itself is asked.
    project.write("lamp.md.meta.yaml", "allowed_principals: [hr]\n")
    with unwritable(monkeypatch, "bronze/docs"):
        run(project)
    assert seen(project) == everything - {"lamp.md"}
    (project.folder / "docs" / "pack.zip").unlink()
    with monkeypatch.context() as patch, suppress(KeyError):
        patch.setattr(documents, "update_documents", raising(KeyError("k")))
        run(project)
    assert seen(project) == set()


def test_going_back_twice_shows_no_metadata_that_was_redacted_since(tmp_path: Path) -> None:
    project = Project.create(tmp_path, **PLAIN)
    project.write("a.md", f"---\nauthor: {MAIL}\ncontact: {MAIL}\n---\n# Author\n\nThe secret author writes.\n")
    for text in ("A secret lamp.", "A secret lamp stays."):
        project.write("lamp.md", f"# Lamp\n\n{text}\n")
        project.refresh()
    assert MAIL in beside(project)
    project.settings["sources"]["docs"]["sensitive"] = "redact"
    project.refresh()
    for _ in range(2):
        with project.workspace() as workspace:
            rollback(workspace)
        assert MAIL not in beside(project)
    assert seen(project) == {"lamp.md"}


@pytest.mark.parametrize("wanted", ["redact", "quarantine"])
def test_what_a_sidecar_says_is_redacted_too(tmp_path: Path, wanted: str) -> None:
    project = Project.create(tmp_path, **PLAIN)
    project.write("a.md", "# A\n\nThe secret a.\n")
    project.write("a.md.meta.yaml", f"title: key {KEY}\nauthor: {MAIL}\ncontact: {MAIL}\n")
    project.refresh()
    assert KEY in beside(project)
    project.settings["sources"]["docs"]["sensitive"] = wanted
    with project.workspace() as workspace:
        revoke_now(workspace)
    assert seen(project) == set()
    project.refresh()
    assert seen(project) == {"a.md"}
    assert KEY not in beside(project)
    assert MAIL not in beside(project)
    assert project.published() == project.rebuilt()


def test_a_value_that_a_chunk_cuts_in_two_below_its_header_is_found(tmp_path: Path) -> None:
    project = Project.create(tmp_path, **PLAIN)
    words = random.Random(1)
    text = "# Probe\n\nsecret " + " ".join("".join(words.choices("abcdefghij", k=4)) for _ in range(1_500))
    project.write("probe.md", f"{text}\n")
    project.refresh()
    end = sorted(row["end_char"] for row in project.published())[1]
    for groups in (1, 2, 3):
        at = end - 5 * groups + 1
        project.write(f"card{groups}.md", f"{text[:at]}{CARD}{text[at + len(CARD) :]}\n")
    project.refresh()
    assert {"card1.md", "card2.md", "card3.md", "probe.md"} == seen(project)
    assert any(CARD not in row["embedded_text"] and "1111" in row["embedded_text"] for row in project.published())
    project.settings["sources"]["docs"]["sensitive"] = "redact"
    with project.workspace() as workspace:
        revoke_now(workspace)
    assert seen(project) == {"probe.md"}


def test_a_source_that_leaves_pipeline_yaml_and_returns_brings_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.create(tmp_path, ("docs", "other"))
    three(project)
    project.write("o.md", "# O\n\nAnother secret.\n", source="other")
    project.refresh()
    take_two_away(project)
    with unwritable(monkeypatch, "bronze/docs"):
        run(project)
    assert seen(project) == {"lamp.md", "o.md"}
    docs = project.settings["sources"].pop("docs")
    run(project)
    assert seen(project) == {"o.md"}
    project.settings["sources"]["docs"] = docs
    (project.folder / "docs").rename(project.folder / "away")
    run(project)
    assert seen(project) == {"o.md"}
    (project.folder / "away").rename(project.folder / "docs")
    run(project)
    assert seen(project) == {"lamp.md", "o.md"}
    assert project.published() == project.rebuilt()


class Ahead(Project):
    """A project on a machine whose clock is ahead."""

    by = timedelta(0)

    def workspace(self, run_id: str = "test") -> Workspace:
        workspace = super().workspace(run_id)
        workspace.now = lambda: datetime.now(UTC) + self.by
        return workspace


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=30)])
def test_a_clock_that_is_set_back_gives_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    project = Ahead.create(tmp_path, ("docs", "other"))
    assert isinstance(project, Ahead)
    project.by = ahead
    three(project)
    project.write("door.md", "# Door\n\nA secret door. The code is xyzzy.\n")
    project.write("o.md", "# O\n\nAnother secret.\n", source="other")
    project.refresh()
    project.by = timedelta(0)
    take_two_away(project)
    with unwritable(monkeypatch, "bronze/docs") as patch:
        patch.setattr(polls, "write_polls", raising(StoreError("no space left")))
        run(project)
    assert seen(project) == {"lamp.md", "door.md", "o.md"}
    (project.folder / "docs").rename(project.folder / "away")
    for night in range(2):
        project.write("o.md", f"# O\n\nAnother secret {night}.\n", source="other")
        run(project)
        assert seen(project) == {"lamp.md", "door.md", "o.md"}
    (project.folder / "away").rename(project.folder / "docs")
    # Wording that was taken out, where silver cannot say what it took in.
    project.write("door.md", "# Door\n\nA secret door.\n")
    with monkeypatch.context() as patch, suppress(KeyError):
        patch.setattr(documents, "update_documents", raising(KeyError("k")))
        patch.setattr("rag_pipeline.refresh.edited_since._unsettled", raising(StoreError("damaged")))
        run(project)
    assert "door.md" not in seen(project)


def test_publishing_by_hand_shows_nothing_that_the_index_beside_could_not_lose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.create(tmp_path, embedding_models=TWO)
    three(project)
    for alias in ("large", "small"):
        project.refresh(alias=alias)
    take_two_away(project)

    def refusing(method: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(table: VectorTable, *rest: Any) -> Any:
            if table.space.dimension == SIZES["large"]:
                raise StoreError("input/output error")
            return method(table, *rest)

        return refuse

    with monkeypatch.context() as patch, suppress(KeyError):
        for name in ("delete", "update_columns"):
            patch.setattr(VectorTable, name, refusing(getattr(VectorTable, name)))
        patch.setattr(documents, "update_documents", raising(KeyError("k")))
        run(project)
    assert seen(project) == {"lamp.md"}
    with project.workspace() as workspace:
        assert publish(workspace, "large", by_hand=True).moved
    assert seen(project) == {"lamp.md"}


def test_an_explanation_names_nothing_that_sources_and_settings_closed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.create(tmp_path, ("docs", "vault", "gone"))
    three(project)
    project.write("cellar.md", "# Cellar\n\nThe secret cellar.\n", source="vault")
    project.write("dropped.md", "# Dropped\n\nThe secret dropped.\n", source="gone")
    project.refresh()
    take_two_away(project)
    del project.settings["sources"]["gone"]
    project.settings["sources"]["vault"]["allowed_principals"] = ["board"]
    with unwritable(monkeypatch, "bronze/docs", "bronze/vault") as patch, suppress(KeyError):
        patch.setattr(documents, "update_documents", raising(KeyError("k")))
        run(project)
    with Searcher.open(project.pipeline()) as searcher:
        for name in ("menu.md", "salaries.md", "cellar.md", "dropped.md", "nothing.md"):
            (why,) = searcher.explain("secret", principals=["public"], document=name, mode="text").documents
            assert (why.reason, why.uri) == ("unknown", None)


def test_a_run_that_began_by_other_settings_opens_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.create(tmp_path, ("docs", "vault"), **PLAIN)
    project.write("key.md", f"# Key\n\nThe secret key {KEY}.\n")
    project.write("cellar.md", "# Cellar\n\nThe secret cellar.\n", source="vault")
    project.refresh()
    update = documents.update_documents

    def edited_meanwhile(workspace: Workspace, **named: Any) -> Any:
        """Somebody edits pipeline.yaml and another run goes by it, before this step is over."""
        monkeypatch.setattr(documents, "update_documents", update)
        project.settings["sources"]["vault"]["allowed_principals"] = ["board"]
        project.settings["sources"]["docs"]["sensitive"] = "quarantine"
        project.pipeline()
        return update(workspace, **named)

    monkeypatch.setattr(documents, "update_documents", edited_meanwhile)
    project.write("lamp.md", "# Lamp\n\nA secret lamp.\n")
    summary = launch_refresh(project.pipeline())
    assert {error["code"] for error in summary.errors} == {"settings_changed"}
    assert seen(project) == set()
    assert launch_refresh(project.pipeline()).success
    assert seen(project) == {"lamp.md"}
    assert project.published() == project.rebuilt()


@pytest.mark.parametrize("order", [("docs", "vault"), ("vault", "docs")])
def test_a_folder_that_moves_into_a_closed_source_leaves_the_readers_it_had(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    """It is no loss for the deletion guard, whichever source is polled first; a copy that lay there before is one."""
    project = Project.create(tmp_path, order, **PLAIN)
    project.settings["sources"]["vault"]["allowed_principals"] = ["board"]
    for number in range(30):
        project.write(f"note{number}.md", f"# Note {number}\n\nThe secret note {number} says word{number}.\n")
    for number in range(30, 50):
        for source in order:
            project.write(f"note{number}.md", f"# Note {number}\n\nThe secret note {number}, copied.\n", source=source)
    project.refresh(allow_mass_deletion=False)
    assert len(seen(project)) == 50
    for number in range(30):
        (project.folder / "docs" / f"note{number}.md").rename(project.folder / "vault" / f"note{number}.md")
    run_held(project)
    assert seen(project) == {f"note{number}.md" for number in range(30, 50)}
    for number in range(30, 48):
        (project.folder / "docs" / f"note{number}.md").unlink()
    run_held(project)
    assert len(seen(project)) == 20


def run_held(project: Project) -> None:
    """A run in which what the deletion guard holds stays held, and holds up nothing else."""
    with project.workspace() as workspace:
        refresh_everything(workspace, evaluate=False)
