"""Files of a repository at one ref as a source.

Belongs here: listing the files of a commit with what is declared of them, and giving their bytes.
Does not belong here: opening repositories (`repository.py`, `mirror.py`), reading trees (`objects.py`, `listing.py`).

A listing is of one commit. What a file is, its blob and its mode say, so these are the stamp; times, authors and
owners come with the listing, and a change of them fetches nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.sources import Capabilities, FetchedObject, Idle, SourceObject, SourceSpec
from rag_pipeline.errors import RagPipelineError, SourceUnavailable
from rag_pipeline.settings.load import user_cache_folder
from rag_pipeline.shown import without_secrets
from rag_pipeline.sources import reading
from rag_pipeline.sources.files import local_folder
from rag_pipeline.sources.git.history import last_commits
from rag_pipeline.sources.git.listing import Lister
from rag_pipeline.sources.git.memory import Memory, read_memory, write_memory
from rag_pipeline.sources.git.mirror import Mirror
from rag_pipeline.sources.git.objects import Trees
from rag_pipeline.sources.git.repository import Damaged, Repository, Unreadable
from rag_pipeline.transforms.metadata import METADATA_VERSION

log = logging.getLogger(__name__)

_DAMAGED = "objects of it are missing or damaged: look at it with `git fsck`, or fetch it whole"


class GitFiles:
    """Files of a repository at one ref."""

    # Unpacking objects is all Python, which threads only slow down.
    fetch_threads = 1
    capabilities = Capabilities(gives_permissions=True)

    def __init__(self, spec: SourceSpec) -> None:
        self.name = spec.name
        self._spec = spec
        self._lock = RLock()
        self._repository, self._memory_file = _opened(spec)
        self._memory: Memory | None = None
        self._head: bytes | None = None
        self._objects: dict[str, tuple[SourceObject, bytes]] = {}
        self._idle: Sequence[Idle] = ()

    def list(self) -> Sequence[SourceObject]:
        """See `Source.list`."""
        with self._lock, self._available():
            self._look(is_fresh=True)
            return [item for item, _ in self._objects.values()]

    def idle(self) -> Sequence[Idle]:
        """See `Source.idle`."""
        return self._idle

    def fetch(self, item: SourceObject) -> FetchedObject:
        """See `Source.fetch`."""
        with self._lock, self._available():
            self._look(is_fresh=False)
            found = self._objects.get(item.address)
            if found is None:
                raise reading.vanished()
            now, blob = found
            if now.problem is not None:
                raise now.problem
            assert now.declared is not None
            try:
                return FetchedObject(self._repository.read(blob), now.declared)
            except KeyError:
                # The next run fetches what can be fetched again.
                self._repository.discard()
                raise reading.unreadable("its bytes are no longer in the repository") from None

    def forget_copies(self) -> None:
        """See `KeepsCopies`."""
        with self._lock:
            self._repository.discard()
            self._head = self._memory = None
            if self._memory_file is not None:
                self._memory_file.unlink(missing_ok=True)

    def _look(self, *, is_fresh: bool) -> None:
        """Make the listing that of the commit of now."""
        head = self._repository.head(is_fresh=is_fresh)
        if head == self._head:
            return
        try:
            self._list_at(head)
        except RagPipelineError:
            raise
        # Damage shows in many ways, and a mirror can be had again.
        except Exception:
            if not self._repository.is_mirror:
                raise
            self._repository.discard()
            head = self._repository.head()
            self._list_at(head)
        self._head = head

    def _list_at(self, head: bytes) -> None:
        recipe = self._recipe()
        if self._memory is None:
            self._memory = read_memory(self._memory_file, recipe)
        repository, before = self._repository, self._memory
        trees = Trees(repository.read)
        commit = repository.commit(head)
        if commit is None:
            raise Damaged
        lister = Lister(self._spec, repository, trees, before.facts)
        lister.walk(commit.tree)
        after = Memory(head.decode(), facts=lister.facts)
        if self._spec.fields["history"] == "full":
            self._date(lister.paths, head, trees, before, after)
        if after != before:
            write_memory(self._memory_file, recipe, after)
        self._memory = after
        touched = {path: (id_, *after.commits[id_]) for path, id_ in after.last.items()}
        self._objects = lister.objects(head.decode(), repository.ref_name, touched)
        self._idle = lister.idle()

    def _date(self, paths: set[bytes], head: bytes, trees: Trees, before: Memory, after: Memory) -> None:
        """Find out when each file was touched last."""
        known = {_bytes(path): id_.encode() for path, id_ in before.last.items()}
        last = last_commits(
            head, paths, self._repository.commit, trees, known_head=before.head.encode() or None, known=known
        )
        after.last = {_text(path): last[path].decode() for path in sorted(last)}
        for id_ in set(after.last.values()):
            if id_ in before.commits:
                after.commits[id_] = before.commits[id_]
            elif (commit := self._repository.commit(id_.encode())) is not None:
                after.commits[id_] = (commit.time, commit.author)
        if len(last) < len(paths):
            log.info("source %s: of %d files the last change is not known", self.name, len(paths) - len(last))

    def _recipe(self) -> str:
        spec = self._spec
        reads = f"{METADATA_VERSION} {spec.use_sidecars:d} {spec.use_front_matter:d} {spec.fields['history']}"
        return digest("git", spec.location, reads, repr(spec.include), repr(spec.exclude))

    @contextmanager
    def _available(self) -> Iterator[None]:
        try:
            yield
        except RagPipelineError:
            raise
        except Unreadable as error:
            raise self._unavailable(str(error)) from None
        except (Damaged, KeyError):
            raise self._unavailable(_DAMAGED) from None
        # Damaged files make the library fail in many ways, and its messages may hold addresses with passwords.
        except Exception as error:
            raise self._unavailable(f"{_DAMAGED} ({type(error).__name__})") from None

    def _unavailable(self, reason: str) -> SourceUnavailable:
        where = without_secrets(self._spec.uri_prefix or self._spec.location)
        return SourceUnavailable(
            f"The repository {where} of source {self.name} cannot be listed: {reason}. Nothing of the source was "
            "changed. Correct `location` or `ref` in pipeline.yaml, or try again.",
            source=self.name,
        )


def _opened(spec: SourceSpec) -> tuple[Repository, Path | None]:
    """The repository, and where to keep what is found out about it."""
    fields = spec.fields
    folder = local_folder(spec)
    cache = Path(spec.cache_folder) if spec.cache_folder else None
    memory = None
    if cache is not None:
        memory = cache / "git" / f"{digest('memory', spec.name, spec.location, fields['ref'] or '')[:32]}.json"
    if folder is not None:
        return Repository(folder, fields["ref"]), memory
    mirror = Mirror(
        spec.location,
        fields["ref"],
        (cache or user_cache_folder()) / "git",
        is_shallow=fields["history"] == "none",
        username=fields["username"],
        password=fields["password"],
    )
    return mirror, memory


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
