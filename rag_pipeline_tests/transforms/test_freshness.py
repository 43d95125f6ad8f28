"""How new content is: one time in the future must not hide that everything is old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rag_pipeline.transforms.freshness import ContentAge, content_age

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
OLD = NOW - timedelta(days=900)


def test_a_time_in_the_future_is_counted_and_not_believed() -> None:
    assert content_age([OLD, None, NOW + timedelta(hours=1), NOW + timedelta(days=9_000)], NOW) == ContentAge(OLD, 2)


def test_clocks_may_differ_a_little() -> None:
    soon = NOW + timedelta(seconds=30)
    assert content_age([OLD, soon], NOW) == ContentAge(soon, 0)


def test_nothing_told_is_no_age() -> None:
    assert content_age([None], NOW) == ContentAge(None, 0)
