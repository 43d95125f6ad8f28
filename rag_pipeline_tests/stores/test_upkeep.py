"""When an index table is compacted and which of its versions stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rag_pipeline.stores.upkeep import (
    INDEXED_ABOVE_ROWS,
    MARGIN,
    MAX_FRAGMENTS,
    MAX_OUTDATED,
    age_beyond,
    is_compaction_due,
    may_wait,
    needed_indexes,
    older_than,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def version(number: int, **facts: int) -> dict[str, Any]:
    return {"version": number, "timestamp": NOON + timedelta(minutes=number), "metadata": facts}


def test_a_small_table_has_indexes_of_words_alone_and_nothing_waits_beside_it() -> None:
    assert list(needed_indexes(INDEXED_ABOVE_ROWS - 1)) == ["embedded_text", "word_forms"]
    assert may_wait(INDEXED_ABOVE_ROWS - 1) == 0
    assert {"embedded_text", "allowed_principals"} < set(needed_indexes(INDEXED_ABOVE_ROWS))
    assert may_wait(1_000_000) == 10_000


@pytest.mark.parametrize(
    ("rows", "unindexed", "versions", "is_due"),
    [
        (9_000, 0, [version(1)], False),
        (9_000, 1, [version(1)], True),
        (100_000, 1_000, [version(1)], False),
        (100_000, 1_001, [version(1)], True),
        (100, 0, [version(1, total_fragments=MAX_FRAGMENTS + 1)], True),
        (95, 0, [version(1, total_data_file_rows=100, total_deletion_file_rows=5)], False),
        (91, 0, [version(1, total_data_file_rows=100, total_deletion_file_rows=9)], True),
        (0, 0, [version(1)], False),
    ],
)
def test_a_table_is_compacted_once_enough_has_gathered(
    rows: int, unindexed: int, versions: list[dict[str, Any]], is_due: bool
) -> None:
    assert is_compaction_due(rows, unindexed, versions, MAX_OUTDATED) is is_due
    assert is_compaction_due(rows, unindexed, versions, MAX_OUTDATED + 1)


def test_the_oldest_kept_version_and_all_after_it_stay() -> None:
    versions = [version(number) for number in (3, 4, 6, 7)]
    now = NOON + timedelta(minutes=10)
    assert age_beyond(6, versions, now) == timedelta(minutes=4) + MARGIN
    # Named, and thinned out before: the next one that is there counts.
    assert age_beyond(5, versions, now) == timedelta(minutes=4) + MARGIN
    assert older_than(timedelta(minutes=4) + MARGIN, versions, now) == 2
    # A clock that stepped back keeps more, never less.
    assert age_beyond(6, versions, NOON) == MARGIN


def test_what_was_made_after_a_clock_was_set_back_stays_beside_what_was_made_before() -> None:
    """Version 6 is a day ahead; 7 and 8 came after it, and one of them is what readers see."""
    ahead = version(6) | {"timestamp": NOON + timedelta(days=1)}
    versions = [version(3), ahead, version(7), version(8)]
    now = NOON + timedelta(hours=2)
    age = age_beyond(6, versions, now)
    assert age == timedelta(hours=2) - timedelta(minutes=7) + MARGIN
    assert older_than(age, versions, now) == 1
