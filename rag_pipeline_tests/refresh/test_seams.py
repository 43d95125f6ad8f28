"""What a workspace takes from outside: a source of another kind, and another engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rag_pipeline.contracts.ids import bytes_hash
from rag_pipeline.contracts.sources import DeclaredMetadata, FetchedObject, Idle, SourceObject, SourceSpec
from rag_pipeline.errors import DocumentError, DocumentVanished
from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline_tests.pipeline.project import Project


class Drawer:
    """A source that lies in no file system, and says of each object who may read it."""

    fetch_threads = 1

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
    assert len(engine.weights) == 7 + 6, "seven objects are parsed, six documents are cut"
    assert not engine.is_closed, "whoever made it closes it"
    assert project.published() == project.rebuilt()
