"""Files that are attached to objects of an API: each a document below its object, for whoever may read that.

Belongs here: listing them, what need not be asked again, and getting their bytes.
Does not belong here: objects (`source.py`), walking pages (`pages.py`), what a file says (`parsing/`).

The stamp of an object ends with a hash of what is attached to it. So a run knows from the lake alone whether all that
an object had is there, and nothing more: after a kill, or while the deletion guard holds something back, they are asked
for again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.sources import DeclaredMetadata, Idle, Remembered, SourceObject, SourceSpec
from rag_pipeline.errors import DocumentError, LimitExceeded
from rag_pipeline.settings.sources.rest import AttachmentListSettings, AttachmentsSettings
from rag_pipeline.sources import reading
from rag_pipeline.sources.addresses import segment_of
from rag_pipeline.sources.rest.pages import Api, Unwhole
from rag_pipeline.sources.rest.readers import MOST_BROKEN, REFUSED
from rag_pipeline.sources.rest.values import fits, moment_in, text_of, value_at
from rag_pipeline.transforms.globs import Globs, compile_globs

# Letters of a stamp that tell what is attached; twice as many as twins among billions need.
_HASH_LETTERS = 16
# Stands in the place of that hash where nobody knows what is attached: it is the hash of nothing.
_UNREAD = ".unread"
# File systems allow no longer names; an address holds two more.
_NAME_LETTERS = 255
_GONE = (404, 410)
# Nothing that a person makes lies deeper.
_MOST_NESTED = 100
# What a server sends in place of a file to whoever is not known to it.
_PAGE = "text/html"


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of the settings `attachments`."""

    settings: AttachmentsSettings
    where: str
    names: Globs


class Attachments:
    """The attachments of a source's objects.

    Args:
        api: Opens the API.
        id_field: Field with the name of an object, and of what lies in one.

    Attributes:
        unread: Objects of the last listing whose attachments could not be listed.
        asks_for_each: Whether a listing asks for those of each object that the lake does not hold as it is.
    """

    def __init__(self, spec: SourceSpec, api: Callable[[], Api], id_field: str) -> None:
        self._spec = spec
        self._api = api
        self._id_field = id_field
        self._known: Mapping[str, Remembered] = {}
        self._below: dict[str, list[str]] = {}
        self._urls: dict[str, str] = {}
        self.unread: list[Idle] = []
        self._broken = 0
        given: Sequence[AttachmentsSettings] = spec.fields["attachments"]
        self._kinds = [
            _Kind(each, f"attachments.{number}", compile_globs(each.names, match_hidden=True, ignore_case=True))
            for number, each in enumerate(given)
        ]
        self.asks_for_each = any(each.list is not None for each in given)

    def remember(self, known: Mapping[str, Remembered]) -> None:
        """Take note of what the lake holds."""
        self._known = known
        self._below = {}
        for address in known:
            record, slash, _ = address.partition("/")
            if slash:
                self._below.setdefault(record, []).append(address)

    def start(self) -> None:
        """A new listing begins."""
        self.unread, self._broken = [], 0

    def of(self, entry: Any, record: SourceObject) -> tuple[SourceObject, Sequence[SourceObject]]:
        """An object with a stamp that tells of its attachments, and these; asked for only where they may be others.

        Raises:
            Unwhole: A list of them cannot be read to its end.
        """
        if not self._kinds:
            return record, ()
        found = self._kept(record)
        if found is None:
            try:
                found = list(self._asked(entry, record).values())
            except Unwhole as error:
                if not self._is_of_one(error):
                    raise
                return self._unread_now(record, str(error))
            self._broken = 0
        return replace(record, stamp=record.stamp + _hash_of((each.address, each.stamp) for each in found)), found

    def read(
        self, item: SourceObject, entry_of: Callable[[str], Any], record_of: Callable[[Any], SourceObject]
    ) -> bytes:
        """The bytes of one.

        Args:
            entry_of: The object of an address.
            record_of: That object as it is listed.

        Raises:
            DocumentVanished: It is gone.
            DocumentError: It cannot be read.
            Unwhole: The server does not answer.
        """
        url = self._urls.get(item.address)
        if url is not None:
            try:
                return self._downloaded(url, item)
            except Unwhole as error:
                # An address that was made for one hour runs out while a large source is read.
                if not 400 <= error.status < 500 or error.status == 429:
                    raise
        entry = entry_of(item.address.partition("/")[0])
        self._urls.pop(item.address, None)
        listed = self._asked(entry, record_of(entry)).get(item.address)
        if listed is None or item.address not in self._urls:
            raise reading.vanished()
        try:
            return self._downloaded(self._urls[item.address], item)
        except Unwhole as error:
            if error.status in _GONE:
                raise reading.vanished() from error
            raise

    def _downloaded(self, url: str, item: SourceObject) -> bytes:
        hosts = {host for kind in self._kinds for host in kind.settings.send_auth_to}
        answer = self._api().download(url, "attachments", hosts, self._spec.max_document_bytes)
        said = item.declared.media_type if item.declared is not None else None
        named = item.address.rpartition(".")[2].lower()
        if answer.media_type == _PAGE and said != _PAGE and named not in ("html", "htm", "xhtml"):
            raise reading.unreadable("the server answers with a page in place of the file; correct `auth`")
        return answer.body

    def _kept(self, record: SourceObject) -> list[SourceObject] | None:
        """What the lake holds, if that is all there is; None: it may not be."""
        lists = [kind.settings.list for kind in self._kinds if kind.settings.list is not None]
        before = self._known.get(record.address)
        # Where asking costs nothing it is asked, and where the object's revision does not tell of them.
        if before is None or before.stamp is None or not lists or any(each.always for each in lists):
            return None
        below = {address: self._known[address] for address in self._below.get(record.address, ())}
        held = _hash_of((address, each.stamp or "") for address, each in below.items())
        if before.stamp != record.stamp + held:
            return None
        return [_as_before(address, each, record) for address, each in below.items()]

    def _is_of_one(self, error: Unwhole) -> bool:
        """Whether a list that cannot be read is the fault of one object, and the source goes on.

        A server may break at one object for ever, and what others withdraw must take effect all the same. Where the
        lake holds nothing there is nothing to withdraw, and a mistake of the settings is said at once.
        """
        if error.moved or not self._known:
            return False
        if error.status in REFUSED:
            return True
        self._broken += error.status >= 500
        return error.status >= 500 and self._broken < MOST_BROKEN

    def _unread_now(self, record: SourceObject, reason: str) -> tuple[SourceObject, Sequence[SourceObject]]:
        """An object with what the lake holds below it: that stands, for its readers of now, and is asked for again."""
        self.unread.append(Idle("attachments", record.uri, reason.rstrip(".")))
        before = self._known.get(record.address)
        stamp = None if before is None else before.stamp
        if stamp is None or not stamp.startswith(record.stamp):
            stamp = record.stamp + _UNREAD
        problem = reading.unavailable(f"attachments cannot be listed: {reason.rstrip('.')}")
        below = [_as_before(each, self._known[each], record) for each in self._below.get(record.address, ())]
        return replace(record, stamp=stamp), [replace(each, problem=problem) for each in below]

    def _asked(self, entry: Any, record: SourceObject) -> dict[str, SourceObject]:
        found: dict[str, SourceObject] = {}
        for kind in self._kinds:
            count = 0
            for member in self._members(kind, entry, record.address):
                item = self._item(kind, member, record, is_surplus=count >= kind.settings.most)
                if item is not None and item.address not in found:
                    found[item.address] = item
                    count += 1
        return found

    def _members(self, kind: _Kind, entry: Any, address: str) -> Iterator[Any]:
        settings = kind.settings
        if settings.list is None:
            holders: Iterator[Any] = iter([entry])
        elif settings.list.when is not None and not value_at(entry, settings.list.when):
            return
        else:
            name = unquote(address)
            holders = self._walked(settings.list, f"{kind.where}.list", name, (name,))
        for holder in holders:
            for at in settings.at:
                for member in _those_in(value_at(holder, at), settings.pattern):
                    if fits(member, settings.only, settings.without):
                        yield member

    def _walked(self, settings: AttachmentListSettings, where: str, name: str, above: tuple[str, ...]) -> Iterator[Any]:
        try:
            entries = list(self._api().walk(settings, where, {"id": name}))
        except Unwhole as error:
            if error.status in _GONE:
                # What it belongs to is gone since it was listed, with all that was attached to it.
                return
            raise
        for entry in entries:
            if not fits(entry, settings.only, settings.without):
                continue
            yield entry
            if settings.nested is None or value_at(entry, settings.nested) is not True:
                continue
            below = text_of(value_at(entry, self._id_field))
            if below in above or len(above) > _MOST_NESTED:
                raise Unwhole(f"`{where}.nested`: {below[:100]} lies in itself, or deeper than {_MOST_NESTED} levels.")
            yield from self._walked(settings, where, below, (*above, below))

    def _item(self, kind: _Kind, member: Any, record: SourceObject, *, is_surplus: bool) -> SourceObject | None:
        settings = kind.settings
        key = text_of(value_at(member, settings.id))
        url = self._url(kind, member, record)
        if url is None:
            return None
        if not key:
            raise Unwhole(f"`{kind.where}.id`: an attachment of {record.address[:100]} has no {settings.id}.")
        named = (text_of(value_at(member, path)) for path in settings.name)
        name = next(filter(None, named), "") or unquote(urlsplit(url).path.rpartition("/")[2]) or "file"
        if not kind.names.match(name.replace("/", " ")):
            return None
        address = f"{record.address}/{segment_of(key)}/{segment_of(_shortened(name))}"
        size = _size_in(value_at(member, settings.size)) if settings.size else None
        self._urls[address] = url
        revision = [text_of(value_at(member, path)) for path in settings.revision]
        problem = self._problem(size, settings.most if is_surplus else None)
        media_type = text_of(value_at(member, settings.media_type)) if settings.media_type else ""
        return SourceObject(
            address=address,
            uri=f"{record.uri}#{quote(name, safe='')}",
            size_bytes=size,
            modified_at=moment_in(value_at(member, settings.modified)) if settings.modified else None,
            stamp=digest("attachment", repr(settings), str(problem is not None), address, *revision)[:32],
            problem=problem,
            declared=_below_of(record, DeclaredMetadata(title=name, media_type=_media_type_in(media_type))),
        )

    def _url(self, kind: _Kind, member: Any, record: SourceObject) -> str | None:
        settings = kind.settings
        if settings.path is not None:
            values = {**(member if isinstance(member, dict) else {}), "record": unquote(record.address)}
            return self._api().url(settings.path, {}, values)
        told = next(filter(None, (text_of(value_at(member, path)) for path in settings.url)), "")
        return urljoin(self._api().home, told) if told else None

    def _problem(self, size: int | None, most: int | None) -> DocumentError | None:
        if most is not None:
            return LimitExceeded(
                f"More than {most} files are attached to its object, and this one was not read. Raise "
                "`sources.NAME.attachments.most`, or leave others out by `sources.NAME.attachments.names`.",
                limit=most,
            )
        if size is not None and size > self._spec.max_document_bytes:
            return reading.too_large(size, self._spec.max_document_bytes)
        return None


def _as_before(address: str, before: Remembered, record: SourceObject) -> SourceObject:
    return SourceObject(
        address=address,
        uri=before.uri,
        size_bytes=before.size_bytes,
        modified_at=before.modified_at,
        stamp=before.stamp or "",
        declared=_below_of(record, before.declared or DeclaredMetadata()),
    )


def _below_of(record: SourceObject, declared: DeclaredMetadata) -> DeclaredMetadata:
    """What is declared of an attachment, for the readers of its object: those it says, or those the settings say."""
    readers = None if record.declared is None else record.declared.allowed_principals
    target = record.address if readers is None else None
    return replace(declared, allowed_principals=readers, link_target=target)


def _those_in(value: Any, pattern: str | None) -> Iterator[Any]:
    if pattern is not None:
        for match in re.finditer(pattern, text_of(value)):
            yield match.groupdict()
    else:
        yield from value if isinstance(value, list) else [] if value is None else [value]


def _size_in(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _media_type_in(said: str) -> str | None:
    """A media type that tells something."""
    bare = said.partition(";")[0].strip().lower()
    return bare if "/" in bare and bare != "application/octet-stream" else None


def _shortened(name: str) -> str:
    """A name that fits, with the ending that tells what it is."""
    stem, dot, ending = name.rpartition(".")
    if len(name) <= _NAME_LETTERS or len(ending) >= _NAME_LETTERS:
        return name[:_NAME_LETTERS]
    return f"{stem[: _NAME_LETTERS - len(ending) - 1]}{dot}{ending}"


def _hash_of(attached: Any) -> str:
    parts = [part for pair in sorted(attached) for part in pair]
    return f".{digest('attached', *parts)[:_HASH_LETTERS]}"
