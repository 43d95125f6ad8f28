"""Rows that are put away are the same rows in the order of their addresses, however little of them memory holds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import count
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts import put_away
from rag_pipeline.contracts.put_away import RowsInOrder, side_by_side

EMPTY = pl.DataFrame(schema={"address": pl.String(), "number": pl.Int64()})
# In Python's order and in that of bytes alike, beyond the first plane of Unicode too.
addresses = st.text(st.sampled_from(["a", "b", "\0", "é", "\ue000", "\U0001f600"]), max_size=3)
frames = st.lists(st.lists(addresses, max_size=6), max_size=6)
sizes = st.sampled_from([1, 100, put_away.PART_BYTES])


def made(parts: list[list[str]]) -> Iterator[pl.DataFrame]:
    numbers = count()
    for part in parts:
        yield pl.DataFrame({"address": part, "number": [next(numbers) for _ in part]}, schema=EMPTY.schema)


@given(frames, sizes)
def test_rows_come_in_order_and_equal_ones_as_they_came(parts: list[list[str]], part_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(put_away, "PART_BYTES", part_bytes)
        rows = RowsInOrder.of(made(parts), EMPTY)
        wanted = sorted((row for frame in made(parts) for row in frame.iter_rows()), key=lambda row: str(row[0]))
        found = list(rows)
        assert [row for part in found for row in part.iter_rows()] == wanted
        assert [rows.row(place) for place in range(rows.height)] == wanted
        assert rows.row(-1) == wanted[-1] if wanted else rows.height == 0
        ends = [part["address"][-1] for part in found]
        assert all(part["address"][0] > end for part, end in zip(found[1:], ends, strict=False))
        odd = [row for row in wanted if row[1] % 2]
        assert [r for part in rows.chosen(lambda p: p.filter(p["number"] % 2 == 1)) for r in part.iter_rows()] == odd


@given(frames, frames, sizes)
def test_two_sides_come_together_by_address(left: list[list[str]], right: list[list[str]], part_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(put_away, "PART_BYTES", part_bytes)
        sides = RowsInOrder.of(made(left), EMPTY), RowsInOrder.of(made(right), EMPTY)
        pairs = list(side_by_side(*sides))
        for mine, side in zip(zip(*pairs, strict=True) if pairs else ((), ()), sides, strict=True):
            assert [row for part in mine for row in part.iter_rows()] == [
                row for part in side for row in part.iter_rows()
            ]
        seen: set[str] = set()
        for mine, its in pairs:
            named = {*mine["address"], *its["address"]}
            assert not named & seen
            seen |= named


@pytest.mark.parametrize("is_broken", ["cannot be made", "takes no more"])
def test_where_nothing_can_be_written_rows_stay_in_memory(
    is_broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Full:
        def seek(self, *_: Any) -> int:
            return 0

        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    def refused(**_: Any) -> Full:
        if is_broken == "takes no more":
            return Full()
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(put_away, "PART_BYTES", 1)
    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    rows = RowsInOrder.of(made([["b", "a"], ["c", "a"]]), EMPTY)
    assert [row for part in rows for row in part.iter_rows()] == [("a", 1), ("a", 3), ("b", 0), ("c", 2)]
    assert "stays in memory" in caplog.text
