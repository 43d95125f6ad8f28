"""How new content is: one time in the future must not hide that everything is old, or that nobody polls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rag_pipeline.contracts.polls import Poll
from rag_pipeline.transforms.freshness import CLOCK_TOLERANCE, ContentAge, age_weight, content_age, is_overdue

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
OLD = NOW - timedelta(days=900)
YEAR = timedelta(days=365)
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)


def test_a_time_in_the_future_is_counted_and_not_believed() -> None:
    assert content_age([OLD, None, NOW + timedelta(hours=1), NOW + timedelta(days=9_000)], NOW) == ContentAge(OLD, 2)


def test_clocks_may_differ_a_little() -> None:
    soon = NOW + timedelta(seconds=30)
    assert content_age([OLD, soon], NOW) == ContentAge(soon, 0)


def test_nothing_told_is_no_age() -> None:
    assert content_age([None], NOW) == ContentAge(None, 0)


def test_the_newest_counts_wherever_it_stands() -> None:
    newer = OLD + timedelta(days=1)
    assert content_age([newer, OLD], NOW) == content_age([OLD, newer], NOW) == ContentAge(newer, 0)


def test_the_tolerance_of_clocks_counts_to_its_end_and_not_beyond() -> None:
    latest = NOW + CLOCK_TOLERANCE
    assert content_age([latest, latest + INSTANT], NOW) == ContentAge(latest, 1)


@pytest.mark.parametrize(
    ("age", "weight"),
    [(timedelta(0), 1.0), (YEAR, 0.75), (2 * YEAR, 0.625), (3 * YEAR, 0.5625), (100 * YEAR, 0.5), (-YEAR, 1.0)],
)
def test_age_takes_half_of_what_it_can_take_with_each_half_life(age: timedelta, weight: float) -> None:
    assert age_weight(NOW - age, NOW, YEAR) == pytest.approx(weight)


def test_a_document_without_a_time_weighs_as_one_of_the_half_life() -> None:
    assert age_weight(None, NOW, DAY) == pytest.approx(0.75)


def polled(at: datetime | None, error: str = "") -> Poll:
    return Poll(NOW, at, error, DAY)


def test_a_source_is_overdue_once_its_last_success_is_longer_ago_than_allowed() -> None:
    assert is_overdue(polled(NOW - DAY), NOW, DAY) is False
    assert is_overdue(polled(NOW - DAY - INSTANT), NOW, DAY) is True
    # A success within the time allowed is enough, whatever failed after it.
    assert is_overdue(polled(NOW - DAY, "no route to host"), NOW, DAY) is False


def test_without_a_success_only_a_failed_attempt_makes_a_source_overdue() -> None:
    assert is_overdue(None, NOW, DAY) is None
    assert is_overdue(polled(None), NOW, DAY) is None
    assert is_overdue(polled(None, "no route to host"), NOW, DAY) is True


def test_a_success_in_the_future_tells_nothing() -> None:
    latest = NOW + CLOCK_TOLERANCE
    assert is_overdue(polled(latest), NOW, DAY) is False
    assert is_overdue(polled(latest + INSTANT), NOW, DAY) is None
    assert is_overdue(polled(latest + INSTANT, "no route to host"), NOW, DAY) is True
