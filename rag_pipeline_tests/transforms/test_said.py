"""How much of a question a text says: words that few of the texts have weigh most, in any script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.transforms.said import shares_said

FILINGS = ["Acme Corp 2022 annual report: page on leases", "Acme Corp 2022 annual report: gross margin fell"]


def test_words_that_all_texts_share_say_next_to_nothing() -> None:
    leases, margin = shares_said("What is the gross margin of Acme Corp in 2022?", FILINGS * 20)[:2]
    assert leases < 0.1
    assert margin > 0.9


def test_a_word_that_no_text_has_is_missing_most() -> None:
    (share, _) = shares_said("zyzzyva of Acme", FILINGS)
    assert share < 0.5


@pytest.mark.parametrize(
    ("question", "says", "not_said"),
    [
        ("Refunding a booking?", "We refunded all bookings.", "We prefund nobody"),
        ("ORA-00600", "seen: ora-00600, twice", "no such error"),
        ("Wie viele Gänge hat das Getriebe?", "Das Getriebe hat sechs Gänge, viele davon kurz; wie", "Ganz anders"),
        ("野马队", "丹佛野马队赢了", "没有人赢"),
        ("كم عدد المدينة", "وعدد سكان مدينة كم", "شيء آخر"),
        ("하늘은", "하늘이 맑다", "바다"),
        ("नदी कहाँ", "वह नदी कहाँ है", "पहाड़"),
        ("IT", "the IT team", "thematic"),
        ("token length", "max_token_length: 40", "tokyolength"),
    ],
)
def test_a_text_says_a_word_in_any_of_its_forms_but_not_inside_another(question: str, says: str, not_said: str) -> None:
    assert shares_said(question, [says, not_said]) == [1.0, 0.0]


def test_a_question_without_words_is_said_by_nothing() -> None:
    assert shares_said("?!", ["a", ""]) == [0.0, 0.0]
    assert shares_said("words", []) == []


@given(question=st.text(max_size=60), texts=st.lists(st.text(max_size=80), max_size=5))
def test_shares_are_shares_whatever_the_letters(question: str, texts: list[str]) -> None:
    assert all(0 <= share <= 1 + 1e-9 for share in shares_said(question, texts))
