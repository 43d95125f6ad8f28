"""Addresses of the web in one form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.sources.http import NotAllowed, canonical, folder_of, origin


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("HTTP://Example.COM", "http://example.com/"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("http://example.com:8080/a#part", "http://example.com:8080/a"),
        ("http://example.com./%7euser/%C3%bc/../b%2fc", "http://example.com/~user/b%2Fc"),
        ("http://example.com/a/%2e%2e/b/.", "http://example.com/b/"),
        ("http://example.com/\u00fc b?q=\u00e4 c&r=%zz", "http://example.com/%C3%BC%20b?q=%C3%A4%20c&r=%25zz"),
        ("http://b\u00fccher.example/", "http://xn--bcher-kva.example/"),
        (" http://example.com/a\n/b?", "http://example.com/a/b"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("http://example.com/../../a", "http://example.com/a"),
        ("http:\\\\evil", "http://evil/"),
    ],
)
def test_spellings_of_one_place_are_one_address(written: str, meant: str) -> None:
    if "\\" in written:
        # Browsers read it as a host; what is no address for us is asked of nobody.
        with pytest.raises(NotAllowed):
            canonical(written)
        return
    assert canonical(written) == meant
    assert canonical(meant) == meant


@pytest.mark.parametrize(
    "bad",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "javascript:alert(1)",
        "http://user:pass@example.com/",
        "http://a\\@b/",
        "http:///x",
        "http://exa mple/",
        "http://[::1/",
        "http://example.com:99999/",
        "http://example.com/" + "a" * 3_000,
        "gopher://127.0.0.1:25/_MAIL",
        "",
    ],
)
def test_what_is_no_place_of_the_web_is_refused(bad: str) -> None:
    with pytest.raises(NotAllowed):
        canonical(bad)


@given(st.text(max_size=60))
def test_an_address_has_one_form_and_stays_below_its_host(link: str) -> None:
    try:
        found = canonical(link, "http://example.com/docs/guide/")
    except NotAllowed:
        return
    assert canonical(found) == found
    assert found.isascii()
    assert not any(letter.isspace() for letter in found)
    assert not {".", ".."}.intersection(found.split("?")[0].split("/")[3:])


def test_letter_case_of_a_path_counts() -> None:
    assert canonical("http://example.com/P/1.html") != canonical("http://example.com/p/1.html")
    assert origin("http://example.com:81/a") == "http://example.com:81"
    assert folder_of("http://example.com/docs/start.html?x=/y") == "http://example.com/docs/"
