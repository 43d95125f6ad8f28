"""A site of two thousand pages, with every trap beside them."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest

from rag_pipeline_tests.sources.site import Asked, Handler, Reply, Site, html, redirect
from rag_pipeline_tests.sources.web.test_site import links, opened, trapped

PAGES = 2_000
# So that all are met before the depth at which the endless calendar stops.
BELOW_EACH = 13
BOMB = Reply(gzip.compress(b"\0" * (16 * 2**20)), headers={"Content-Type": "text/html", "Content-Encoding": "gzip"})


def slow(number: int, reply: Reply) -> Handler:
    def answer(_: Asked) -> Reply:
        time.sleep(0.02 * (number % 100 == 0))
        return reply

    return answer


def filled(site: Site) -> tuple[set[str], set[str]]:
    """Pages in a tree with links to what is above, to themselves, and by other addresses; and what is too large."""
    pages, bombs = set[str](), set[str]()
    for number in range(PAGES):
        below = [each for each in range(number * BELOW_EACH + 1, (number + 1) * BELOW_EACH + 1) if each < PAGES]
        places = [f"/docs/r/{each}" if each % 7 == 0 else f"/docs/many/{each}?utm_source=m{number}" for each in below]
        above = f"/docs/many/{(number - 1) // BELOW_EACH}" if number else "/docs/"
        body = html(f"page {number} " + links(*places, above, f"/docs/many/{number}#top", "/docs/"), f"Page {number}")
        # Its links are those of a page that was not read.
        is_bomb = number % 200 == 199 and not below
        site.pages[f"/docs/many/{number}"] = BOMB if is_bomb else slow(number, body)
        site.pages[f"/docs/r/{number}"] = redirect(f"/docs/many/{number}", 301)
        (bombs if is_bomb else pages).add(f"many/{number}")
    return pages, bombs


@pytest.mark.exhaustive
def test_the_exact_set_comes_out_of_two_thousand_pages_with_traps(site: Site, tmp_path: Path) -> None:
    other = Site("127.0.0.2")
    try:
        pages = trapped(site, other)
        entry = site.pages["/docs/"]
        assert isinstance(entry, Reply)
        body = entry.body.replace(b"</body>", b'<a href="many/0">all</a></body>')
        site.pages["/docs/"] = Reply(body, 200, entry.headers)
        many, bombs = filled(site)
        source = opened(site, tmp_path, max_depth=5, max_document_bytes=2**20, timeout="3s")
        listed = source.list()
        assert other.asked == []
    finally:
        other.close()
    assert {item.address for item in listed if item.problem is None} == pages | many
    refused = {item.address for item in listed if item.problem is not None}
    assert refused == {"forbidden", "broken", "bomb"} | bombs
    assert bombs
    # Every address was asked for once, one at a time.
    assert len(site.paths) == len(set(site.paths))
    assert site.most_at_once == 1
    asked = len(site.asked)
    again = opened(site, tmp_path, max_depth=5, max_document_bytes=2**20, timeout="3s").list()
    assert [(item.address, item.stamp) for item in again] == [(item.address, item.stamp) for item in listed]
    sent = [each for each in site.asked[asked:] if "if-none-match" not in each.headers]
    # Redirects, robots.txt and what was refused have nothing to compare.
    assert len(sent) < len(site.asked[asked:]) / 3
