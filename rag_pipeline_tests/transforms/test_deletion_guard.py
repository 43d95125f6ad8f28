"""The deletion guard: what is too much to lose, and what is said about it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.holds import Hold, HoldKind
from rag_pipeline.transforms.deletion_guard import SMALLEST_EMPTIED, DeletionGuard, describe_hold, describe_holds

GUARD = DeletionGuard("docs", max_share=1 / 3, floor=20)


@pytest.mark.parametrize(
    ("lost", "fine", "is_emptied", "is_closed"),
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
def test_it_is_closed_above_the_share_and_for_emptied_sources(
    lost: int, fine: int, is_emptied: bool, is_closed: bool
) -> None:
    assert GUARD.is_closed(lost, fine, is_emptied=is_emptied) is is_closed


@given(st.integers(0, 200), st.integers(0, 200), st.booleans())
def test_losing_more_never_releases_it(lost: int, fine: int, is_emptied: bool) -> None:
    assert GUARD.is_closed(lost, fine, is_emptied=is_emptied) <= GUARD.is_closed(lost + 1, fine, is_emptied=is_emptied)
    assert not GUARD.is_closed(fine, fine) or fine >= GUARD.floor
    assert fine < SMALLEST_EMPTIED or GUARD.is_closed(fine, fine, is_emptied=True)


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_share_of_one_turns_it_off(lost: int, more: int) -> None:
    assert not DeletionGuard("docs", max_share=1, floor=0).is_closed(lost, lost + more, is_emptied=True)


SINCE = datetime(2026, 11, 21, 3, 15, tzinfo=UTC)


def hold(source: str, held: int, of: int, kind: HoldKind = "vanished") -> Hold:
    ids = [str(number) for number in range(of)]
    return Hold(source, kind, frozenset(ids[:held]), frozenset(ids), f"{held} of {of} gone.", SINCE, "run")


def ids(first: int, last: int) -> frozenset[str]:
    return frozenset(str(number) for number in range(first, last))


def test_what_was_added_since_never_dilutes_what_is_held() -> None:
    before = hold("docs", 20, 30)
    assert GUARD.measure(ids(0, 20), ids(0, 1000), is_emptied=False, before=before) == ids(0, 30)
    assert GUARD.measure(ids(0, 20), ids(0, 1000), is_emptied=False) is None


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 500))
def test_a_closed_guard_opens_only_for_less_loss(lost: int, held: int, added: int) -> None:
    fine = ids(0, 60)
    measured = GUARD.measure(ids(0, held), fine, is_emptied=False)
    if measured is not None and lost >= held:
        before = Hold("docs", "vanished", ids(0, held), measured, "", SINCE, "run")
        assert GUARD.measure(ids(0, lost), fine | ids(100, 100 + added), is_emptied=False, before=before) is not None


def test_a_small_source_that_was_emptied_stays_held_until_something_of_it_is_back() -> None:
    before = hold("docs", 5, 5)
    assert GUARD.measure(ids(0, 5), ids(0, 9), is_emptied=False, before=before) == ids(0, 5)
    assert GUARD.measure(ids(0, 4), ids(0, 9), is_emptied=False, before=before) is None


def test_what_is_lost_on_top_is_measured_too() -> None:
    before = hold("docs", 20, 30)
    assert GUARD.measure(ids(0, 20) | ids(30, 35), ids(0, 99), is_emptied=False, before=before) == ids(0, 35)


def test_the_message_says_what_was_lost_and_how_to_allow_it() -> None:
    addresses = [f"{number}.md" for number in range(25)]
    said = GUARD.describe_vanished(addresses, 30, why="vanished", is_emptied=False)
    assert "25 of 30 documents of source docs vanished at once (first: 0.md, 1.md, 2.md)" in said
    assert "more than 33%" in said
    assert "nothing else is left" in GUARD.describe_vanished(addresses, 25, why="vanished", is_emptied=True)
    assert "since 2026-11-21 03:15 UTC" in describe_hold(hold("docs", 25, 30))
    assert "rag-pipeline run --allow-mass-deletion docs (" in describe_hold(hold("docs", 25, 30))


def test_several_sources_are_said_in_one_sentence_with_one_command() -> None:
    said = describe_holds([hold("docs", 20, 30), hold("wiki", 3, 9), hold("wiki", 4, 9, "refused")])
    assert said == (
        "The deletion guard holds 20 of 30 documents of docs (vanished since 2026-11-21 03:15 UTC), 3 of 9 documents "
        "of wiki (vanished since 2026-11-21 03:15 UTC), 4 of 9 documents of wiki (refused since 2026-11-21 03:15 UTC); "
        "if all of it is meant, let it go once: rag-pipeline run --allow-mass-deletion docs --allow-mass-deletion wiki"
    )
    assert describe_holds([]) == ""


def test_refusals_are_counted_by_reason() -> None:
    said = GUARD.describe_refused(["empty", "unparsable", "empty"], 4)
    assert "3 of 4 documents of source docs were refused at once (2 empty, 1 unparsable)" in said
