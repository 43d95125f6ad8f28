"""How many rows pass a filter is counted once at each version of a table, and never told of another version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lancedb
import pytest

from rag_pipeline.stores import retrievers
from rag_pipeline.stores.retrievers import Passing


@pytest.fixture
def table(tmp_path: Path) -> Any:
    return lancedb.connect(str(tmp_path)).create_table("rows", [{"n": n} for n in range(10)])


def counted(table: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The filters that rows are counted for from now on."""
    asked: list[str] = []
    whole = type(table).count_rows

    def spy(handle: Any, where: str) -> int:
        asked.append(where)
        return int(whole(handle, where))

    monkeypatch.setattr(type(table), "count_rows", spy)
    return asked


def test_each_filter_is_counted_once(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = counted(table, monkeypatch)
    passing = Passing(table)
    assert [passing.count("n < 3"), passing.count("n < 5"), passing.count("n < 3")] == [3, 5, 3]
    assert asked == ["n < 3", "n < 5"]


def test_a_new_version_is_counted_anew_and_a_kept_one_is_not(table: Any, tmp_path: Path) -> None:
    kept = lancedb.connect(str(tmp_path)).open_table("rows")
    kept.checkout(kept.version)
    reading, writing = Passing(kept), Passing(table)
    for more in range(3):
        assert reading.count("n < 3") == 3
        assert writing.count("n < 3") == 3 + more
        table.add([{"n": 0}])
    table.delete("n < 3")
    assert writing.count("n < 3") == 0


def test_filters_without_end_are_not_all_remembered(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievers, "MOST_COUNTED", 4)
    passing = Passing(table)
    for most in [*range(10), *range(10)]:
        assert passing.count(f"n < {most}") == most
        assert len(passing._counts) <= 4
