"""Several kinds of sources in one pipeline: nights of random changes, one of them down, a first load that is killed."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.sources import FetchedObject, SourceObject
from rag_pipeline.errors import DocumentError
from rag_pipeline.refresh import bronze, fetching
from rag_pipeline.refresh.fetching import Fetching
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.packed import pack
from rag_pipeline_tests.sources.repositories import Maker

NAMES = [f"{folder}{stem}.md" for folder in ("", "team/") for stem in "abcd"]
KINDS = ("files", "git", "archive", "sql")
READERS = ("public", "staff", "crew")


class Mixture:
    """The same few documents live in four kinds of sources, each changed by itself."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.project = Project.create(folder, ["files"], cache="cache")
        self.maker = Maker(folder / "git")
        self.texts: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
        self.readers: dict[str, str] = dict.fromkeys(KINDS, "staff")
        common = {"max_deleted_floor": 1_000}
        self.project.settings["sources"] = {
            "files": {"location": "files"} | common,
            "git": {"kind": "git", "location": "git", "permissions_from": "codeowners"} | common,
            "archive": {"kind": "archive", "location": "archive.zip"} | common,
            "sql": {
                "kind": "sql",
                "location": "sql.db",
                "query": "SELECT * FROM pages",
                "key": ["name"],
                "text": ["body"],
                "revision": "body",
                "principals": "readers",
            }
            | common,
        }
        self.count = 0

    def change(self, kind: str) -> None:
        """One edit, addition, move or deletion, or other readers."""
        texts, name, to = self.texts[kind], self.random.choice(NAMES), self.random.choice(NAMES)
        self.count += 1
        what = self.random.choice(["write", "write", "move", "delete", "readers"])
        if what == "move" and name in texts:
            texts[to] = texts.pop(name)
        elif what == "delete" and len(texts) > 1:
            texts.pop(name, None)
        elif what == "readers":
            self.readers[kind] = self.random.choice(READERS)
        else:
            texts[name] = f"# Page {self.count}\n\nThe text number {self.count} is about {kind} and nothing else."
        if not texts:
            texts[name] = "# First\n\nThe first text."

    def write(self, kind: str) -> None:
        """Have the source hold what is in `texts`."""
        texts, readers = self.texts[kind], self.readers[kind]
        contents = {name: text.encode() for name, text in texts.items()}
        folder = self.project.folder
        self.project.settings["sources"][kind]["allowed_principals"] = [readers]
        if kind == "files":
            for path in (folder / "files").rglob("*.md"):
                path.unlink()
            for name, text in texts.items():
                self.project.write(name, text, "files")
        elif kind == "git":
            self.maker.commit({**contents, ".github/CODEOWNERS": f"* @{readers}\n".encode()})
        elif kind == "archive":
            pack(folder / "archive.zip", contents)
        else:
            connection = sqlite3.connect(folder / "sql.db")
            with connection:
                connection.execute("CREATE TABLE IF NOT EXISTS pages (name TEXT PRIMARY KEY, body TEXT, readers TEXT)")
                connection.execute("DELETE FROM pages")
                rows = [(name, text, readers) for name, text in texts.items()]
                connection.executemany("INSERT INTO pages VALUES (?, ?, ?)", rows)
            connection.close()

    def place(self, kind: str) -> Path:
        return self.project.folder / {"archive": "archive.zip", "sql": "sql.db"}.get(kind, kind)

    def shown(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.project.published() if row["source"] == kind]


def test_nights_of_four_kinds_equal_a_rebuild_and_what_is_down_stands_still_alone(tmp_path: Path) -> None:
    mixture = Mixture(tmp_path, seed=5)
    project = mixture.project
    for night in range(3):
        for kind in KINDS:
            for _ in range(4 if night == 0 else 2):
                mixture.change(kind)
            mixture.write(kind)
        project.refresh()
        assert project.published() == project.rebuilt(), night
        assert project.verify().findings == []
        assert len(project.embedded) == len(set(project.embedded)), "nothing is embedded twice"
    for down in KINDS[1:]:
        before = mixture.shown(down)
        mixture.change("files")
        mixture.write("files")
        place = mixture.place(down)
        place.rename(tmp_path / "away")
        with project.workspace() as workspace:
            reports = {name: bronze.poll_source(workspace, name) for name in workspace.settings.sources}
        assert [name for name, report in reports.items() if report.unavailable_because] == [down]
        project.refresh(poll=False)
        assert mixture.shown(down) == before
        (tmp_path / "away").rename(place)
    project.refresh()
    assert project.published() == project.rebuilt()


class Killed(BaseException):
    """Stands for a process that is killed."""


@pytest.mark.parametrize("kind", ["git", "archive", "sql"])
def test_a_first_load_that_is_killed_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mixture = Mixture(tmp_path, seed=1)
    mixture.texts[kind] = {name: f"# {name}\n\nThe text of {name}." for name in NAMES}
    mixture.write(kind)
    mixture.project.settings["sources"] = {kind: mixture.project.settings["sources"][kind]}
    monkeypatch.setattr(fetching, "COMMIT_ROWS", 3)
    asked: list[str] = []
    whole = Fetching.fetched

    def counted(
        self: Fetching, items: list[SourceObject]
    ) -> Iterator[tuple[SourceObject, FetchedObject | DocumentError]]:
        for item, fetched in whole(self, items):
            asked.append(item.address)
            if len(asked) == 7:
                raise Killed
            yield item, fetched

    monkeypatch.setattr(Fetching, "fetched", counted)
    with mixture.project.workspace() as workspace, pytest.raises(Killed):
        bronze.refresh_source(workspace, kind)
    with mixture.project.workspace() as workspace:
        report = bronze.refresh_source(workspace, kind)
    assert (report.listed, report.added) == (8, 2)
    # Two commits of three stood; what was read after them is read again.
    assert len(asked) == 7 + 2
