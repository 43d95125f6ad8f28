"""Messages of a Maildir: a file each, in the folders `new` and `cur` of each folder of mail.

Belongs here: listing and reading the files. Does not belong here: what a message says (`messages.py`).

A message's key is its file's name up to the colon; flags stand after it and rename the file, so neither a flag nor the
way from `new` to `cur` is a change.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG

from rag_pipeline.contracts.large_listings import listing_of
from rag_pipeline.contracts.sources import FetchedObject, Idle, SourceObject, SourceSpec
from rag_pipeline.sources import reading
from rag_pipeline.sources.addresses import segment_of, uri_of
from rag_pipeline.sources.mail.messages import (
    CAPABILITIES,
    DOWN,
    fetched_message,
    folder_address,
    message_stamp,
    unavailable,
)
from rag_pipeline.sources.selection import Selection

# Reading a folder while files in it are renamed may miss one: it is read until nothing was.
_SCANS = 5
_INBOX = "INBOX"


class MaildirMail:
    """A Maildir and the folders below it, which begin with a dot."""

    fetch_threads = 4
    capabilities = CAPABILITIES

    def __init__(self, spec: SourceSpec) -> None:
        self.name = spec.name
        self._spec = spec
        self._root = Path(spec.location)
        self._selection = Selection(spec)
        # Names move with flags: where a message was when it was last seen, looked for anew where it is not.
        self._places: dict[str, Path] = {}

    def list(self) -> Sequence[SourceObject]:
        """See `Source.list`."""
        self._selection.watched.start()
        self._places = {}
        return listing_of(self._all())

    def _all(self) -> Iterator[SourceObject]:
        """What is there, folder by folder."""
        try:
            for folder, path in self._folders():
                if self._selection.enters(folder):
                    yield from self._listed(folder, path)
        except OSError as error:
            raise unavailable(self._spec, f"{_said(error)}. Correct `location`, or mount it.") from error

    def idle(self) -> Sequence[Idle]:
        """See `Source.idle`."""
        return self._selection.watched.idle()

    def fetch(self, item: SourceObject) -> FetchedObject:
        """See `Source.fetch`."""
        folder = item.address.rpartition("/")[0]
        # A flag may rename it between looking and opening.
        for _ in range(reading.READ_ATTEMPTS):
            path = self._place(item.address)
            try:
                # One that was replaced by a link leads to what nobody listed.
                with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                    raw = file.read(self._spec.max_document_bytes + 1)
                    received = _moment(os.fstat(file.fileno()))
            except FileNotFoundError:
                self._places.pop(item.address, None)
                continue
            except OSError as error:
                raise reading.unreadable_because(error) from error
            return fetched_message(self._spec, raw, folder, received)
        raise reading.still_changing()

    def _place(self, address: str) -> Path:
        known = self._places.get(address)
        if known is not None:
            return known
        try:
            for folder, path in self._folders():
                if address.startswith(f"{folder}/"):
                    for key, (place, _) in _messages(path).items():
                        self._places[f"{folder}/{segment_of(key)}"] = place
        except OSError as error:
            # What was listed and cannot be read is held by the deletion guard, and the rest of the listing counts.
            raise reading.unreadable(DOWN) from error
        if address not in self._places:
            raise reading.vanished()
        return self._places[address]

    def _folders(self) -> Sequence[tuple[str, Path]]:
        """Folders of mail with the beginnings of their addresses.

        Raises:
            OSError: The Maildir is not there, or is none: an empty place where it should be mounted is no empty one.
        """
        found = [(_INBOX, self._root)]
        for path in sorted(self._root.iterdir()):
            if path.name.startswith(".") and (path / "cur").is_dir():
                found.append((folder_address(path.name[1:].split(".")), path))
        return found

    def _listed(self, folder: str, path: Path) -> Sequence[SourceObject]:
        items = []
        for key, (place, stat) in _messages(path).items():
            address = f"{folder}/{segment_of(key)}"
            if not self._selection.takes(address):
                continue
            self._places[address] = place
            size, limit = stat.st_size, self._spec.max_document_bytes
            items.append(
                SourceObject(
                    address=address,
                    uri=uri_of(self._spec, address),
                    size_bytes=size,
                    modified_at=_moment(stat),
                    stamp=message_stamp(self._spec, address, str(size), str(stat.st_mtime_ns), str(size > limit)),
                    problem=reading.too_large(size, limit) if size > limit else None,
                )
            )
        return items


def _messages(path: Path) -> dict[str, tuple[Path, os.stat_result]]:
    """Files of one folder of mail by key. What is renamed meanwhile is found by reading again until nothing was."""
    found: dict[str, tuple[Path, os.stat_result]] = {}
    for attempt in range(_SCANS):
        before = _clock(path)
        seen: dict[str, tuple[Path, os.stat_result]] = {}
        # What moves from `new` to `cur` meanwhile is met twice, and not missed.
        for name in ("new", "cur"):
            with os.scandir(path / name) as entries:
                for entry in entries:
                    _take(entry, seen)
        # Of a folder that never rests all that was seen counts; what is gone is noticed when it is fetched.
        found = seen if attempt == 0 else found | seen
        if _clock(path) == before:
            return seen
    return found


def _take(entry: os.DirEntry[str], seen: dict[str, tuple[Path, os.stat_result]]) -> None:
    key = entry.name.partition(":")[0]
    if not key or key.startswith("."):
        return
    try:
        stat = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        # Renamed since: the folder's clock has moved, and it is read again.
        return
    if S_ISREG(stat.st_mode):
        seen[key] = (Path(entry.path), stat)


def _clock(path: Path) -> tuple[int, int]:
    return (path / "new").stat().st_mtime_ns, (path / "cur").stat().st_mtime_ns


def _moment(stat: os.stat_result) -> datetime:
    return datetime.fromtimestamp(stat.st_mtime, UTC)


def _said(error: OSError) -> str:
    name = Path(os.fsdecode(error.filename)).name if error.filename else ""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return f"there is no Maildir, {name or 'a folder'} is missing"
    return f"{name}: {os.strerror(error.errno or 0).lower()}"
