"""Static models give sentence-transformers' vectors from numpy alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding.open import EmbeddingModel, open_model, token_counter

TEXTS = ["word1 word2 word3", "word7", "word1 unknown word1", "word5 " * 40]


def open_static(folder: Path, cache: Path) -> EmbeddingModel:
    return open_model(EmbeddingModelSpec("static", "static", kind="static", folder=str(folder)), cache)


def test_a_vector_is_the_mean_of_its_tokens_vectors(static_folder: Path, tmp_path: Path) -> None:
    model = open_static(static_folder, tmp_path)
    matrix = load_file(static_folder / "model.safetensors")["embedding.weight"]
    expected = matrix[[5, 6, 7]].mean(axis=0)
    found = model.embed_documents(TEXTS)[0]
    assert model.space.dimension == 16
    assert np.allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


def test_a_text_without_tokens_has_a_direction(static_folder: Path, tmp_path: Path) -> None:
    assert np.isclose(np.linalg.norm(open_static(static_folder, tmp_path).embed_query("")), 1, atol=1e-6)


def test_no_special_tokens_are_counted(static_folder: Path, tmp_path: Path) -> None:
    spec = EmbeddingModelSpec("static", "static", kind="static", folder=str(static_folder))
    counter = token_counter(spec, tmp_path)
    assert counter.max_tokens == 512
    assert len(counter.token_spans(TEXTS[0])) == 3


def test_token_mapping_and_weights_of_model2vec_are_folded_in(static_folder: Path, tmp_path: Path) -> None:
    file = static_folder / "model.safetensors"
    matrix = load_file(file)["embedding.weight"]
    order = np.random.default_rng(5).permutation(len(matrix))
    weights = np.linspace(0.5, 2, len(matrix), dtype=np.float32)
    before = open_static(static_folder, tmp_path).embed_documents(TEXTS)
    shuffled = np.empty_like(matrix)
    shuffled[order] = matrix / weights[:, None]
    save_file({"embeddings": shuffled, "mapping": order, "weights": weights}, file)
    assert np.allclose(open_static(static_folder, tmp_path).embed_documents(TEXTS), before, atol=1e-5)


@pytest.mark.slow
@pytest.mark.model
def test_vectors_are_those_of_sentence_transformers(static_folder: Path, tmp_path: Path) -> None:
    from rag_pipeline.embedding.torch_backend import load_reference

    reference = load_reference(static_folder, "cpu", "fp32")
    expected = reference.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert np.allclose(open_static(static_folder, tmp_path).embed_documents(TEXTS), expected, atol=1e-6)
