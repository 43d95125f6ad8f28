"""Sentences that say one thing differently, and texts of other documents that lie near."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.transforms.contradictions import contradictions, nearest_elsewhere

OLD = "The travel desk books hotels up to 120 euros a night. Receipts are kept for seven years."


@pytest.mark.parametrize(
    ("new", "differs"),
    [
        ("The travel desk books hotels up to 180 euros a night.", ["numbers"]),
        ("The travel desk does not book hotels. The travel desk books hotels up to 120 euros a night.", []),
        ("The travel desk never books hotels up to 120 euros a night.", ["negation"]),
        ("The travel desk books hotels up to 120 euros a night.", []),
        ("the travel desk books hotels up to 120 euros a night", []),
        # Said in addition, with a number of its own, it says more and nothing else.
        ("The travel desk books hotels up to 120 euros a night in all 12 cities.", []),
        ("The office desk sells parking tickets up to 180 euros a year.", []),
        ("Hotels: 180.", []),
        ("", []),
    ],
)
def test_a_sentence_with_another_number_or_denied_is_told(new: str, differs: list[str]) -> None:
    assert [each.differs for each in contradictions(OLD, new)] == differs


def test_denied_twice_is_said() -> None:
    one = "It is not true that the office is not open on Sundays in summer."
    assert contradictions(one, "It is true that the office is open on Sundays in summer.") == []


def test_short_forms_deny_like_long_ones() -> None:
    one = "The server doesn't keep sessions of users after a restart."
    assert [
        each.differs for each in contradictions(one, "The server does keep sessions of users after a restart.")
    ] == ["negation"]
    assert contradictions(one, "The server does not keep sessions of users after a restart.") == []


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_contradicts_itself_and_both_directions_agree(first: str, second: str) -> None:
    assert contradictions(first, first) == []
    assert bool(contradictions(first, second)) == bool(contradictions(second, first))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 5))
def test_the_nearest_of_other_documents_are_those_of_a_full_comparison(seed: int, rows: int, most: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    documents = [f"d{random.integers(4)}" for _ in range(rows)]
    found = list(nearest_elsewhere(vectors, documents, range(rows), most))
    for row in range(rows):
        others = [at for at in range(rows) if documents[at] != documents[row]]
        wanted = sorted((float(vectors[row] @ vectors[at]) for at in others), reverse=True)[:most]
        mine = [similarity for one, _, similarity in found if one == row]
        assert mine == pytest.approx(wanted, abs=1e-5)
        assert all(documents[other] != documents[row] for one, other, _ in found if one == row)
