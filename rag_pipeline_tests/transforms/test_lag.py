"""How long a change took is told by polls where its own time cannot be, and a limit is held by what is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.transforms.lag import Lag, Late, changed_at, lag_of, late_sources, measured

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_change_is_no_older_than_the_poll_that_found_it_otherwise() -> None:
    polls = [NOW - 9 * HOUR, NOW - 2 * HOUR, NOW + HOUR]
    assert changed_at(NOW - HOUR, NOW, polls) == NOW - HOUR
    # Copied with its old time, without a time, and from a clock that is ahead.
    for modified in (NOW - 900 * HOUR, None, NOW + HOUR):
        assert changed_at(modified, NOW, polls) == NOW - 2 * HOUR
    # More runs failed since than are remembered.
    assert changed_at(NOW - 900 * HOUR, NOW - 10 * HOUR, polls) == NOW - 10 * HOUR


@given(st.lists(st.floats(-10, 1e6), max_size=50))
def test_the_distribution_is_of_the_lags_themselves(seconds: list[float]) -> None:
    lag = measured(seconds, NOW, NOW)
    assert lag.documents == len(seconds)
    assert 0 <= lag.p50_seconds <= lag.p95_seconds <= lag.worst_seconds
    assert lag.worst_seconds == round(max([0.0, *seconds]), 3)
    assert lag_of(lag.record()) == lag


def test_what_stands_in_figures_and_is_no_lag_is_left_out() -> None:
    for wrong in (None, {}, [], {"as_of": "x", "measured_at": "y"}, {"as_of": NOW.isoformat(), "measured_at": 3}):
        assert lag_of(wrong) is None


def test_a_source_is_late_by_what_waits_or_by_what_came_last() -> None:
    lag = Lag(NOW, NOW, 20, 10.0, 7_200.0, 9_000.0)
    limits = {"docs": HOUR, "wiki": None}
    assert late_sources(limits, {"docs": lag, "wiki": lag}, {}, NOW) == [Late("docs", 0, 7_200.0, 3_600.0)]
    assert late_sources({"docs": 2 * HOUR}, {"docs": lag}, {}, NOW) == []
    # A day later it says nothing of today; what waits does.
    assert late_sources(limits, {"docs": lag}, {}, NOW + timedelta(days=2)) == []
    waits = {"docs": [10.0, 4_000.0, 5_000.0]}
    assert late_sources(limits, {}, waits, NOW) == [Late("docs", 2, 5_000.0, 3_600.0)]
