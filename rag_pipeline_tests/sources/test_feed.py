"""Feeds of this machine in every dialect and state: what they list, and what an outage does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.sources import PermissionRule, Source, SourceObject
from rag_pipeline.errors import DocumentUnavailable, DocumentUnreadable, DocumentVanished, SourceUnavailable
from rag_pipeline.sources import open_source
from rag_pipeline.sources.feed.entries import Entry, NoFeed, entries_of
from rag_pipeline.sources.http import client
from rag_pipeline_tests.sources.site import Mute, Reply, Site, html, redirect
from rag_pipeline_tests.sources.test_web_conformance import feed_spec

URL = "http://news.example/feed"
RSS = '<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>News</title>{}</channel></rss>'
ATOM = '<feed xmlns="http://www.w3.org/2005/Atom"><title>News</title>{}</feed>'
RDF = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">{}</rdf:RDF>'


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)


def rss(*items: str) -> bytes:
    return RSS.format("".join(f"<item>{item}</item>" for item in items)).encode()


def opened(site: Site, **fields: Any) -> Source:
    return open_source(feed_spec(f"{site.url}/feed", **fields))


def one(raw: bytes) -> Entry:
    [entry] = entries_of(raw, URL)
    return entry


def test_an_entry_of_rss_is_a_page_of_its_own() -> None:
    body = "&lt;p&gt;Hello &lt;a href='/b'&gt;b&lt;/a&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;/p&gt;"
    entry = one(
        rss(
            f"<title>A &amp;amp; B</title><author>ann@example.com (Ann)</author><link>/a</link><guid>urn:1</guid>"
            f"<category>pumps</category><category>lamps</category><description>{body}</description>"
            f"<pubDate>Tue, 01 Jan 2019 10:00:00 +0200</pubDate>"
        )
    )
    assert (entry.address, entry.title, entry.link) == ("urn:1", "A & B", "http://news.example/a")
    assert entry.updated_at == datetime(2019, 1, 1, 8, tzinfo=UTC)
    assert (entry.tags, entry.media_type) == (("lamps", "pumps"), "text/html")
    assert "Ann" in entry.author
    page = entry.raw.decode()
    assert "<title>A &amp; B</title>" in page
    assert "Hello" in page
    assert "http://news.example/b" in page
    assert "script" not in page


def test_an_entry_of_atom_gives_its_whole_text_and_not_the_summary() -> None:
    entry = one(
        ATOM.format(
            "<entry><id>tag:x,2020:1</id><title type='html'>&lt;b&gt;Lamps&lt;/b&gt;</title><summary>short</summary>"
            "<content type='html'>&lt;p&gt;the whole text of it&lt;/p&gt;</content><updated>soon</updated>"
            "<author><name>Bo</name></author><link href='https://example.org/1'/></entry>"
        ).encode()
    )
    assert (entry.address, entry.title, entry.author, entry.link) == (
        "tag:x,2020:1",
        "Lamps",
        "Bo",
        "https://example.org/1",
    )
    assert entry.updated_at is None
    assert "whole text" in entry.body


def test_plain_text_stays_plain_and_rdf_is_read() -> None:
    atom = "<entry><id>1</id><title>T</title><content type='text'>1 &lt; 2</content></entry>"
    plain = one(ATOM.format(atom).encode())
    assert (plain.media_type, plain.raw) == ("text/plain", b"T\n\n1 < 2")
    found = one(RDF.format('<item rdf:about="http://x.example/1"><title>R</title><link>/1</link></item>').encode())
    assert found.title == "R"


def test_entries_with_one_id_or_none_are_told_apart_by_what_they_say() -> None:
    dated = "<guid>1</guid><pubDate>{} Jan 2020 00:00:00 GMT</pubDate><description>{}</description>"
    found = entries_of(rss(dated.format("02", "new"), dated.format("03", "newest"), dated.format("01", "old")), URL)
    assert [entry.body for entry in found] == ["newest"]
    nameless = entries_of(rss("<title>a</title>", "<title>b</title>", "<title>a</title>"), URL)
    assert sorted(entry.title for entry in nameless) == ["a", "b"]
    assert entries_of(rss("<title>b</title>", "<title>a</title>"), URL) == nameless


@pytest.mark.parametrize(
    "written", ["2020-01-02", "02 Jan 20 00:00 GMT", "Thu, 02 Jan 2020 01:00:00 +0100", "20200102"]
)
def test_times_are_read_in_any_form(written: str) -> None:
    entry = one(rss(f"<guid>1</guid><pubDate>{written}</pubDate>"))
    assert entry.updated_at == datetime(2020, 1, 2, tzinfo=UTC)


@given(st.text(max_size=300))
def test_every_id_is_an_address(name: str) -> None:
    given_name = "".join(letter for letter in name if letter.isprintable() and letter not in "<>&")
    [entry] = entries_of(ATOM.format(f"<entry><id>x{given_name}</id><title>t</title></entry>").encode(), URL)
    assert "/" not in entry.address
    assert entry.address.isprintable()
    assert len(entry.address) < 250


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(12))
REFUSED = {
    "a page": b"<html><body>Please log in</body></html>",
    "nothing": b"",
    "json": b"{}",
    "laughs": f"<!DOCTYPE rss [{LAUGHS}]>".encode() + rss("<title>&l11;</title>"),
    "file": b'<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + rss("<title>&x;</title>"),
    "wide laughs": ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE rss [<!ENTITY x "y">]><rss/>').encode("utf-16"),
    "cut": rss("<guid>1</guid><title>a</title>", "<guid>2</guid><title>b</title>")[:-40],
    "cut within an entry": rss("<guid>1</guid><title>a</title>")[:-60],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_whole_feed_is_an_outage(site: Site, name: str) -> None:
    with pytest.raises(NoFeed):
        entries_of(REFUSED[name], URL)
    site.pages["/feed"] = Reply(REFUSED[name], headers={"Content-Type": "application/rss+xml"})
    with pytest.raises(SourceUnavailable, match="Nothing of the source was changed"):
        opened(site).list()


@pytest.mark.parametrize(
    "reply",
    [Reply(status=404), Reply(status=401), Reply(status=500), redirect("http://10.0.0.1/feed"), redirect("/feed")],
    ids=["404", "401", "500", "private", "round"],
)
def test_a_feed_that_does_not_answer_is_an_outage(site: Site, reply: Reply) -> None:
    site.pages["/feed"] = rss_reply("<guid>1</guid><title>a</title>")
    source = opened(site)
    [item] = source.list()
    site.pages["/feed"] = reply
    with pytest.raises(SourceUnavailable):
        source.list()
    with pytest.raises(DocumentUnreadable):
        source.fetch(item)


def rss_reply(*items: str) -> Reply:
    return Reply(rss(*items), headers={"Content-Type": "application/rss+xml"})


def test_what_left_the_feed_is_kept_or_deleted_as_set(site: Site) -> None:
    first, second = "<guid>1</guid><title>a</title>", "<guid>2</guid><title>b</title>"
    site.pages["/feed"] = rss_reply(first, second)
    keeping, dropping = opened(site), opened(site, keep=False)
    assert (keeping.capabilities.is_complete, dropping.capabilities.is_complete) == (False, True)
    gone = keeping.list()[0]
    site.pages["/feed"] = rss_reply(second)
    with pytest.raises(SourceUnavailable, match="newest"):
        keeping.fetch(gone)
    with pytest.raises(DocumentVanished):
        dropping.fetch(gone)
    # Small faults are common; what may lack entries deletes nothing.
    site.pages["/feed"] = Reply(rss(first, "<title>R & D</title><guid>3</guid>"))
    assert len(keeping.list()) == 2
    with pytest.raises(SourceUnavailable, match="no whole XML"):
        dropping.list()


def test_the_pages_of_entries_are_read_where_they_may_be(site: Site) -> None:
    other = Site("127.0.0.2")
    item = "<guid isPermaLink='false'>{0}</guid><title>{0}</title><link>{1}</link><description>short {0}</description>"
    site.pages |= {
        "/feed": rss_reply(
            item.format("a", "/a"),
            item.format("b", "/gone"),
            item.format("c", f"{other.url}/c"),
            item.format("d", "/d"),
            "<guid isPermaLink='false'>e</guid><title>e</title><description>short e</description>",
        ),
        "/a": html("the whole of a"),
        "/d": Reply(status=503, headers={"Retry-After": "999"}),
    }
    try:
        source = opened(site, full_text=True, headers={"Cookie": "session=abcdefg"})
        read: dict[str, str] = {}
        for each in source.list():
            try:
                read[each.address] = (each.raw or source.fetch(each).raw).decode()
            except DocumentUnreadable as error:
                read[each.address] = error.message
        assert other.asked == []
    finally:
        other.close()
    expected = ("the whole of a", "short b", "not a public", "answers 503", "short e")
    for name, words in zip("abcde", expected, strict=True):
        assert words in read[name]
    assert site.paths.count("/feed") == 1


def test_an_entry_is_listed_with_its_bytes_and_what_it_says(site: Site) -> None:
    site.pages["/feed"] = rss_reply(
        "<guid isPermaLink='false'>n/1</guid><title>A</title><link>/a</link><category>x</category>"
        "<description>text</description><pubDate>Tue, 01 Jan 2019 10:00:00 GMT</pubDate>"
    )
    source = opened(site)
    [item] = source.list()
    assert (item.address, item.uri) == ("n%2F1", f"{site.url}/a")
    assert item.declared is not None
    assert item.declared.modified_at == datetime(2019, 1, 1, 10, tzinfo=UTC)
    assert item.declared.extra == {"link": f"{site.url}/a", "tags": "x"}
    assert item.raw == source.fetch(SourceObject(item.address, item.uri, None, None, "")).raw


def test_a_server_of_pages_that_says_nothing_is_asked_for_two_of_them(site: Site) -> None:
    mute = Mute()
    item = "<guid isPermaLink='false'>{0}</guid><title>{0}</title><link>{1}</link><description>short</description>"
    names = [f"{number:02}" for number in range(20)]
    site.pages |= {
        "/feed": rss_reply(
            *(item.format(name, f"{mute.url}/{name}") for name in names),
            item.format("x", "/x"),
            item.format("y", "/y"),
        ),
        "/x": Reply(status=500),
        "/y": html("the whole of y"),
    }
    try:
        source = opened(site, full_text=True)
        listed = source.list()
        for each in listed[:21]:
            with pytest.raises(DocumentUnavailable):
                source.fetch(each)
        # One page that breaks is not its server.
        assert b"the whole of y" in source.fetch(listed[21]).raw
        # Two pages, three tries each.
        assert mute.connections == 6
    finally:
        mute.close()


def test_entries_of_one_id_that_lead_to_several_pages_are_several(site: Site) -> None:
    item = "<guid isPermaLink='false'>same</guid><title>{0}</title><link>{1}</link><pubDate>{2} Jan 2019</pubDate>"
    a, b = item.format("first", "/1", "01"), item.format("second", "/2", "02")
    found = entries_of(rss(a, b, item.format("first, again", "/1", "03")), URL)
    assert sorted(entry.title for entry in found) == ["first, again", "second"]
    assert len({entry.address for entry in found}) == 2
    assert entries_of(rss(b, item.format("first, again", "/1", "03"), a), URL) == found
    assert [entry.address for entry in entries_of(rss(a), URL)] == ["same"]
    site.pages["/feed"] = rss_reply(a, b)
    source = opened(site)
    assert {source.fetch(each).raw for each in source.list()} == {each.raw for each in source.list()}


def test_rules_that_match_no_entry_are_told(site: Site) -> None:
    site.pages["/feed"] = rss_reply("<guid isPermaLink='false'>1</guid><title>a</title>")
    rules = tuple(PermissionRule(pattern, ("staff",)) for pattern in ("1", "2"))
    source = open_source(replace(feed_spec(f"{site.url}/feed"), permission_rules=rules))
    source.list()
    assert [each.name for each in source.idle()] == ["2"]
