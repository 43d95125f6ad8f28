"""Addresses of pages below a prefix, and back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rag_pipeline.sources.http import NotAllowed, canonical
from rag_pipeline.sources.web.addresses import address_of_page, is_variant_of, url_of_page, without_sessions

PREFIX = "http://example.com/docs/"


@pytest.mark.parametrize(
    ("behind", "address"),
    [
        ("", "_index"),
        ("guide.html", "guide.html"),
        ("guide/", "guide/_index"),
        ("guide/_index", "guide/%5Findex"),
        ("a//b", "a/_empty/b"),
        ("%C3%BC%20b", "\u00fc b"),
        ("a%2Fb", "a%2Fb"),
        ("%FF", "%FF"),
        ("view?id=1&back=/home/", "view?id=1&back=%2Fhome%2F"),
        ("view?back=%2Fhome", "view?back=%252Fhome"),
        ("%E2%80%AE", "%E2%80%AE"),
    ],
)
def test_addresses_are_paths_without_empty_names(behind: str, address: str) -> None:
    assert address_of_page(PREFIX + behind, PREFIX) == address
    assert url_of_page(address, PREFIX) == PREFIX + behind


@given(st.lists(st.sampled_from("/?%a.~_;=&\u00fc\u20ac #:@\n")).map("".join) | st.text(max_size=30))
@example("_empty/_index")
@example("?%25252F")
def test_every_page_has_an_address_that_leads_back(link: str) -> None:
    try:
        url = canonical(link.lstrip("/"), PREFIX)
    except NotAllowed:
        return
    if not url.startswith(PREFIX):
        return
    address = address_of_page(url, PREFIX)
    assert url_of_page(address, PREFIX) == url
    assert not {"", ".", ".."}.intersection(address.split("/"))
    assert address.isprintable()


def test_sessions_are_no_part_of_an_address() -> None:
    dropped = ("utm_*", "sid")
    url = "http://example.com/a;jsessionid=1F?UTM_source=x&id=1&sid=7&b"
    assert without_sessions(url, dropped) == "http://example.com/a?id=1&b"
    assert without_sessions("http://example.com/a?sid=7", dropped) == "http://example.com/a"
    assert without_sessions("http://example.com/a;v=1?id=1", dropped) == "http://example.com/a;v=1?id=1"


def test_spellings_of_one_page() -> None:
    spelled = ("a", "a/", "a/index.html", "a/index.php", "a?x=1")
    assert {is_variant_of(PREFIX + each) for each in spelled} == {f"{PREFIX}a"}
    assert is_variant_of(f"{PREFIX}a") != is_variant_of(f"{PREFIX}a.html")
