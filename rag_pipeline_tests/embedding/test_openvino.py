"""The fast path gives the torch model's vectors, alone, together, in any order, without torch."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding import openvino_graph
from rag_pipeline.embedding.canary import CANARY_TEXTS, TOLERANCE, canary_vectors, drift
from rag_pipeline.embedding.layout import ModelLayout, read_layout
from rag_pipeline.embedding.open import EmbeddingModel, open_model, resolve_space
from rag_pipeline.embedding.openvino_graph import GRAPH_FILE, graph_folder
from rag_pipeline.errors import EmbeddingError

from ..paths import REPOSITORY
from .conftest import MINILM, VARIED_WORDS, word_tokenizer

MAX_DIFFERENCE = 5e-6
"""Largest difference of one value of a unit vector between OpenVINO and torch; measured: below 1e-6."""

QUERY_PROGRAM = """
import socket, sys
from pathlib import Path

def refuse(*arguments):
    raise AssertionError(f"network: {arguments}")

socket.getaddrinfo = socket.socket.connect = refuse
from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding.open import open_model
spec = EmbeddingModelSpec("minilm", "sentence-transformers/all-MiniLM-L6-v2", device="cpu")
model = open_model(spec, Path(sys.argv[1]))
assert model.embed_query("how are keys rotated").shape == (384,)
heavy = {"torch", "sentence_transformers", "transformers", "huggingface_hub", "openvino_telemetry"} & set(sys.modules)
sys.exit(f"imported {sorted(heavy)}" if heavy else 0)
"""


def varied_texts() -> list[str]:
    rng = random.Random(11)
    made = [" ".join(rng.choices(VARIED_WORDS, k=length)) for length in (1, 2, 5, 9, 17, 40, 80, 160, 300, 600)]
    return [*CANARY_TEXTS, *made, "", " ", "\n\n", ".", "\x00", "A" * 3_000]


@pytest.fixture(scope="module")
def model(model_cache: Path) -> EmbeddingModel:
    return open_model(replace(MINILM, backend="openvino"), model_cache)


@pytest.mark.model
@pytest.mark.slow
def test_openvino_gives_the_vectors_of_torch(model: EmbeddingModel, model_cache: Path) -> None:
    texts = varied_texts()
    fast = model.embed_documents(texts)
    reference = open_model(replace(MINILM, backend="torch"), model_cache)
    assert reference.space == model.space
    slow = reference.embed_documents(texts)
    cosines = np.einsum("ij,ij->i", fast.astype(np.float64), slow.astype(np.float64))
    assert cosines.min() >= 0.99999
    assert np.abs(fast - slow).max() <= MAX_DIFFERENCE


@pytest.mark.model
def test_a_vector_does_not_depend_on_batch_or_order(model: EmbeddingModel) -> None:
    texts = varied_texts()
    together = model.embed_documents(texts)
    order = random.Random(5).sample(range(len(texts)), len(texts))
    shuffled = model.embed_documents([texts[position] for position in order])
    assert np.abs(together[order] - shuffled).max() <= MAX_DIFFERENCE
    alone = np.stack([model.embed_query(text) for text in texts])
    assert np.abs(together - alone).max() <= MAX_DIFFERENCE


@pytest.mark.model
def test_text_beyond_the_limit_changes_nothing(model: EmbeddingModel) -> None:
    inside = "word " * 254
    assert (
        np.abs(model.embed_query(inside) - model.embed_query(inside + "other things entirely")).max() <= MAX_DIFFERENCE
    )
    assert np.abs(model.embed_query("word " * 200) - model.embed_query("word " * 130 + "cat " * 70)).max() > 1e-3


@pytest.mark.model
def test_queries_may_come_from_many_threads(model: EmbeddingModel) -> None:
    texts = [f"question number {number} " * (number % 9 + 1) for number in range(60)]
    expected = model.embed_documents(texts)
    with ThreadPoolExecutor(8) as threads:
        found = np.stack(list(threads.map(model.embed_query, texts)))
    assert np.abs(found - expected).max() <= MAX_DIFFERENCE


@pytest.mark.model
def test_a_query_needs_neither_torch_nor_a_network(model: EmbeddingModel, model_cache: Path) -> None:
    model.embed_query("makes sure that the graph is there")
    finished = subprocess.run(
        [sys.executable, "-c", QUERY_PROGRAM, str(model_cache)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.model
@pytest.mark.parametrize(("precision", "cosine"), [("bf16", 0.999), ("int8", 0.99)])
def test_a_lower_precision_is_a_space_of_its_own_near_the_first(
    model: EmbeddingModel, model_cache: Path, precision: str, cosine: float
) -> None:
    lower = open_model(replace(MINILM, precision=precision), model_cache)  # type: ignore[arg-type]
    assert [line.partition(":")[0] for line in lower.space.difference(model.space)] == ["precision"]
    texts = CANARY_TEXTS[:12]
    cosines = np.einsum("ij,ij->i", lower.embed_documents(texts), model.embed_documents(texts))
    assert cosines.min() >= cosine


@pytest.mark.model
def test_a_truncated_dimension_is_the_leading_part_of_the_whole(model: EmbeddingModel, model_cache: Path) -> None:
    narrow = open_model(replace(MINILM, dimension=96), model_cache)
    whole = model.embed_documents(["one text", "another"])[:, :96]
    expected = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    assert np.allclose(narrow.embed_documents(["one text", "another"]), expected, atol=1e-6)


@pytest.mark.model
def test_canary_vectors_show_no_drift_on_the_same_model_and_some_on_another(
    model: EmbeddingModel, tmp_path: Path
) -> None:
    before = canary_vectors(model)
    assert before.shape == (len(CANARY_TEXTS), 384)
    assert drift(before, canary_vectors(model)) <= TOLERANCE
    stub = open_model(EmbeddingModelSpec("stub", "hashing", kind="hashing", dimension=384), tmp_path)
    assert drift(before, canary_vectors(stub)) > 0.5
    assert drift(before, before[:, :10]) == 2.0


def bare_layout(folder: Path) -> ModelLayout:
    """A folder with a transformer of an unknown kind."""
    (folder / "config.json").write_text('{"model_type": "unknown", "hidden_size": 8}')
    word_tokenizer().save(str(folder / "tokenizer.json"))
    return read_layout(EmbeddingModelSpec(alias="bare", model="bare"), folder)


def test_the_first_of_two_makers_wins_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(_: Path, target: Path) -> str:
        (target / GRAPH_FILE).write_text("mine")
        other = next(iter(tmp_path.glob("graphs/*"))).parent / final.name
        shutil.copytree(target, other)
        (other / GRAPH_FILE).write_text("theirs")
        return ""

    layout = bare_layout(tmp_path)
    monkeypatch.setattr(openvino_graph, "_run_converter", lambda *_: "")
    final = graph_folder(layout, "weights", tmp_path)
    assert final is not None
    shutil.rmtree(final)
    monkeypatch.setattr(openvino_graph, "_run_converter", convert)
    assert graph_folder(layout, "weights", tmp_path) == final
    assert (final / GRAPH_FILE).read_text() == "theirs"
    assert [path.name for path in final.parent.iterdir()] == [final.name]


def test_a_model_that_cannot_be_converted_is_tried_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layout = bare_layout(tmp_path)
    for _ in range(2):
        assert graph_folder(layout, "weights", tmp_path / "cache") is None
    assert "runs on torch" in caplog.text
    assert caplog.text.count("converting the embedding model") <= 1


def test_a_killed_converter_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = subprocess.CompletedProcess([], -9, stderr="")
    monkeypatch.setattr(openvino_graph.subprocess, "run", lambda *_, **__: killed)
    with pytest.raises(EmbeddingError, match="signal 9"):
        graph_folder(bare_layout(tmp_path), "weights", tmp_path / "cache")
    assert list((tmp_path / "cache" / "graphs").iterdir()) == []


@pytest.mark.model
def test_the_space_is_the_same_whatever_runs_it(model_cache: Path) -> None:
    spaces = {resolve_space(replace(MINILM, backend=backend), model_cache) for backend in ("auto", "openvino", "torch")}  # type: ignore[arg-type]
    assert len(spaces) == 1
