"""Files in one archive as a source.

Belongs here: listing its members with what is declared of them, and giving their bytes.
Does not belong here: the formats of archives (`reader.py`), archives among other files (`parsing/containers/`).

While the file is the same, what it holds is known from the run before. When it changes, every member is read once, and
those whose bytes are the same are unchanged.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import RLock
from typing import IO, Any, TypeVar

from rag_pipeline.contracts.ids import MEMBER_MARK, bytes_hash, digest
from rag_pipeline.contracts.sources import Capabilities, DeclaredMetadata, FetchedObject, Idle, SourceObject, SourceSpec
from rag_pipeline.errors import (
    DocumentError,
    DocumentTooLarge,
    DocumentUnreadable,
    EncryptedDocument,
    InvalidMetadata,
    RagPipelineError,
    SourceUnavailable,
)
from rag_pipeline.shown import without_secrets
from rag_pipeline.sources import reading
from rag_pipeline.sources.addresses import address_of
from rag_pipeline.sources.archive.reader import Member, NotWhole, Reader, open_archive
from rag_pipeline.sources.files import local_folder
from rag_pipeline.sources.kept import read_kept, write_kept
from rag_pipeline.sources.remote import facts_of_info
from rag_pipeline.sources.selection import Selection, Sidecars
from rag_pipeline.transforms.metadata import MAX_SIDECAR_BYTES, METADATA_VERSION

# What a member says: hash of its bytes, their number, what is declared as JSON.
_Said = tuple[str, int, str]
# The same, or why it says nothing.
_Known = _Said | DocumentError
_T = TypeVar("_T")
_REFUSALS = {each.code: each for each in (DocumentUnreadable, DocumentTooLarge, InvalidMetadata)}
_CHANGED = f"it was changed while it was read, {reading.READ_ATTEMPTS} times in a row"
# Whoever changes what is kept of a member, or which are refused, has every archive read again.
_KEPT_VERSION = "2"
# So much is fetched between two looks at the limit.
_STEP_BYTES = 2**20


class ArchiveMembers:
    """Files in one ZIP or TAR file."""

    # One file is read at one place at a time.
    fetch_threads = 1
    capabilities = Capabilities()

    def __init__(self, spec: SourceSpec) -> None:
        self.name = spec.name
        self._spec = spec
        self._selection = Selection(spec)
        self._lock = RLock()
        self._state: str | None = None
        self._listed: dict[str, SourceObject] = {}
        self._members: dict[str, Member] = {}
        self._orphans: Sequence[str] = ()
        self._reader: Reader | None = None
        self._closing: weakref.finalize[[], ArchiveMembers] | None = None
        self._kept = None
        if spec.cache_folder:
            self._kept = Path(spec.cache_folder) / "archive" / f"{digest('kept', spec.name, spec.location)[:32]}.json"

    def forget_copies(self) -> None:
        """See `KeepsCopies`."""
        if self._kept is not None:
            self._kept.unlink(missing_ok=True)

    def list(self) -> Sequence[SourceObject]:
        """See `Source.list`."""
        with self._lock, self._available():
            self._look()
            return [*self._listed.values()]

    def idle(self) -> Sequence[Idle]:
        """See `Source.idle`."""
        return [*self._selection.watched.idle(), *(Idle("sidecar", address) for address in sorted(self._orphans))]

    def fetch(self, item: SourceObject) -> FetchedObject:
        """See `Source.fetch`."""
        with self._lock, self._available():
            return self._settled(lambda: self._fetched(item.address))

    def _fetched(self, address: str) -> FetchedObject | DocumentError:
        """What there is at an address, or why there is nothing."""
        now = self._listed.get(address)
        if now is None:
            return reading.vanished()
        if now.problem is not None:
            return now.problem
        if self._reader is None:
            # It was known from the run before, and nobody had to open it.
            self._open()
        assert self._reader is not None
        assert now.declared is not None
        try:
            return FetchedObject(self._reader.read(self._members[address], self._spec.max_document_bytes), now.declared)
        except DocumentError as error:
            return error

    def _settled(self, read: Callable[[], _T | DocumentError]) -> _T:
        """What is read of the archive while it is one and the same: whoever writes over it makes two of it.

        Raises:
            DocumentError: The one that was read.
            NotWhole: It does not stop changing.
        """
        for _ in range(reading.READ_ATTEMPTS):
            self._look()
            found = read()
            if self._state_now() == self._state:
                if isinstance(found, DocumentError):
                    raise found
                return found
        raise NotWhole(_CHANGED)

    def _look(self) -> None:
        """Make the listing that of the archive as it is now."""
        for _ in range(reading.READ_ATTEMPTS):
            state = self._state_now()
            if state == self._state:
                return
            self._look_at(state)
            if self._state == state:
                return
        raise NotWhole(_CHANGED)

    def _look_at(self, state: str) -> None:
        """List the archive, and keep the listing if its state is the same afterwards."""
        self._close()
        recipe = self._recipe()
        kept = read_kept(self._kept, recipe)
        known: dict[str, _Known] = {}
        names: list[list[Any]] | None = None
        if kept is not None and kept["state"] == state:
            known = {address: _known_of(values) for address, values in kept["known"].items()}
            names = kept["names"]
        if names is None:
            self._open()
            members = self._members
        else:
            members = {
                name: Member(name, size, None if at is None else datetime.fromisoformat(at), kind, None)
                for name, size, at, kind in names
            }
        found = self._list_of(members, known)
        if state != self._state_now():
            self._state = None
            return
        if names is None:
            said = {address: _values_of(each) for address, each in known.items()}
            after = {"state": state, "known": said, "names": [_noted(name, one) for name, one in members.items()]}
            write_kept(self._kept, recipe, after)
        self._listed, self._state = found, state

    def _list_of(self, members: Mapping[str, Member], known: dict[str, _Known]) -> dict[str, SourceObject]:
        self._selection.watched.start()
        files = {address for address, member in members.items() if member.kind == "file"}
        beside = Sidecars(members if self._spec.use_sidecars else (), files.__contains__)
        self._orphans = beside.orphans
        return {
            address: self._object(address, members[address], beside.of(address), known)
            for address in sorted(members)
            if address not in beside and self._selection.takes(address)
        }

    def _object(self, address: str, member: Member, own: Sequence[str], known: dict[str, _Known]) -> SourceObject:
        prefix = without_secrets(self._spec.uri_prefix or self._spec.location)
        item = SourceObject(address, f"{prefix}{MEMBER_MARK}{address}", None, member.modified_at, "")
        try:
            if len(own) > 1:
                raise reading.several_sidecars(list(own))
            hashed, size, declared = self._said_by(address, member, own, known)
        except DocumentError as error:
            facts = (error.code, f"{member.size_bytes}", f"{member.modified_at}")
            return replace(item, problem=error, stamp=digest("member", *facts)[:32])
        return replace(
            item,
            size_bytes=size,
            stamp=digest("member", hashed)[:32],
            declared=DeclaredMetadata.from_json(declared),
            sidecar_address=own[0] if own else None,
        )

    def _said_by(self, address: str, member: Member, own: Sequence[str], known: dict[str, _Known]) -> _Said:
        limit = self._spec.max_document_bytes
        if _is_unsafe(member.name):
            raise reading.unreadable("its name leads out of the archive")
        if member.kind == "encrypted":
            raise EncryptedDocument(
                "The document is protected by a password in its archive. Remove it, or exclude the document.",
                address=address,
            )
        if member.kind != "file":
            raise reading.unreadable("it is a link or no file: pack the file itself")
        if member.size_bytes > limit:
            raise reading.too_large(member.size_bytes, limit)
        if address not in known:
            try:
                known[address] = self._read_by(address, own)
            except DocumentError as error:
                # It is the same again while the archive is.
                known[address] = error
        found = known[address]
        if isinstance(found, DocumentError):
            raise found
        return found

    def _read_by(self, address: str, own: Sequence[str]) -> _Said:
        limit = self._spec.max_document_bytes
        assert self._reader is not None
        raw = self._reader.read(self._members[address], limit)
        if len(raw) > limit:
            raise reading.too_large(None, limit)
        sidecar = self._sidecar(own[0]) if own else None
        return bytes_hash(raw), len(raw), reading.declared_by(raw, sidecar, self._spec).to_json()

    def _sidecar(self, address: str) -> tuple[str, bytes]:
        member = self._members[address]
        if member.kind != "file":
            raise reading.sidecar_unreadable("it is no file that can be read")
        assert self._reader is not None
        raw = self._reader.read(member, MAX_SIDECAR_BYTES)
        if len(raw) > MAX_SIDECAR_BYTES:
            raise reading.sidecar_unreadable(f"it is larger than {MAX_SIDECAR_BYTES} bytes")
        return address.lower(), raw

    def _open(self) -> None:
        fields = self._spec.fields
        self._close()
        reader = open_archive(self._file(), fields["max_unpacked_bytes"])
        self._reader = reader
        self._closing = weakref.finalize(self, reader.close)
        if len(reader.members) > fields["max_members"]:
            self._close()
            raise NotWhole(f"it has {len(reader.members):,} members; raise `sources.NAME.max_members`, or split it")
        total = sum(member.size_bytes for member in reader.members)
        if total > fields["max_unpacked_bytes"]:
            self._close()
            raise NotWhole(f"it unpacks to {total:,} bytes; raise `sources.NAME.max_unpacked_bytes`, or split it")
        # Of several members of one name the last is the one that unpacking leaves.
        self._members = {_address_of(member.name): member for member in reader.members}

    def _close(self) -> None:
        if self._closing is not None:
            self._closing()
        self._reader = self._closing = None

    def _file(self) -> IO[bytes]:
        """The archive as a file of this machine."""
        path = local_folder(self._spec)
        if path is not None:
            return path.open("rb")
        filesystem, name = self._filesystem()
        target: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the archive
        with filesystem.open(name, "rb") as content:
            while part := content.read(_STEP_BYTES):
                target.write(part)
                if target.tell() > self._spec.fields["max_unpacked_bytes"]:
                    target.close()
                    raise NotWhole("it is larger than `sources.NAME.max_unpacked_bytes`")
        target.seek(0)
        return target

    def _state_now(self) -> str:
        """What differs when the archive has changed."""
        path = local_folder(self._spec)
        if path is not None:
            status = path.stat()
            if not path.is_file():
                raise NotWhole("it is no file")
            return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
        filesystem, name = self._filesystem()
        filesystem.invalidate_cache()
        return repr(facts_of_info(filesystem.info(name)))

    def _filesystem(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        filesystem, name = url_to_fs(self._spec.location, **self._spec.fields["storage_options"])
        return filesystem, name

    def _recipe(self) -> str:
        spec = self._spec
        reads = f"{METADATA_VERSION} {spec.use_sidecars:d} {spec.use_front_matter:d} {spec.max_document_bytes}"
        bounds = f"{spec.fields['max_members']} {spec.fields['max_unpacked_bytes']}"
        return digest("archive", _KEPT_VERSION, spec.location, reads, bounds, repr(spec.include), repr(spec.exclude))

    @contextmanager
    def _available(self) -> Iterator[None]:
        try:
            yield
        except RagPipelineError:
            raise
        except NotWhole as error:
            raise self._unavailable(str(error)) from None
        # Every filesystem has errors of its own, whose texts may hold what opens it.
        except Exception as error:
            is_missing = isinstance(error, FileNotFoundError)
            raise self._unavailable("nothing is there" if is_missing else reading.words_of(error)) from None

    def _unavailable(self, reason: str) -> SourceUnavailable:
        where = without_secrets(self._spec.uri_prefix or self._spec.location)
        return SourceUnavailable(
            f"The archive {where} of source {self.name} cannot be listed: {reason}. Nothing of the source was "
            "changed. Put a whole one in its place, or correct `location` in pipeline.yaml.",
            source=self.name,
        )


def _is_unsafe(name: str) -> bool:
    parts = name.split("/")
    return name.startswith("/") or ".." in parts or not any(part not in ("", ".") for part in parts)


def _address_of(name: str) -> str:
    """A member's path; one that leads out of the archive becomes a name that leads nowhere."""
    if _is_unsafe(name):
        return "unsafe name " + address_of(name).replace("/", "%2F")
    return address_of("/".join(part for part in name.split("/") if part not in ("", ".")))


def _known_of(values: Any) -> _Known:
    if "code" in values:
        return _REFUSALS[values["code"]](values["message"], **values["facts"])
    hash_, size, declared = values
    return hash_, size, declared


def _values_of(known: _Known) -> Any:
    if isinstance(known, DocumentError):
        return {"code": known.code, "message": known.message, "facts": known.facts}
    return known


def _noted(name: str, member: Member) -> list[Any]:
    modified = None if member.modified_at is None else member.modified_at.isoformat()
    return [name, member.size_bytes, modified, member.kind]
