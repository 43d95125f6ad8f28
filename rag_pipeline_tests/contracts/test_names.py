"""Names that look the same are the same: in addresses, patterns and principals."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.names import comparable, pattern, principal
from rag_pipeline.contracts.sources import DeclaredMetadata, PermissionRule, SourceSpec
from rag_pipeline.sources.selection import Selection
from rag_pipeline.transforms.permissions import allowed_principals

UNSEEN = "\u200b\u200d\u2060\ufeff\u00ad\u034f\ufe0f\u202e"
NAMES = ("Bücher", "Ärzte", "é", "ångström", "hr", "한글", "a1")
SAID_NOTHING = DeclaredMetadata()


@st.composite
def dressed(draw: st.DrawFn, plain: str) -> str:
    """`plain` as another program may write it: letters taken apart, with characters in it that nobody sees."""
    form = unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), plain)
    places = draw(st.lists(st.tuples(st.integers(0, len(form)), st.sampled_from(UNSEEN)), max_size=3))
    for at, unseen in places:
        form = form[:at] + unseen + form[at:]
    return form


def test_every_character_that_nobody_sees_is_known() -> None:
    every = (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)
    unseen = [each for each in every if unicodedata.category(each) in ("Cc", "Cf")]
    assert [each for each in unseen if comparable(f"a{each}b") not in ("ab", "a b")] == []


@given(st.text(max_size=20))
def test_the_form_of_comparison_is_stable(address: str) -> None:
    once = comparable(address)
    assert comparable(once) == once
    assert comparable(unicodedata.normalize("NFD", address)) == comparable(unicodedata.normalize("NFC", address))
    assert address.count("/") == once.count("/")


@given(st.data())
def test_no_dress_of_a_name_opens_more_than_the_plain_name(data: st.DataObject) -> None:
    folder, other, default, closed_to = (data.draw(st.sampled_from(NAMES)) for _ in range(4))
    address, glob = f"{folder}/x {other}.md", f"{other}/**"

    def spec(rule: str, reader: str, left: str) -> SourceSpec:
        return SourceSpec(
            "docs",
            "docs",
            exclude=(left,),
            allowed_principals=(default,),
            permission_rules=(PermissionRule(rule, (reader,)),),
        )

    plain = spec(glob, closed_to, f"**/* {default}.md")
    reader = data.draw(dressed(closed_to))
    odd = spec(data.draw(dressed(glob)), reader, data.draw(dressed(f"**/* {default}.md")))
    seen = data.draw(dressed(address))
    if Selection(odd).takes(seen):
        assert Selection(plain).takes(address)
    given_to, plainly = allowed_principals(seen, SAID_NOTHING, odd), allowed_principals(address, SAID_NOTHING, plain)
    assert set(given_to) <= set(plainly)
    try:
        names = {principal(reader)}
    except ValueError:
        names = set()
    assert names <= {unicodedata.normalize("NFC", closed_to)}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fin\u00adance", "U\\+00AD .* type 'finance'"),
        (" hr", "type 'hr'"),
        ("h\x00r", "U\\+0000"),
        ("board\u00a0room", "type 'board room'"),
        ("\u3164", "blank"),
        ("", "blank"),
        ("x\ufffd", "not UTF-8"),
        ("\ud800", "not UTF-8"),
        ("n" * 257, "257 characters"),
        (7, "int 7 is not a string; quote it"),
    ],
)
def test_a_principal_that_looks_like_another_is_refused(name: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        principal(name)


def test_a_principal_is_kept_in_one_form() -> None:
    assert principal("Vertra\u0308ge \U0001f4c4") == "Verträge \U0001f4c4"


@pytest.mark.parametrize("text", ["", " ", "\u200b", " hr/**", "hr/**\n", "h\x07r/**", "x\ufffd"])
def test_a_pattern_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        pattern(text)
