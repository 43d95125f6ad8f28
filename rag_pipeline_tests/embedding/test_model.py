"""The loop around every backend: order, work ahead of the caller, failures, prompts, checked vectors."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from rag_pipeline.contracts.embedding import EmbeddingSpace
from rag_pipeline.embedding.batching import BatchLimits, Rows, plan
from rag_pipeline.embedding.model import BackendModel
from rag_pipeline.embedding.vectors import finished
from rag_pipeline.errors import VectorInvalid

SPACE = EmbeddingSpace("a", "m", "w", "t", "mean", True, "", "", 256, 4, "fp32")


class LengthBackend:
    """Encodes the length of a text, and fails on the word that says so."""

    workers = 3
    tokenizer = None

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.lock = threading.Lock()

    def prepare(self, texts: list[str]) -> list[str]:
        return texts

    def plan(self, prepared: list[str]) -> list[Rows]:
        return plan([len(text) for text in prepared], BatchLimits(64, 5, 0.5))

    def compute(self, prepared: list[str], rows: Rows) -> np.ndarray:
        texts = [prepared[row] for row in rows]
        with self.lock:
            self.seen += texts
        if "fail" in texts:
            raise RuntimeError("asked to fail")
        return np.array([[1.0, len(text), text.count("x"), 0.0] for text in texts])


def model_of(backend: LengthBackend, space: EmbeddingSpace = SPACE) -> BackendModel:
    return BackendModel(space, lambda: backend)


def lengths(vectors: np.ndarray) -> list[int]:
    return [round(float(vector[1] / vector[0])) for vector in vectors]


def test_vectors_come_in_the_order_of_the_texts() -> None:
    texts = ["x" * (number * 7 % 31) for number in range(5_000)]
    done: list[int] = []
    vectors = model_of(LengthBackend()).embed_documents(texts, done.append)
    assert lengths(vectors) == [len(text) for text in texts]
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert sum(done) == len(texts)


def test_no_texts_give_no_vectors() -> None:
    assert model_of(LengthBackend()).embed_documents([]).shape == (0, 4)
    assert list(model_of(LengthBackend()).embed_stream(iter([[], []]))) == []


def test_a_stream_keeps_keys_with_their_vectors_batch_by_batch() -> None:
    batches = [[(f"{batch}-{number}", "x" * (batch + number)) for number in range(batch)] for batch in range(1, 7)]
    found = list(model_of(LengthBackend()).embed_stream(iter(batches)))
    assert [keys for keys, _ in found] == [[key for key, _ in batch] for batch in batches]
    assert [lengths(vectors) for _, vectors in found] == [[len(text) for _, text in batch] for batch in batches]


def test_a_stream_reads_one_batch_ahead_and_no_further() -> None:
    read: list[int] = []

    def batches() -> Iterator[list[tuple[str, str]]]:
        for number in range(6):
            read.append(number)
            yield [(str(number), "x")]

    stream = model_of(LengthBackend()).embed_stream(batches())
    assert read == []
    next(stream)
    assert read == [0, 1]
    next(stream)
    assert read == [0, 1, 2]


def test_an_abandoned_stream_stops_computing() -> None:
    backend = LengthBackend()
    stream = model_of(backend).embed_stream(iter([[(str(n), "x" * 60) for n in range(50)]] * 4))
    next(stream)
    stream.close()
    assert len(backend.seen) <= 100


def test_a_failing_batch_ends_the_stream_after_the_batches_before_it() -> None:
    stream = model_of(LengthBackend()).embed_stream(iter([[("a", "x")], [("b", "fail")], [("c", "x")]]))
    assert next(stream)[0] == ["a"]
    with pytest.raises(RuntimeError, match="asked to fail"):
        next(stream)


def test_document_and_query_prompts_are_kept_apart() -> None:
    backend = LengthBackend()
    model = model_of(backend, replace(SPACE, document_prompt="passage: ", query_prompt="query: "))
    model.embed_documents(["x"])
    assert backend.seen == ["passage: x"]
    assert model.embed_query("x").shape == (4,)
    assert backend.seen == ["passage: x", "query: x"]


def test_weights_are_loaded_once_by_any_number_of_threads() -> None:
    opened: list[LengthBackend] = []

    def open_backend() -> LengthBackend:
        opened.append(LengthBackend())
        return opened[-1]

    model = BackendModel(SPACE, open_backend)
    assert opened == []
    threads = [threading.Thread(target=model.embed_query, args=("x",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1


def test_a_narrower_space_takes_the_leading_values_and_normalises_again() -> None:
    vectors = finished(np.array([[3.0, 4.0, 12.0]]), 2, "m")
    assert np.allclose(vectors, [[0.6, 0.8]])


@pytest.mark.parametrize("raw", [[[1.0, np.nan]], [[1.0, np.inf]], [[0.0, 0.0]], [[1e30, 1e30]], [[1.0]]], ids=str)
def test_output_that_is_no_direction_is_refused(raw: list[list[float]]) -> None:
    with pytest.raises(VectorInvalid):
        finished(np.array(raw), 2, "m")


def test_a_batch_knows_how_long_its_vectors_were_also_after_a_way_between_processes() -> None:
    [batch] = model_of(LengthBackend()).embed_stream(iter([[("a", "xxx"), ("b", "x")]]))
    keys, vectors = pickle.loads(pickle.dumps(batch))
    lengths = pickle.loads(pickle.dumps(batch)).lengths
    assert keys == ["a", "b"]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert lengths.shape == (2,)
    assert lengths[0] > lengths[1]
