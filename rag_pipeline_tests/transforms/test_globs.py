"""Globs match whole addresses, the way gitignore and pathlib understand `**`."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.transforms.globs import compile_globs, segments_of


@pytest.mark.parametrize(
    ("pattern", "address", "matches"),
    [
        ("**/*.md", "a.md", True),
        ("**/*.md", "x/y/a.md", True),
        ("**/*.md", "x/a.mdx", False),
        ("*.md", "x/a.md", False),
        ("**/*", "x/y", True),
        ("**", "x/y", True),
        ("docs/**", "docs/x/y", True),
        ("docs/**", "docs", False),
        ("docs/", "docs/x/y", True),
        ("/docs/*.md", "docs/a.md", True),
        ("./docs/*.md", "docs/a.md", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b", "ab", False),
        ("a**b", "a/b", False),
        ("a**b", "axxb", True),
        ("?.md", "é.md", True),
        ("?.md", "/.md", False),
        ("[a-c].md", "b.md", True),
        ("[!a-c].md", "b.md", False),
        ("[!a-c].md", "d.md", True),
        ("[]].md", "].md", True),
        ("[a.md", "[a.md", True),
        ("x[/]y", "x/y", False),
        ("a+(b).md", "a+(b).md", True),
        ("A.md", "a.md", False),
        ("**/*.md", "x/new\nline.md", True),
    ],
)
def test_a_pattern_matches_the_whole_address(pattern: str, address: str, matches: bool) -> None:
    assert compile_globs([pattern], match_hidden=False).match(address) is matches


@pytest.mark.parametrize("address", [".env", ".git/config", "a/.b/c", "a/.b"])
def test_wildcards_match_a_leading_dot_only_when_asked(address: str) -> None:
    assert not compile_globs(["**/*"], match_hidden=False).match(address)
    assert compile_globs(["**/*"], match_hidden=True).match(address)


def test_a_dot_that_is_spelt_out_matches() -> None:
    hidden = compile_globs([".github/**", "**/.config/*"], match_hidden=False)
    assert hidden.match(".github/workflows/a.yml")
    assert hidden.match("x/.config/a")
    assert not hidden.match("x/.config/.a")


def test_no_pattern_matches_nothing() -> None:
    nothing = compile_globs([], match_hidden=True)
    assert not nothing.match("a")
    assert not nothing.match("")


@given(st.text(alphabet="ab*?[]!-/.\\^{}+(", max_size=12), st.text(alphabet="ab/.", max_size=8))
def test_any_pattern_compiles_and_answers(pattern: str, address: str) -> None:
    compile_globs([pattern], match_hidden=False).match(address)


@given(st.text(alphabet="ab!^\\{}+(.", min_size=1, max_size=8))
def test_a_pattern_without_wildcards_matches_itself_only(name: str) -> None:
    pattern = compile_globs([name], match_hidden=False)
    expected = name.removeprefix("./").lstrip("/")
    assert pattern.match(expected)
    assert not pattern.match(expected + "x")


def matches_by_trying(pattern: list[str], address: list[str], *, hidden: bool) -> bool:
    """The meaning of a glob, said plainly: try every way of giving segments to each `**`."""
    if not pattern:
        return not address
    head, *rest = pattern
    if head == "**":
        # At the end it stands for at least one segment.
        ways = range(0 if rest else 1, len(address) + 1)
        free = [i for i in ways if hidden or not any(name.startswith(".") for name in address[:i])]
        return any(matches_by_trying(rest, address[i:], hidden=hidden) for i in free)
    if not address or (head[:1] in ("*", "?") and address[0].startswith(".") and not hidden):
        return False
    return segment_matches(head, address[0]) and matches_by_trying(rest, address[1:], hidden=hidden)


def segment_matches(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(segment_matches(pattern[1:], name[i:]) for i in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and segment_matches(pattern[1:], name[1:])


SEGMENTS = st.lists(
    st.sampled_from(["**", "*", "a", "b", ".a", "*a", "a*b", "?", "*a*b*", ".*"]), min_size=1, max_size=5
)
NAMES = st.lists(st.text(alphabet="ab.", min_size=1, max_size=4), min_size=1, max_size=5)


@given(SEGMENTS, NAMES, st.booleans())
def test_a_pattern_matches_exactly_what_trying_every_way_matches(
    pattern: list[str], address: list[str], hidden: bool
) -> None:
    compiled = compile_globs(["/".join(pattern)], match_hidden=hidden)
    wanted = matches_by_trying(segments_of("/".join(pattern)), address, hidden=hidden)
    assert compiled.match("/".join(address)) is wanted


@pytest.mark.parametrize(
    ("pattern", "address"),
    [
        ("*a" * 400 + "b", "a" * 2000 + "c"),
        ("**/a/" * 200 + "b", "a/" * 2000 + "c"),
        ("**/*a*a*a/" * 90 + "b", "aaaaaaaaaaaa/" * 300 + "c"),
        ("**/" * 300 + "b", "a/" * 2000 + "c"),
    ],
)
def test_no_pattern_takes_longer_than_its_address_is_long(pattern: str, address: str) -> None:
    began = time.perf_counter()
    assert not compile_globs([pattern], match_hidden=False).match(address)
    assert time.perf_counter() - began < 2
