"""Texts of a source that come to lie elsewhere than they did are named, and what comes and goes as always is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.neighbours import (
    SAMPLE_TEXTS,
    Nearness,
    Neighbours,
    line_of,
    neighbours_of,
    newest_lines,
)
from rag_pipeline.transforms.neighbours import moved_together, nearness_of, sampled

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
RANDOM = np.random.default_rng(7)
WIDTH = 64


def around(noise: float, texts: int = SAMPLE_TEXTS) -> np.ndarray:
    vectors = np.eye(WIDTH)[0] + noise * RANDOM.standard_normal((texts, WIDTH)) / np.sqrt(WIDTH)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def at(days: float, vectors: np.ndarray, space: str = "s") -> Neighbours:
    return Neighbours(NOW - timedelta(days=days), "r", space, {"docs": nearness_of(f"{days}", vectors)})


MONTH = [at(days, around(1.0)) for days in range(30, 0, -1)]


def told(vectors: np.ndarray, before: list[Neighbours] = MONTH) -> list[str]:
    return [each.source for each in moved_together([*before, at(0, vectors)], "s", NOW)]


def test_a_template_and_lost_differences_are_seen_and_chance_is_not() -> None:
    assert told(around(1.0)) == []
    template = around(1.0)
    template[:30] = template[0]
    assert told(template) == ["docs"]
    assert told(around(0.5)) == ["docs"]
    assert told(around(3.0)) == ["docs"]


def test_a_young_lake_another_model_and_what_is_usual_are_not_judged() -> None:
    assert told(around(3.0), MONTH[-6:]) == []
    assert moved_together([], "s", NOW) == []
    assert moved_together([*MONTH, at(0, around(3.0), "other")], "other", NOW) == []
    assert told(around(3.0), [*MONTH[:17], *(at(days, around(3.0)) for days in range(13, 0, -1))]) == []


@given(st.sets(st.integers(0, 500), min_size=SAMPLE_TEXTS), st.integers(0, 500))
def test_a_change_of_one_text_changes_one_of_the_sample_at_most(numbers: set[int], changed: int) -> None:
    def chosen(texts: set[int]) -> set[str]:
        rows = [(f"c{n}", "docs", f"{n * 7919 % 1009:04}") for n in texts] + [("few", "wiki", "1")]
        found = sampled(pl.DataFrame(rows, ["chunk_id", "source", "text_hash"], orient="row"))
        assert found.keys() <= {"docs"}
        return set(found.get("docs", ()))

    before, after = chosen(numbers), chosen(numbers ^ {changed})
    assert len(before) == SAMPLE_TEXTS
    assert not after or len(before - after) <= 1


def test_a_text_that_stands_in_many_documents_is_looked_at_once() -> None:
    rows = [(f"c{n}", "docs", f"{n % 60}") for n in range(300)]
    assert sampled(pl.DataFrame(rows, ["chunk_id", "source", "text_hash"], orient="row")) == {}


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"{}", b"null", b'{"sources": {"a": 1}}']), max_size=4))
def test_whatever_stands_in_the_file_sound_lines_are_read(lines: list[bytes]) -> None:
    content = b"\n".join([*lines, line_of(MONTH[0])])
    assert neighbours_of(content)[-1] == MONTH[0]
    assert newest_lines(content) == line_of(MONTH[0])


@pytest.mark.parametrize(
    "wrong", [Nearness("s", float("nan"), 0.1), Nearness("s", -0.5, 0.1), Nearness("s", 0.1, True)]
)
def test_a_figure_that_is_none_makes_a_line_no_row(wrong: Nearness) -> None:
    assert neighbours_of(line_of(Neighbours(NOW, "r", "s", {"docs": wrong}))) == []


def test_of_older_days_one_line_each_is_kept_of_each_model() -> None:
    rows = [at(hours / 24, around(1.0), space) for hours in range(60 * 24, -1, -8) for space in "st"]
    kept = neighbours_of(newest_lines(b"".join(map(line_of, rows))))
    assert kept[-1] == rows[-1]
    assert 2 * 42 <= len(kept) <= 2 * (42 + 2 + 7)
