"""Scores of a model are blended on the scale of the old ones; a model that fails costs the order and no answer."""

from __future__ import annotations

import gc
import logging
import math
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.recipe import SearchRecipe
from rag_pipeline.contracts.reranking import RerankerSpec
from rag_pipeline.embedding import reranker
from rag_pipeline.errors import EmbeddingError, ModelUnavailable
from rag_pipeline.retrieval import rerank
from rag_pipeline.retrieval.rerank import Rerankers, blended

FUSED = st.lists(st.floats(0, 1), min_size=1, max_size=60).map(lambda values: sorted(values, reverse=True))
LOGITS = st.floats(-12, 12)


def spec(weight: float = 0.3) -> RerankerSpec:
    return RerankerSpec("tiny", weight=weight)


@given(FUSED, st.data(), st.floats(0.01, 1))
def test_blended_scores_stay_within_those_of_what_was_read(fused: list[float], data: st.DataObject, w: float) -> None:
    read = data.draw(st.integers(0, len(fused)))
    scores = [data.draw(LOGITS) if at < read else None for at in range(len(fused))]
    new = blended(fused, scores, spec(w))
    assert new[read:] == fused[read:]
    assert all(fused[read - 1] - 1e-9 <= score <= fused[0] + 1e-9 for score in new[:read])


@given(FUSED, st.data())
def test_at_full_weight_the_model_alone_orders(fused: list[float], data: st.DataObject) -> None:
    scores = data.draw(st.lists(LOGITS, min_size=len(fused), max_size=len(fused), unique=True))
    new = blended(fused, scores, spec(1))
    for (a, first), (b, second) in zip(
        zip(scores, new, strict=True), zip(scores[1:], new[1:], strict=True), strict=False
    ):
        assert (first >= second) == (a >= b) or math.isclose(first, second)


@given(FUSED)
def test_a_model_that_says_the_same_of_all_changes_no_order(fused: list[float]) -> None:
    new = blended(fused, [2.5] * len(fused), spec())
    assert new == sorted(new, reverse=True)


def test_the_weight_decides_between_two_orders() -> None:
    fused, scores = [1.0, 0.5, 0.0], [-4.0, 4.0, 0.0]
    assert blended(fused, scores, spec(0.2)) == pytest.approx([0.8, 0.6, 0.1])
    assert blended(fused, scores, spec(0.8)) == pytest.approx([0.2, 0.9, 0.4])


class _Model:
    fingerprint = "f"

    def __init__(self, scores: object) -> None:
        self._scores = scores
        self.asked = 0
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    def scores(self, *_: object) -> object:
        self.asked += 1
        if isinstance(self._scores, Exception):
            raise self._scores
        return self._scores


RECIPE = SearchRecipe(RerankerSpec("tiny", time_budget_seconds=1.5), "f")


def test_what_time_did_not_suffice_for_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reranker, "open_reranker", lambda *_: _Model([1.0, None, None]))
    read = Rerankers(tmp_path).reader(RECIPE, "what")
    assert read is not None
    assert read(["a", "b", "c"]).note == "reranked 1 of 3 hits in the 1.5 s that it may take"
    monkeypatch.setattr(reranker, "open_reranker", lambda *_: _Model([1.0, 2.0]))
    whole = Rerankers(tmp_path).reader(RECIPE, "what")
    assert whole is not None
    assert whole(["a", "b"]).note is None


@pytest.mark.parametrize("error", [EmbeddingError("broken"), RuntimeError("odd"), MemoryError(), KeyError("x")])
def test_whatever_fails_in_a_model_is_a_warning(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reranker, "open_reranker", lambda *_: _Model(error))
    read = Rerankers(tmp_path).reader(RECIPE, "what")
    assert read is not None
    with caplog.at_level(logging.WARNING):
        reading = read(["a", "b"])
    assert list(reading.scores) == [None, None]
    assert "not reranked" in str(reading.note)
    assert "hits are not reranked" in caplog.text


def test_a_model_that_cannot_be_opened_is_not_tried_with_every_search(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[int] = []

    def fails(*_: object) -> None:
        tried.append(1)
        raise ModelUnavailable("gone")

    monkeypatch.setattr(reranker, "open_reranker", fails)
    rerankers = Rerankers(tmp_path)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            read = rerankers.reader(RECIPE, "what")
            assert read is not None
            assert read(["a"]).note is not None
    assert len(tried) == 1
    assert caplog.text.count("gone") == 1


def test_a_model_that_fails_in_use_is_let_go_and_tried_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now, opened = [0.0], [_Model(RuntimeError("odd"))]
    monkeypatch.setattr(rerank.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(reranker, "open_reranker", lambda *_: opened[-1])
    read = Rerankers(tmp_path).reader(RECIPE, "what")
    assert read is not None
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert list(read(["a"]).scores) == [None]
    assert opened[0].asked == 1
    assert caplog.text.count("odd") == 1
    dropped = weakref.ref(opened[0])
    opened[:] = [_Model([1.0])]
    gc.collect()
    assert dropped() is None
    now[0] = rerank.RETRY_SECONDS
    assert list(read(["a"]).scores) == [1.0]


@pytest.mark.parametrize("error", [None, ModelUnavailable("gone")])
def test_many_threads_open_a_model_once(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    callers, opened = 8, []
    together = threading.Barrier(callers)

    def opens(*_: object) -> _Model:
        opened.append(1)
        time.sleep(0.1)
        if error is not None:
            raise error
        return _Model([1.0])

    def ask(_: int) -> list[float | None]:
        together.wait()
        read = rerankers.reader(RECIPE, "what")
        assert read is not None
        return list(read(["a"]).scores)

    monkeypatch.setattr(reranker, "open_reranker", opens)
    rerankers = Rerankers(tmp_path)
    with ThreadPoolExecutor(callers) as threads:
        assert list(threads.map(ask, range(callers))) == [[1.0 if error is None else None]] * callers
    assert len(opened) == 1


def test_closed_rerankers_have_let_go_of_their_models_and_open_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model, opened = _Model([1.0]), []
    monkeypatch.setattr(reranker, "open_reranker", lambda *_: opened.append(1) or model)
    rerankers = Rerankers(tmp_path)
    read = rerankers.reader(RECIPE, "what")
    assert read is not None
    assert list(read(["a"]).scores) == [1.0]
    rerankers.close()
    assert model.closed == 1
    assert list(read(["a"]).scores) == [None]
    assert len(opened) == 1
    rerankers.close()
    assert model.closed == 1


def test_other_files_than_were_published_do_not_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reranker, "open_reranker", lambda *_: _Model([1.0]))
    read = Rerankers(tmp_path).reader(SearchRecipe(RerankerSpec("tiny"), "other"), "what")
    assert read is not None
    with caplog.at_level(logging.WARNING):
        assert list(read(["a"]).scores) == [None]
    assert "what was published is other" in caplog.text


def test_without_a_reranker_nothing_reads(tmp_path: Path) -> None:
    assert Rerankers(tmp_path).reader(SearchRecipe(), "what") is None
