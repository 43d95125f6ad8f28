"""A local folder as a source: its own walk, because links, inodes and speed matter there.

Belongs here: listing and reading files of the operating system.
Does not belong here: names and patterns (`selection.py`), what is declared (`reading.py`).
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rag_pipeline.contracts.large_listings import listing_of
from rag_pipeline.contracts.sources import Capabilities, DeclaredMetadata, FetchedObject, Idle, SourceObject, SourceSpec
from rag_pipeline.errors import DocumentError, DocumentTooLarge, DocumentVanished, SourceUnavailable
from rag_pipeline.sources import reading
from rag_pipeline.sources.addresses import address_of, is_address, name_of, stamp_of, uri_of
from rag_pipeline.sources.selection import SIDECAR_SUFFIXES, Selection, Sidecars
from rag_pipeline.transforms.metadata import MAX_SIDECAR_BYTES

_GONE = (FileNotFoundError, NotADirectoryError)
# A program that saves a file is done by then.
_RETRY_SECONDS = 0.05
# File systems keep times as coarse as two seconds (FAT).
_SETTLED_NS = 2_000_000_000
# Folders whose sidecars are remembered: those of the files that are read at the moment, and some more.
_MAX_LOOKED_INTO = 256
# A link may have taken a file's place since it was listed, and a pipe would hold the reader for ever.
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LocalFiles:
    """Files below one folder.

    Links to files inside the folder are documents; a link that leads out, or nowhere, is listed with a
    problem. Linked folders are not entered.
    """

    # Reading a small file that the system holds in memory is all Python, which threads only slow down.
    fetch_threads = 1
    capabilities = Capabilities()

    def __init__(self, spec: SourceSpec, folder: Path) -> None:
        self.name = spec.name
        self._spec = spec
        self._folder = folder
        self._selection = Selection(spec)
        self._orphans: list[str] = []
        # Folders that `_sidecars_of` has looked into, each with the time of its last change.
        self._looked_into: dict[tuple[str, int], Sidecars] = {}

    def list(self) -> Sequence[SourceObject]:
        """See `Source.list`."""
        root = self._real_root()
        self._selection.watched.start()
        self._orphans = []
        return listing_of(self._all(root))

    def _all(self, root: str) -> Iterator[SourceObject]:
        """What is there, folder by folder."""
        folders = [""]
        while folders:
            prefix = folders.pop()
            entries = self._entries(root, prefix)
            beside = self._sidecars_among(entries)
            self._orphans += [address_of(prefix + name) for name in beside.orphans]
            for name, entry in entries.items():
                if not entry.is_symlink() and entry.is_dir(follow_symlinks=False):
                    if self._selection.enters(address_of(prefix + name)):
                        folders.append(f"{prefix}{name}/")
                else:
                    yield from self._at(root, prefix, entry, beside)

    def list_some(self, addresses: Sequence[str]) -> Sequence[SourceObject]:
        """See `ListsSome.list_some`: names in the folders of the addresses are read, and nothing is asked of others."""
        root = self._real_root()
        by_folder: dict[str, set[str]] = {}
        for address in filter(is_address, addresses):
            folder, _, name = name_of(address).rpartition("/")
            by_folder.setdefault(folder, set()).add(name)
        found: list[SourceObject] = []
        for folder, names in by_folder.items():
            if not self._is_entered(root, folder):
                continue
            prefix = f"{folder}/" if folder else ""
            entries = self._entries(root, prefix)
            beside = self._sidecars_among(entries)
            for entry in (entries[name] for name in names & entries.keys()):
                if entry.is_symlink() or not entry.is_dir(follow_symlinks=False):
                    found.extend(self._at(root, prefix, entry, beside))
        return sorted(found, key=lambda item: item.address)

    def _is_entered(self, root: str, folder: str) -> bool:
        """Whether a listing comes by a folder: no link leads there, and no setting leaves it out."""
        names = folder.split("/") if folder else []
        for number in range(1, len(names) + 1):
            name = "/".join(names[:number])
            try:
                status = os.lstat(f"{root}/{name}")
            except (*_GONE, ValueError):
                return False
            if not stat.S_ISDIR(status.st_mode) or not self._selection.enters(address_of(name)):
                return False
        return True

    def _at(self, root: str, prefix: str, entry: os.DirEntry[str], beside: Sidecars) -> Iterable[SourceObject]:
        """What an entry that is no folder is listed as."""
        address = address_of(prefix + entry.name)
        if entry.name in beside:
            return ()
        if entry.is_symlink():
            return self._linked(root, address, entry, beside)
        return self._listed(root, address, entry, beside) if self._selection.takes(address) else ()

    def idle(self) -> Sequence[Idle]:
        """See `Source.idle`."""
        return [*self._selection.watched.idle(), *(Idle("sidecar", address) for address in sorted(self._orphans))]

    def fetch(self, item: SourceObject) -> FetchedObject:
        """See `Source.fetch`."""
        root = self._real_root()
        path = os.path.join(root, name_of(item.address))  # noqa: PTH118 - names that are no text
        target = os.path.realpath(path)
        if not _is_inside(root, target):
            raise reading.leads_outside()
        raw = _read_settled(target, self._spec.max_document_bytes)
        # Looked for again, and after reading: one that came since the listing may close what was read.
        sidecars = {*self._sidecars_of(root, item.address), *filter(None, [item.sidecar_address])}
        sidecar = self._read_sidecar(root, sidecars)
        declared = reading.declared_by(raw, sidecar, self._spec)
        if target != path:
            declared = self._bounded(root, raw, declared, address_of(target[len(root) + 1 :]))
        return FetchedObject(raw, declared)

    def _real_root(self) -> str:
        root = os.path.realpath(self._folder)
        if not os.path.isdir(root):  # noqa: PTH112 - a string from here on, for speed
            raise SourceUnavailable(
                f"The folder {uri_of(self._spec, '')} of source {self.name} is not there, so nothing of the source "
                "was changed. Mount or create it, or correct `location` in pipeline.yaml.",
                source=self.name,
            )
        return root

    def _entries(self, root: str, prefix: str) -> dict[str, os.DirEntry[str]]:
        try:
            with os.scandir(f"{root}/{prefix}") as entries:
                return {entry.name: entry for entry in entries}
        except OSError as error:
            if isinstance(error, _GONE) and prefix:
                return {}
            # What cannot be looked into must not seem deleted.
            where = address_of(prefix.rstrip("/")) or "."
            raise SourceUnavailable(
                f"The folder {where} of source {self.name} cannot be listed ({error.strerror}), so nothing of the "
                "source was changed. Give the pipeline the right to read it, or exclude it.",
                source=self.name,
                folder=where,
            ) from error

    def _listed(self, root: str, address: str, entry: os.DirEntry[str], beside: Sidecars) -> Iterator[SourceObject]:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISREG(status.st_mode):
            yield self._object(root, address, entry.name, status, beside)
        else:
            yield self._problem(address, reading.unreadable("it is not a regular file"), "special")

    def _linked(self, root: str, address: str, entry: os.DirEntry[str], beside: Sidecars) -> Iterator[SourceObject]:
        target = os.path.realpath(entry.path)
        is_outside = not _is_inside(root, target)
        try:
            status = os.stat(target)  # noqa: PTH116
        except OSError:
            status = None
        if status is not None and stat.S_ISDIR(status.st_mode):
            if is_outside and self._selection.enters(address):
                yield self._problem(address, reading.leads_outside(), target)
            return
        if not self._selection.takes(address):
            return
        target_address = address_of(target[len(root) + 1 :])
        if is_outside or not self._selection.may_be_linked(target_address):
            yield self._problem(address, reading.leads_outside(), target)
        elif status is None:
            yield self._problem(address, reading.unreadable("it is a link that leads nowhere"), target)
        elif not stat.S_ISREG(status.st_mode):
            yield self._problem(address, reading.unreadable("it is a link to something that is not a file"), target)
        else:
            facts = [target_address, *self._facts_of_sidecars(root, self._sidecars_of(root, target_address))]
            yield self._object(root, address, entry.name, status, beside, *facts)

    def _object(
        self, root: str, address: str, name: str, status: os.stat_result, beside: Sidecars, *facts: str
    ) -> SourceObject:
        folder = address[: len(address) - len(address_of(name))]
        sidecars = [folder + address_of(sidecar) for sidecar in beside.of(name)]
        facts += tuple(self._facts_of_sidecars(root, sidecars))
        problem = reading.several_sidecars(sidecars) if len(sidecars) > 1 else None
        return SourceObject(
            address=address,
            uri=uri_of(self._spec, address),
            size_bytes=status.st_size,
            modified_at=_moment(status.st_mtime_ns),
            stamp=stamp_of(self._spec, status.st_size, _facts(status), *facts),
            problem=problem,
            sidecar_address=sidecars[0] if sidecars else None,
        )

    def _problem(self, address: str, problem: DocumentError, *facts: str) -> SourceObject:
        stamp = stamp_of(self._spec, None, problem.code, *facts)
        return SourceObject(address, uri_of(self._spec, address), None, None, stamp, problem)

    def _facts_of_sidecars(self, root: str, addresses: Sequence[str]) -> Iterator[str]:
        for address in addresses:
            try:
                yield f"{address} {_facts(os.stat(f'{root}/{name_of(address)}'))}"  # noqa: PTH116
            except OSError as error:
                yield f"{address} {error.errno}"

    def _sidecars_among(self, entries: Mapping[str, os.DirEntry[str]]) -> Sidecars:
        names = entries if self._spec.use_sidecars else ()
        return Sidecars(names, lambda name: not entries[name].is_dir(follow_symlinks=False))

    def _sidecars_of(self, root: str, address: str) -> Sequence[str]:
        """Addresses of a file's sidecars as they are now."""
        if not self._spec.use_sidecars:
            return []
        folder, _, name = name_of(address).rpartition("/")
        path = f"{root}/{folder}"
        try:
            changed_ns = os.stat(path).st_mtime_ns  # noqa: PTH116
        except OSError:
            return []
        key = path, changed_ns
        beside = self._looked_into.get(key)
        if beside is None:
            prefix = f"{folder}/" if folder else ""
            try:
                beside = self._sidecars_among(self._entries(root, prefix))
            except SourceUnavailable:
                # A link may lead into a folder that can be passed through and not be listed.
                names = [address + suffix for suffix in SIDECAR_SUFFIXES]
                return [each for each in names if os.path.lexists(f"{root}/{name_of(each)}")]
            # A folder changed just now may change again within the same tick of its clock.
            if time.time_ns() - changed_ns > _SETTLED_NS:
                if len(self._looked_into) >= _MAX_LOOKED_INTO:
                    self._looked_into.clear()
                self._looked_into[key] = beside
        return [address_of(f"{folder}/{sidecar}" if folder else sidecar) for sidecar in beside.of(name)]

    def _bounded(self, root: str, raw: bytes, declared: DeclaredMetadata, target: str) -> DeclaredMetadata:
        sidecar = self._read_sidecar(root, self._sidecars_of(root, target))
        return reading.bounded_by_target(declared, target, reading.declared_by(raw, sidecar, self._spec))

    def _read_sidecar(self, root: str, addresses: Collection[str]) -> tuple[str, bytes] | None:
        if len(addresses) > 1:
            raise reading.several_sidecars(sorted(addresses))
        if not addresses:
            return None
        (address,) = addresses
        target = os.path.realpath(f"{root}/{name_of(address)}")
        if not _is_inside(root, target):
            raise reading.sidecar_unreadable("it is a link that leads out of the source")
        try:
            return address.lower(), _read_settled(target, MAX_SIDECAR_BYTES)
        except DocumentTooLarge as error:
            raise reading.sidecar_unreadable(f"it is larger than {MAX_SIDECAR_BYTES} bytes") from error
        except DocumentVanished as error:
            raise reading.sidecar_unreadable("it is gone since the source was listed") from error
        except DocumentError as error:
            raise reading.sidecar_unreadable(str(error.facts.get("reason", error.code))) from error


def _read_settled(path: str, limit_bytes: int) -> bytes:
    """All bytes of a regular file, read while it did not change."""
    for attempt in range(reading.READ_ATTEMPTS):
        if attempt:
            time.sleep(_RETRY_SECONDS)
        try:
            descriptor = os.open(path, _OPEN_FLAGS)
            with os.fdopen(descriptor, "rb") as file:
                before = os.fstat(descriptor)
                if not stat.S_ISREG(before.st_mode):
                    raise reading.unreadable("it is not a regular file")
                if before.st_size > limit_bytes:
                    raise reading.too_large(before.st_size, limit_bytes)
                raw = file.read(before.st_size + 1)
                after = os.fstat(descriptor)
        except _GONE as error:
            raise reading.vanished() from error
        except OSError as error:
            raise reading.unreadable_because(error) from error
        if len(raw) == before.st_size and _facts(before) == _facts(after):
            return raw
    raise reading.still_changing()


def _is_inside(root: str, path: str) -> bool:
    return path == root or path.startswith(root if root.endswith("/") else root + "/")


def _facts(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _moment(nanoseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return None
