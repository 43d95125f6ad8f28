"""Asking a site for one address, and what its answer means for a page.

Belongs here: statuses, types, sizes, conditional requests.
Does not belong here: which addresses are asked for (`crawl.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from sys import intern

from rag_pipeline.contracts.ids import bytes_hash
from rag_pipeline.parsing.registry import FORMATS
from rag_pipeline.sources.http import Answer, HttpClient, HttpFailure, NoAnswer, NotAllowed, TooLarge, canonical
from rag_pipeline.sources.web.journal import Journal
from rag_pipeline.sources.web.pages import Said, look_alike, read_page, readable
from rag_pipeline.sources.web.state import Page

PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
# What a site needs to look as it does, or lists for machines.
_FURNITURE = frozenset({"text/css", "text/javascript", "application/xml", "text/xml"})
# These say nothing about what is sent.
_ANYTHING = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/download"})
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_FOR_EVER = frozenset({HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.PERMANENT_REDIRECT})
_REDIRECTS = _FOR_EVER | {HTTPStatus.FOUND, HTTPStatus.SEE_OTHER, HTTPStatus.TEMPORARY_REDIRECT}
# Many programs give the time at which they made the page, which says nothing about its text.
_JUST_MADE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Read:
    """There is a page or a file.

    Attributes:
        body: Gives its bytes, where they came; None: they are those of the last time, or have to be asked for again.
    """

    page: Page
    body: Callable[[], bytes] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Moved:
    """It is elsewhere.

    Attributes:
        target: Canonical address of what the source reads; None: it lies outside.
        where: Where that is, whether it is read or not.
    """

    target: str | None
    for_ever: bool
    where: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """There is nothing to read at this address, for sure."""


@dataclass(frozen=True, slots=True)
class Oversized:
    """It is over the source's limit, and was not read."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It is not known what there is.

    Attributes:
        reason: In a few words.
        is_down: The server itself seems not to work.
        is_silent: Nothing was heard of it.
        is_empty: It answers as it does for addresses that nothing has.
    """

    reason: str
    is_down: bool = False
    is_silent: bool = False
    is_empty: bool = False


Outcome = Read | Moved | Missing | Oversized | Failed


def is_document(answer: Answer) -> bool:
    """Whether the body of an answer may become a document."""
    if answer.status != HTTPStatus.OK:
        return False
    kind = answer.media_type
    return kind in PAGE_TYPES or kind in _ANYTHING or (kind in FORMATS and kind not in _FURNITURE)


def media_type_of_answer(answer: Answer, raw: bytes) -> str | None:
    """What a document is declared to be; None: its bytes and its address tell better."""
    if answer.media_type in PAGE_TYPES:
        # A file that is sent as a page is a file all the same.
        return None if raw.startswith((b"%PDF", b"PK\x03\x04", b"\xd0\xcf\x11\xe0")) else "text/html"
    return None if answer.media_type in _ANYTHING or answer.media_type == "text/plain" else answer.media_type


class Asker:
    """Asks for pages, with what is remembered of them.

    Args:
        inside: The canonical address that a link means if it leads to what the source reads, else None.
        empty_look: How a page looks that is not there, where such pages are answered with 200.
        entry: This page is never taken for one that is not there.
        journal: Where pages that are read are noted, and those that were read before a kill; None: nowhere.
    """

    def __init__(
        self,
        client: HttpClient,
        pages: Mapping[str, Page],
        inside: Callable[[str], str | None],
        max_bytes: int,
        *,
        entry: str,
        empty_look: str | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._client = client
        self._pages = pages
        self._inside = inside
        self._max_bytes = max_bytes
        self._entry = entry
        self._empty_look = empty_look
        self._journal = journal or Journal()

    def ask(self, url: str) -> Outcome:
        """What there is at a canonical address now."""
        taken = self._journal.taken(url)
        if taken is not None:
            return Read(*taken)
        known = self._pages.get(url)
        etag, modified = (None, None) if known is None else (known.etag, known.modified)
        try:
            answer = self._client.get(url, etag=etag, modified=modified, may_follow=lambda _: False, takes=is_document)
        except TooLarge:
            return Oversized()
        except (NoAnswer, NotAllowed) as error:
            return Failed(str(error), is_down=True, is_silent=isinstance(error, NoAnswer))
        except HttpFailure as error:
            return Failed(str(error))
        return self._meaning(url, answer, known)

    def _meaning(self, url: str, answer: Answer, known: Page | None) -> Outcome:
        status = answer.status
        if status == HTTPStatus.NOT_MODIFIED and known is not None:
            outcome = self._unless_empty(url, known)
            return Read(known, self._journal.body_of(known)) if isinstance(outcome, Read) else outcome
        if status in _REDIRECTS and answer.headers.get("location"):
            where = canonical(answer.headers["location"], url)
            target = self._inside(where)
            if target == url:
                return Failed("it redirects to itself")
            return Moved(target, status in _FOR_EVER, where)
        if status == HTTPStatus.OK:
            return self._read(url, answer) if is_document(answer) else Missing()
        if status in _GONE:
            return Missing()
        return Failed(f"it answers {status}", is_down=status >= HTTPStatus.INTERNAL_SERVER_ERROR)

    def _read(self, url: str, answer: Answer) -> Outcome:
        raw = readable(answer.body, answer.headers.get("content-type", ""))
        if len(raw) > self._max_bytes:
            return Oversized()
        media_type = media_type_of_answer(answer, raw)
        robots = answer.headers.get("x-robots-tag", "")
        said = read_page(raw, url, robots) if media_type == "text/html" else _said_of_file(robots)
        inside = (self._inside(link) for link in said.links)
        page = Page(
            url=url,
            hash=bytes_hash(raw),
            size=len(raw),
            media_type=media_type,
            etag=answer.headers.get("etag"),
            modified=answer.headers.get("last-modified"),
            modified_at=modified_at(answer),
            proper=self._inside(said.proper) if said.proper else None,
            # A menu stands on every page, and is held once.
            links=tuple(dict.fromkeys(intern(link) for link in inside if link is not None and link != url)),
            left_links=said.left_links,
            is_listed=said.is_listed,
            look=said.look,
        )
        outcome = self._unless_empty(url, page)
        return Read(page, self._journal.put(page, raw)) if isinstance(outcome, Read) else outcome

    def _unless_empty(self, url: str, page: Page) -> Outcome:
        if look_alike(page.look, self._empty_look or "") and url != self._entry:
            return Failed("it looks like an address that nothing has", is_empty=True)
        return Read(page)


def modified_at(answer: Answer) -> datetime | None:
    """When the server says that it was last changed, in UTC, unless it says so of whatever it has just made."""
    changed, now = (_moment(answer.headers.get(name)) for name in ("last-modified", "date"))
    if changed is None or now is None:
        return changed
    return None if now - changed < _JUST_MADE else changed


def _moment(value: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value or "")
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _said_of_file(robots_header: str) -> Said:
    return Said(is_listed=not {"noindex", "none"} & {word.strip() for word in robots_header.lower().split(",")})
