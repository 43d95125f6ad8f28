"""Hits that moved are no news where a document that came or went was changed, and are named where none was."""

from __future__ import annotations

from collections.abc import Collection

from rag_pipeline.transforms.moved_hits import MovedHits, moved_without_cause

BEFORE = {"q1": ("a", "b", "c", "d"), "q2": ("a",), "gone": ("x", "y", "z")}


def none(_: Collection[str]) -> set[str]:
    return set()


def never(_: Collection[str]) -> set[str]:
    raise AssertionError("nothing moved")


def test_places_that_change_among_the_first_and_one_that_goes_are_no_move() -> None:
    assert moved_without_cause(BEFORE, {"q1": ("c", "b", "a"), "q2": ("a", "b"), "new": ("p", "q")}, never) == []
    assert moved_without_cause(BEFORE, {"q1": ("a", "b", "z")}, never) == []


def test_most_first_hits_that_are_others_are_named_unless_one_of_them_changed() -> None:
    now = {"q1": ("a", "e", "f"), "q2": ("a",)}
    assert moved_without_cause(BEFORE, now, none) == [MovedHits("q1", ("b", "c"), ("e", "f"))]
    for cause in "bcef":
        assert moved_without_cause(BEFORE, now, lambda uris, cause=cause: {cause} & set(uris)) == []  # type: ignore[misc]
    assert moved_without_cause(BEFORE, now, lambda _: {"a"}) != []
    assert moved_without_cause(BEFORE, {"q1": ("d",)}, none) == [MovedHits("q1", ("a", "b", "c"), ("d",))]
