"""The pages that a site lists itself: sitemaps, lists of sitemaps, zipped or not.

A sitemap that cannot be read whole leaves out pages that are there, so it is no listing at all.

Belongs here: reading sitemaps, pure, and walking through lists of them.
Does not belong here: asking for pages (`crawl.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lxml import etree

from rag_pipeline.parsing.containers.archives import xml_parser
from rag_pipeline.sources.http.bodies import expanded
from rag_pipeline.sources.http.failures import HttpFailure, NotAllowed
from rag_pipeline.sources.http.urls import canonical

# The protocol's bounds are 50,000 addresses and 50 MiB for one, and as many in a list.
MOST_BYTES = 50 * 2**20
MOST_SITEMAPS = 5_000
# What is held at once: as many as the settings let a walk ask for.
MOST_PAGES = 1_000_000
_GZIP = b"\x1f\x8b"


class Unreadable(ValueError):
    """No sitemap; the message says why in a few words."""


def read_sitemap(raw: bytes, url: str) -> tuple[list[str], list[str]]:
    """Canonical addresses of pages and of further sitemaps.

    Raises:
        Unreadable: It is no sitemap, or not whole.
    """
    if raw.startswith(_GZIP):
        try:
            raw = expanded([raw], MOST_BYTES)
        except HttpFailure as error:
            raise Unreadable(str(error)) from error
    if not raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return _plain_text(raw, url), []
    try:
        root = etree.fromstring(raw, xml_parser(recover=False))
    except etree.XMLSyntaxError as error:
        raise Unreadable(f"it is no whole XML ({str(error)[:100]})") from error
    kind = etree.QName(root).localname
    if kind not in ("urlset", "sitemapindex"):
        raise Unreadable(f"it is no sitemap but <{kind[:40]}>")
    found = [
        (each.text or "")
        for entry in root.iterchildren("{*}url", "{*}sitemap")
        for each in entry.iterchildren("{*}loc")
    ]
    places = list(_places(found, url))
    return (places, []) if kind == "urlset" else ([], places)


def pages_of(first: Iterable[str], ask: Callable[[str], bytes]) -> list[str]:
    """Canonical addresses of all pages that sitemaps name, each once, in order.

    Args:
        ask: Gives the bytes of a sitemap, and raises where it has none.

    Raises:
        Unreadable: One of them is no sitemap, or there are too many.
    """
    seen: set[str] = set()
    pages: dict[str, None] = {}
    waiting = list(dict.fromkeys(first))
    while waiting:
        url = waiting.pop(0)
        if url in seen:
            continue
        seen.add(url)
        if len(seen) > MOST_SITEMAPS:
            raise Unreadable(f"there are more than {MOST_SITEMAPS:,} of them")
        try:
            found, more = read_sitemap(ask(url), url)
        except Unreadable as error:
            raise Unreadable(f"{url}: {error}") from error
        pages.update(dict.fromkeys(found))
        if len(pages) > MOST_PAGES:
            raise Unreadable(f"they name more than {MOST_PAGES:,} pages")
        waiting += more
    return list(pages)


def _plain_text(raw: bytes, url: str) -> list[str]:
    lines = [line.strip() for line in raw.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    if not lines:
        # What a full disk or a broken export leaves, and no word that there are no pages.
        raise Unreadable("nothing is in it")
    if any(not line.startswith(("http://", "https://")) for line in lines):
        raise Unreadable("it is neither XML nor a list of addresses")
    return list(_places(lines, url))


def _places(found: Iterable[str], url: str) -> Iterable[str]:
    for text in found:
        try:
            yield canonical(text, url)
        except NotAllowed:
            # A place that is not of the web is nothing that could be listed.
            continue
