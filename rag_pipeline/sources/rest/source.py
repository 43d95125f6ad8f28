"""Objects of an API as documents.

Belongs here: listing them with revisions and readers, and fetching the bodies of those that changed.
Does not belong here: walking pages (`pages.py`), values (`values.py`).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote

from rag_pipeline.contracts.groups import Memberships
from rag_pipeline.contracts.ids import bytes_hash, digest
from rag_pipeline.contracts.sources import (
    Capabilities,
    DeclaredMetadata,
    FetchedObject,
    Idle,
    Remembered,
    SourceObject,
    SourceSpec,
)
from rag_pipeline.errors import SourceUnavailable
from rag_pipeline.settings.sources.rest import PartSettings
from rag_pipeline.shown import without_user
from rag_pipeline.sources import reading
from rag_pipeline.sources.addresses import segment_of
from rag_pipeline.sources.http import HttpFailure, HttpSettings, Pace, is_fault, opened_for
from rag_pipeline.sources.rest.attachments import Attachments
from rag_pipeline.sources.rest.groups import memberships_of_api
from rag_pipeline.sources.rest.pages import Api, Unwhole
from rag_pipeline.sources.rest.readers import Readers
from rag_pipeline.sources.rest.seen import Seen
from rag_pipeline.sources.rest.values import filled, fits, moment_in, text_of, value_at, within
from rag_pipeline.sources.watched import Watched

CAPABILITIES = Capabilities(gives_permissions=True, gives_media_types=True, knows_groups=True)
# A list that changes while it is read is read again.
_TRIES = 3
_TRIES_OF_A_REQUEST = 5
_MOST_WAIT_SECONDS = 120
# A server that lists its objects and gives none of so many in a row is down whatever the list says.
_DOWN_AFTER = 25
_GONE = (404, 410)
# No page of a person is nested deeper.
_MOST_NESTED = 100


class RestItems:
    """Objects that the list of an API names."""

    def __init__(self, spec: SourceSpec) -> None:
        self.name = spec.name
        self._spec = spec
        self._fields = spec.fields
        self.fetch_threads = int(spec.fields["requests_at_once"])
        self._api: Api | None = None
        self._declared_at: dict[str, DeclaredMetadata] = {}
        self._known: Mapping[str, Remembered] = {}
        # With `detail` the list tells readers, if anything does, and nothing else that is declared.
        tells = any(self._fields[name] for name in ("principals", "readers", "reader_groups", "seen_by"))
        self._list_declares = self._fields["detail"] is None or tells
        self._down = reading.Down(_DOWN_AFTER)
        self._watched = Watched(spec)
        names = ("location", "list", "ok", "detail", "detail_item", "text", "template", "parts", "media_type")
        recipe = [repr(self._fields.get(name, spec.location)) for name in names]
        self._recipe = digest("rest", *recipe, *map(repr, self._fields["attachments"]))
        self._attachments = Attachments(spec, self._opened, self._fields["id"])
        # Then only a run lists it, which knows what need not be asked for; and thousands of lists take a while.
        asks_for_parts = bool(spec.fields["parts"]) and not spec.fields["revision"]
        self.capabilities = replace(CAPABILITIES, asks_for_each=asks_for_parts or self._attachments.asks_for_each)

    def remember(self, known: Mapping[str, Remembered]) -> None:
        """See `RemembersListings.remember`."""
        self._known = known
        self._attachments.remember(known)

    def list(self) -> Sequence[SourceObject]:
        """See `Source.list`."""
        self._down.start()
        is_read_twice = self._fields["list"].pages.is_read_twice
        before: set[str] | None = None
        reason = ""
        for _ in range(_TRIES):
            try:
                if is_read_twice and before is None:
                    # Nothing but the list itself is asked for twice.
                    before = set(self._names())
                    continue
                found = self._listed()
            except Unwhole as error:
                if not error.moved:
                    raise self._unavailable(str(error)) from error
                reason = str(error)
                continue
            # What is attached to an object has an address below it.
            names = {address for address in found if "/" not in address}
            if not is_read_twice or names == before:
                self._watched.start()
                for address in found:
                    self._watched.saw(address, "permission_rules")
                told = found.items() if self._list_declares else ()
                self._declared_at = {a: item.declared for a, item in told if item.declared is not None}
                return [found[address] for address in sorted(found)]
            before, reason = names, "`list.pages`: the list is another one each time it is read."
        raise self._unavailable(f"{reason} It was read {_TRIES} times.")

    def idle(self) -> Sequence[Idle]:
        """See `Source.idle`."""
        return [*self._watched.idle(), *self._attachments.unread]

    def memberships(self) -> Memberships:
        """See `KnowsGroups.memberships`."""
        fields = {} if self._spec.groups is None else self._spec.groups.fields
        reason = ""
        for _ in range(_TRIES):
            try:
                return memberships_of_api(self._opened(), fields)
            except Unwhole as error:
                reason = str(error)
                if not error.moved:
                    break
        raise self._unavailable(reason)

    def fetch(self, item: SourceObject) -> FetchedObject:
        """See `Source.fetch`."""
        self._down.look("the API")
        try:
            raw, declared = self._attached(item) if "/" in item.address else self._object(item)
        except Unwhole as error:
            if not is_fault(error.status):
                self._down.answered()
                raise reading.unreadable(str(error)) from error
            self._down.failed(is_silent=error.is_silent, is_there=self._is_there)
            raise reading.unavailable(str(error)) from error
        self._down.answered()
        if len(raw) > self._spec.max_document_bytes:
            raise reading.too_large(len(raw), self._spec.max_document_bytes)
        return FetchedObject(raw, declared)

    def _object(self, item: SourceObject) -> tuple[bytes, DeclaredMetadata]:
        entry = self._entry(item.address)
        raw = self._raw(entry, self._id_of(entry))
        declared = self._declared_at.get(item.address)
        if declared is None or not item.stamp.startswith(self._stamp(entry, raw)):
            # Who may read what was not listed, or is not what was listed, is asked once the text is there: an
            # answer of before may be older than a restriction that the text was written under.
            declared = self._declared(entry, self._readers())
            if self._fields["seen_by"] is not None:
                declared = _narrowed(declared, self._seen(), item.address)
        return raw, declared

    def _attached(self, item: SourceObject) -> tuple[bytes, DeclaredMetadata]:
        raw = self._attachments.read(item, self._entry, lambda entry: self._item(entry, self._readers()))
        # The listing declares all of it: a file at an API says nothing itself.
        return raw, item.declared or DeclaredMetadata(allowed_principals=())

    def _is_there(self) -> bool:
        """Whether the list answers, whatever it says."""
        settings = self._fields["list"]
        try:
            self._opened().get(self._opened().url(settings.path, settings.params, {}), "list.path")
        except Unwhole as error:
            return not is_fault(error.status)
        return True

    def _entry(self, address: str) -> Any:
        detail = self._fields["detail"]
        if detail is not None:
            try:
                body, _ = self._opened().get(self._opened().url(detail, {}, {"id": unquote(address)}), "detail")
            except Unwhole as error:
                # Only this says so: what cannot be had of its parts and readers is no deletion.
                if error.status in _GONE:
                    raise reading.vanished() from error
                raise
            entry = within(body, self._fields["detail_item"])
            if isinstance(entry, list):
                if not entry:
                    raise reading.vanished()
                entry = entry[0]
            if segment_of(self._id_of(entry)) != address:
                raise reading.unreadable("`detail` answers with another object")
            return entry
        for entry in self._opened().walk(self._fields["list"], "list", {}):
            if segment_of(self._id_of(entry)) == address:
                return entry
        raise reading.vanished()

    def _names(self) -> Iterator[str]:
        """Addresses of what the list names."""
        for entry in self._opened().walk(self._fields["list"], "list", {}):
            if fits(entry, {}, self._fields["without"]):
                yield segment_of(self._id_of(entry))

    def _listed(self) -> dict[str, SourceObject]:
        readers = self._readers()
        self._attachments.start()
        found: dict[str, SourceObject] = {}
        for entry in self._opened().walk(self._fields["list"], "list", {}):
            if not fits(entry, {}, self._fields["without"]):
                continue
            item, attached = self._attachments.of(entry, self._item(entry, readers))
            if item.address in found:
                raise Unwhole(f"`id`: {item.address[:100]} is named twice.", moved=True)
            found |= {each.address: each for each in (item, *attached)}
        if self._fields["seen_by"] is not None:
            seen = self._seen()
            told = ((address, each, each.declared or DeclaredMetadata()) for address, each in found.items())
            return {a: replace(each, declared=_narrowed(declared, seen, a)) for a, each, declared in told}
        return found

    def _item(self, entry: Any, readers: Readers) -> SourceObject:
        address = segment_of(self._id_of(entry))
        fields = self._fields
        raw = problem = None
        if fields["revision"]:
            if not any(text_of(value_at(entry, path)) for path in fields["revision"]):
                raise Unwhole(f"`revision`: {address[:100]} has none of {', '.join(fields['revision'])}.")
        else:
            raw = self._raw_as_listed(entry)
            if len(raw) > self._spec.max_document_bytes:
                problem = reading.too_large(len(raw), self._spec.max_document_bytes)
        return SourceObject(
            address=address,
            uri=self._uri(entry, address),
            size_bytes=None if raw is None else len(raw),
            modified_at=moment_in(value_at(entry, fields["modified"])) if fields["modified"] else None,
            stamp=self._stamp(entry, raw),
            problem=problem,
            declared=self._declared(entry, readers) if self._list_declares else self._without_readers(address),
            raw=raw if problem is None and fields["detail"] is None else None,
        )

    def _without_readers(self, address: str) -> DeclaredMetadata | None:
        """What the lake holds of an object, but for readers that it once said and that the settings say now."""
        before = self._known.get(address)
        if before is None or before.declared is None or before.declared.allowed_principals is None:
            return None
        return replace(before.declared, allowed_principals=None)

    def _stamp(self, entry: Any, raw: bytes | None) -> str:
        """Of an object as an answer shows it; `raw` counts where no fields tell its revision."""
        paths = self._fields["revision"]
        if paths or raw is None:
            fact = [text_of(value_at(entry, path)) for path in paths]
            is_too_large = False
        else:
            fact = [bytes_hash(raw)]
            is_too_large = len(raw) > self._spec.max_document_bytes
        return digest("object", self._recipe, str(is_too_large), *fact)[:32]

    def _id_of(self, entry: Any) -> str:
        value = value_at(entry, self._fields["id"])
        if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
            raise Unwhole(f"`id`: an object has no {self._fields['id']} that is a number or text.")
        return str(value)

    def _raw_as_listed(self, entry: Any) -> bytes:
        try:
            return self._raw(entry, self._id_of(entry))
        except Unwhole as error:
            # It may have been deleted since the list named it.
            error.moved = error.moved or error.status in _GONE
            raise

    def _raw(self, entry: Any, name: str) -> bytes:
        fields = self._fields
        if fields["template"] is not None:
            pieces = [filled(fields["template"], entry)]
        else:
            pieces = [text_of(value_at(entry, path)) for path in fields["text"]]
        for number, part in enumerate(fields["parts"]):
            pieces += self._pieces(part, f"parts.{number}", name, {name})
        return "\n\n".join(piece for piece in pieces if piece).encode("utf-8", "replace")

    def _pieces(self, part: PartSettings, where: str, name: str, above: AbstractSet[str]) -> Iterator[str]:
        """Texts of a part's list, each with those below it.

        Args:
            above: What it lies in: nothing lies in itself.
        """
        for member in self._opened().walk(part, where, {"id": name}):
            if not fits(member, part.only, part.without):
                continue
            yield filled(part.template, member)
            if part.nested is None or value_at(member, part.nested) is not True:
                continue
            below = self._id_of(member)
            if below in above or len(above) > _MOST_NESTED:
                raise Unwhole(f"`{where}.nested`: {below[:100]} lies in itself, or deeper than {_MOST_NESTED} levels.")
            yield from self._pieces(part, where, below, {*above, below})

    def _declared(self, entry: Any, readers: Readers) -> DeclaredMetadata:
        fields = self._fields
        title, author = (text_of(value_at(entry, fields[name])) if fields[name] else "" for name in ("title", "author"))
        extra = {path: text_of(value_at(entry, path)) for path in fields["metadata"]}
        return DeclaredMetadata(
            title=title or None,
            author=author or None,
            allowed_principals=readers.of(entry, self._id_of(entry)),
            modified_at=moment_in(value_at(entry, fields["modified"])) if fields["modified"] else None,
            extra={name.replace(".", "_"): value for name, value in extra.items() if value},
            media_type=fields["media_type"],
        )

    def _readers(self) -> Readers:
        prefix = "" if self._spec.groups is None else self._spec.groups.prefix
        groups = [f"{prefix}{name}" for name in self._fields["reader_groups"]]
        return Readers(self._opened(), self._fields["principals"], self._fields["readers"], groups)

    def _seen(self) -> Seen:
        fields = self._fields
        return Seen(self._opened(), fields["seen_by"], fields["list"], lambda entry: segment_of(self._id_of(entry)))

    def _uri(self, entry: Any, address: str) -> str:
        url = self._fields["url"]
        if url is None:
            return f"{self._spec.name}:{address}"
        if "{" in url:
            return without_user(filled(url, entry, lambda text: quote(text, safe="")))
        return without_user(text_of(value_at(entry, url))) or f"{self._spec.name}:{address}"

    def _opened(self) -> Api:
        if self._api is None:
            fields = self._fields
            settings = HttpSettings(
                home=self._spec.location,
                headers={"Accept": "application/json", **fields["headers"], **_credentials(fields["auth"])},
                networks=fields["networks"],
                timeout_seconds=fields["timeout_seconds"],
                tries=_TRIES_OF_A_REQUEST,
                max_wait_seconds=_MOST_WAIT_SECONDS,
            )
            try:
                client = opened_for(self, settings, Pace(at_once=self.fetch_threads))
            except (HttpFailure, ValueError) as error:
                raise self._unavailable(f"`location` or `networks`: {error}.") from error
            self._api = Api(client, fields["ok"], fields["gone"])
        return self._api

    def _unavailable(self, reason: str) -> SourceUnavailable:
        return SourceUnavailable(
            f"The API of source {self.name} does not give its objects: {reason} Nothing of the source was changed.",
            source=self.name,
        )


def _narrowed(declared: DeclaredMetadata, seen: Seen, address: str) -> DeclaredMetadata:
    return replace(declared, allowed_principals=seen.narrowed(address, declared.allowed_principals))


def _credentials(auth: Mapping[str, str]) -> dict[str, str]:
    if "bearer" in auth:
        return {"Authorization": f"Bearer {auth['bearer']}"}
    if "password" in auth:
        token = b64encode(f"{auth['user']}:{auth['password']}".encode()).decode("ascii")
        return {"Authorization": f"Basic {token}"}
    return {auth["header"]: auth["value"]} if auth else {}
