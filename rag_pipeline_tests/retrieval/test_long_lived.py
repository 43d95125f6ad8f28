"""A reader that lives long never answers from what is not published any more, whatever happened below it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.errors import RagPipelineError
from rag_pipeline.retrieval import published
from rag_pipeline.retrieval.published import Pointer
from rag_pipeline.retrieval.search import MODES, Hit, Searcher
from rag_pipeline_tests.pipeline.project import Project

OLD, NEW = "crimson", "azure"
Fault = Callable[[Project], None]


def page(word: str) -> str:
    return f"# Lamp\n\nThe lamp in the hall is {word}.\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    project.write("lamp.md", page(OLD))
    project.write("other.md", "# Other\n\nAnother lamp stands in the yard.\n")
    project.refresh()
    return project


@pytest.fixture(autouse=True)
def looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "POINTER_SECONDS", 0.0)


def lake_of(project: Project) -> Path:
    return project.folder / "lake"


def removed(*names: str) -> Fault:
    def fault(project: Project) -> None:
        for name in names:
            for path in list(lake_of(project).glob(name)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    return fault


def overwritten(name: str) -> Fault:
    def fault(project: Project) -> None:
        for path in lake_of(project).glob(name):
            path.write_bytes(b"{}")

    return fault


def edited(project: Project) -> None:
    project.write("lamp.md", page(NEW))
    project.refresh()


def revoked(project: Project) -> None:
    (project.folder / "docs" / "lamp.md").unlink()
    project.refresh()


def closed(project: Project) -> None:
    project.settings["sources"]["docs"]["permission_rules"] = [{"pattern": "lamp.md", "allowed_principals": ["board"]}]
    project.refresh()


def made_again_at_the_same_versions(project: Project) -> None:
    shutil.rmtree(lake_of(project))
    edited(project)


def then(*faults: Fault) -> Fault:
    def fault(project: Project) -> None:
        for each in faults:
            each(project)

    return fault


FAULTS: dict[str, Fault] = {
    "edited": edited,
    "revoked": revoked,
    "closed": closed,
    "made again": made_again_at_the_same_versions,
    "index gone": removed("gold/index"),
    "tables gone": removed("gold/index/*.lance"),
    "versions gone": removed("gold/index/*.lance/_versions"),
    "versions damaged": overwritten("gold/index/*.lance/_versions/*"),
    "log gone": removed("gold/publications"),
    "log damaged": overwritten("gold/publications/_delta_log/*.json"),
    "log emptied": removed("gold/publications/*.parquet", "gold/publications/_delta_log/*"),
    "lake gone": removed("*", ".write.lock"),
    "lake moved": lambda project: lake_of(project).rename(project.folder / "elsewhere") and None,
    "revoked, then index gone": then(revoked, removed("gold/index/*.lance")),
    "revoked, then log damaged": then(revoked, overwritten("gold/publications/_delta_log/*.json")),
    "revoked, then lake moved": then(revoked, lambda p: lake_of(p).rename(p.folder / "elsewhere") and None),
}


def calls(searcher: Searcher, hit: Hit) -> Iterator[Callable[[], Any]]:
    for mode in MODES:
        yield lambda mode=mode: searcher.search("the lamp in the hall", principals=["public"], mode=mode)
    yield lambda: searcher.chunk(hit.chunk_id, principals=["public"])
    yield lambda: searcher.window(hit, principals=["public"])
    yield lambda: dict(searcher.published())


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_not_published_any_more_is_not_served(built: Project, tmp_path: Path, name: str) -> None:
    project = built.copied(tmp_path)
    project = Project(
        project.folder, {**project.settings, "sources": {"docs": dict(project.settings["sources"]["docs"])}}
    )
    searcher = Searcher.open(project.pipeline())
    hit = next(hit for hit in searcher.search(f"{OLD} lamp", principals=["public"]) if OLD in hit.text)
    before = [call() for call in calls(searcher, hit)]
    assert all(OLD in str(found) for found in before[:-1])
    FAULTS[name](project)
    for _ in range(2):
        for call in calls(searcher, hit):
            try:
                found = call()
            except RagPipelineError:
                continue
            assert OLD not in str(found), name
            assert found != before[-1], name


@pytest.mark.parametrize("name", ["edited", "made again"])
def test_a_reader_goes_on_with_what_is_published_now(built: Project, tmp_path: Path, name: str) -> None:
    project = built.copied(tmp_path)
    searcher = Searcher.open(project.pipeline())
    searcher.search("lamp", principals=["public"])
    FAULTS[name](project)
    assert any(NEW in hit.text for hit in searcher.search("lamp", principals=["public"]))


def test_a_look_that_was_overtaken_does_not_bring_back_what_was_published_before(
    built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memberships change while somebody looks: whoever asks after that sees what was published by then."""
    project = built.copied(tmp_path)
    monkeypatch.setattr(published, "POINTER_SECONDS", 3600.0)
    with project.workspace() as workspace:
        pointer = Pointer(workspace.lake, workspace.vectors)
        opened = published.open_version

        def overtaken(*given: Any) -> Any:
            """Opens what was asked for; before that is answered, something is revoked and another one looks."""
            found = opened(*given)
            monkeypatch.setattr(published, "open_version", opened)
            revoked(project)
            pointer.look_again()
            assert pointer.publication().sequence > before
            return found

        before = pointer.publication().sequence
        pointer.look_again()
        monkeypatch.setattr(published, "open_version", overtaken)
        pointer.publication()
        assert pointer.publication().sequence > before


def test_a_reader_recovers_when_what_was_away_is_back(built: Project, tmp_path: Path) -> None:
    project = built.copied(tmp_path)
    searcher = Searcher.open(project.pipeline())
    before = searcher.search("lamp", principals=["public"])
    lake_of(project).rename(project.folder / "elsewhere")
    with pytest.raises(RagPipelineError):
        searcher.search("lamp", principals=["public"])
    (project.folder / "elsewhere").rename(lake_of(project))
    assert searcher.search("lamp", principals=["public"]) == before


def test_what_supersedes_what_is_not_remembered_from_a_lake_that_was_made_again(tmp_path: Path) -> None:
    """Its table lies at the same place and has the same version; only its documents say something else."""
    project = Project.create(tmp_path, deduplication={"near": False}, boilerplate={"leave_out": False})
    project.write("old.md", "---\nsuperseded_by: new.md\n---\nThe quay fee is 4 crowns.\n")

    def publish(readers: str) -> None:
        project.write("new.md", f"---\nallowed_principals: [{readers}]\n---\nMooring costs 5 now.\n")
        project.refresh()

    publish("public")
    searcher = Searcher.open(project.pipeline())
    hits = searcher.search("quay fee", principals=["public"])
    assert [version.uri for hit in hits for version in hit.superseded_by] == ["docs/new.md"]
    before = searcher.published()["table_version"]
    shutil.rmtree(lake_of(project))
    publish("board")
    hits = searcher.search("quay fee", principals=["public"])
    assert searcher.published()["table_version"] == before
    assert [(hit.uri, hit.superseded_by) for hit in hits] == [("docs/old.md", ())]
