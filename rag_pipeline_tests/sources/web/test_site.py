"""A site of this machine with every trap: what is listed of it, how it is asked, what an outage does."""

from __future__ import annotations

import base64
import gzip
import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.erasures import Erased, Tombstone, place_hash
from rag_pipeline.contracts.ids import bytes_hash
from rag_pipeline.contracts.sources import RemembersListings, SourceObject
from rag_pipeline.errors import DocumentUnavailable, DocumentVanished, SourceUnavailable
from rag_pipeline.sources import open_source
from rag_pipeline.sources.erased import without_erased
from rag_pipeline.sources.http import client
from rag_pipeline.sources.web import pages as page_module
from rag_pipeline.sources.web import site as site_module
from rag_pipeline.sources.web import sitemaps
from rag_pipeline.sources.web.site import WebSite
from rag_pipeline.testing.conformance import known_of
from rag_pipeline.transforms.listing import plan_listing, remembered
from rag_pipeline_tests.sources.site import Asked, Mute, Reply, Site, html, redirect
from rag_pipeline_tests.sources.test_web_conformance import web_spec

PDF = b"%PDF-1.4 not really"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)


def links(*places: str) -> str:
    return "".join(f'<a href="{place}">to {place}</a>' for place in places)


def opened(site: Site, folder: Path, **fields: Any) -> WebSite:
    source = open_source(web_spec(fields.pop("location", f"{site.url}/docs/"), folder, **fields))
    assert isinstance(source, WebSite)
    assert isinstance(source, RemembersListings)
    return source


def addresses(listed: Sequence[SourceObject]) -> list[str]:
    return [item.address for item in listed if item.problem is None]


def calendar(asked: Asked) -> Reply:
    month = int(asked.path.rpartition("/")[2])
    return html(f"month {month} {links(f'/docs/calendar/{month + 1}')}")


def session_loop(asked: Asked) -> Reply:
    number = len(asked.path) * 7919
    return html(f"visit {number}" + links(f"/docs/shop?SID={number}", f"/docs/shop;jsessionid={number}"))


def trapped(site: Site, other: Site) -> set[str]:
    """Fill a site; the addresses that are its pages."""
    site.pages |= {
        "/robots.txt": Reply(b"User-agent: *\nDisallow: /docs/private/\nAllow: /docs/private/open\n"),
        "/docs/": html(
            links("a", "b/", "old", "round1", "endless0", "calendar/1", "shop?sid=1", "private/x", "private/open")
            + links("paper.pdf", "logo.png", "tool.zip", "style", "latin", "wrong", "dup?x=1", "dup", "dup?y=2")
            + links("mine", "A", "noindex", "quiet", "bomb", "forbidden", "broken", "gone", "deep/0", "frame")
            + links("/elsewhere", "../outside", f"{other.url}/docs/x", "http://10.0.0.1/docs/", "file:///etc/passwd")
            + links("//127.0.0.2/docs/", "javascript:alert(1)", "mailto:a@b", "http://[bad", "#top", "?utm_source=x")
        ),
        "/docs/a": html("page a " + links("/docs/", "b/", "a#part"), "A page"),
        "/docs/A": html("page A, another one"),
        "/docs/b/": html("page b " + links("../a", "./", "c")),
        "/docs/b/c": html('<base href="/docs/b/">page c ' + links("d")),
        "/docs/b/d": html("page d"),
        "/docs/old": redirect("/docs/new", 301),
        "/docs/new": html("moved here"),
        "/docs/round1": redirect("/docs/round2"),
        "/docs/round2": redirect("/docs/round1"),
        "/docs/endless0": lambda asked: redirect(f"{asked.path}0"),
        "/docs/shop": session_loop,
        "/docs/private/x": html("not for robots"),
        "/docs/private/open": html("for robots"),
        "/docs/paper.pdf": Reply(PDF, headers={"Content-Type": "text/html"}),
        "/docs/style": Reply(b"a{}", headers={"Content-Type": "text/css"}),
        "/docs/latin": Reply(
            "Gr\u00fc\u00dfe".encode("latin-1"), headers={"Content-Type": "text/html; charset=latin1"}
        ),
        "/docs/wrong": Reply("Gr\u00fc\u00dfe".encode(), headers={"Content-Type": "text/html; charset=latin1"}),
        "/docs/dup": html("one page under many addresses"),
        "/docs/mine": html('<link rel="canonical" href="/docs/proper">' + links("only-from-mine")),
        "/docs/proper": html('<link rel="canonical" href="/docs/proper">the proper page'),
        "/docs/only-from-mine": html("nobody else leads here"),
        "/docs/noindex": html('<meta name="robots" content="noindex">' + links("found-all-the-same")),
        "/docs/found-all-the-same": html("found"),
        "/docs/quiet": html('<meta name="robots" content="nofollow">' + links("never")),
        "/docs/never": html("never"),
        "/docs/bomb": Reply(
            gzip.compress(b"\0" * (32 * 2**20)), headers={"Content-Type": "text/html", "Content-Encoding": "gzip"}
        ),
        "/docs/drip": lambda _: Reply(pieces=itertools.repeat(b"x"), pause=0.02),
        "/docs/forbidden": Reply(status=403),
        "/docs/broken": Reply(status=500, headers={"Retry-After": "999"}),
        "/docs/gone": Reply(status=410),
        "/docs/frame": html("<frameset><frame src='framed'></frameset>"),
        "/docs/framed": html("within a frame"),
        "/docs/x1": html('<link rel="canonical" href="/docs/x2">1'),
        "/docs/x2": html('<link rel="canonical" href="/docs/x1">2'),
        "/elsewhere": html("not below the prefix"),
        "/outside": html("not below the prefix"),
    }
    for number in range(8):
        site.pages[f"/docs/deep/{number}"] = html(f"depth {number} " + links(str(number + 1)))
    site.fallback = lambda asked: calendar(asked) if asked.path.startswith("/docs/calendar/") else endless(asked)
    pages = {"_index", "a", "A", "b/_index", "b/c", "b/d", "new", "shop", "private/open", "paper.pdf", "latin", "wrong"}
    pages |= {"dup", "proper", "found-all-the-same", "quiet", "frame", "framed"}
    return pages | {f"deep/{n}" for n in range(5)} | {f"calendar/{n}" for n in range(1, 6)}


def endless(asked: Asked) -> Reply:
    return redirect(f"{asked.path}0") if "endless" in asked.path else Reply(b"no such page", 404)


def test_the_exact_set_of_pages_comes_out_of_a_site_full_of_traps(site: Site, tmp_path: Path) -> None:
    other = Site("127.0.0.2")
    try:
        pages = trapped(site, other)
        site.thinks_seconds = 0.005
        source = opened(site, tmp_path, max_depth=5, max_document_bytes=2**20, timeout="3s")
        listed = source.list()
        assert other.asked == []
    finally:
        other.close()
    assert set(addresses(listed)) == pages
    refused = {item.address: item.problem.code for item in listed if item.problem is not None}
    assert refused == {"forbidden": "unreadable", "broken": "unreadable", "bomb": "too_large"}
    by_address = {item.address: item for item in listed}
    # Every address was asked for once, and what has no text not at all.
    assert len(site.paths) - len(set(site.paths)) == 0
    assert not {"/docs/logo.png", "/docs/tool.zip", "/docs/private/x", "/docs/never", "/elsewhere"} & set(site.paths)
    assert site.most_at_once == 1
    fetched = {name: source.fetch(by_address[name]) for name in ("latin", "wrong", "paper.pdf")}
    assert "Gr\u00fc\u00dfe" in fetched["latin"].raw.decode("utf-8-sig")
    assert "Gr\u00fc\u00dfe" in fetched["wrong"].raw.decode()
    assert (fetched["paper.pdf"].raw, fetched["paper.pdf"].declared.media_type) == (PDF, None)
    read = by_address["a"].read
    assert read is not None
    assert read() == source.fetch(by_address["a"]).raw
    # Nothing changed, so nothing is sent.
    asked = len(site.asked)
    again = opened(site, tmp_path, max_depth=5, max_document_bytes=2**20, timeout="3s").list()
    assert [(item.address, item.stamp) for item in again] == [(item.address, item.stamp) for item in listed]
    conditions = [each for each in site.asked[asked:] if "if-none-match" in each.headers]
    assert len(conditions) >= len(pages)


def test_pages_that_name_each_other_are_one(site: Site, tmp_path: Path) -> None:
    site.pages["/docs/"] = html(links("x2"))
    site.pages["/docs/x1"] = html('<link rel="canonical" href="/docs/x2">' + links("y"))
    site.pages["/docs/x2"] = html('<link rel="canonical" href="/docs/x1">' + links("y"))
    site.pages["/docs/y"] = html("y")
    assert addresses(opened(site, tmp_path).list()) == ["_index", "x1", "y"]


def test_a_proper_address_that_is_no_page_hides_nothing(site: Site, tmp_path: Path) -> None:
    site.pages["/docs/"] = html(links("a", "b"))
    site.pages["/docs/a"] = html('<link rel="canonical" href="/docs/nowhere">' + links("c"))
    site.pages["/docs/b"] = html('<link rel="canonical" href="https://example.org/b">')
    site.pages["/docs/c"] = html("c")
    assert addresses(opened(site, tmp_path).list()) == ["_index", "a", "b", "c"]


OUTAGES = {
    "503": Reply(status=503, headers={"Retry-After": "999"}),
    "401": Reply(status=401),
    "403": Reply(status=403),
    "login elsewhere": redirect("https://login.example/"),
    "login here": redirect("/login"),
    "no answer": Reply(b"x", promised=100),
    "garbled": Reply(b"x", headers={"Content-Encoding": "br", "Content-Type": "text/html"}),
    "soft 404": html("Sorry, nothing at this address"),
}


@pytest.mark.parametrize(("place", "state"), [("a", "kept"), ("b", "lost"), ("hub", "lost")])
@pytest.mark.parametrize("outage", OUTAGES)
def test_a_page_that_does_not_answer_takes_nothing_away(
    site: Site, tmp_path: Path, place: str, outage: str, state: str
) -> None:
    site.pages |= {
        "/docs/": html(links("hub", "a")),
        "/docs/hub": html(links("b", "c")),
        "/docs/a": html("a"),
        "/docs/b": html("b"),
        "/docs/c": html("c"),
        "/login": html("who are you?"),
    }
    if outage == "soft 404":
        site.fallback = lambda asked: html(f"Sorry, nothing at {asked.path}, it is 12:{len(site.asked)}")
        site.pages["/robots.txt"] = Reply(status=404)
    known = known_of(opened(site, tmp_path, timeout="1s"))
    assert [item.address for item in known] == ["_index", "a", "b", "c", "hub"]
    site.pages[f"/docs/{place}"] = OUTAGES[outage] if outage != "soft 404" else site.fallback
    folder = tmp_path if state == "kept" else tmp_path / "elsewhere"
    source = opened(site, folder, timeout="1s")
    source.remember(remembered(known))
    plan = plan_listing(known, source.list())
    assert (plan.vanished, plan.to_fetch, len(plan.unchanged)) == ((), (), 5)
    [note] = source.idle()
    assert (note.field, note.name) == ("page", f"{site.url}/docs/{place}")
    assert "what was read of it before stands" in note.text


@pytest.mark.parametrize("outage", [name for name in OUTAGES if name != "soft 404"])
def test_a_first_page_that_does_not_answer_is_an_outage(site: Site, tmp_path: Path, outage: str) -> None:
    site.pages |= {"/docs/": html(links("a")), "/docs/a": html("a"), "/login": html("who are you?")}
    source = opened(site, tmp_path, timeout="1s")
    source.list()
    site.pages["/docs/"] = OUTAGES[outage]
    with pytest.raises(SourceUnavailable, match="first page"):
        source.list()


@pytest.mark.parametrize(
    "reply", [OUTAGES["503"], OUTAGES["no answer"], Reply(status=429, headers={"Retry-After": "99"})]
)
def test_rules_that_cannot_be_read_allow_nothing(site: Site, tmp_path: Path, reply: Reply) -> None:
    site.pages |= {"/docs/": html("x"), "/robots.txt": reply}
    with pytest.raises(SourceUnavailable, match=r"robots\.txt"):
        opened(site, tmp_path, timeout="1s").list()
    assert addresses(opened(site, tmp_path, obey_robots=False).list()) == ["_index"]


@pytest.mark.parametrize("delay", ["1e9", "61"])
def test_a_pause_without_end_is_not_kept(site: Site, tmp_path: Path, delay: str) -> None:
    site.pages |= {"/docs/": html("x"), "/robots.txt": Reply(f"User-agent: *\nCrawl-delay: {delay}\n".encode())}
    with pytest.raises(SourceUnavailable, match="delay_seconds` to that"):
        opened(site, tmp_path).list()


def test_what_is_gone_is_deleted_and_what_is_only_unlinked_stays(site: Site, tmp_path: Path) -> None:
    site.pages |= {"/docs/": html(links(*"abcdefg"))} | {f"/docs/{name}": html(name) for name in "abcdefg"}
    known = known_of(opened(site, tmp_path))
    # Nothing leads to them any more.
    site.pages["/docs/"] = html("no links")
    site.pages |= {
        "/docs/a": Reply(status=404),
        "/docs/b": Reply(status=410),
        "/docs/c": redirect("/docs/c2", 301),
        "/docs/c2": html("c"),
        "/docs/d": redirect("https://example.org/", 308),
        "/docs/e": html('<meta name="robots" content="noindex">e'),
        "/docs/f": redirect("/docs/f2", 302),
        "/docs/f2": html("f"),
    }
    source = opened(site, tmp_path)
    source.remember(remembered(known))
    assert addresses(source.list()) == ["_index", "c2", "f2", "g"]
    item = next(each for each in known if each.address == "a")
    with pytest.raises(DocumentVanished):
        source.fetch(SourceObject(item.address, item.uri, None, None, ""))


def test_many_pages_that_redirect_to_one_place_did_not_move_there(site: Site, tmp_path: Path) -> None:
    site.pages |= {"/docs/": html(links(*"abc", "login"))} | {f"/docs/{name}": html(name) for name in "abc"}
    site.pages["/docs/login"] = html("who are you?")
    known = known_of(opened(site, tmp_path))
    site.pages |= {f"/docs/{name}": redirect("/docs/login") for name in "abc"}
    source = opened(site, tmp_path)
    source.remember(remembered(known))
    assert plan_listing(known, source.list()).vanished == ()


@pytest.mark.parametrize("login", ["/docs/login", "/docs/login?next={path}"], ids=["forbidden", "one for each"])
def test_a_login_that_ran_out_takes_no_page_away_and_lists_none_of_its_own(
    site: Site, tmp_path: Path, login: str
) -> None:
    site.pages |= {"/docs/": html(links("m/a", "m/b", "c"))} | {f"/docs/{name}": html(name) for name in ("m/a", "c")}
    site.pages |= {"/docs/m/b": html("b"), "/robots.txt": Reply(b"User-agent: *\nDisallow: /docs/login$\n")}
    site.pages["/docs/login"] = lambda asked: html(f"log in for {asked.path}" + links("register"))
    site.pages["/docs/register"] = html("join us")
    known = known_of(opened(site, tmp_path))
    site.pages |= dict.fromkeys(("/docs/m/a", "/docs/m/b"), lambda asked: redirect(login.format(path=asked.path)))
    # Another spelling of its address is the same page, whatever stands there now.
    site.pages |= {"/docs/c": redirect("/docs/c/"), "/docs/c/": html("edited")}
    source = opened(site, tmp_path)
    source.remember(remembered(known))
    plan = plan_listing(known, source.list())
    assert [item.address for item in plan.vanished] == ["c"]
    assert [item.address for _, item in plan.to_fetch] == ["c/_index"]
    assert [(note.name, "redirects for now" in note.text) for note in source.idle()] == [
        (f"{site.url}/docs/m/{name}", True) for name in "ab"
    ]
    # With the first page behind it, too, nothing is known any more.
    site.pages["/docs/"] = lambda asked: redirect(login.format(path=asked.path))
    with pytest.raises(SourceUnavailable, match="first page"):
        source.list()


def test_a_walk_that_is_cut_short_deletes_nothing(site: Site, tmp_path: Path) -> None:
    site.pages |= {"/docs/": html(links(*"abc"))} | {f"/docs/{name}": html(name) for name in "abc"}
    assert len(opened(site, tmp_path, max_pages=4).list()) == 4
    with pytest.raises(SourceUnavailable, match="max_pages"):
        opened(site, tmp_path, max_pages=3).list()
    with pytest.raises(SourceUnavailable, match="max_duration"):
        opened(site, tmp_path, max_duration="1s", delay_seconds=0.6).list()


def test_a_site_that_goes_down_on_the_way_is_not_waited_for(site: Site, tmp_path: Path) -> None:
    pages = {f"/docs/{number}": html(str(number)) for number in range(50)}
    down = Reply(status=503, headers={"Retry-After": "999"})
    site.pages |= {"/docs/": html(links(*map(str, range(50)))), **pages}
    opened(site, tmp_path).list()
    asked = len(site.asked)
    first = iter([site.pages["/docs/"]])
    site.pages |= dict.fromkeys(pages, down)
    begins = site.pages["/docs/"]
    site.pages["/docs/"] = lambda _: begins if next(first, None) else down
    with pytest.raises(SourceUnavailable, match="went down"):
        opened(site, tmp_path).list()
    assert len(site.asked) - asked < 12
    # Where the site itself answers, broken pages are nothing but that.
    site.pages["/docs/"] = begins
    assert len(opened(site, tmp_path).list()) == 51


def test_one_page_that_breaks_is_not_its_site_and_pages_share_a_connection(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages |= {"/docs/": html(links(*"abc"))} | {f"/docs/{name}": html(name) for name in "abc"}
    clients: list[object] = []
    made = site_module.opened_for

    def counted(*given: Any) -> Any:
        clients.append(given)
        return made(*given)

    monkeypatch.setattr(site_module, "opened_for", counted)
    source = opened(site, tmp_path)
    listed = {item.address: item for item in source.list()}
    site.pages |= {"/docs/a": Reply(status=500), "/docs/b": Reply(b"x" * 9, promised=99)}
    for name in "ab":
        with pytest.raises(DocumentUnavailable):
            source.fetch(listed[name])
    assert source.fetch(listed["c"]).raw
    assert len(clients) == 1


def test_a_site_that_says_nothing_is_asked_twice(tmp_path: Path) -> None:
    mute = Mute()
    try:
        source = open_source(web_spec(f"{mute.url}/docs/", tmp_path, obey_robots=False))
        for name in "abcdef":
            with pytest.raises(DocumentUnavailable):
                source.fetch(SourceObject(name, name, None, None, ""))
        # Three tries each.
        assert mute.connections == 6
    finally:
        mute.close()


def test_links_that_are_not_followed_are_told(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_LINKS", 3)
    site.pages |= {"/docs/": html(links(*"aabbcde"))} | {f"/docs/{name}": html(name) for name in "abcde"}
    for _ in range(2):
        source = opened(site, tmp_path)
        assert addresses(source.list()) == ["_index", "a", "b", "c"]
        [note] = source.idle()
        assert (note.field, note.name) == ("links", f"{site.url}/docs/")
        assert "2 more than" in note.text


def test_what_is_remembered_of_a_site_is_written_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    save = site_module.save_state

    def counted(folder: str | None, recipe: str, state: Any) -> None:
        written.append(len(state.pages))
        save(folder, recipe, state)

    monkeypatch.setattr(site_module, "save_state", counted)
    site.pages |= {"/docs/": html(links(*"ab"))} | {f"/docs/{name}": html(name) for name in "ab"}
    opened(site, tmp_path).list()
    assert written == [3]
    with pytest.raises(SourceUnavailable):
        opened(site, tmp_path, max_pages=2).list()
    assert written == [3, 3]


def test_sitemaps_of_more_pages_than_can_be_asked_for_are_no_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemaps, "MOST_PAGES", 3)
    places = [f"http://x.example/{number}" for number in range(4)]
    assert sitemaps.pages_of(["http://x.example/s"], lambda _: sitemap(*places[:3])) == places[:3]
    with pytest.raises(sitemaps.Unreadable, match="more than 3 pages"):
        sitemaps.pages_of(["http://x.example/s"], lambda _: sitemap(*places))


def sitemap(*places: str, kind: str = "urlset") -> bytes:
    entry = "url" if kind == "urlset" else "sitemap"
    found = "".join(f"<{entry}><loc>{place}</loc></{entry}>" for place in places)
    return f'<?xml version="1.0"?><{kind} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{found}</{kind}>'.encode()


def test_sitemaps_name_the_pages(site: Site, tmp_path: Path) -> None:
    home = f"{site.url}/docs"
    site.pages |= {
        "/robots.txt": Reply(f"Sitemap: {site.url}/maps/all.xml\nSitemap: /maps/plain.txt\n".encode()),
        "/maps/all.xml": Reply(
            sitemap(
                f"{site.url}/maps/1.xml.gz", f"{site.url}/maps/all.xml", f"{site.url}/maps/2.xml", kind="sitemapindex"
            )
        ),
        "/maps/1.xml.gz": Reply(gzip.compress(sitemap(f"{home}/a", f"{home}/b?sid=1", "file:///etc/passwd"))),
        "/maps/2.xml": Reply(sitemap(f" {home}/c\n", "https://example.org/docs/x", f"{site.url}/outside")),
        "/maps/plain.txt": Reply(f"{home}/d\n{home}/gone\n".encode()),
    }
    site.pages |= {f"/docs/{name}": html(name + links("unlisted")) for name in "abcd"}
    site.pages["/docs/unlisted"] = html("no sitemap names it")
    source = opened(site, tmp_path, discover="sitemap")
    assert addresses(source.list()) == list("abcd")
    site.pages["/maps/plain.txt"] = Reply(f"{home}/a".encode())
    assert addresses(opened(site, tmp_path, discover="sitemap").list()) == list("abc")
    assert addresses(opened(site, tmp_path, discover="sitemap", sitemaps=["/maps/2.xml"]).list()) == ["c"]


BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">]>'
)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=404),
        Reply(status=503, headers={"Retry-After": "999"}),
        Reply(sitemap("http://127.0.0.1/docs/a")[:-9]),
        html("nothing here"),
        Reply(b"Not found"),
        Reply(gzip.compress(sitemap("http://127.0.0.1/docs/a"))[:-9]),
        Reply(gzip.compress(b" " * (64 * 2**20))),
        redirect("/maps/round"),
        Reply(b""),
        Reply(gzip.compress(b"\n")),
    ],
    ids=["404", "503", "cut", "page", "text", "cut gz", "bomb", "round", "empty", "empty gz"],
)
def test_a_sitemap_that_cannot_be_read_whole_is_an_outage(site: Site, tmp_path: Path, reply: Reply) -> None:
    site.pages |= {"/docs/a": html("a"), "/maps/round": redirect("/maps/round"), "/2.xml": reply}
    site.pages["/sitemap.xml"] = Reply(sitemap("/2.xml", "/3.xml", kind="sitemapindex"))
    site.pages["/3.xml"] = Reply(sitemap(f"{site.url}/docs/a"))
    with pytest.raises(SourceUnavailable, match="sitemap cannot be read whole"):
        opened(site, tmp_path, discover="sitemap", timeout="2s").list()


def test_entities_of_a_sitemap_are_not_expanded(site: Site, tmp_path: Path) -> None:
    site.pages["/docs/a"] = html("a")
    entities = BOMB + sitemap(f"{site.url}/docs/a", f"{site.url}/docs/&c;").partition(b"?>")[2]
    site.pages["/sitemap.xml"] = Reply(entities)
    # Whatever is expanded would be a page.
    site.fallback = lambda asked: html(f"page {asked.path}") if asked.path.startswith("/docs/") else Reply(status=404)
    assert addresses(opened(site, tmp_path, discover="sitemap").list()) == ["_index", "a"]
    assert not [path for path in site.paths if "a" * 10 in path]


def test_a_first_page_above_the_prefix_leads_to_pages_and_is_none(site: Site, tmp_path: Path) -> None:
    site.pages |= {"/": html(links("docs/a", "b")), "/docs/a": html("a" + links("/")), "/b": html("b")}
    source = opened(site, tmp_path, location=f"{site.url}/", prefix="/docs/", exclude=["nothing/**"])
    assert addresses(source.list()) == ["a"]
    assert site.paths.count("/") == 1
    assert "/b" not in site.paths


def test_it_logs_in_by_header_at_this_site_alone(site: Site, tmp_path: Path) -> None:
    def guarded(asked: Asked) -> Reply:
        return html("secret page") if asked.headers.get("cookie") == "session=abcdefg" else Reply(status=401)

    site.pages["/docs/"] = guarded
    assert addresses(opened(site, tmp_path, headers={"Cookie": "session=abcdefg"}).list()) == ["_index"]
    with pytest.raises(SourceUnavailable, match="answers 401"):
        opened(site, tmp_path).list()
    # What was read under one name is not taken for what another one may read.
    assert "if-none-match" not in site.asked[-1].headers


def test_pauses_are_kept_as_the_site_wishes(site: Site, tmp_path: Path) -> None:
    site.pages |= {"/docs/": html(links(*"abc"))} | {f"/docs/{name}": html(name) for name in "abc"}
    site.pages["/robots.txt"] = Reply(b"User-agent: rag-pipeline\nCrawl-delay: 0.1\n")
    site.thinks_seconds = 0.005
    opened(site, tmp_path, delay_seconds=0.01).list()
    times = [each.at for each in site.asked[1:]]
    assert min(after - before for before, after in itertools.pairwise(times)) >= 0.1
    assert site.most_at_once == 1


def test_what_is_excluded_is_not_asked_for_and_what_is_not_included_is_walked_through(
    site: Site, tmp_path: Path
) -> None:
    site.pages |= {
        "/docs/": html(links("guide/a", "old/x")),
        "/docs/guide/a": html("a" + links("../tips/b")),
        "/docs/tips/b": html("b" + links("../guide/c")),
        "/docs/guide/c": html("c"),
        "/docs/old/x": html("x"),
    }
    source = opened(site, tmp_path, include=["guide/**", "nothing/*"], exclude=["old/**"])
    assert addresses(source.list()) == ["guide/a", "guide/c"]
    assert "/docs/old/x" not in site.paths
    assert [each.name for each in source.idle()] == ["nothing/*"]


def test_a_sample_asks_for_few_pages_and_leaves_no_state(site: Site, tmp_path: Path) -> None:
    site.pages |= {"/docs/": html(links(*map(str, range(50))))} | {f"/docs/{n}": html(str(n)) for n in range(50)}
    assert addresses(opened(site, tmp_path).sample(4)) == ["0", "1", "2", "_index"]
    assert len(site.asked) < 8
    assert not (tmp_path / "state").exists()
    site.pages["/docs/"] = redirect("https://docs.example/")
    with pytest.raises(SourceUnavailable, match=r"docs\.example/; write that as `location`"):
        opened(site, tmp_path).list()
    with pytest.raises(SourceUnavailable, match=r"docs\.example/; write that as `location`"):
        opened(site, tmp_path).sample(4)


def test_a_walk_that_another_login_began_is_not_gone_on_with(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "Basic " + base64.b64encode(b"ada:pw").decode()

    def page(asked: Asked) -> Reply:
        return html("a secret") if asked.headers.get("authorization") == secret else Reply(status=404)

    site.pages |= {"/docs/": html(links("a")), "/docs/a": page}
    with monkeypatch.context() as killed:
        killed.setattr(site_module.Journal, "end", lambda _: None)
        as_ada = opened(site, tmp_path, location=f"{site.url}/docs/".replace("://", "://ada:pw@"))
        assert addresses(as_ada.list()) == ["_index", "a"]
    as_bo = opened(site, tmp_path, location=f"{site.url}/docs/".replace("://", "://bo:pw@"))
    as_bo.remember({})
    assert addresses(as_bo.list()) == ["_index"]


@pytest.mark.parametrize("by", ["place", "content"])
def test_what_was_erased_is_not_kept_by_the_walks_that_meet_it_again(site: Site, tmp_path: Path, by: str) -> None:
    pages = {name: html(f"words of {name}", **{"ETag": name}) for name in "ab"}

    def page(asked: Asked) -> Reply:
        return Reply(status=304) if "if-none-match" in asked.headers else pages[asked.path[-1]]

    site.pages |= {"/docs/": html(links("a", "b")), "/docs/a": page, "/docs/b": page}
    place = place_hash("site", "a" if by == "place" else "elsewhere")
    stone = Tombstone("e1", place, (bytes_hash(pages["a"].body),), by == "content", "2026-01-01T00:00:00+00:00")
    for _ in range(2):
        source = without_erased(opened(site, tmp_path), Erased((stone,)))
        assert isinstance(source, RemembersListings)
        # The run before was killed after its listing: all is still to be taken in.
        source.remember({})
        source.list()
        [kept] = (tmp_path / "state").rglob("walk.bytes")
        assert b"words of b" in kept.read_bytes()
        assert b"words of a" not in kept.read_bytes()


@pytest.mark.parametrize("damage", [b"", b"not zipped", gzip.compress(b"[]"), gzip.compress(b"{}")], ids=range(4))
def test_a_damaged_state_costs_one_more_reading(site: Site, tmp_path: Path, damage: bytes) -> None:
    site.pages |= {"/docs/": html(links("a")), "/docs/a": html("a")}
    before = opened(site, tmp_path).list()
    [file] = (tmp_path / "state").rglob("*.gz")
    file.write_bytes(damage)
    assert opened(site, tmp_path).list() == before
    shutil.rmtree(file.parent)
    file.parent.write_text("no folder")
    assert opened(site, tmp_path).list() == before


@pytest.mark.parametrize(
    ("location", "word"),
    [
        ("ftp://example.com/", "http"),
        ("docs", "http"),
        ("http://169.254.169.254/latest/", "public"),
        ("http://[::1]/", "networks"),
    ],
)
def test_a_place_that_is_not_read_is_one_clear_error(site: Site, tmp_path: Path, location: str, word: str) -> None:
    with pytest.raises(SourceUnavailable, match=word):
        opened(site, tmp_path, location=location).list()
