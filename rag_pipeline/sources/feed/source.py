"""The `feed` kind: entries of an RSS or Atom feed as documents.

A feed shows its newest entries only, so what it no longer names is no deletion, unless the settings say so.

Belongs here: asking for the feed and for the pages of its entries, and what an outage says.
Does not belong here: reading a feed (`entries.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus

from rag_pipeline.contracts.ids import bytes_hash, digest
from rag_pipeline.contracts.sources import (
    Capabilities,
    DeclaredMetadata,
    FetchedObject,
    Idle,
    SourceObject,
    SourceSpec,
)
from rag_pipeline.errors import DocumentError, SourceUnavailable
from rag_pipeline.sources import reading
from rag_pipeline.sources.feed.entries import Entry, NoFeed, entries_of, extra_of
from rag_pipeline.sources.http import (
    Answer,
    HttpClient,
    HttpFailure,
    HttpSettings,
    NoAnswer,
    NotAllowed,
    Pace,
    TooLarge,
    is_fault,
    opened_for,
    origin,
)
from rag_pipeline.sources.watched import Watched
from rag_pipeline.sources.web.asking import is_document
from rag_pipeline.sources.web.pages import readable

CAPABILITIES = Capabilities(is_complete=False, gives_media_types=True, gives_bytes=True)
# Feeds are lists of what is new; a larger one is something else.
MOST_FEED_BYTES = 20 * 2**20
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class Feed:
    """Entries of a feed, each a document whose address is its id."""

    fetch_threads = 1

    def __init__(self, spec: SourceSpec) -> None:
        self.name = spec.name
        self._spec = spec
        self._keeps: bool = spec.fields["keep"]
        self._asks_pages: bool = spec.fields["full_text"]
        self.capabilities = replace(CAPABILITIES, is_complete=not self._keeps, gives_bytes=not self._asks_pages)
        self._pace = Pace(spec.fields["delay_seconds"])
        self._down = reading.Down()
        self._client: HttpClient | None = None
        self._watched = Watched(spec)
        # Entries as they were listed, each taken once: the pages of a run are asked for without the feed.
        self._listed_now: dict[str, Entry] = {}

    def list(self) -> Sequence[SourceObject]:
        """See `Source.list`."""
        self._down.start()
        self._watched.start()
        entries = self._entries()
        for entry in entries:
            self._watched.saw(entry.address, "permission_rules")
        self._listed_now = {entry.address: entry for entry in entries if self._is_elsewhere(entry)}
        return [self._listed(entry) for entry in entries]

    def idle(self) -> Sequence[Idle]:
        """See `Source.idle`."""
        return self._watched.idle()

    def fetch(self, item: SourceObject) -> FetchedObject:
        """See `Source.fetch`."""
        entry = self._listed_now.pop(item.address, None) or self._asked_again(item.address)
        listed = self._listed(entry)
        if listed.problem is not None:
            raise listed.problem
        declared = listed.declared or DeclaredMetadata()
        return FetchedObject(self._page_of(entry) if self._is_elsewhere(entry) else entry.raw, declared)

    def _asked_again(self, address: str) -> Entry:
        self._down.look("the feed")
        try:
            entries = self._entries()
        except SourceUnavailable as error:
            # Every entry that is not at hand needs it.
            self._down.close()
            raise reading.unavailable("the feed does not answer") from error
        for entry in entries:
            if entry.address == address:
                return entry
        if not self._keeps:
            raise reading.vanished()
        raise self._unavailable("it no longer names this entry, since it shows its newest ones only")

    def _is_elsewhere(self, entry: Entry) -> bool:
        return self._asks_pages and entry.link is not None

    def _listed(self, entry: Entry) -> SourceObject:
        raw = entry.raw
        is_elsewhere = self._is_elsewhere(entry)
        problem: DocumentError | None = None
        if not is_elsewhere and len(raw) > self._spec.max_document_bytes:
            problem = reading.too_large(len(raw), self._spec.max_document_bytes)
        declared = DeclaredMetadata(
            title=entry.title or None,
            author=entry.author or None,
            modified_at=entry.updated_at,
            extra=extra_of(entry),
            media_type=None if is_elsewhere else entry.media_type,
        )
        facts = (bytes_hash(raw), entry.link or "", str(entry.updated_at)) if is_elsewhere else (bytes_hash(raw),)
        return SourceObject(
            address=entry.address,
            uri=entry.link or f"{self.name}:{entry.address}",
            size_bytes=None if is_elsewhere else len(raw),
            # What the entry says of its time is declared; a time of the listing would be compared with the clock.
            modified_at=None,
            stamp=digest("entry", str(is_elsewhere), entry.media_type, str(problem is not None), *facts)[:32],
            problem=problem,
            declared=declared,
            raw=None if is_elsewhere or problem is not None else raw,
        )

    def _entries(self) -> Sequence[Entry]:
        client = self._opened()
        try:
            answer = client.get(client.home, max_body_bytes=MOST_FEED_BYTES)
        except HttpFailure as error:
            raise self._unavailable(f"{error}. Correct `location`, or try again") from error
        if answer.status != HTTPStatus.OK:
            raise self._unavailable(f"it answers {answer.status}. Correct `location`, or try again")
        try:
            return entries_of(answer.body, answer.url, answer.headers.get("content-type", ""), strict=not self._keeps)
        except NoFeed as error:
            raise self._unavailable(f"{error}. Correct `location`, or try again") from error

    def _page_of(self, entry: Entry) -> bytes:
        """The page that an entry links."""
        # Pages may stand at any server, the feed's own as well, which fails for itself.
        host = origin(entry.link or "")
        self._down.look("the server of its page", host)
        try:
            answer = self._opened().get(entry.link or "", takes=is_document)
        except TooLarge as error:
            raise reading.too_large(None, self._spec.max_document_bytes) from error
        except NotAllowed as error:
            raise reading.unreadable(f"its page may not be asked for: {error}") from error
        except HttpFailure as error:
            self._down.failed(host, is_silent=isinstance(error, NoAnswer))
            raise reading.unavailable(f"its page does not answer: {error}") from error
        self._down.answered(host)
        if is_fault(answer.status):
            raise reading.unavailable(f"its page answers {answer.status}")
        if answer.status in _GONE:
            # The entry is there all the same, and says more than nothing.
            return entry.raw
        if answer.status != HTTPStatus.OK:
            raise reading.unreadable(f"its page answers {answer.status}")
        return self._bounded(answer) if is_document(answer) else entry.raw

    def _bounded(self, answer: Answer) -> bytes:
        raw = readable(answer.body, answer.headers.get("content-type", ""))
        if len(raw) > self._spec.max_document_bytes:
            raise reading.too_large(len(raw), self._spec.max_document_bytes)
        return raw

    def _opened(self) -> HttpClient:
        """The one client of this source, whose connections serve the pages too."""
        if self._client is not None:
            return self._client
        fields = self._spec.fields
        settings = HttpSettings(
            home=self._spec.location,
            headers=fields["headers"],
            agent=fields["user_agent"],
            networks=tuple(fields["networks"]),
            timeout_seconds=fields["timeout"].total_seconds(),
            max_body_bytes=self._spec.max_document_bytes,
        )
        try:
            self._client = opened_for(self, settings, self._pace)
        except NotAllowed as error:
            raise self._unavailable(f"{error}. Correct `location`") from error
        return self._client

    def _unavailable(self, reason: str) -> SourceUnavailable:
        return SourceUnavailable(
            f"The feed of source {self.name} does not give its entries: {reason}. Nothing of the source was changed.",
            source=self.name,
        )
