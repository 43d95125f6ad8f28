"""Stores of answers are looked through for what fell: once for each publication, and whatever happens in between."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import pytest

from rag_pipeline.answering.embedded_cache import PAGE_BYTES, EmbeddedCache
from rag_pipeline.answering.keeping import AnswerCache, Kept


def none_stands(_: object) -> set[str]:
    return set()


def test_a_look_that_is_killed_anywhere_is_made_up_for_by_the_next(tmp_path: Path) -> None:
    """A copy of the files before each statement is what a kill at that moment leaves."""
    gone = Kept("twelve gold coins", 1, 1, False, ("d",), ("c",), "first")
    cache = EmbeddedCache(tmp_path / "whole" / "a.sqlite", 2**20, 60)
    cache.put("k", gone)
    left: list[Path] = []

    def copied(_: str) -> None:
        left.append(tmp_path / f"left{len(left)}")
        # The index of the log is in memory alone, and made anew by whoever opens it next.
        shutil.copytree(tmp_path / "whole", left[-1], ignore=shutil.ignore_patterns("*-shm"))

    assert cache._connection is not None
    cache._connection.set_trace_callback(copied)
    assert cache.erase_fallen("second", none_stands) == 1
    cache._connection.set_trace_callback(None)
    cache.close()
    assert len(left) > 6
    for folder in left:
        after = EmbeddedCache(folder / "a.sqlite", 2**20, 60)
        assert after.erase_fallen("second", none_stands) is not None
        assert after.get("k") is None
        after.close()
        assert not [path for path in folder.iterdir() if gone.text.encode() in path.read_bytes()], folder.name


def test_a_look_writes_nothing_of_what_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    cache = EmbeddedCache(path, 2**22, 60)
    for number in range(200):
        cache.put(f"{number:05}", Kept("x" * 3_000, 1, 1, False, (), ("c",), "first"))
    assert cache.erase_fallen("second", lambda ids: ids) == 0
    before = path.read_bytes()
    assert cache.erase_fallen("the third", lambda ids: ids) == 0
    after = path.read_bytes()
    cache.close()
    pages = range(0, len(before), PAGE_BYTES)
    changed = [at for at in pages if before[at : at + PAGE_BYTES] != after[at : at + PAGE_BYTES]]
    # The first page counts changes, another one says what was looked through.
    assert len(changed) <= 2


def test_what_was_looked_through_is_not_read_again_until_something_older_comes(cache: AnswerCache) -> None:
    looks: list[set[str]] = []

    def standing(ids: Collection[str]) -> Collection[str]:
        looks.append(set(ids))
        return ids

    cache.put("a", Kept("a", 1, 1, False, (), ("one",), "first"))
    for _ in range(2):
        assert cache.erase_fallen("second", standing) == 0
    cache.put("b", Kept("b", 1, 1, False, (), ("two",), "second"))
    assert cache.erase_fallen("second", standing) == 0
    assert looks == [{"one"}]
    cache.put("c", Kept("c", 1, 1, False, (), ("late",), "first"))
    assert cache.erase_fallen("second", lambda ids: set(ids) - {"late"}) == 1
    assert (cache.get("a") is None, cache.get("c") is None) == (False, True)
    # It comes while another one looks.
    cache.put("d", Kept("d", 1, 1, False, (), ("later",), "second"))
    late = Kept("e", 1, 1, False, (), ("e",), "first")
    assert cache.erase_fallen("third", lambda ids: (cache.put("e", late), ids)[1]) == 0
    assert cache.erase_fallen("third", lambda ids: set(ids) - {"e"}) == 1
    assert cache.get("e") is None


def test_an_index_that_cannot_be_read_is_no_fault_of_the_cache(cache: AnswerCache) -> None:
    def unread(_: object) -> set[str]:
        raise OSError("the index is gone")

    kept = Kept("a", 1, 1, False, (), ("one",), "first")
    cache.put("a", kept)
    with pytest.raises(OSError, match="the index is gone"):
        cache.erase_fallen("second", unread)
    assert cache.get("a") == kept
    assert cache.erase_fallen("second", none_stands) == 1
