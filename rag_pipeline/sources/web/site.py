"""The `web` kind: what a site lists, and the pages themselves.

Belongs here: one listing from robots.txt to the state that it leaves, fetching one page, and what an outage says.
Does not belong here: the walk (`crawl.py`), answers (`asking.py`), sitemaps (`sitemaps.py`).
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.contracts.sources import Capabilities, FetchedObject, Idle, Remembered, SourceObject, SourceSpec
from rag_pipeline.errors import SourceUnavailable
from rag_pipeline.sources import reading
from rag_pipeline.sources.http import (
    HttpClient,
    HttpFailure,
    HttpSettings,
    NoAnswer,
    NotAllowed,
    Pace,
    TooLarge,
    canonical,
    folder_of,
    is_fault,
    opened_for,
    origin,
)
from rag_pipeline.sources.http.client import split_credentials
from rag_pipeline.sources.selection import Selection
from rag_pipeline.sources.web import sitemaps
from rag_pipeline.sources.web.addresses import address_of_page, url_of_page, without_sessions
from rag_pipeline.sources.web.asking import Asker, Moved, Read, is_document, media_type_of_answer
from rag_pipeline.sources.web.crawl import Bounds, Crawl, CutShort
from rag_pipeline.sources.web.journal import Journal
from rag_pipeline.sources.web.listing import Listing, Shape, declared_of, is_there, listed
from rag_pipeline.sources.web.pages import read_page, readable
from rag_pipeline.sources.web.robots import NotTold, Robots, read_robots
from rag_pipeline.sources.web.state import Page, State, load_state, save_state

CAPABILITIES = Capabilities(gives_media_types=True, asks_for_each=True)
# Between two requests, as robots.txt may wish it.
_MOST_DELAY_SECONDS = 60
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class WebSite:
    """Pages and files below a prefix of a site."""

    # One at a time, as the listing asks.
    fetch_threads = 1
    capabilities = CAPABILITIES

    def __init__(self, spec: SourceSpec) -> None:
        self.name = spec.name
        self._spec = spec
        self._fields = spec.fields
        self._selection = Selection(spec)
        self._pace = Pace(spec.fields["delay_seconds"])
        self._notes: tuple[Idle, ...] = ()
        self._told: Mapping[str, Remembered] | None = None
        self._is_erased: Callable[[str, str], bool] | None = None
        self._down = reading.Down()
        self._client: HttpClient | None = None
        self._dropped = tuple(name.lower() for name in spec.fields["drop_query"])

    def remember(self, known: Mapping[str, Remembered]) -> None:
        """See `RemembersListings`."""
        self._told = known

    def leave_erased(self, is_erased: Callable[[str, str], bool]) -> None:
        """See `LeavesErased`."""
        self._is_erased = is_erased

    def idle(self) -> Sequence[Idle]:
        """See `Source.idle`."""
        return [*self._selection.watched.idle(), *self._notes]

    def list(self) -> Sequence[SourceObject]:
        """See `Source.list`."""
        home, prefix = self._places()
        folder, recipe = self._state_folder(home), self._recipe(home, prefix)
        before = load_state(folder, recipe)
        known = before.listed if self._told is None else self._told
        crawl = Crawl(self._bounds(), home)
        read = {url_of_page(each, prefix) for each, told in known.items() if told.stamp is not None}
        limit = self._bounds().max_seconds
        journal = Journal(folder, recipe, limit, lambda url: url not in read, lambda page: self._leaves(page, prefix))
        after: State | None = None
        try:
            self._walk(crawl, home, prefix, before.pages, [url_of_page(each, prefix) for each in known], journal)
            self._check_entry(crawl, home)
            found = listed(crawl, self._shape(prefix, known), before.pages)
            after = _state_of(found, crawl, before)
        except CutShort as error:
            raise self._unavailable(str(error)) from error
        finally:
            # What was read is read, whatever became of the rest.
            journal.end()
            save_state(folder, recipe, after or State({**before.pages, **_pages_of(crawl)}, before.listed))
        self._notes = found.notes
        return found.objects

    def sample(self, count: int) -> Sequence[SourceObject]:
        """See `Samples`."""
        home, prefix = self._places()
        bounds = self._bounds()
        crawl = Crawl(replace(bounds, max_pages=min(bounds.max_pages, count)), home)
        with suppress(CutShort):
            self._walk(crawl, home, prefix, {}, ())
        self._check_entry(crawl, home)
        return listed(crawl, self._shape(prefix, {}), {}).objects

    def _walk(
        self,
        crawl: Crawl,
        home: str,
        prefix: str,
        pages: Mapping[str, Page],
        known: Sequence[str],
        journal: Journal | None = None,
    ) -> None:
        self._down.start()
        self._selection.watched.start()
        client = self._opened()
        robots = self._robots(client, home)
        self._pace.delay_seconds = max(self._fields["delay_seconds"], robots.delay_seconds)
        asker = Asker(
            client,
            pages,
            lambda url: self._inside(url, prefix),
            self._spec.max_document_bytes,
            entry=home,
            empty_look=self._empty_look(client, robots, prefix),
            journal=journal,
        )
        first = self._first(client, robots, home, prefix)
        hashes = {url: pages[url].hash if url in pages else "" for url in known}
        crawl.run(first, hashes, asker.ask, lambda url: self._may_ask(url, prefix, robots))

    def _check_entry(self, crawl: Crawl, home: str) -> None:
        if self._fields["discover"] == "sitemap" or is_there(crawl, home):
            return
        outcome = crawl.outcomes.get(home)
        reason = crawl.is_failing(home) or "there is no page, or robots.txt does not allow to read it"
        if isinstance(outcome, Moved) and (outcome.target is None or not outcome.for_ever):
            reason = f"it redirects to {outcome.where}; write that as `location` if it is meant"
        raise self._unavailable(f"its first page cannot be read: {reason}. Correct `location`, or try again")

    def fetch(self, item: SourceObject) -> FetchedObject:
        """See `Source.fetch`."""
        self._down.look("the site")
        _, prefix = self._places()
        url = url_of_page(item.address, prefix)
        try:
            answer = self._opened().get(url, may_follow=lambda _: False, takes=is_document)
        except TooLarge as error:
            raise reading.too_large(None, self._spec.max_document_bytes) from error
        except HttpFailure as error:
            self._down.failed(is_silent=isinstance(error, NoAnswer))
            raise reading.unavailable(f"the site does not answer for it: {error}") from error
        self._down.answered()
        if is_fault(answer.status):
            raise reading.unavailable(f"the site answers {answer.status}")
        if answer.status in _GONE or (answer.status == HTTPStatus.OK and not is_document(answer)):
            raise reading.vanished()
        if answer.status != HTTPStatus.OK:
            raise reading.unreadable(f"the site answers {answer.status}")
        raw = readable(answer.body, answer.headers.get("content-type", ""))
        if len(raw) > self._spec.max_document_bytes:
            raise reading.too_large(len(raw), self._spec.max_document_bytes)
        return FetchedObject(raw, declared_of(media_type_of_answer(answer, raw)))

    def _places(self) -> tuple[str, str]:
        """Canonical addresses of the first page and of what all pages begin with."""
        try:
            home = split_credentials(self._spec.location)[0]
            prefix = canonical(self._fields["prefix"], home) if self._fields["prefix"] else folder_of(home)
        except NotAllowed as error:
            raise self._unavailable(f"{error}. Correct `location` or `prefix`") from error
        if origin(prefix) != origin(home):
            raise self._unavailable("`prefix` is on another server than `location`. Correct one of them")
        return without_sessions(home, self._dropped), prefix

    def _opened(self) -> HttpClient:
        """The one client of this source: each page over a connection of its own would cost both sides more."""
        if self._client is not None:
            return self._client
        fields = self._fields
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

    def _robots(self, client: HttpClient, home: str) -> Robots:
        if not self._fields["obey_robots"]:
            return Robots()
        try:
            robots = read_robots(client, origin(home), self._fields["user_agent"])
        except NotTold as error:
            raise self._unavailable(f"its robots.txt cannot be read, {error}. Try again") from error
        # The settings may wish as long a pause as they like; a site's word alone must not stop every run.
        if robots.delay_seconds > max(_MOST_DELAY_SECONDS, self._fields["delay_seconds"]):
            raise self._unavailable(
                f"its robots.txt wishes {min(robots.delay_seconds, 1e9):,.0f} seconds between two requests. Set "
                f"`sources.{self.name}.delay_seconds` to that if you want to wait so long, or ask the site for less"
            )
        return robots

    def _empty_look(self, client: HttpClient, robots: Robots, prefix: str) -> str | None:
        """How the site answers for an address that nothing has; None: with an error, as it should."""
        url = f"{prefix}no-such-page-{secrets.token_hex(8)}"
        if not robots.allows(url):
            return None
        try:
            answer = client.get(url, may_follow=lambda each: each.startswith(prefix), takes=is_document)
        except HttpFailure:
            # It is told by the pages themselves.
            return None
        if answer.status != HTTPStatus.OK or media_type_of_answer(answer, answer.body) != "text/html":
            return None
        return read_page(readable(answer.body, answer.headers.get("content-type", "")), url).look or None

    def _first(self, client: HttpClient, robots: Robots, home: str, prefix: str) -> Sequence[str]:
        if self._fields["discover"] == "crawl":
            return [home]
        named = [canonical(place, home) for place in self._fields["sitemaps"]]
        first = named or robots.sitemaps or [f"{origin(home)}/sitemap.xml"]
        try:
            found = sitemaps.pages_of(first, _asks_for_sitemaps(client))
        except (sitemaps.Unreadable, NotAllowed) as error:
            raise self._unavailable(
                f"its sitemap cannot be read whole, {error}. Try again, or correct `sitemaps`"
            ) from error
        inside = (self._inside(url, prefix) for url in found)
        return [*dict.fromkeys(url for url in inside if url is not None)]

    def _inside(self, url: str, prefix: str) -> str | None:
        plain = without_sessions(url, self._dropped)
        return plain if plain.startswith(prefix) else None

    def _may_ask(self, url: str, prefix: str, robots: Robots) -> bool:
        if url.startswith(prefix):
            address = address_of_page(url, prefix)
            self._selection.watched.saw(address, "exclude")
            if self._selection.excludes(address):
                return False
        return robots.allows(url)

    def _bounds(self) -> Bounds:
        fields = self._fields
        seconds = fields["max_duration"].total_seconds()
        return Bounds(fields["discover"] == "crawl", fields["max_depth"], fields["max_pages"], seconds)

    def _shape(self, prefix: str, known: Mapping[str, Remembered]) -> Shape:
        return Shape(prefix, self._selection.takes, self._spec.max_document_bytes, known)

    def _leaves(self, page: Page, prefix: str) -> bool:
        """Whether a page was erased from the lake, be it under the address that it says is its own."""
        if self._is_erased is None:
            return False
        urls = (url for url in (page.url, page.proper) if url is not None and url.startswith(prefix))
        return any(self._is_erased(address_of_page(url, prefix), page.hash) for url in urls)

    def forget_copies(self) -> None:
        """See `KeepsCopies`."""
        folder = self._state_folder(self._places()[0])
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _state_folder(self, home: str) -> str | None:
        folder = self._spec.cache_folder
        return None if folder is None else str(Path(folder, "web", fingerprint(self.name, home)))

    def _recipe(self, home: str, prefix: str) -> str:
        # What one login was shown is no other's.
        headers = sorted({**split_credentials(self._spec.location)[1], **self._fields["headers"]}.items())
        return fingerprint("web", home, prefix, repr(self._dropped), repr(headers), str(self._spec.max_document_bytes))

    def _unavailable(self, reason: str) -> SourceUnavailable:
        return SourceUnavailable(
            f"The site of source {self.name} does not give its pages: {reason}. Nothing of the source was changed.",
            source=self.name,
        )


def _pages_of(crawl: Crawl) -> dict[str, Page]:
    return {url: outcome.page for url, outcome in crawl.outcomes.items() if isinstance(outcome, Read)}


def _state_of(found: Listing, crawl: Crawl, before: State) -> State:
    """What is to be remembered: a page that stays is, too, and what is gone is not."""
    staying = {item.uri: before.pages[item.uri] for item in found.objects if item.uri in before.pages}
    remembered = {
        item.address: Remembered(None if item.problem else item.stamp, item.modified_at) for item in found.objects
    }
    return State({**staying, **_pages_of(crawl)}, remembered)


def _asks_for_sitemaps(client: HttpClient) -> Callable[[str], bytes]:
    def ask(url: str) -> bytes:
        try:
            answer = client.get(url, max_body_bytes=sitemaps.MOST_BYTES)
        except HttpFailure as error:
            raise sitemaps.Unreadable(str(error)) from error
        if answer.status != HTTPStatus.OK:
            raise sitemaps.Unreadable(f"it answers {answer.status}")
        return answer.body

    return ask
