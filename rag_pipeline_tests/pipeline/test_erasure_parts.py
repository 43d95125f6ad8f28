"""An archive goes with its parts; what lies in its place now, and an index that is only busy, stay."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import polars as pl
import pytest
from dulwich.objects import Blob
from dulwich.repo import Repo

from rag_pipeline.contracts.sources import KeepsCopies
from rag_pipeline.contracts.tables import DOCUMENTS, EMBEDDINGS
from rag_pipeline.errors import LakeDamaged, StoreError
from rag_pipeline.refresh import erase as erasing
from rag_pipeline.refresh.erase import begin_erasure, finish_erasure
from rag_pipeline.refresh.erase_plan import Wanted
from rag_pipeline.settings.places import rejected_beside
from rag_pipeline.sources.kept import write_kept
from rag_pipeline.sources.web.state import State, save_state
from rag_pipeline.stores import purge
from rag_pipeline_tests.pipeline.project import Project

QUESTION = (
    '{"id": "1", "question": "where are the Lanterns of the shed", "expected": [{"uri": "docs/ferry.md"}], '
    '"principals": ["public"]}\n'
)


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
    said = b"What is said of lanterns stands in no other page of the shelf."
    stray.write_bytes(gzip.compress(said))
    # Left by writers that were killed.
    left = [tmp_path / "cache" / "git" / name for name in ("a.jsonx7_2", ".a.json.new")]
    left[0].parent.mkdir()
    for path in left:
        path.write_bytes(said)
    with project.workspace() as workspace:
        begin_erasure(workspace, Wanted(place=("export", "lanterns.md")), reason="r", erased_by="dpo")
        certificate = finish_erasure(workspace)
    assert certificate is not None
    assert list(kept.iterdir()) == []
    assert not any(path.exists() for path in (stray, *left))


def test_what_a_source_keeps_is_written_beside_under_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(_: Path, there: Path) -> Path:
        raise Killed(there)

    monkeypatch.setattr(Path, "replace", killed)
    for _ in range(2):
        with pytest.raises(Killed):
            write_kept(tmp_path / "a.json", "recipe", [1])
        with pytest.raises(Killed):
            save_state(str(tmp_path), "recipe", State({}, {}))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.json.new", ".pages.json.gz.new"]


def test_mirrors_that_hold_the_bytes_go_whatever_ref_they_were_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "POINTER_SECONDS", -erasing.MARGIN_SECONDS)
    project = Project.create(tmp_path, cache="cache")
    page = b"# Lanterns\n\nThe lanterns of the northern shed are oiled on Fridays.\n"
    project.write("page.md", page)
    project.refresh()
    mirrors = tmp_path / "cache" / "git"
    for name, content in (("old", page), ("other", b"nothing of it")):
        (mirrors / f"{name}.git").mkdir(parents=True)
        with Repo.init_bare(str(mirrors / f"{name}.git")) as repo:
            repo.object_store.add_object(Blob.from_string(content))
    with project.workspace() as workspace:
        begin_erasure(workspace, Wanted(place=("docs", "page.md")), reason="r", erased_by="dpo")
        certificate = finish_erasure(workspace)
    assert certificate is not None
    assert any("1 mirrors of git" in note for note in certificate.notes)
    assert [path.name for path in mirrors.glob("*.git")] == ["other.git"]


@pytest.mark.parametrize("are_chunks_damaged", [False, True])
def test_damage_elsewhere_hinders_no_erasure_and_costs_no_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, are_chunks_damaged: bool
) -> None:
    monkeypatch.setattr(erasing, "POINTER_SECONDS", -erasing.MARGIN_SECONDS)
    project = Project.create(tmp_path, sources=("docs", "people"))
    asked = tmp_path / "questions.jsonl"
    asked.write_text(QUESTION)
    rejected_beside(asked).write_text(QUESTION)
    project.settings["evaluation"] = {"questions": ["questions.jsonl"]}
    project.write("page.md", "# Lanterns of the shed\n\nThe lanterns of the northern shed are oiled on Fridays.\n")
    project.write("ferry.md", "# Ferries\n\nThe ferry leaves at nine, and runs until the tide has turned.\n")
    project.write("mo.md", "# Mo\n\nMo keeps the pumps of the western pier in order.\n", source="people")
    project.refresh(evaluate=True)
    (damaged,) = (tmp_path / "lake" / "bronze" / "people").glob("*.parquet")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:40])
    for path in (tmp_path / "lake" / "silver" / "chunks").glob("*.parquet" if are_chunks_damaged else "none"):
        path.write_bytes(path.read_bytes()[:40])
    with project.workspace() as workspace:
        with pytest.raises(LakeDamaged):
            begin_erasure(workspace, Wanted(place=("people", "mo.md")), reason="r", erased_by="dpo")
        begin_erasure(workspace, Wanted(place=("docs", "page.md")), reason="r", erased_by="dpo")
        certificate = finish_erasure(workspace)
        vectors = workspace.lake.read(EMBEDDINGS.of(workspace.space("small").fingerprint)).height
    assert certificate is not None
    assert vectors == 2
    assert any("bronze/people is damaged" in note for note in certificate.notes)
    assert all(any(str(path) in note for note in certificate.notes) for path in (asked, rejected_beside(asked)))
    assert [row["uri"] for row in project.published()] == ["docs/ferry.md", "people/mo.md"]
    damaged.write_bytes(whole)
    project.embedded.clear()
    project.refresh(evaluate=True)
    assert project.embedded == []
    assert project.verify().findings == []
    assert [row["uri"] for row in project.published()] == ["docs/ferry.md", "people/mo.md"]


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
