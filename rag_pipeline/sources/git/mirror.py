"""A remote repository, through a bare mirror of its own in the cache folder.

Belongs here: fetching one ref, and what a server says when it does not answer.
Does not belong here: reading objects (`repository.py`).

A mirror notes the commit that it holds whole only after all of it has come, so one that was cut off while it fetched
is fetched again, and nothing of it is read before. Losing a mirror costs fetching it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dulwich.client import GitClient, HTTPUnauthorized, default_urllib3_manager, get_transport_and_path
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
from dulwich.objects import ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo
from filelock import FileLock
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

from rag_pipeline.contracts.ids import digest
from rag_pipeline.sources.git.repository import Repository, Unreadable, resolved, short_name

# What the mirror holds whole.
_HELD = Ref(b"refs/mirror/held")
_COMMIT_ID = re.compile(r"[0-9a-f]{40}")
# A server that says nothing for so long is not there.
_SILENT_SECONDS = 60
# Each fetch leaves a file of objects, and reading goes through all of them.
_MAX_PACKS = 50
# Nobody is there to answer a question for a password.
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"


class Mirror(Repository):
    """A remote repository at one ref.

    Args:
        url: Address, without a password.
        cache: Folder that the mirror is kept in.
        is_shallow: Only the newest commit is fetched.
        username: For http.
        password: For http.
    """

    is_mirror = True

    def __init__(
        self, url: str, ref: str | None, cache: Path, *, is_shallow: bool, username: str | None, password: str | None
    ) -> None:
        name = digest("mirror", url, ref or "", f"{is_shallow:d}")[:32]
        super().__init__(cache / f"{name}.git", ref)
        self._url = url
        self._is_shallow = is_shallow
        self._username = username or ("git" if password else None)
        self._password = password
        self._held: bytes | None = None

    def head(self, *, is_fresh: bool = True) -> bytes:
        """See `Repository.head`; fetches what is new.

        What was listed is here whole, so reading it needs nobody, however long it takes.
        """
        if is_fresh or self._held is None:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self._folder}.lock"):
                self._held = self._fetched()
        return self._commit_at(self._held)

    def discard(self) -> None:
        """See `Repository.discard`."""
        self.close()
        self._held = None
        with FileLock(f"{self._folder}.lock"):
            shutil.rmtree(self._folder, ignore_errors=True)

    def _fetched(self) -> bytes:
        """Id of the ref's object, with everything that it needs in the mirror."""
        held = self._id_held()
        if held is not None and self._ref == held.decode():
            # A commit never becomes another one.
            return held
        try:
            client, path = self._client()
            wanted = self._wanted(client, path)
            if wanted != held:
                self._fetch(client, path, wanted, is_anew=held is None)
        except NotGitRepository:
            raise Unreadable("there is no repository, or no right to see it") from None
        except HTTPUnauthorized:
            raise Unreadable("it wants other credentials: set `username` and `password` to what may read it") from None
        except FileNotFoundError as error:
            if error.filename == "ssh":
                raise Unreadable("the program ssh is not installed: install it, or use https") from None
            raise Unreadable(f"the mirror cannot be written ({os.strerror(error.errno or 0)})") from None
        except HangupException:
            raise Unreadable("it ended the connection: check the address, the keys of ssh and the rights") from None
        except Unreadable:
            raise
        # What was cut off in the middle shows as anything: broken packets, compression, checksums.
        except Exception as error:
            raise Unreadable(_said_by(error)) from None
        return wanted

    def _client(self) -> tuple[GitClient, str]:
        options: dict[str, Any] = {"quiet": True}
        if self._url.startswith("http"):
            pool = default_urllib3_manager(None, base_url=self._url, timeout=_SILENT_SECONDS)
            options |= {"pool_manager": pool, "username": self._username, "password": self._password}
        else:
            options["ssh_command"] = os.environ.get("GIT_SSH_COMMAND") or _SSH
        return get_transport_and_path(self._url, **options)

    def _wanted(self, client: GitClient, path: str) -> bytes:
        if self._ref is not None and _COMMIT_ID.fullmatch(self._ref):
            return self._ref.encode()
        told = client.get_refs(path.encode())
        refs = {bytes(name): bytes(id_) for name, id_ in told.refs.items() if id_ is not None}
        if self._ref is None:
            self.ref_name = short_name(told.symrefs.get(Ref(b"HEAD")) or b"") or "HEAD"
        return resolved(refs.get, refs.keys, self._ref)

    def _fetch(self, client: GitClient, path: str, wanted: bytes, *, is_anew: bool) -> None:
        self.close()
        # Of one that was cut off nothing is taken up: what it has may be whole or not.
        if is_anew or self._count_packs() > _MAX_PACKS:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            Repo.init_bare(str(self._folder)).close()
        with Repo(str(self._folder)) as repo:
            id_ = ObjectID(wanted)

            def choose(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:  # noqa: ARG001
                return [id_]

            client.fetch(path.encode(), repo, determine_wants=choose, depth=1 if self._is_shallow else None)
            if id_ not in repo.object_store:
                raise GitProtocolError("the object did not come")
            repo.refs[_HELD] = id_

    def _count_packs(self) -> int:
        return sum(1 for _ in self._folder.glob("objects/pack/*.pack"))

    def _id_held(self) -> bytes | None:
        """What the mirror holds whole; None: nothing, or it is no mirror any more."""
        try:
            with Repo(str(self._folder)) as repo:
                held = repo.refs[_HELD]
                return bytes(held) if held in repo.object_store else None
        # A damaged mirror makes the library fail in many ways, and any of them means to fetch it again.
        except Exception:
            return None


def forget_mirrors(cache: Path, blobs: Collection[str]) -> int:
    """Remove the mirrors in a folder that hold some bytes, of whatever repository and ref; how many those were.

    Who reads one of them just then fetches it again.
    """
    count = 0
    for folder in sorted(cache.glob("*.git")) if blobs else ():
        with FileLock(f"{folder}.lock"):
            if _holds(folder, blobs):
                shutil.rmtree(folder, ignore_errors=True)
                count += 1
    return count


def _holds(folder: Path, blobs: Collection[str]) -> bool:
    try:
        with Repo(str(folder)) as repo:
            return any(ObjectID(each.encode()) in repo.object_store for each in blobs)
    # A damaged mirror makes the library fail in many ways. It is of no use, and cannot be looked through.
    except Exception:
        return True


def _said_by(error: Exception) -> str:
    """Why fetching failed; the library's own text may hold the address with what opens it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, HTTPError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, MaxRetryError) and cause.reason is not None:
        cause = cause.reason
    if isinstance(cause, SSLError):
        return "its certificate is not accepted"
    return f"fetching it failed ({type(error if cause is None else cause).__name__})"
