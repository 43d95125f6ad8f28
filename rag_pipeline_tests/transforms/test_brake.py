"""The mass-deletion brake: what is too much to lose, and what is said about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.errors import MassDeletion
from rag_pipeline.transforms.brake import SMALLEST_EMPTIED, Brake

BRAKE = Brake("docs", max_share=1 / 3, floor=20)


@pytest.mark.parametrize(
    ("lost", "fine", "is_emptied", "is_pulled"),
    [
        (10, 30, False, False),
        (11, 30, False, True),
        (19, 19, False, False),
        (19, 19, True, True),
        (3, 3, True, True),
        (2, 2, True, False),
        (1, 1, True, False),
        (0, 0, True, False),
        (0, 30, True, False),
    ],
)
def test_it_is_pulled_above_the_share_and_for_emptied_sources(
    lost: int, fine: int, is_emptied: bool, is_pulled: bool
) -> None:
    assert BRAKE.is_pulled(lost, fine, is_emptied=is_emptied) is is_pulled


@given(st.integers(0, 200), st.integers(0, 200), st.booleans())
def test_losing_more_never_releases_it(lost: int, fine: int, is_emptied: bool) -> None:
    assert BRAKE.is_pulled(lost, fine, is_emptied=is_emptied) <= BRAKE.is_pulled(lost + 1, fine, is_emptied=is_emptied)
    assert not BRAKE.is_pulled(fine, fine) or fine >= BRAKE.floor
    assert fine < SMALLEST_EMPTIED or BRAKE.is_pulled(fine, fine, is_emptied=True)


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_share_of_one_turns_it_off(lost: int, more: int) -> None:
    assert not Brake("docs", max_share=1, floor=0).is_pulled(lost, lost + more, is_emptied=True)


def test_the_message_says_what_was_lost_and_how_to_allow_it() -> None:
    addresses = [f"{number}.md" for number in range(25)]
    with pytest.raises(MassDeletion) as caught:
        BRAKE.check_lost(addresses, 30, 5, why="vanished")
    message = caught.value.message
    assert "25 of 30 documents of source docs vanished at once (first: 0.md, 1.md, 2.md)" in message
    assert "more than 33%" in message
    assert "rag-pipeline run --allow-mass-deletion docs" in message
    with pytest.raises(MassDeletion, match="nothing else is left"):
        BRAKE.check_lost(addresses, 25, 0, why="vanished")


def test_refusals_are_counted_by_reason() -> None:
    said = BRAKE.describe_refused(["empty", "unparsable", "empty"], 4)
    assert "3 of 4 documents of source docs were refused at once (2 empty, 1 unparsable)" in said
    assert "rag-pipeline run --allow-mass-deletion docs" in said
