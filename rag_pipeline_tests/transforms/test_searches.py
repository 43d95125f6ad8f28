"""Searches that find less are seen by the weeks before, and are not judged where there are no weeks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.searches import (
    BUCKETS,
    Found,
    Searches,
    bucket_of,
    found_by,
    line_of,
    newest_lines,
    searches_of,
)
from rag_pipeline.transforms.searches import rises

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def found(searches: int = 100, empty: int = 5, *, far: int = 10) -> Found:
    """So many searches, of which some hits were at 0.3 and the far ones at 0.8."""
    best = [0] * BUCKETS
    best[bucket_of(0.3)], best[bucket_of(0.8)] = searches - empty - far, far
    return Found(searches, empty, tuple(best))


def at(days: float, of: Found, space: str = "s") -> Searches:
    return Searches(NOW - timedelta(days=days), {space: of})


MONTH = [at(days, found()) for days in range(30, 0, -1)]


def told(*rows: Searches, space: str = "s") -> list[str]:
    return [each.what for each in rises(rows, space, NOW)]


def test_a_rise_beyond_the_weeks_before_is_told_and_what_is_usual_is_not() -> None:
    assert told(*MONTH, at(0.1, found())) == []
    assert told(*MONTH, at(0.1, found(empty=14))) == []
    assert told(*MONTH, at(0.1, found(empty=30))) == ["found nothing"]
    assert told(*MONTH, at(0.1, found(far=40))) == ["found nothing nearer than 0.80"]
    assert told(*MONTH, at(0.1, found(empty=100, far=0))) == ["found nothing"]
    [rise] = rises([*MONTH, at(0.1, found(50, 20, far=3)), at(0.2, found(50, 20, far=3))], "s", NOW)
    assert (rise.now, rise.usual, rise.searches) == (0.4, 0.05, 100)


def test_few_searches_young_lakes_and_another_model_are_not_judged() -> None:
    assert told(*MONTH, at(0.1, Found(19, 19))) == []
    assert told(*MONTH[-6:], at(0.1, found(empty=90, far=0))) == []
    assert told(*(at(days, Found(10, 0)) for days in range(30, 0, -1)), at(0.1, found(empty=90, far=0))) == []
    assert told(*MONTH, at(0.1, found(empty=90, far=0), "t"), space="t") == []
    assert told() == []
    # What a clock that jumped left is not of the last day.
    assert told(*MONTH, at(-400, found(empty=90, far=0))) == []


def test_what_is_so_each_week_or_for_ten_days_is_usual() -> None:
    weekly = [at(days, found(empty=50 if days % 7 == 0 else 5)) for days in range(30, 0, -1)]
    assert told(*weekly, at(0.1, found(empty=50))) == []
    assert (
        told(*(at(days, found(empty=40 if days < 13 else 5)) for days in range(30, 0, -1)), at(0.1, found(empty=40)))
        == []
    )


def test_one_search_is_counted_by_its_nearest_hit() -> None:
    assert found_by([]) == Found(1, 1)
    assert found_by([None, None]) == Found(1, 0)
    assert found_by([None, 0.7, 0.12]).best[2] == 1
    assert [bucket_of(each) for each in (-1e-7, 0.0, 0.05, 1.0, 2.0)] == [0, 0, 1, BUCKETS - 1, BUCKETS - 1]


counts = st.integers(0, 1000)
founds = st.builds(Found, counts, counts, st.tuples(*[counts] * BUCKETS))
rows = st.builds(
    Searches,
    st.integers(0, 39 * 24).map(lambda hours: NOW - timedelta(hours=hours)),
    st.dictionaries(st.sampled_from("ab"), founds, max_size=2),
)


@given(st.lists(rows, max_size=20).map(lambda found: sorted(found, key=lambda row: row.at)), st.binary(max_size=40))
def test_lines_are_read_back_and_adding_them_up_loses_no_search(some: list[Searches], damage: bytes) -> None:
    content = b"".join(map(line_of, some))
    assert searches_of(content) == some
    merged = searches_of(newest_lines(content + b"\n" + damage + b"\n"))
    total = sum((each for row in some for each in row.spaces.values()), start=Found())
    assert sum((each for row in merged for each in row.spaces.values()), start=Found()) == total
    assert len({(row.at.date(), row.at.hour) for row in merged}) == len(merged)


def test_what_is_no_count_is_left_out() -> None:
    good = line_of(at(1, found()))
    for wrong in (b'"searches": -1', b'"searches": 1e9', b'"searches": true', b'"searches": null'):
        assert searches_of(good.replace(b'"searches": 100', wrong) + good) == [at(1, found())]
    for line in (b"", b"[]", b"{", b"\xff", b'{"at": "yesterday", "spaces": {}}', b"[" * 100_000):
        assert searches_of(line + b"\n" + good) == [at(1, found())]
