"""Regular expressions match alike on every Python that is allowed.

Before 3.11.5 a possessive group whose body can step back, such as `(?:a[bc]*b)++`, matches wrongly
(https://github.com/python/cpython/issues/106052). The atomic group `(?>(?:a[bc]*b)+)` says the same and is right.
Possessive repeats of one character or class, such as `[^<>]*+`, have always been right.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rag_pipeline_tests.house.test_house import in_every_module

# Behind a group or a counted repeat of one: what `)` closes, its repeat, and the plus that makes it possessive.
POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{\d*,?\d*\})\+(?!\))")


@in_every_module
def test_no_group_is_possessive(path: Path) -> None:
    found = [line.strip() for line in path.read_text("utf-8").splitlines() if POSSESSIVE_GROUP.search(line)]
    assert not found, f"write (?>(?:...)*) for (?:...)*+, which Python 3.11.0 to 3.11.4 match wrongly: {found}"


@pytest.mark.parametrize("written", [r"(?:a|b)*+c", r"(a)++", r"(?:a|b){1,20}+", r"(?:a[b)]c)?+"])
def test_the_rule_sees_every_form(written: str) -> None:
    assert POSSESSIVE_GROUP.search(written)


@pytest.mark.parametrize("written", [r"[^<>]*+", r"(?>(?:a|b)*)c", r"a{2,}+", r"\)*", r"(?:a|b)+", r"f(x)*2"])
def test_the_rule_leaves_the_rest(written: str) -> None:
    assert not POSSESSIVE_GROUP.search(written)
