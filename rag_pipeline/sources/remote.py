"""A bucket, or any other place that fsspec can open, as a source.

Belongs here: listing and reading through fsspec.
Does not belong here: local folders (`local.py`), names and patterns (`selection.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Lock
from time import time_ns
from typing import Any

from rag_pipeline.contracts.sources import Capabilities, FetchedObject, Idle, SourceObject, SourceSpec
from rag_pipeline.errors import DocumentError, DocumentTooLarge, DocumentVanished, SourceUnavailable
from rag_pipeline.shown import without_secrets
from rag_pipeline.sources import reading
from rag_pipeline.sources.addresses import address_of, is_address, name_of, stamp_of, uri_of
from rag_pipeline.sources.selection import SIDECAR_SUFFIXES, Selection, Sidecars
from rag_pipeline.transforms.metadata import MAX_SIDECAR_BYTES

_MODIFIED_KEYS = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
_CONTENT_KEYS = ("ETag", "etag", "e_tag", "md5Hash", "md5", "content_md5", "checksum", "generation", "VersionId")

# A folder of more objects is not listed again for each of them: that is a page of an object store's listing.
_MAX_LISTED_AGAIN = 1_000

_FactsOf = Callable[[Mapping[str, Any]], list[str]]


class RemoteFiles:
    """Objects below one URL."""

    fetch_threads = 8
    capabilities = Capabilities()

    def __init__(self, spec: SourceSpec) -> None:
        self.name = spec.name
        self._spec = spec
        self._selection = Selection(spec)
        self._orphans: Sequence[str] = ()
        # Objects by folder, as last listed.
        self._sizes: Mapping[str, int] = {}
        self._opened: tuple[Any, str] | None = None
        self._opening = Lock()

    def list(self) -> Sequence[SourceObject]:
        """See `Source.list`."""
        self._selection.watched.start()
        with self._available():
            filesystem, base = self._open()
            if _is_archive(filesystem):
                filesystem, base = self._open(is_again=True)
            filesystem.invalidate_cache()
            root = base.rstrip("/")
            entries: dict[str, dict[str, Any]]
            if _lists_at_once(filesystem):
                entries = filesystem.find(root, detail=True)
            else:
                entries = dict(self._walk(filesystem, root, base))
            if root in entries or (not entries and not filesystem.isdir(root)):
                raise FileNotFoundError
        by_address = {
            address_of(path.removeprefix(base).lstrip("/")): info
            for path, info in entries.items()
            if not path.endswith("/") and info.get("type") != "directory"
        }
        sidecars = Sidecars(by_address if self._spec.use_sidecars else (), by_address.__contains__)
        self._orphans = sidecars.orphans
        self._sizes = Counter(address.rpartition("/")[0] for address in by_address)
        facts_of = _unknown if _is_archive(filesystem) else facts_of_info
        return self._objects(by_address, sidecars, facts_of)

    def list_some(self, addresses: Sequence[str]) -> Sequence[SourceObject] | None:
        """See `ListsSome.list_some`: the folders of the addresses are listed, since sidecars may stand anywhere there.

        A folder is a request for each thousand objects in it, whatever else the source holds.
        """
        wanted = set(filter(is_address, addresses))
        by_address: dict[str, dict[str, Any]] = {}
        with self._available():
            filesystem, base = self._open()
            if _is_archive(filesystem):
                # Made anew as a whole, whatever changed in it.
                return None
            for folder in {address.rpartition("/")[0] for address in wanted}:
                if self._is_entered(filesystem, folder):
                    path = f"{base}{name_of(folder)}".rstrip("/")
                    by_address |= _files_in(filesystem, path, base)
        sidecars = Sidecars(by_address if self._spec.use_sidecars else (), by_address.__contains__)
        self._sizes = Counter(address.rpartition("/")[0] for address in by_address)
        found = self._objects(by_address, sidecars, facts_of_info)
        return [item for item in found if item.address in wanted]

    def _is_entered(self, filesystem: Any, folder: str) -> bool:
        """Whether a listing comes by a folder; one that lists at once comes by all."""
        parts = folder.split("/") if folder else []
        parents = ["/".join(parts[:number]) for number in range(1, len(parts) + 1)]
        return _lists_at_once(filesystem) or all(map(self._selection.enters, parents))

    def _objects(
        self, by_address: Mapping[str, Mapping[str, Any]], sidecars: Sidecars, facts_of: _FactsOf
    ) -> Sequence[SourceObject]:
        return [
            self._object(address, by_address, sidecars, facts_of)
            for address in sorted(by_address)
            if address not in sidecars and self._selection.takes(address)
        ]

    def idle(self) -> Sequence[Idle]:
        """See `Source.idle`."""
        return [*self._selection.watched.idle(), *(Idle("sidecar", address) for address in sorted(self._orphans))]

    def fetch(self, item: SourceObject) -> FetchedObject:
        """See `Source.fetch`."""
        raw = self._read(item.address, item.size_bytes, self._spec.max_document_bytes)
        # Looked for again, and after reading: one that came since the listing may close what was read.
        sidecars = {*self._sidecars_now(item.address), *filter(None, [item.sidecar_address])}
        if len(sidecars) > 1:
            raise reading.several_sidecars(sorted(sidecars))
        sidecar = self._read_sidecar(next(iter(sidecars), None))
        return FetchedObject(raw, reading.declared_by(raw, sidecar, self._spec))

    def _walk(self, filesystem: Any, root: str, base: str) -> Iterator[tuple[str, dict[str, Any]]]:
        # fsspec's own walk leaves out a folder it could not list, which would look like a deletion.
        folders = [root]
        while folders:
            folder = folders.pop()
            try:
                entries = filesystem.ls(folder, detail=True)
            except FileNotFoundError:
                if folder == root:
                    raise
                continue
            for info in entries:
                path = info["name"].rstrip("/")
                if info.get("type") != "directory":
                    yield path, info
                elif path != folder and self._selection.enters(address_of(path.removeprefix(base))):
                    folders.append(path)

    def _open(self, is_again: bool = False) -> tuple[Any, str]:
        """The filesystem, and what every path of it that belongs to the source begins with.

        Args:
            is_again: Not one opened before, which for an archive would go on showing what was in it then.
        """
        with self._opening:
            if self._opened is None or is_again:
                from fsspec.core import url_to_fs

                options = dict(self._spec.storage_options)
                if is_again:
                    options["skip_instance_cache"] = True
                filesystem, root = url_to_fs(self._spec.location, **options)
                self._opened = filesystem, f"{root.rstrip('/')}/"
            return self._opened

    @contextmanager
    def _available(self) -> Iterator[None]:
        try:
            yield
        # Every filesystem has errors of its own, from packages that are not even imported here.
        except Exception as error:
            reason = "nothing is there" if isinstance(error, FileNotFoundError) else type(error).__name__
            missing = filesystem_problem(self._spec.location) if isinstance(error, ImportError | ValueError) else ""
            if missing:
                reason = missing
            elif isinstance(error, ImportError | ValueError) and self._may_be_shown(str(error)):
                reason = f"{reason}: {error}"
            raise SourceUnavailable(
                f"{uri_of(self._spec, '')} of source {self.name} cannot be listed ({reason}), so nothing of the "
                "source was changed. Check `location` and `storage_options` in pipeline.yaml, the network and the "
                "credentials.",
                source=self.name,
                # Its cause is not shown: its text may hold the location with a password in it.
            ) from None

    def _may_be_shown(self, text: str) -> bool:
        """Whether another library's message can hold nothing of what opens the source."""
        is_plain = without_secrets(self._spec.location) == self._spec.location
        return is_plain and not any(str(value) in text for value in self._spec.storage_options.values())

    def _object(
        self,
        address: str,
        by_address: Mapping[str, Mapping[str, Any]],
        sidecars: Sidecars,
        facts_of: _FactsOf,
    ) -> SourceObject:
        info = by_address[address]
        size_bytes = info.get("size")
        own = sidecars.of(address)
        problem: DocumentError | None = None
        if info.get("type", "file") != "file":
            problem = reading.unreadable("it is not a regular file")
        elif len(own) > 1:
            problem = reading.several_sidecars(own)
        facts = [fact for each in (address, *own) for fact in facts_of(by_address[each])]
        return SourceObject(
            address=address,
            uri=uri_of(self._spec, address),
            size_bytes=size_bytes,
            modified_at=_modified_at(info),
            stamp=stamp_of(self._spec, size_bytes, *facts),
            problem=problem,
            sidecar_address=own[0] if own else None,
        )

    def _sidecars_now(self, address: str) -> Sequence[str]:
        """Addresses of an object's sidecars as they are now, for one more request."""
        folder = address.rpartition("/")[0]
        try:
            filesystem, base = self._open()
            if not self._spec.use_sidecars or _is_archive(filesystem):
                return []
            if self._sizes.get(folder, 0) > _MAX_LISTED_AGAIN:
                names = [address + suffix for suffix in SIDECAR_SUFFIXES]
                return [each for each in names if _is_there(filesystem, base + name_of(each))]
            path = f"{base}{name_of(folder)}".rstrip("/")
            filesystem.invalidate_cache(path)
            entries = filesystem.ls(path, detail=False)
        except FileNotFoundError:
            return []
        # Errors of packages that are not imported here, as in `_available`.
        except Exception as error:
            raise reading.sidecar_unreadable(f"its folder cannot be listed ({type(error).__name__})") from error
        found = {address_of(entry.removeprefix(base).strip("/")) for entry in entries}
        return Sidecars(found, found.__contains__).of(address)

    def _read_sidecar(self, address: str | None) -> tuple[str, bytes] | None:
        if address is None:
            return None
        try:
            return address.lower(), self._read(address, None, MAX_SIDECAR_BYTES)
        except DocumentTooLarge as error:
            raise reading.sidecar_unreadable(f"it is larger than {MAX_SIDECAR_BYTES} bytes") from error
        except DocumentVanished as error:
            raise reading.sidecar_unreadable("it is gone since the source was listed") from error
        except DocumentError as error:
            raise reading.sidecar_unreadable(str(error.facts.get("reason", error.code))) from error

    def _read(self, address: str, size_bytes: int | None, limit_bytes: int) -> bytes:
        """All bytes of an object, at most one more than the limit taken into memory."""
        try:
            filesystem, base = self._open()
            path = base + name_of(address)
            for _ in range(reading.READ_ATTEMPTS):
                if size_bytes is not None and size_bytes > limit_bytes:
                    raise reading.too_large(size_bytes, limit_bytes)
                raw = _read_at_most(filesystem, path, size_bytes, limit_bytes)
                if len(raw) > limit_bytes:
                    raise reading.too_large(None, limit_bytes)
                # An object store gives an object whole; elsewhere it may have grown under the reader.
                if size_bytes in (None, len(raw)):
                    return raw
                filesystem.invalidate_cache(filesystem._parent(path))
                size_bytes = filesystem.info(path).get("size")
        except DocumentError:
            raise
        except FileNotFoundError as error:
            raise reading.vanished() from error
        # Errors of packages that are not imported here, as in `_available`.
        except Exception as error:
            raise reading.unreadable_because(error) from error
        raise reading.still_changing()


def _files_in(filesystem: Any, path: str, base: str) -> dict[str, dict[str, Any]]:
    """Objects of one folder by address; none where it is not there."""
    filesystem.invalidate_cache(path)
    try:
        entries = filesystem.ls(path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {
        address_of(info["name"].removeprefix(base).lstrip("/")): info
        for info in entries
        if info.get("type") != "directory" and not info["name"].endswith("/") and info["name"].startswith(base)
    }


def _read_at_most(filesystem: Any, path: str, size_bytes: int | None, limit_bytes: int) -> bytes:
    """One byte more than expected shows that the object has grown."""
    if size_bytes:
        ranged: bytes = filesystem.cat_file(path, start=0, end=size_bytes + 1)
        return ranged
    # A range of an empty object is an error in S3, and without a size there is nothing to ask for.
    with filesystem.open(path, "rb") as file:
        streamed: bytes = file.read(limit_bytes + 1)
    return streamed


def _is_there(filesystem: Any, path: str) -> bool:
    # `exists` answers no where it could not ask.
    try:
        filesystem.info(path)
    except FileNotFoundError:
        return False
    return True


def _is_archive(filesystem: Any) -> bool:
    from fsspec.archive import AbstractArchiveFileSystem

    return isinstance(_innermost(filesystem), AbstractArchiveFileSystem)


def _innermost(filesystem: Any) -> Any:
    """The filesystem below caches and sub-folders, which hand every question on."""
    from fsspec import AbstractFileSystem

    while isinstance(inner := getattr(filesystem, "fs", None), AbstractFileSystem):
        filesystem = inner
    return filesystem


def _lists_at_once(filesystem: Any) -> bool:
    """Whether it has a listing of its own, as object stores do, instead of asking folder by folder."""
    from fsspec import AbstractFileSystem
    from fsspec.asyn import AsyncFileSystem

    filesystem = _innermost(filesystem)
    if isinstance(filesystem, AsyncFileSystem):
        return type(filesystem)._find is not AsyncFileSystem._find
    return type(filesystem).find is not AbstractFileSystem.find


def facts_of_info(info: Mapping[str, Any]) -> list[str]:
    """What tells a changed object from an unchanged one."""
    facts = [f"{key}={info[key]}" for key in (*_MODIFIED_KEYS, *_CONTENT_KEYS) if info.get(key) is not None]
    return [f"size={info.get('size')}", *facts] if facts else _unknown(info)


def _unknown(info: Mapping[str, Any]) -> list[str]:
    # A place that tells neither time nor content has to be read every time: an edit may keep the size. An
    # archive tells the time that its maker wrote for a member, which another archive may repeat.
    return [f"size={info.get('size')}", f"unknown at {time_ns()}"]


def _modified_at(info: Mapping[str, Any]) -> datetime | None:
    for key in _MODIFIED_KEYS[:-1]:
        value = info.get(key)
        try:
            if isinstance(value, str):
                value = datetime.fromisoformat(value)
            elif isinstance(value, int | float):
                value = datetime.fromtimestamp(value, UTC)
            if isinstance(value, datetime):
                return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            continue
    return None


def filesystem_problem(location: str) -> str:
    """Why no filesystem can be opened at an address, whatever is there: empty, or which package to install.

    What fsspec says of it names no address, so nothing in it opens one.
    """
    from fsspec.registry import get_filesystem_class

    for part in location.split("::"):
        protocol, mark, _ = part.partition("://")
        if not mark:
            continue
        try:
            get_filesystem_class(protocol)
        except (ImportError, ValueError) as error:
            return f"there is nothing to open {protocol}:// with: {str(error).rstrip('.')}"
    return ""
