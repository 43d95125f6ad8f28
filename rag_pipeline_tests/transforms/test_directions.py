"""New vectors that point elsewhere, or all the same way, are named; chance and few texts are not."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.directions import LEAST_TEXTS, Direction, Directions, directions_of, line_of, newest_lines
from rag_pipeline.transforms.directions import LENGTHS_SAMPLED, Sums, stretched, turned

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
RANDOM = np.random.default_rng(7)
CENTRE = np.eye(16, dtype=np.float32)[0]
OTHER = np.eye(16, dtype=np.float32)[1]


def around(centre: np.ndarray, texts: int, noise: float = 0.3) -> np.ndarray:
    """Unit vectors that have something in common."""
    vectors = centre + noise * RANDOM.standard_normal((texts, len(centre)))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def run(hours_ago: float, vectors: np.ndarray, space: str = "s") -> Directions:
    hashes = [str(number) for number in range(len(vectors))]
    sums = Sums(dict.fromkeys(hashes, "docs"))
    sums.add(hashes, vectors)
    return Directions(NOW - timedelta(hours=hours_ago), "r", space, sums.directions())


def test_more_of_the_same_turns_nothing_and_something_else_does() -> None:
    before = [run(90, around(CENTRE, 200)), run(80, around(CENTRE, 40))]
    assert turned(before, "s", NOW) == []
    assert turned([*before, run(1, around(CENTRE, LEAST_TEXTS))], "s", NOW) == []
    [found] = turned([*before, run(1, around(OTHER, 50))], "s", NOW)
    assert (found.source, found.texts) == ("docs", 50)
    assert found.cosine < 0.5
    # A day later it has been seen, and in another space nothing is known of before.
    assert turned([*before, run(30, around(OTHER, 50))], "s", NOW) == []
    assert turned([*before, run(1, around(OTHER, 50), "other")], "other", NOW) == []
    assert turned([], "s", NOW) == []


def test_one_vector_for_every_text_is_seen_where_it_is_not_always_so() -> None:
    same = np.tile(CENTRE, (60, 1))
    [found] = turned([run(90, around(CENTRE, 200)), run(1, same)], "s", NOW)
    assert found.alike == 1.0
    assert turned([run(90, same), run(1, same)], "s", NOW) == []


def test_a_source_that_turned_is_told_though_another_one_was_embedded_since() -> None:
    def of_wiki(row: Directions) -> Directions:
        return replace(row, sources={"wiki": row.sources["docs"]})

    rows = [run(90, around(CENTRE, 200)), run(5, around(OTHER, 50)), of_wiki(run(1, around(CENTRE, 50)))]
    assert [found.source for found in turned(rows, "s", NOW)] == ["docs"]


def test_few_texts_have_no_direction() -> None:
    assert run(1, around(CENTRE, LEAST_TEXTS - 1)).sources == {}


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"{}", b"null", b'{"sources": {"a": 1}}']), max_size=4))
def test_whatever_stands_in_the_file_sound_lines_are_read(lines: list[bytes]) -> None:
    sound = run(1, around(CENTRE, 40))
    [*_, found] = directions_of(b"\n".join([*lines, line_of(sound)]))
    assert found.sources["docs"].texts == 40
    assert np.allclose(found.sources["docs"].mean, sound.sources["docs"].mean, atol=1e-3)
    assert newest_lines(line_of(sound)) == line_of(sound)


def test_a_mean_that_is_none_makes_a_line_no_row() -> None:
    for wrong in (Direction(3, CENTRE), Direction(40, np.full(4, np.nan, np.float32)), Direction(40, CENTRE[:0])):
        assert directions_of(line_of(Directions(NOW, "r", "s", {"docs": wrong}))) == []


def long(hours_ago: float, lengths: np.ndarray, space: str = "s") -> Directions:
    hashes = [str(number) for number in range(len(lengths))]
    sums = Sums(dict.fromkeys(hashes, "docs"))
    sums.add(hashes, around(CENTRE, len(lengths)), lengths)
    return Directions(NOW - timedelta(hours=hours_ago), "r", space, sums.directions())


def test_vectors_that_come_longer_or_shorter_are_seen_and_a_spread_that_stays_is_not() -> None:
    usual = RANDOM.normal(6, 0.5, 400).astype(np.float32)
    before = [long(90, usual[:200]), run(85, around(CENTRE, 50)), long(80, usual[200:])]
    assert stretched([*before, long(1, RANDOM.normal(6, 0.5, 40).astype(np.float32))], "s", NOW) == []
    for factor in (2.0, 0.4):
        [found] = stretched([*before, long(1, usual[:50] * np.float32(factor))], "s", NOW)
        assert (found.source, found.texts) == ("docs", 50)
        assert abs(found.lengths[1] / found.usual[1] - factor) < 0.1
    # A tenth that hardly has any length: the middle stays where it was.
    empty = usual[:60].copy()
    empty[:6] = 0.01
    assert len(stretched([*before, long(1, empty)], "s", NOW)) == 1
    # A day later it has been seen; nothing is known of another space, or by an earlier program.
    assert stretched([*before, long(30, usual[:50] * 3)], "s", NOW) == []
    assert stretched([*before, long(1, usual[:50] * 3, "other")], "other", NOW) == []
    assert stretched([run(90, around(CENTRE, 50)), long(1, usual[:50])], "s", NOW) == []


def test_few_of_many_lengths_are_kept_and_they_are_read_as_they_were_written() -> None:
    row = long(1, RANDOM.uniform(1, 3, 5 * LENGTHS_SAMPLED).astype(np.float32))
    [read] = directions_of(line_of(row))
    assert read.sources["docs"].lengths == row.sources["docs"].lengths
    assert read.sources["docs"].lengths is not None
    assert [round(each, 1) for each in read.sources["docs"].lengths] == [1.1, 2.0, 2.9]
    for damaged in ("[1, 2]", "[3, 2, 1]", "[0, 1, 2]", "[1, 2, NaN]", '"abc"', "[true, 2, 3]", "null"):
        line = re.sub(rb'"lengths": \[[^]]*\]', b'"lengths": ' + damaged.encode(), line_of(row))
        assert directions_of(line) == []
