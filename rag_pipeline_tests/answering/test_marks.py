"""Citation marks in texts that come in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rag_pipeline.answering.answer import AnswerText
from rag_pipeline.answering.marks import Cited, Marks, Struck, Text, escaped
from rag_pipeline.answering.prompt import cleaned
from rag_pipeline.answering.writing import Writing

ALPHABET = ["[", "]", "\u3010", "\u3011", "1", "2", "9", ",", " ", "-", "\u2013", ";", "`", "\n", "a", ".", "I don't "]
TEXTS = st.lists(
    st.sampled_from([*ALPHABET, "[1]", " [2]", "```", "I don't have that information", "[1-3]"]), max_size=30
)


def read(pieces: Sequence[str], given: int = 3) -> list[object]:
    """Parts, texts that touch joined."""
    marks = Marks(given)
    parts = [part for piece in pieces for part in marks.feed(piece)] + list(marks.feed("", end=True))
    joined: list[object] = []
    for part in parts:
        if isinstance(part, Text) and joined and isinstance(joined[-1], Text):
            part = Text(joined.pop().text + part.text)  # type: ignore[attr-defined]
        joined.append(part)
    return joined


@given(TEXTS, st.lists(st.integers(0, 120), max_size=8))
def test_every_cut_gives_the_same(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    at = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[first:last] for first, last in pairwise(at)]
    assert read(pieces) == read([text]) == read(list(text))


@given(TEXTS)
def test_an_answer_is_the_same_however_it_came(parts: list[str]) -> None:
    def written(pieces: Sequence[str]) -> tuple[str, int, list[int], str]:
        writing = Writing(3)
        events = [event for piece in pieces for event in writing.feed(piece)] + list(writing.feed("", end=True))
        shown = "".join(event.text for event in events if isinstance(event, AnswerText))
        return writing.text, writing.struck, writing.cited, shown

    text = "".join(parts)
    assert written([text]) == written(list(text))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a [1].", [Text("a "), Cited(1), Text(".")]),
        ("a [9].", [Text("a"), Struck(9), Text(".")]),
        ("[1, 3]", [Cited(1), Cited(3)]),
        ("[1-3]", [Cited(1), Cited(2), Cited(3)]),
        ("\u30102\u3011", [Cited(2)]),
        ("`a[1]` [1]", [Text("`a[1]` "), Cited(1)]),
        ("```\na[1]\n``` [1]", [Text("```\na[1]\n``` "), Cited(1)]),
        ("a ` b\n[1]", [Text("a ` b\n"), Cited(1)]),
        ("in [2024] and [x]", [Text("in [2024] and [x]")]),
        ("[1", [Text("[1")]),
        ("[1-999]", [Cited(1), Struck(999)]),
    ],
)
def test_what_is_a_mark(text: str, parts: list[object]) -> None:
    assert read([text]) == parts


def test_a_documents_own_marks_are_no_marks() -> None:
    assert escaped("see [3] and \u30101, 2\u3011, not [x] or [2024]") == "see (3) and (1, 2), not [x] or [2024]"


def test_what_nobody_sees_is_taken_out_before_marks_are_looked_for() -> None:
    assert escaped(cleaned("a\x00b [\u202e3\u200b] \U000e0041\ud800c\td\n")) == "ab (3) c\td\n"


@example("So [[9]7].")
@example("So [7[9]].")
@example("So [1,[9]2].")
@example("So \u3010[9][8]7\u3011.")
@given(st.text("[]\u3010\u3011129, -a\n", max_size=14))
def test_striking_a_mark_makes_no_other_one(said: str) -> None:
    writing, again = Writing(2), Writing(2)
    list(writing.feed(said, end=True))
    list(again.feed(writing.text, end=True))
    assert (again.cited, again.struck) == (writing.cited, 0)
