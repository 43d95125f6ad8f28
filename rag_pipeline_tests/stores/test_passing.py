"""Rows that few pass a filter are looked up once at each version of a table, and never told of another version."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest

from rag_pipeline.stores import retrievers
from rag_pipeline.stores.retrievers import EXACT_BELOW_MATCHES, Passing, nearest_rows

COLUMNS = ["chunk_id", "n"]


def rows(first: int, end: int) -> list[dict[str, Any]]:
    chance = np.random.default_rng(first)
    return [
        {
            "chunk_id": f"it's {n}",
            "n": n,
            "text_hash": "",
            "document_id": "",
            "source": "",
            "uri": "",
            "start_char": n,
            "vector": chance.normal(size=8).astype("float32"),
        }
        for n in range(first, end)
    ]


@pytest.fixture
def table(tmp_path: Path) -> Any:
    return lancedb.connect(str(tmp_path)).create_table("rows", rows(0, 10))


def found(table: Any, where: str | None) -> list[int]:
    assert where is not None
    return sorted(table.search().where(where).limit(None).to_arrow()["n"].to_pylist())


@pytest.mark.parametrize("where", ["n < 3", "n > 100", "n = 1 OR n = 2", "n < 10"])
def test_the_narrow_condition_holds_for_the_same_rows(table: Any, where: str) -> None:
    narrow = Passing(table).narrow(where)
    assert found(table, narrow) == found(table, where)
    assert f"({where})" in (narrow or "")


def test_many_rows_have_no_narrow_condition(table: Any) -> None:
    table.add(rows(10, EXACT_BELOW_MATCHES + 1))
    passing = Passing(table)
    assert passing.narrow("true") is None
    assert passing.narrow_if_known("true") == "true"
    assert len(found(table, passing.narrow("n > 0"))) == EXACT_BELOW_MATCHES


def test_each_filter_is_looked_up_once(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    passing = Passing(table)
    assert passing.narrow_if_known("n < 3") == "n < 3"
    narrow = passing.narrow("n < 3")
    monkeypatch.setattr(type(table), "search", None)
    assert passing.narrow("n < 3") == passing.narrow_if_known("n < 3") == narrow
    with pytest.raises(TypeError):
        passing.narrow("n < 5")


def test_a_new_version_is_looked_up_anew_and_a_kept_one_is_not(table: Any, tmp_path: Path) -> None:
    kept = lancedb.connect(str(tmp_path)).open_table("rows")
    kept.checkout(kept.version)
    reading, writing = Passing(kept), Passing(table)
    for more in range(3):
        assert found(kept, reading.narrow("n < 3 OR n >= 10")) == [0, 1, 2]
        assert len(found(table, writing.narrow("n < 3 OR n >= 10"))) == 3 + more
        table.add(rows(10 + more, 11 + more))
    table.delete("n < 3")
    assert found(table, writing.narrow("n < 3")) == []


def test_filters_without_end_are_not_all_remembered(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievers, "MOST_KEPT", 4)
    passing = Passing(table)
    for most in [*range(10), *range(10)]:
        assert len(found(table, passing.narrow(f"n < {most}"))) == most
        assert len(passing._ids) <= 4


@pytest.mark.parametrize("where", ["n < 7", "n > 100"])
def test_the_nearest_of_few_rows_are_those_of_all_that_pass(table: Any, where: str) -> None:
    vector = np.ones(8, dtype="float32")
    exact = nearest_rows(Passing(table), vector, where, 5, COLUMNS, None)
    narrow = nearest_rows(Passing(table), vector, where, 5, COLUMNS, 4)
    assert narrow.equals(exact)
    assert narrow.height == min(5, len(found(table, where)))


def test_threads_that_forget_for_each_other_are_answered(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievers, "MOST_KEPT", 1)
    passing = Passing(table)
    wanted = [f"n < {n % 3}" for n in range(60)]
    with ThreadPoolExecutor(8) as threads:
        for where, narrow in zip(wanted, threads.map(passing.narrow, wanted), strict=True):
            assert narrow is not None
            assert narrow.startswith(f"({where})")


def test_a_filter_of_thousands_of_documents_is_not_kept_itself(table: Any) -> None:
    passing = Passing(table)
    closed = ", ".join(f"'{number:064}'" for number in range(2_000))
    narrow = passing.narrow(f"n < 3 AND NOT (document_id IN ({closed}))")
    assert found(table, narrow) == [0, 1, 2]
    assert sum(len(str(kept)) for kept in passing._ids.items()) < 1_000
