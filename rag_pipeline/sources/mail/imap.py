"""Messages of an IMAP server, through imap-tools.

Belongs here: listing folders and messages, and fetching one. Does not belong here: connections (`imap_server.py`), what
a message says (`messages.py`).

A message never changes under its folder, UIDVALIDITY and UID, so these are its address and its stamp. A folder whose
STATUS says the same as before holds the same messages: numbers are never given twice, so with the same next number no
message is new, and with the same count none is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from imap_tools import BaseMailBox
from imap_tools.imap_utf7 import utf7_decode

from rag_pipeline.contracts.large_listings import listing_of
from rag_pipeline.contracts.sources import FetchedObject, Idle, SourceObject, SourceSpec
from rag_pipeline.errors import SourceUnavailable
from rag_pipeline.sources import reading
from rag_pipeline.sources.addresses import uri_of
from rag_pipeline.sources.mail.imap_server import ImapServer, answered
from rag_pipeline.sources.mail.messages import (
    CAPABILITIES,
    DOWN,
    fetched_message,
    folder_address,
    message_stamp,
    unavailable,
)
from rag_pipeline.sources.selection import Selection

# A folder to which messages come meanwhile is listed again.
_TRIES = 3
# Folders that hold no messages of their own, and those whose messages are meant to go, or stand elsewhere too.
_CLOSED = frozenset({"\\noselect", "\\nonexistent"})
_LEFT = frozenset({"\\trash", "\\junk", "\\drafts", "\\all"})
_STATE = ("UIDVALIDITY", "UIDNEXT", "MESSAGES")
_FOLDER = re.compile(rb'\(([^)]*)\) ("(?:\\\\.|[^"\\\\])"|NIL) (.+)\Z', re.S)
_MARKED = re.compile(rb"\\(.)", re.S)
_UID = re.compile(rb"\bUID (\d+)")
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)")
_RECEIVED = re.compile(rb'\bINTERNALDATE "([^"]{1,64})"')


@dataclass(frozen=True, slots=True)
class _Message:
    uid: int
    size_bytes: int
    received: datetime | None


@dataclass(frozen=True, slots=True)
class _Folder:
    """What a folder held when it said so: its STATUS, and its messages."""

    status: tuple[int, ...]
    messages: tuple[_Message, ...]


class ImapMail:
    """The mailbox of one user."""

    # An answer takes as long as the way to the server and back, whatever its size.
    fetch_threads = 4
    capabilities = CAPABILITIES

    def __init__(self, spec: SourceSpec) -> None:
        self.name = spec.name
        self._spec = spec
        self._server = ImapServer(spec)
        self._selection = Selection(spec)
        # Names of folders at the server by the beginnings of addresses.
        self._names: dict[str, str] = {}
        self._known: dict[str, _Folder] = {}

    def list(self) -> Sequence[SourceObject]:
        """See `Source.list`."""
        self._selection.watched.start()
        self._server.try_again()
        with self._server.connected() as box:
            self._names = self._folders(box)
            self._known = {
                folder: self._held(box, name, self._known.get(folder))
                for folder, name in self._names.items()
                if self._selection.enters(folder)
            }
        return listing_of(item for folder, held in self._known.items() for item in self._items(folder, held))

    def idle(self) -> Sequence[Idle]:
        """See `Source.idle`."""
        return self._selection.watched.idle()

    def fetch(self, item: SourceObject) -> FetchedObject:
        """See `Source.fetch`."""
        if item.size_bytes is not None and item.size_bytes > self._spec.max_document_bytes:
            raise reading.too_large(item.size_bytes, self._spec.max_document_bytes)
        folder, _, rest = item.address.rpartition("/")
        folder, _, validity = folder.rpartition("/")
        if not (folder and validity.isdecimal() and rest.isdecimal()):
            raise reading.vanished()
        try:
            with self._server.connected() as box:
                if folder not in self._names:
                    self._names = self._folders(box)
                if folder not in self._names:
                    raise reading.vanished()
                raw, received = self._fetched(box, self._names[folder], int(validity), int(rest))
        except SourceUnavailable as error:
            # What was listed and cannot be read is held by the deletion guard, and the rest of the listing counts.
            raise reading.unreadable(DOWN) from error
        return fetched_message(self._spec, raw, folder, received)

    def _folders(self, box: BaseMailBox) -> dict[str, str]:
        """Names of the folders that are read, by the beginnings of their addresses.

        Raises:
            SourceUnavailable: The list is not whole.
        """
        found = {}
        for line in answered(box.client.list())[1]:
            # What follows a name that was sent apart is empty.
            if line:
                named = _folder_named(line)
                if named is None:
                    raise unavailable(self._spec, "the server names a folder that is not understood. Ask its owner.")
                flags, levels, name = named
                if not flags & _CLOSED and not flags & _LEFT:
                    found[folder_address(levels)] = name
        if not found:
            # There is an INBOX always.
            raise unavailable(self._spec, "the server names no folder. Ask its owner.")
        return found

    def _held(self, box: BaseMailBox, name: str, known: _Folder | None) -> _Folder:
        said = box.folder.status(name, _STATE)
        status = tuple(said.get(key, -1) for key in _STATE)
        if known is not None and known.status == status and -1 not in status:
            return known
        for _ in range(_TRIES):
            count, validity, following = _opened(box, name)
            messages = tuple(_listed(box)) if count else ()
            # What another program deletes meanwhile is missed, and what a server cuts off is too.
            if len(messages) >= count:
                next_uid = following if len(messages) == count else -1
                return _Folder((validity, next_uid, count), messages)
        raise unavailable(
            self._spec, f"the folder {name!r:.100} holds {count} messages, and names {len(messages)}. Try again."
        )

    def _items(self, folder: str, held: _Folder) -> Iterator[SourceObject]:
        limit = self._spec.max_document_bytes
        for message in held.messages:
            address = f"{folder}/{held.status[0]}/{message.uid}"
            if self._selection.takes(address):
                size = message.size_bytes
                yield SourceObject(
                    address=address,
                    uri=uri_of(self._spec, address),
                    size_bytes=size,
                    modified_at=message.received,
                    stamp=message_stamp(self._spec, address, str(size > limit)),
                    problem=reading.too_large(size, limit) if size > limit else None,
                )

    def _fetched(self, box: BaseMailBox, name: str, validity: int, uid: int) -> tuple[bytes, datetime | None]:
        # A folder that was opened before the message came does not know it.
        for must_open in (False, True):
            if must_open or box.folder.get() != name:
                _opened(box, name)
            now = _number(box, "UIDVALIDITY")
            if now == validity:
                found = _body(box, uid)
                if found is not None:
                    return found
        raise reading.vanished()


def _folder_named(line: bytes | tuple[bytes, bytes]) -> tuple[set[str], list[str], str] | None:
    """Flags, levels and name of a folder in the list; None: the line is not understood."""
    match = _FOLDER.match(line if isinstance(line, bytes) else line[0])
    if match is None:
        return None
    flags, separator, name = match.groups()
    if not isinstance(line, bytes):
        name = line[1]
    elif name.startswith(b'"'):
        # imap-tools leaves the marks before backslashes.
        name = _MARKED.sub(rb"\1", name[1:-1])
    delimiter = b"" if separator == b"NIL" else _MARKED.sub(rb"\1", separator[1:-1])
    levels = name.split(delimiter) if delimiter else [name]
    decoded = str(utf7_decode(name))
    return set(flags.decode("ascii", "replace").lower().split()), [str(utf7_decode(each)) for each in levels], decoded


def _opened(box: BaseMailBox, name: str) -> tuple[int, int, int]:
    """Open a folder so that nothing is marked as read: how many messages, UIDVALIDITY, and UIDNEXT or -1."""
    count = box.folder.set(name, readonly=True)[1][0]
    return int(count or 0), _number(box, "UIDVALIDITY"), _number(box, "UIDNEXT")


def _number(box: BaseMailBox, name: str) -> int:
    """A number that the server said on opening the folder; -1: it did not."""
    values = box.client.untagged_responses.get(name)
    value = values[-1] if values else b""
    return int(value) if isinstance(value, bytes) and value.isdigit() else -1


def _listed(box: BaseMailBox) -> Iterator[_Message]:
    """Messages of the open folder. Lines about others' flags stand in between; the number tells."""
    found: dict[int, _Message] = {}
    for line in answered(box.client.uid("FETCH", "1:*", "(UID RFC822.SIZE INTERNALDATE)"))[1]:
        text = line if isinstance(line, bytes) else b""
        uid, size = _UID.search(text), _SIZE.search(text)
        if uid and size:
            found[int(uid[1])] = _Message(int(uid[1]), int(size[1]), _received(text))
    return iter(found.values())


def _body(box: BaseMailBox, uid: int) -> tuple[bytes, datetime | None] | None:
    answer = answered(box.client.uid("FETCH", str(uid), "(UID INTERNALDATE BODY.PEEK[])"))[1]
    for position, part in enumerate(answer):
        if not isinstance(part, tuple):
            continue
        # What does not fit before the body may stand behind it.
        after = answer[position + 1] if position + 1 < len(answer) else b""
        facts = part[0] + (after if isinstance(after, bytes) else b"")
        found = _UID.search(facts)
        if found and int(found[1]) == uid and b"BODY[]" in part[0].upper():
            return part[1], _received(facts)
    return None


def _received(text: bytes) -> datetime | None:
    found = _RECEIVED.search(text)
    try:
        return parsedate_to_datetime(found[1].decode("ascii", "replace").strip()).astimezone(UTC) if found else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
