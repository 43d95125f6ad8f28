"""What a walk through a site means for its documents: which are there, which stay though they do not answer.

Belongs here: one address for each page, and what an outage must not take away.
Does not belong here: the walk (`crawl.py`), answers (`asking.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.sources import DeclaredMetadata, Idle, Remembered, SourceObject
from rag_pipeline.sources import reading
from rag_pipeline.sources.web.addresses import address_of_page, is_variant_of, url_of_page
from rag_pipeline.sources.web.asking import Failed, Missing, Oversized, Read
from rag_pipeline.sources.web.crawl import Crawl
from rag_pipeline.sources.web.pages import MOST_LINKS
from rag_pipeline.sources.web.state import Page

# Stamps say how a page is read, too.
_STAMP_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Listing:
    """Documents of a site.

    Attributes:
        objects: Sorted by address.
        notes: Pages that are listed as they were, and those with links that are not followed.
    """

    objects: tuple[SourceObject, ...]
    notes: tuple[Idle, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """How objects of one source are made.

    Attributes:
        takes: Whether the settings take a document at this address.
        limit: Of a document, bytes.
    """

    prefix: str
    takes: Callable[[str], bool]
    limit: int
    known: Mapping[str, Remembered] = field(default_factory=dict)


def declared_of(media_type: str | None) -> DeclaredMetadata:
    """What is declared of a page or file."""
    return DeclaredMetadata(media_type=media_type)


def listed(crawl: Crawl, shape: Shape, pages: Mapping[str, Page]) -> Listing:
    """The documents of a site after a walk.

    Args:
        pages: What is remembered of pages, for those that stay.
    """
    objects: dict[str, SourceObject] = {}
    # The first page may lie above the prefix, and is no document then.
    for url in sorted(place for place in _places(crawl) if place.startswith(shape.prefix)):
        outcome = crawl.outcomes[url]
        address = address_of_page(url, shape.prefix)
        if isinstance(outcome, Read) and outcome.page.is_listed and shape.takes(address):
            objects[address] = _object(address, url, outcome)
    notes = list(_unfollowed(crawl))
    for address, url, reason in _staying(crawl, shape, objects):
        remembered = shape.known[address]
        page = pages.get(url)
        if remembered.stamp is None:
            objects[address] = _problem(address, url, reason)
            continue
        notes.append(Idle("page", url, reason))
        objects[address] = SourceObject(
            address=address,
            uri=url,
            size_bytes=None if page is None else page.size,
            modified_at=remembered.modified_at,
            stamp=remembered.stamp,
            declared=None if page is None else declared_of(page.media_type),
        )
    for item in _refused(crawl, shape):
        if item.address not in objects and shape.takes(item.address):
            objects[item.address] = item
    return Listing(tuple(objects[address] for address in sorted(objects)), tuple(notes))


def _object(address: str, url: str, outcome: Read) -> SourceObject:
    page = outcome.page
    return SourceObject(
        address=address,
        uri=url,
        size_bytes=page.size,
        modified_at=page.modified_at,
        stamp=digest("page", _STAMP_VERSION, page.hash, page.media_type or "")[:32],
        declared=declared_of(page.media_type),
        read=outcome.body,
    )


def _problem(address: str, url: str, reason: str) -> SourceObject:
    stamp = digest("page", _STAMP_VERSION, "failed", reason)[:32]
    return SourceObject(address, url, None, None, stamp, reading.unreadable(reason))


def _places(crawl: Crawl) -> set[str]:
    """Addresses of all pages that were read, one for each page."""
    places = {place for url in crawl.outcomes if (place := crawl.place_of(url)) is not None}
    groups: dict[tuple[str, str], list[str]] = {}
    for url in places:
        outcome = crawl.outcomes[url]
        if isinstance(outcome, Read) and outcome.page.size:
            groups.setdefault((outcome.page.hash, is_variant_of(url)), []).append(url)
    for group in groups.values():
        # The same bytes under spellings of one address; the plainest is taken.
        places.difference_update(sorted(group, key=lambda url: ("?" in url, len(url), url))[1:])
    return places


def _staying(crawl: Crawl, shape: Shape, objects: Mapping[str, SourceObject]) -> Iterator[tuple[str, str, str]]:
    """Addresses that were listed before and of which it is not known what became, each with the reason."""
    for address in shape.known:
        url = url_of_page(address, shape.prefix)
        if address not in objects and shape.takes(address) and (reason := crawl.is_failing(url)):
            yield address, url, reason


def _unfollowed(crawl: Crawl) -> Iterator[Idle]:
    for url, outcome in crawl.outcomes.items():
        if isinstance(outcome, Read) and outcome.page.left_links and crawl.follows:
            yield Idle("links", url, f"{outcome.page.left_links:,} more than the {MOST_LINKS:,} that are followed")


def _refused(crawl: Crawl, shape: Shape) -> Iterator[SourceObject]:
    """What is there and cannot be read, though nothing is known of it."""
    for url, outcome in crawl.outcomes.items():
        if not url.startswith(shape.prefix):
            continue
        address = address_of_page(url, shape.prefix)
        if isinstance(outcome, Oversized):
            stamp = digest("page", _STAMP_VERSION, "too large", str(shape.limit))[:32]
            yield SourceObject(address, url, None, None, stamp, reading.too_large(None, shape.limit))
        elif isinstance(outcome, Failed) and not outcome.is_empty:
            yield _problem(address, url, outcome.reason)


def is_there(crawl: Crawl, entry: str) -> bool:
    """Whether the page that a walk began with was read, or what it leads to."""
    is_nothing = isinstance(crawl.outcomes.get(entry), (Missing, Oversized))
    return crawl.place_of(entry) is not None and not is_nothing and not crawl.is_failing(entry)
