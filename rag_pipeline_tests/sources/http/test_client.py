"""Asking a server of this machine that behaves badly in every way."""

from __future__ import annotations

import gzip
import itertools
import socket
import threading
import time
import traceback
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from rag_pipeline.shown import shown
from rag_pipeline.sources.http import Garbled, HttpClient, HttpFailure, HttpSettings, NoAnswer, NotAllowed, TooLarge
from rag_pipeline.sources.http.pace import Pace, asked_wait
from rag_pipeline_tests.sources.site import Asked, Reply, Site, redirect

HERE = ("127.0.0.1/32",)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def pace(self, **values: Any) -> Pace:
        return Pace(sleep=self.sleep, clock=lambda: self.now, **values)


def client(site: Site, clock: Clock | None = None, **values: Any) -> HttpClient:
    settings = {"home": site.url, "networks": HERE, "timeout_seconds": 5} | values
    return HttpClient(HttpSettings(**settings), (clock or Clock()).pace())


def test_an_answer_is_what_the_server_said(site: Site) -> None:
    site.pages["/a"] = Reply(b"text", headers={"Content-Type": "Text/Plain; charset=x", "Link": "<b>"})
    with client(site) as http:
        answer = http.get(f"{site.url}/a#part")
        again = http.get(f"{site.url}/a", etag=answer.headers["etag"])
        missing = http.get(f"{site.url}/none")
    assert (answer.url, answer.status, answer.body, answer.media_type) == (f"{site.url}/a", 200, b"text", "text/plain")
    assert (again.status, again.body, missing.status) == (304, b"", 404)
    assert site.asked[0].headers["user-agent"] == "rag-pipeline"
    # One connection is enough for all three.
    assert site.asked[0].headers["host"] == site.url.removeprefix("http://")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw", "two members"])
def test_coded_bodies_are_expanded(site: Site, coding: str) -> None:
    text = b"many words " * 1_000
    packed = {
        "gzip": gzip.compress(text),
        "deflate": zlib.compress(text),
        "raw": zlib.compress(text, wbits=-15),
        "two members": gzip.compress(text[:100]) + gzip.compress(text[100:]),
    }[coding]
    name = "gzip" if coding == "two members" else coding.replace("raw", "deflate")
    site.pages["/a"] = Reply(packed, headers={"Content-Encoding": name})
    with client(site) as http:
        assert http.get(f"{site.url}/a").body == text


def test_bodies_beyond_the_limit_are_never_held(site: Site) -> None:
    bomb = gzip.compress(b"\0" * (100 * 2**20), 9)
    site.pages["/bomb"] = Reply(bomb, headers={"Content-Encoding": "gzip"})
    site.pages["/endless"] = lambda _: Reply(pieces=itertools.repeat(b"x" * 65_536))
    site.pages["/cut"] = Reply(gzip.compress(b"text" * 1_000)[:-20], headers={"Content-Encoding": "gzip"})
    site.pages["/odd"] = Reply(b"text", headers={"Content-Encoding": "br"})
    site.pages["/broken"] = Reply(b"text", promised=100)
    with client(site, max_body_bytes=2**20, tries=1) as http:
        tracemalloc.start()
        try:
            for path in ("/bomb", "/endless"):
                with pytest.raises(TooLarge):
                    http.get(f"{site.url}{path}")
            assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
        finally:
            tracemalloc.stop()
        for path in ("/cut", "/odd"):
            with pytest.raises(Garbled):
                http.get(f"{site.url}{path}")
        with pytest.raises(NoAnswer):
            http.get(f"{site.url}/broken")


def test_a_body_that_is_not_wanted_is_not_read(site: Site) -> None:
    site.pages["/film"] = lambda _: Reply(headers={"Content-Type": "video/mp4"}, pieces=itertools.repeat(b"x" * 65_536))
    with client(site) as http:
        answer = http.get(f"{site.url}/film", takes=lambda answer: answer.media_type == "text/html")
    assert (answer.status, answer.body) == (200, b"")


def test_nothing_that_drips_outlasts_the_deadline(site: Site) -> None:
    def header_by_header(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            try:
                while True:
                    connection.sendall(b"X: y\r\n")
                    time.sleep(0.05)
            except OSError:
                return

    site.pages["/drip"] = lambda _: Reply(pieces=itertools.repeat(b"x"), pause=0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=header_by_header, args=(listener,))
        thread.start()
        started = time.monotonic()
        with client(site, timeout_seconds=0.4, tries=1) as http:
            for url in (f"{site.url}/drip", f"http://127.0.0.1:{listener.getsockname()[1]}/"):
                with pytest.raises(NoAnswer, match="in time"):
                    http.get(url)
        assert time.monotonic() - started < 4
        thread.join()


def test_redirects_are_judged_hop_by_hop(site: Site) -> None:
    other = Site("127.0.0.2")
    site.pages |= {
        "/a": redirect("/b"),
        "/b": redirect("c", 301),
        "/c": Reply(b"here"),
        "/file": redirect("file:///etc/passwd"),
        "/private": redirect(f"{other.url}/secret"),
        "/number": redirect(f"http://2130706434:{other.url.rpartition(':')[2]}/secret"),
        "/user": redirect(f"http://a:b@{site.url.removeprefix('http://')}/c"),
        "/round": redirect("/again"),
        "/again": redirect("/round"),
    }
    site.fallback = lambda asked: redirect(f"{asked.path}x")
    try:
        with client(site) as http:
            answer = http.get(f"{site.url}/a")
            assert (answer.url, answer.body) == (f"{site.url}/c", b"here")
            assert answer.hops == ((f"{site.url}/a", 302), (f"{site.url}/b", 301))
            for path in ("/file", "/private", "/number", "/user"):
                with pytest.raises(NotAllowed):
                    http.get(f"{site.url}{path}")
            for path in ("/round", "/more"):
                with pytest.raises(Garbled, match="redirects"):
                    http.get(f"{site.url}{path}")
            stayed = http.get(f"{site.url}/a", may_follow=lambda url: not url.endswith("/c"))
            assert (stayed.status, stayed.url, stayed.headers["location"]) == (301, f"{site.url}/b", "c")
        assert other.asked == []
    finally:
        other.close()


def test_credentials_go_to_the_configured_server_alone(site: Site) -> None:
    other = Site("127.0.0.2")
    site.pages |= {"/a": redirect(f"{other.url}/b"), "/c": Reply()}
    other.pages["/b"] = Reply(b"there")
    try:
        home = site.url.replace("http://", "http://reader:hidden-word@")
        cookie = {"Cookie": "session=very-secret", "X-Key": "key-of-mine"}
        with client(site, home=home, headers=cookie, networks=("127.0.0.0/8",)) as http:
            assert http.get(f"{site.url}/a", headers={"X-More": "more-of-it"}).body == b"there"
    finally:
        other.close()
    sent = site.asked[0].headers
    assert sent["authorization"] == "Basic cmVhZGVyOmhpZGRlbi13b3Jk"
    assert (sent["cookie"], sent["x-key"], sent["x-more"]) == ("session=very-secret", "key-of-mine", "more-of-it")
    [there] = other.asked
    assert not {"authorization", "cookie", "x-key", "x-more"} & there.headers.keys()
    # And none of it is in any message of ours.
    assert "hidden-word" not in shown("reader hidden-word")
    assert "very-secret" not in shown("session=very-secret")


@pytest.mark.parametrize("value", ["Bearer abc\ndef", "abc\0def"])
def test_a_header_that_cannot_be_sent_is_not_shown(site: Site, value: str) -> None:
    with client(site, headers={"Authorization": value}) as http, pytest.raises(HttpFailure) as failure:
        http.get(f"{site.url}/a")
    told = "".join(traceback.format_exception(failure.value)[-1:]) + repr(failure.value.__cause__)
    assert "header" in told
    assert "abc" not in told
    assert "def" not in told


def test_a_busy_or_broken_server_is_tried_again_as_it_asks(site: Site) -> None:
    replies = iter([Reply(status=503), Reply(status=429, headers={"Retry-After": "7"}), Reply(b"now")])
    site.pages["/a"] = lambda _: next(replies)
    site.pages["/long"] = Reply(status=429, headers={"Retry-After": "86400"})
    site.pages["/down"] = Reply(status=500)
    clock = Clock()
    with client(site, clock) as http:
        assert http.get(f"{site.url}/a").body == b"now"
        assert clock.slept == [0.5, 7]
        assert http.get(f"{site.url}/long").status == 429
        assert http.get(f"{site.url}/down").status == 500
    assert site.paths == ["/a"] * 3 + ["/long"] + ["/down"] * 3


def test_a_server_that_is_not_there_is_no_answer(site: Site) -> None:
    site.close()
    for url in (site.url, "http://no-such-host.invalid/", site.url.replace("http:", "https:")):
        with client(site, tries=2) as http, pytest.raises(NoAnswer):
            http.get(url)


def test_a_server_that_speaks_no_http_or_no_tls_is_no_answer(site: Site) -> None:
    with client(site, tries=1) as http, pytest.raises(HttpFailure):
        http.get(site.url.replace("http:", "https:"))


def test_one_host_is_asked_by_one_at_a_time_with_pauses(site: Site) -> None:
    site.fallback = lambda _: Reply(b"x")
    site.thinks_seconds = 0.005
    with HttpClient(HttpSettings(home=site.url, networks=HERE), Pace(0.03)) as http:
        threads = [threading.Thread(target=http.get, args=(f"{site.url}/{number}",)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(site.asked) == 6
    assert site.most_at_once == 1
    times = sorted(each.at for each in site.asked)
    assert min(after - before for before, after in itertools.pairwise(times)) >= 0.03


def test_a_post_sends_what_is_given(site: Site) -> None:
    seen: list[Asked] = []

    def post(asked: Asked) -> Reply:
        seen.append(asked)
        return Reply(b"{}", headers={"Content-Type": "application/json"})

    site.pages["/search"] = post
    with client(site) as http:
        answer = http.send("POST", f"{site.url}/search", headers={"Content-Type": "application/json"}, content=b"{}")
    assert answer.body == b"{}"
    assert (seen[0].headers["content-length"], seen[0].headers["content-type"]) == ("2", "application/json")


def test_waits_are_read_in_seconds_and_as_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert asked_wait("120", now) == 120
    assert asked_wait(format_datetime(now + timedelta(seconds=90), usegmt=True), now) == 90
    assert asked_wait(format_datetime(now - timedelta(seconds=90), usegmt=True), now) == 0
    for nothing in (None, "", "soon", "-1", "1.5", "\u0663", "Thu, 99 Foo 2026"):
        assert asked_wait(nothing, now) is None
