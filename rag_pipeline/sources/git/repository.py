"""A repository opened for reading: the commit of a ref, and objects by their ids.

Belongs here: local repositories, resolving refs, reading again where another process has repacked.
Does not belong here: fetching remote ones (`mirror.py`), what objects hold (`objects.py`).
"""

from __future__ import annotations

import os
import re
import weakref
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from dulwich.errors import NotGitRepository
from dulwich.objects import Commit as GitCommit
from dulwich.objects import ObjectID, Tag
from dulwich.refs import Ref
from dulwich.repo import Repo

from rag_pipeline.sources.git.objects import Commit
from rag_pipeline.sources.git.sizes import largest_of

_COMMIT_ID = re.compile(r"[0-9a-f]{40}")
# Where a short name is looked for, in the order of `git rev-parse`.
_PLACES = ("{}", "refs/{}", "refs/tags/{}", "refs/heads/{}", "refs/remotes/{}")


class Unreadable(Exception):
    """The repository does not give what is asked of it; the message is a clause for people, without secrets."""


class Damaged(Exception):
    """An object that a listing needs is not in the repository."""


class Repository:
    """Objects of a repository in a folder of this machine.

    Args:
        folder: With a work tree or without.
        ref: Branch, tag or commit; None: what HEAD is.

    Attributes:
        ref_name: Short name of the ref, or the id of the commit.
    """

    # Whether it can be got again from elsewhere.
    is_mirror = False

    def __init__(self, folder: Path, ref: str | None) -> None:
        self._folder = folder
        self._ref = ref
        self._repo: Repo | None = None
        self._closing: weakref.finalize[[], Repository] | None = None
        self._refs_state: object = None
        self._cut: frozenset[bytes] = frozenset()
        self.ref_name = ref or "HEAD"

    def head(self, *, is_fresh: bool = True) -> bytes:  # noqa: ARG002
        """Id of the commit that the ref points to now.

        Args:
            is_fresh: The other side is asked, if there is one, whenever it was asked last.

        Raises:
            Unreadable: There is no such repository, or no such ref in it.
        """
        state = self._state_of_refs()
        if self._repo is None or state != self._refs_state:
            self._open()
            self._refs_state = state
        repo = self._opened()
        if self._ref is not None and _COMMIT_ID.fullmatch(self._ref):
            return self._commit_at(self._ref.encode())
        if self._ref is None:
            said = repo.refs.read_ref(Ref(b"HEAD")) or b"HEAD"
            self.ref_name = short_name(said.removeprefix(b"ref: ")) or said.decode("ascii", "replace")
        return self._commit_at(resolved(lambda name: _ref_of(repo, name), repo.refs.allkeys, self._ref))

    def read(self, id_: bytes) -> bytes:
        """Content of an object.

        Raises:
            KeyError: It is not there.
        """
        try:
            return self._opened().object_store.get_raw(ObjectID(id_))[1]
        except (KeyError, OSError):
            # Another process may have packed it into another file meanwhile.
            self._open()
            return self._opened().object_store.get_raw(ObjectID(id_))[1]

    def sizes(self, id_: bytes) -> tuple[int, int] | None:
        """See `largest_of`; None where it cannot be told before it is read."""
        try:
            return largest_of(self._opened().object_store, id_)
        # A damaged file makes it fail in several ways, and reading says which.
        except (OSError, ValueError, StopIteration, RuntimeError, zlib.error):
            return None

    def commit(self, id_: bytes) -> Commit | None:
        """A commit; None: it is not there."""
        try:
            found = self._opened().object_store[ObjectID(id_)]
        except KeyError:
            return None
        if not isinstance(found, GitCommit):
            return None
        return Commit(found.tree, tuple(found.parents), int(found.commit_time), _author_of(found), id_ in self._cut)

    def discard(self) -> None:
        """Forget what is kept of it, if it can be got again."""

    def _state_of_refs(self) -> object:
        """What differs when the ref may have moved."""
        folder = self._folder / ".git" if (self._folder / ".git").exists() else self._folder
        if folder.is_file() or (folder / "commondir").exists():
            # A linked work tree: its refs are in several places, so they are read each time.
            return object()
        names = [place.format(self._ref or "HEAD") for place in _PLACES]
        try:
            target = (folder / "HEAD").read_bytes()
        except OSError:
            target = b""
        if target.startswith(b"ref: "):
            names.append(os.fsdecode(target[5:].strip()))
        return target, *(_facts(folder / name) for name in (*names, "packed-refs", "reftable/tables.list"))

    def _open(self) -> None:
        self.close()
        try:
            self._repo = Repo(str(self._folder))
        except NotGitRepository:
            raise Unreadable("there is no repository") from None
        # Left open, it would complain when the interpreter ends.
        self._closing = weakref.finalize(self, self._repo.close)
        self._cut = frozenset(self._repo.get_shallow())

    def close(self) -> None:
        """Close its files; it opens them again when it is asked."""
        if self._closing is not None:
            self._closing()
        self._repo = self._closing = None

    def _opened(self) -> Repo:
        if self._repo is None:
            self._open()
        assert self._repo is not None
        return self._repo

    def _commit_at(self, id_: bytes) -> bytes:
        """The commit that an id is, or that a tag of that id is of."""
        store = self._opened().object_store
        try:
            found = store[ObjectID(id_)]
            while isinstance(found, Tag):
                id_ = found.object[1]
                found = store[ObjectID(id_)]
        except KeyError:
            raise Unreadable(f"the commit {id_.decode()[:12]} of {self.ref_name} is not in it") from None
        if not isinstance(found, GitCommit):
            raise Unreadable(f"{self.ref_name} is no commit")
        return id_


def resolved(get: Callable[[bytes], bytes | None], names: Callable[[], Iterable[bytes]], ref: str | None) -> bytes:
    """Id that a ref has among those of a repository.

    Args:
        get: Id of a ref by its whole name.
        names: All refs, of which there may be very many.

    Raises:
        Unreadable: There is none of that name.
    """
    for place in _PLACES if ref is not None else ("HEAD",):
        found = get(os.fsencode(place.format(ref)))
        if found is not None:
            return found
    shown = ", ".join(sorted(filter(None, map(short_name, names())))[:10]) or "none yet"
    raise Unreadable(f"it has no {'commit yet' if ref is None else f'ref {ref}'}; branches and tags: {shown}")


def _ref_of(repo: Repo, name: bytes) -> bytes | None:
    try:
        return bytes(repo.refs[Ref(name)])
    # A name that can be no ref is none.
    except (KeyError, ValueError, OSError):
        return None


def short_name(ref: bytes) -> str:
    """Name of a branch or tag without its place; empty for other refs."""
    for place in (b"refs/heads/", b"refs/tags/"):
        if ref.startswith(place):
            return ref[len(place) :].decode("utf-8", "replace")
    return ""


def _author_of(commit: GitCommit) -> str:
    """The author's name, decoded as the commit says, without the address."""
    name = commit.author.rpartition(b"<")[0] or commit.author
    try:
        text = name.decode((commit.encoding or b"utf-8").decode("ascii", "replace"))
    except (UnicodeDecodeError, LookupError):
        text = name.decode("utf-8", "replace")
    return " ".join(text.split())


def _facts(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
