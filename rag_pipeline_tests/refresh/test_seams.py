"""What a workspace takes from outside: a source of another kind, and another engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.engine import ModelOnWorkers, Read
from rag_pipeline.contracts.ids import bytes_hash
from rag_pipeline.contracts.sources import Capabilities, DeclaredMetadata, FetchedObject, Idle, SourceObject, SourceSpec
from rag_pipeline.errors import DocumentError, DocumentUnreadable, DocumentVanished, SourceUnavailable
from rag_pipeline.refresh.bronze import poll_source
from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline_tests.pipeline.project import Project


class Drawer:
    """A source that lies in no file system, and says of each object who may read it."""

    fetch_threads = 1
    capabilities = Capabilities()

    def __init__(self, spec: SourceSpec, objects: dict[str, tuple[bytes, tuple[str, ...]]]) -> None:
        self.name = spec.name
        self._objects = objects

    def list(self) -> Sequence[SourceObject]:
        return [
            SourceObject(address, f"drawer:{address}", len(raw), None, f"{bytes_hash(raw)} {who}")
            for address, (raw, who) in sorted(self._objects.items())
        ]

    def idle(self) -> Sequence[Idle]:
        return []

    def fetch(self, item: SourceObject) -> FetchedObject:
        if item.address not in self._objects:
            raise DocumentVanished("it is gone")
        raw, who = self._objects[item.address]
        return FetchedObject(raw, DeclaredMetadata(allowed_principals=who))


class Ledger:
    """A source whose listing says who may read each object, and what it is."""

    fetch_threads = 1

    def __init__(self, objects: dict[str, tuple[bytes, DeclaredMetadata]], *, is_complete: bool = True) -> None:
        self.name = "docs"
        self.objects = objects
        self.capabilities = Capabilities(is_complete=is_complete, gives_permissions=True, gives_media_types=True)
        self.fetched: list[str] = []
        self.gives_bytes = False
        self.is_down = False

    def list(self) -> Sequence[SourceObject]:
        return [
            SourceObject(
                address,
                f"ledger:{address}",
                len(raw),
                None,
                f"{bytes_hash(raw)} {declared.media_type}",
                declared=declared,
                raw=raw if self.gives_bytes else None,
            )
            for address, (raw, declared) in sorted(self.objects.items())
        ]

    def idle(self) -> Sequence[Idle]:
        return []

    def fetch(self, item: SourceObject) -> FetchedObject:
        self.fetched.append(item.address)
        if self.is_down:
            raise SourceUnavailable("it went away", source=self.name)
        if item.address not in self.objects:
            raise DocumentVanished("it is gone")
        return FetchedObject(*self.objects[item.address])

    def refreshed(self, project: Project) -> list[dict[str, Any]]:
        self.fetched.clear()
        with Workspace(project.pipeline(), run_id="test", open_source=lambda _: self) as workspace:
            refresh_everything(workspace)
        return project.published()


class Threads:
    """An engine without processes."""

    def __init__(self) -> None:
        self.weights: list[int] = []
        self.is_closed = False

    def map(
        self, function: Callable[[Any], Any], items: Iterable[Any], *, weight: Callable[[Any], int] = lambda _: 1
    ) -> Iterator[tuple[int, Any | DocumentError]]:
        def outcome(item: Any) -> Any | DocumentError:
            self.weights.append(weight(item))
            try:
                return function(item)
            except DocumentError as error:
                return error

        with ThreadPoolExecutor(2) as threads:
            yield from enumerate(threads.map(outcome, items))

    def map_stored(
        self, function: Callable[[Any], Any], references: Sequence[Any], read: Read, *, weight: Callable[[Any], int]
    ) -> Iterator[tuple[int, Any, Any | DocumentError]]:
        found = list(read(references))
        self.weights += [weight(reference) for reference in references]
        results = self.map(function, [item for _, item, _ in found])
        for (position, _, told), (_, result) in zip(found, results, strict=True):
            yield position, told, result

    def embed_stream(
        self, model: ModelOnWorkers, batches: Iterable[list[tuple[str, str]]]
    ) -> Iterator[tuple[list[str], Any]]:
        return model.here().embed_stream(batches)

    def close(self) -> None:
        self.is_closed = True


def test_a_source_of_another_kind_is_published_with_the_permissions_that_it_gives(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    objects = {
        "lamp": (b"# Lamp\n\nThe lamp of berth 4 burns.\n", ("public",)),
        "key.md": (b"# Key\n\nThe key lies under the mat.\n", ("staff",)),
    }
    for shown in ({"drawer:lamp": ["public"], "drawer:key.md": ["staff"]}, {"drawer:lamp": ["public"]}):
        with Workspace(project.pipeline(), run_id="test", open_source=lambda spec: Drawer(spec, objects)) as workspace:
            refresh_everything(workspace)
        assert {row["uri"]: row["allowed_principals"] for row in project.published()} == shown
        objects.pop("key.md", None)


def test_another_engine_makes_the_same_index(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    for number in range(6):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe lamp of berth {number} burns.\n")
    project.write("broken.pdf", b"%PDF-1.4 and nothing more")
    engine = Threads()
    with Workspace(project.pipeline(), run_id="test", engine=engine) as workspace:
        assert refresh_everything(workspace).documents.quarantined == 1
    assert len(engine.weights) == 2 * 7 + 6, "seven objects are weighed and parsed, six documents are cut"
    assert not engine.is_closed, "whoever made it closes it"
    assert project.published() == project.rebuilt()


LAMP = b"# Lamp\n\nThe <b>lamp</b> of berth 4 burns.\n"


def test_a_permission_that_changes_at_the_source_is_effective_and_fetches_nothing(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    ledger = Ledger({"4": (LAMP, DeclaredMetadata(title="Berth 4", allowed_principals=("staff",)))})
    assert [row["allowed_principals"] for row in ledger.refreshed(project)] == [["staff"]]
    assert ledger.fetched == ["4"]
    for principals in (("crew", "staff"), ()):
        ledger.objects["4"] = (LAMP, DeclaredMetadata(title="Berth 4", allowed_principals=principals))
        assert [row["allowed_principals"] for row in ledger.refreshed(project)] == [list(principals)]
        assert ledger.fetched == []


def test_a_source_that_goes_away_after_it_listed_has_shut_out_whom_it_named(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    both = DeclaredMetadata(allowed_principals=("crew", "staff"))
    ledger = Ledger({name: (LAMP + name.encode(), both) for name in ("edited", "moved", "same")})
    ledger.refreshed(project)
    crew = DeclaredMetadata(allowed_principals=("crew", "guests"))
    ledger.objects = {name: (LAMP + b"new " + name.encode(), crew) for name in ("edited", "fresh")} | {
        "same": (LAMP + b"same", crew)
    }
    ledger.objects["elsewhere"] = (LAMP + b"moved", crew)
    ledger.is_down = True
    with Workspace(project.pipeline(), run_id="test", open_source=lambda _: ledger) as workspace:
        assert "went away" in poll_source(workspace, "docs").unavailable_because
        state = workspace.lake.bronze_state("docs")
    told = {row["address"]: row["allowed_principals"] for row in state.to_dicts()}
    # Nobody is let in to an old text by what is said of the new one.
    assert told == {"edited": ["crew"], "moved": ["crew", "staff"], "same": ["crew", "guests"]}
    ledger.is_down = False
    shown = {row["uri"]: row["allowed_principals"] for row in ledger.refreshed(project)}
    assert shown == {f"ledger:{name}": ["crew", "guests"] for name in ("edited", "elsewhere", "fresh", "same")}


def test_the_media_type_that_the_source_knows_decides_before_the_name(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    ledger = Ledger({"4.txt": (LAMP, DeclaredMetadata(media_type="text/markdown"))})
    for media_type, title in (("text/markdown", "Lamp"), ("text/x-python", None)):
        ledger.objects["4.txt"] = (LAMP, DeclaredMetadata(media_type=media_type))
        [row] = ledger.refreshed(project)
        assert (row["media_type"], row["title"]) == (media_type, title)


def test_what_an_incomplete_listing_does_not_name_stays_and_follows_the_settings(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    said = DeclaredMetadata()
    ledger = Ledger({name: (LAMP + name.encode(), said) for name in "abcd"}, is_complete=False)
    assert len(ledger.refreshed(project)) == 4
    for name in "abc":
        del ledger.objects[name]
    ledger.objects["e"] = (LAMP + b"a", said)
    project.settings["sources"]["docs"]["allowed_principals"] = ["crew"]
    project.settings["deduplication"] = {"near": False}
    rows = ledger.refreshed(project)
    assert {row["uri"] for row in rows} >= {"ledger:b", "ledger:c", "ledger:d"}
    assert all(row["allowed_principals"] == ["crew"] for row in rows)


def test_bytes_that_come_with_the_listing_are_not_fetched(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    ledger = Ledger({"4": (LAMP, DeclaredMetadata(allowed_principals=("staff",)))})
    ledger.gives_bytes = True
    assert [row["allowed_principals"] for row in ledger.refreshed(project)] == [["staff"]]
    assert ledger.fetched == []


@pytest.mark.parametrize("is_complete", [True, False])
def test_texts_that_cannot_be_read_are_held_for_those_only_whom_the_listing_names_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_complete: bool
) -> None:
    """What the deletion guard keeps is the old text: who may read the new one is shown it only if they were before."""
    project = Project.create(tmp_path, deduplication={"near": False})
    project.settings["sources"]["docs"]["max_deleted_floor"] = 0
    before = ("public",), ("crew", "staff"), ("board",), ("staff",)
    after = ("board",), ("staff",), ("board", "public"), ()

    def objects(which: tuple[tuple[str, ...], ...], word: str) -> dict[str, tuple[bytes, DeclaredMetadata]]:
        return {
            str(at): (f"# Lamp {at}\n\nThe {word} of berth {at}.".encode(), DeclaredMetadata(allowed_principals=who))
            for at, who in enumerate(which)
        }

    def unreadable(_: SourceObject) -> FetchedObject:
        raise DocumentUnreadable("the source does not give it")

    ledger = Ledger(objects(before, "lamp"), is_complete=is_complete)
    assert len(ledger.refreshed(project)) == 4
    ledger.objects = objects(after, "lantern")
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "fetch", unreadable)
        rows = {row["uri"]: row["allowed_principals"] for row in ledger.refreshed(project)}
        assert rows == {"ledger:0": [], "ledger:1": ["staff"], "ledger:2": ["board"], "ledger:3": []}
        assert {row["uri"]: row["allowed_principals"] for row in ledger.refreshed(project)} == rows
        given, ledger.objects = ledger.objects, {}
        assert {row["uri"]: row["allowed_principals"] for row in ledger.refreshed(project)} == rows
        ledger.objects = given
    assert {row["uri"]: tuple(row["allowed_principals"]) for row in ledger.refreshed(project)} == {
        f"ledger:{at}": who for at, who in enumerate(after)
    }
