"""Repositories made for tests, with dulwich: commits of given files, at given times, with given parents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from rag_pipeline.contracts.sources import Source, SourceSpec
from rag_pipeline.settings.sources import GitSettings
from rag_pipeline.sources import open_source

FILE, LINK, SUBMODULE = 0o100644, 0o120000, 0o160000
# What is at a path: bytes of a file, or a mode with bytes, or with the id of a commit.
Files = Mapping[str, bytes | tuple[int, bytes]]


def git_spec(location: Path | str, cache: Path | None = None, **fields: Any) -> SourceSpec:
    """A spec of kind `git` as the settings would give it."""
    settings = GitSettings.model_validate({"kind": "git", "location": str(location), **fields})
    return SourceSpec(
        "code",
        str(location),
        kind="git",
        include=settings.include,
        exclude=settings.exclude,
        use_sidecars=settings.use_sidecars,
        use_front_matter=settings.use_front_matter,
        max_document_bytes=settings.max_document_bytes,
        fields=settings.own_fields,
        cache_folder=None if cache is None else str(cache),
    )


def git_source(location: Path | str, cache: Path | None = None, **fields: Any) -> Source:
    return open_source(git_spec(location, cache, **fields))


class Maker:
    """A bare repository that grows by whole trees."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        Repo.init_bare(str(path)).close()
        self.clock = 1_700_000_000

    def commit(
        self,
        files: Files,
        *,
        branch: str = "master",
        parents: Sequence[bytes] | None = None,
        author: bytes = b"Ann Example <ann@example.org>",
        encoding: bytes | None = None,
        time: int | None = None,
    ) -> bytes:
        """A commit whose tree holds exactly these files; its parent is the branch's last, unless others are given."""
        self.clock += 60
        ref = Ref(f"refs/heads/{branch}".encode())
        with Repo(str(self.path)) as repo:
            if parents is None:
                parents = [repo.refs[ref]] if ref in repo.refs else []
            commit = Commit()
            commit.tree = self._tree(repo, {_bytes(name): content for name, content in files.items()})
            commit.parents = [ObjectID(parent) for parent in parents]
            commit.author = author
            commit.committer = b"Merge Bot <bot@example.org>"
            commit.author_time = 1_600_000_000
            commit.commit_time = self.clock if time is None else time
            commit.author_timezone = commit.commit_timezone = 0
            if encoding is not None:
                commit.encoding = encoding
            commit.message = b"A change\n"
            repo.object_store.add_object(commit)
            repo.refs[ref] = commit.id
            return bytes(commit.id)

    def _tree(self, repo: Repo, files: Mapping[bytes, bytes | tuple[int, bytes]]) -> ObjectID:
        tree = Tree()
        folders: dict[bytes, dict[bytes, bytes | tuple[int, bytes]]] = {}
        for path, content in files.items():
            name, slash, rest = path.partition(b"/")
            if slash:
                folders.setdefault(name, {})[rest] = content
                continue
            mode, data = content if isinstance(content, tuple) else (FILE, content)
            if mode == SUBMODULE:
                tree.add(name, mode, ObjectID(data))
                continue
            blob = Blob.from_string(data)
            repo.object_store.add_object(blob)
            tree.add(name, mode, blob.id)
        for name, below in folders.items():
            tree.add(name, 0o040000, self._tree(repo, below))
        repo.object_store.add_object(tree)
        return tree.id


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
