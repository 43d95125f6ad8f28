"""Feature hashing needs no weights and gives the same vectors everywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding.open import EmbeddingModel, open_model, token_counter

from ..paths import REPOSITORY

SPEC = EmbeddingModelSpec(alias="stub", model="hashing", kind="hashing")
PROGRAM = """
import sys
from pathlib import Path
from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding.open import open_model
model = open_model(EmbeddingModelSpec(alias="stub", model="hashing", kind="hashing"), Path("unused"))
sys.stdout.write(model.embed_query("Rotate the keys, please: \\u4f1a\\u8bae").tobytes().hex())
"""


@pytest.fixture
def model(tmp_path: Path) -> EmbeddingModel:
    return open_model(SPEC, tmp_path)


def test_vectors_are_the_same_in_every_process(model: EmbeddingModel) -> None:
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=REPOSITORY
    ).stdout
    assert found == model.embed_query("Rotate the keys, please: \u4f1a\u8bae").tobytes().hex()


def test_texts_that_share_words_are_nearer(model: EmbeddingModel) -> None:
    texts = ["rotate the signing keys every month", "who may rotate signing keys", "lunch is served at noon"]
    first, second, third = model.embed_documents(texts)
    assert first @ second > first @ third + 0.2


def test_a_vector_does_not_depend_on_its_neighbours(model: EmbeddingModel) -> None:
    texts = [f"text {number} about topic {number % 7}" for number in range(1_200)]
    together = model.embed_documents(texts)
    assert np.array_equal(together[700:703], model.embed_documents(texts[700:703]))


@pytest.mark.parametrize("text", ["", "   ", "?", "a a a"])
def test_even_texts_without_words_have_a_direction(model: EmbeddingModel, text: str) -> None:
    assert np.isclose(np.linalg.norm(model.embed_query(text)), 1, atol=1e-6)


def test_the_width_is_the_dimension_of_the_spec(tmp_path: Path) -> None:
    narrow = open_model(EmbeddingModelSpec("stub", "hashing", kind="hashing", dimension=48), tmp_path)
    assert narrow.embed_documents(["one", "two"]).shape == (2, 48)
    assert narrow.space.fingerprint != open_model(SPEC, tmp_path).space.fingerprint


def test_words_beyond_the_limit_are_left_out(tmp_path: Path) -> None:
    spec = EmbeddingModelSpec("stub", "hashing", kind="hashing", max_tokens=8)
    model = open_model(spec, tmp_path)
    inside = "one two three four five six seven eight"
    assert token_counter(spec, tmp_path).max_tokens == 8
    assert np.array_equal(model.embed_query(inside), model.embed_query(inside + " nine"))
