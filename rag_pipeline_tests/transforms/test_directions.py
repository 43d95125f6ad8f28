"""New vectors that point elsewhere, or all the same way, are named; chance and few texts are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.directions import LEAST_TEXTS, Direction, Directions, directions_of, line_of, newest_lines
from rag_pipeline.transforms.directions import Sums, turned

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
