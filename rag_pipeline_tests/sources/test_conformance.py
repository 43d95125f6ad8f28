"""What every kind of source promises, shown for those that are built in, in small worlds of their own."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from rag_pipeline.contracts.groups import GroupsSpec
from rag_pipeline.contracts.sources import Source, SourceSpec
from rag_pipeline.settings.sources import SqlSettings
from rag_pipeline.sources import KINDS, open_source
from rag_pipeline.testing import SourceConformance
from rag_pipeline_tests.sources.packed import archive_source, pack
from rag_pipeline_tests.sources.repositories import Maker, git_source


def sql_spec(path: Path | str, **fields: Any) -> SourceSpec:
    """A spec of kind `sql` as the settings would give it."""
    defaults = {"kind": "sql", "location": str(path), "query": "SELECT * FROM tickets", "key": ["id"], "text": ["body"]}
    settings = SqlSettings.model_validate(defaults | fields)
    groups = settings.groups and GroupsSpec("tickets:", fields=settings.groups.own_fields)
    return SourceSpec(
        "tickets",
        str(path),
        kind="sql",
        fields=settings.own_fields,
        max_document_bytes=settings.max_document_bytes,
        groups=groups,
    )


class FolderWorld:
    """A folder of this machine; nobody says at the source who may read what is not beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "docs"
        self._folder.mkdir()

    def source(self) -> Source:
        return open_source(SourceSpec("docs", str(self._folder)))

    def put(self, name: str, text: str) -> None:
        (self._folder / name).write_bytes(text.encode())

    def delete(self, name: str) -> None:
        (self._folder / name).unlink()

    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(f"{number}.md", "")

    def break_down(self) -> None:
        self._folder.rename(self._folder.with_name("away"))

    def heal(self) -> None:
        self._folder.with_name("away").rename(self._folder)

    def allow(self, name: str, principals: Sequence[str]) -> None:
        raise NotImplementedError


class Shaky(MemoryFileSystem):
    """A bucket that can be out of reach."""

    protocol = "shaky"
    store: dict[str, Any] = {}  # noqa: RUF012 - as its parent has it
    pseudo_dirs = [""]  # noqa: RUF012
    is_down = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.replace("shaky://", "memory://")))

    def _ask(self) -> None:
        if Shaky.is_down:
            raise ConnectionError("no route to host")

    def ls(self, *arguments: Any, **values: Any) -> Any:
        self._ask()
        return super().ls(*arguments, **values)

    def find(self, *arguments: Any, **values: Any) -> Any:
        self._ask()
        return super().find(*arguments, **values)

    def info(self, *arguments: Any, **values: Any) -> Any:
        self._ask()
        return super().info(*arguments, **values)

    def exists(self, *arguments: Any, **values: Any) -> Any:
        self._ask()
        return super().exists(*arguments, **values)

    def cat_file(self, *arguments: Any, **values: Any) -> Any:
        self._ask()
        return super().cat_file(*arguments, **values)

    def _open(self, *arguments: Any, **values: Any) -> Any:
        self._ask()
        return super()._open(*arguments, **values)


class BucketWorld(FolderWorld):
    """A bucket."""

    def __init__(self) -> None:
        fsspec.register_implementation("shaky", Shaky, clobber=True)
        self._bucket = fsspec.filesystem("shaky")
        self._bucket.pipe_file("/docs/.keep", b"")

    def source(self) -> Source:
        return open_source(SourceSpec("docs", "shaky://docs"))

    def put(self, name: str, text: str) -> None:
        self._bucket.pipe_file(f"/docs/{name}", text.encode())

    def delete(self, name: str) -> None:
        self._bucket.rm_file(f"/docs/{name}")

    def break_down(self) -> None:
        Shaky.is_down = True

    def heal(self) -> None:
        Shaky.is_down = False


class TableWorld:
    """A table of SQLite."""

    def __init__(self, folder: Path, **fields: Any) -> None:
        self._path = folder / "tickets.db"
        groups = {"query": "SELECT * FROM members", "group": "team", "member": "who", "is_group": "is_team"}
        self._fields = {"principals": "readers", "groups": groups, **fields}
        self._revision = 0
        self._ask("CREATE TABLE members (team TEXT, who TEXT, is_team INTEGER)")
        self._ask("CREATE TABLE tickets (id TEXT PRIMARY KEY, body TEXT, readers TEXT DEFAULT '[]', revision INTEGER)")

    def _ask(self, statement: str, *values: object) -> None:
        self._revision += 1
        connection = sqlite3.connect(self._path)
        with connection:
            connection.execute(statement, values)
        connection.close()

    def source(self) -> Source:
        return open_source(sql_spec(self._path, **self._fields))

    def set_group(self, group: str, members: Sequence[str], groups: Sequence[str] = ()) -> None:
        self.remove_group(group)
        for number, name in enumerate([*members, *groups]):
            self._ask("INSERT INTO members VALUES (?, ?, ?)", group, name, number >= len(members))

    def remove_group(self, group: str) -> None:
        self._ask("DELETE FROM members WHERE team = ?", group)

    def put(self, name: str, text: str) -> None:
        self._ask("INSERT OR REPLACE INTO tickets (id, body, revision) VALUES (?, ?, ?)", name, text, self._revision)

    def delete(self, name: str) -> None:
        self._ask("DELETE FROM tickets WHERE id = ?", name)

    def fill(self, count: int) -> None:
        self._ask(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
            "INSERT INTO tickets (id, body, revision) SELECT i, printf('%.2000c', 'x'), i FROM n"
        )

    def break_down(self) -> None:
        self._path.rename(self._path.with_name("away"))

    def heal(self) -> None:
        self._path.with_name("away").rename(self._path)

    def allow(self, name: str, principals: Sequence[str]) -> None:
        self._ask("UPDATE tickets SET readers = ? WHERE id = ?", json.dumps(list(principals)), name)


class RepositoryWorld:
    """A repository, with its owners as readers."""

    def __init__(self, folder: Path) -> None:
        self._cache = folder / "cache"
        self._maker = Maker(folder / "code.git")
        self._files: dict[str, bytes] = {}
        self._owners: dict[str, Sequence[str]] = {}

    def source(self) -> Source:
        return git_source(self._maker.path, self._cache, permissions_from="codeowners")

    def _commit(self) -> None:
        lines = [f"/{name} {' '.join(f'@{one}' for one in owners)}\n" for name, owners in self._owners.items()]
        self._maker.commit({**self._files, ".github/CODEOWNERS": "".join(lines).encode()})

    def put(self, name: str, text: str) -> None:
        self._files[name] = text.encode()
        self._commit()

    def delete(self, name: str) -> None:
        del self._files[name]
        self._commit()

    def fill(self, count: int) -> None:
        self._files |= {f"{number % 50}/{number}.md": b"x" for number in range(count)}
        self._commit()

    def break_down(self) -> None:
        self._maker.path.rename(self._maker.path.with_name("away"))

    def heal(self) -> None:
        self._maker.path.with_name("away").rename(self._maker.path)

    def allow(self, name: str, principals: Sequence[str]) -> None:
        self._owners[name] = principals
        self._commit()


class ArchiveWorld:
    """A ZIP or TAR file, written anew with every change."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name
        self._cache = folder / "cache"
        self._files: dict[str, bytes] = {}

    def source(self) -> Source:
        return archive_source(self._path, self._cache)

    def put(self, name: str, text: str) -> None:
        self._files[name] = text.encode()
        pack(self._path, self._files)

    def delete(self, name: str) -> None:
        del self._files[name]
        pack(self._path, self._files)

    def fill(self, count: int) -> None:
        self._files |= {f"{number}.md": b"x" for number in range(count)}
        pack(self._path, self._files)

    def break_down(self) -> None:
        self._path.rename(self._path.with_name("away"))

    def heal(self) -> None:
        self._path.with_name("away").rename(self._path)

    def allow(self, name: str, principals: Sequence[str]) -> None:
        raise NotImplementedError


class TestZip(SourceConformance):
    many = 1_000

    @pytest.fixture
    def world(self, tmp_path: Path) -> ArchiveWorld:
        return ArchiveWorld(tmp_path, "export.zip")


class TestPackedTar(SourceConformance):
    many = 1_000

    @pytest.fixture
    def world(self, tmp_path: Path) -> ArchiveWorld:
        return ArchiveWorld(tmp_path, "export.tar.gz")


class TestRepository(SourceConformance):
    many = 3_000

    @pytest.fixture
    def world(self, tmp_path: Path) -> RepositoryWorld:
        return RepositoryWorld(tmp_path)


class TestFolder(SourceConformance):
    # Making files takes longer than listing them.
    many = 1_000

    @pytest.fixture
    def world(self, tmp_path: Path) -> FolderWorld:
        return FolderWorld(tmp_path)


class TestBucket(SourceConformance):
    many = 1_000

    @pytest.fixture
    def world(self) -> Iterator[BucketWorld]:
        yield BucketWorld()
        Shaky.store.clear()
        Shaky.pseudo_dirs[:] = [""]


class TestRows(SourceConformance):
    many = 3_000

    @pytest.fixture
    def world(self, tmp_path: Path) -> TableWorld:
        return TableWorld(tmp_path)


class TestRowsWithARevision(SourceConformance):
    many = 3_000

    @pytest.fixture
    def world(self, tmp_path: Path) -> TableWorld:
        return TableWorld(tmp_path, revision="revision")


def test_every_built_in_kind_is_among_them() -> None:
    # Those of mail, APIs, sites and feeds stand in modules of their own.
    assert {"archive", "feed", "files", "git", "mail", "rest", "sql", "web"} == set(KINDS)
