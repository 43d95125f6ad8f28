"""An archive goes with its parts; what lies in its place now, and an index that is only busy, stay."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import polars as pl
import pytest

from rag_pipeline.contracts.sources import KeepsCopies
from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.errors import StoreError
from rag_pipeline.refresh import erase as erasing
from rag_pipeline.refresh.erase import begin_erasure, finish_erasure
from rag_pipeline.refresh.erase_plan import Wanted
from rag_pipeline.stores import purge
from rag_pipeline_tests.pipeline.project import Project


def pack(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(
                f"{name}.md", f"# {name}\n\nWhat is said of {name} stands in no other page of the shelf.\n"
            )


def test_an_archive_goes_with_its_parts_and_not_with_those_of_its_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "POINTER_SECONDS", -erasing.MARGIN_SECONDS)
    project = Project.create(tmp_path)
    folder = tmp_path / "docs"
    pack(folder / "export.zip", "lanterns", "ferries")
    project.refresh()
    (folder / "export.zip").rename(folder / "old.zip")
    project.refresh()
    pack(folder / "export.zip", "herons", "tides")
    project.refresh()
    with project.workspace() as workspace:
        shown = workspace.lake.read(DOCUMENTS)
        (part,) = shown.filter(pl.col("uri").str.contains("old.zip") & pl.col("uri").str.contains("lanterns"))["uri"]
        plan = begin_erasure(workspace, Wanted(document=part), reason="r", erased_by="dpo")
        assert plan.parts == 2
        certificate = finish_erasure(workspace)
        left = workspace.lake.read(DOCUMENTS)["uri"].to_list()
    assert certificate is not None
    assert any("2 documents, such as members" in note for note in certificate.notes)
    assert len(left) == 2
    assert all("export.zip" in uri for uri in left)
    assert project.search("herons", "public")


def test_an_index_that_may_not_be_read_just_now_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def open_table(self, name: str) -> None:
            raise PermissionError(name)

    project = Project.create(tmp_path)
    with project.workspace() as workspace:
        place = Path(workspace.lake.root, purge.INDEX_PATH, "small.lance")
        place.mkdir(parents=True)
        monkeypatch.setattr(purge, "_database", lambda lake: Refusing())  # noqa: ARG005
        with pytest.raises(StoreError, match="right"):
            purge.rewrite_index(workspace.lake, "small", None, ())
        assert place.is_dir()


def test_what_sources_keep_in_the_cache_folder_goes_and_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "POINTER_SECONDS", -erasing.MARGIN_SECONDS)
    project = Project.create(tmp_path)
    pack(tmp_path / "export.zip", "lanterns", "ferries")
    project.settings["cache"] = "cache"
    project.settings["sources"]["export"] = {
        "kind": "archive", "location": "export.zip", "allowed_principals": ["public"]
    }  # fmt: skip
    project.refresh()
    kept, stray = tmp_path / "cache" / "archive", tmp_path / "cache" / "web" / "a" / "pages.json.gz"
    assert list(kept.iterdir())
    stray.parent.mkdir(parents=True)
    stray.write_bytes(gzip.compress(b"What is said of lanterns stands in no other page of the shelf."))
    with project.workspace() as workspace:
        begin_erasure(workspace, Wanted(place=("export", "lanterns.md")), reason="r", erased_by="dpo")
        certificate = finish_erasure(workspace)
    assert certificate is not None
    assert list(kept.iterdir()) == []
    assert not stray.exists()


def test_a_mirror_and_the_notes_of_a_site_go_without_asking_either(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.settings["cache"] = "cache"
    common = {"allowed_principals": ["public"]}
    project.settings["sources"] |= {
        "code": common | {"kind": "git", "location": "http://127.0.0.1:9/code.git"},
        "site": common | {"kind": "web", "location": "http://127.0.0.1:9/"},
    }
    with project.workspace() as workspace:
        code, site = workspace.source("code"), workspace.source("site")
    assert isinstance(code, KeepsCopies)
    assert isinstance(site, KeepsCopies)
    mirror, notes = code._repository._folder, Path(site._state_folder(site._places()[0]))  # type: ignore[attr-defined]
    for folder in (mirror, notes):
        folder.mkdir(parents=True)
        (folder / "HEAD").touch()
    code._memory_file.touch()  # type: ignore[attr-defined]
    code.forget_copies()
    site.forget_copies()
    assert not mirror.exists()
    assert not notes.exists()
    assert not code._memory_file.exists()  # type: ignore[attr-defined]
