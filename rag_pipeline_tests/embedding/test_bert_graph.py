"""Graphs built without torch give the vectors of sentence-transformers, and refuse what they do not cover."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding import extra
from rag_pipeline.embedding.bert_graph import NotCovered, build_graph
from rag_pipeline.embedding.layout import read_layout
from rag_pipeline.embedding.open import open_model
from rag_pipeline.errors import ModelUnavailable
from rag_pipeline_tests.embedding.conftest import MINILM, VARIED_WORDS, WORDS, modules_json, word_tokenizer
from rag_pipeline_tests.paths import REPOSITORY

MAX_DIFFERENCE = 2e-6
LEAST_COSINE = 0.99999
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 66,
}


@dataclass(frozen=True)
class Case:
    """A tiny model of random weights: its family, its options, and the steps after the encoder."""

    name: str
    family: str = "bert"
    options: dict[str, Any] = field(default_factory=dict)
    pooling: str = "mean"
    dense: str = ""
    normalizes: bool = True


CASES = [
    Case("mean"),
    Case("cls", pooling="cls"),
    Case("not normalised", normalizes=False),
    Case("tanh gelu", options={"hidden_act": "gelu_new"}),
    Case("relu", options={"hidden_act": "relu", "layer_norm_eps": 1e-5}),
    Case("dense with tanh", dense="Tanh"),
    Case("dense without activation", dense="Identity", normalizes=False),
    Case("roberta", family="roberta", options={"pad_token_id": 0}),
    Case("roberta pads with one", family="roberta", options={"pad_token_id": 1, "type_vocab_size": 1}),
    Case("xlm-roberta", family="xlm-roberta", options={"pad_token_id": 0, "type_vocab_size": 1}, pooling="cls"),
]


def make_model(folder: Path, case: Case) -> Path:
    """Write the model as sentence-transformers saves one."""
    import torch
    import transformers
    from safetensors.torch import save_file

    torch.manual_seed(7)
    made = transformers.AutoConfig.for_model(case.family, **SIZES, **case.options)
    encoder = transformers.AutoModel.from_config(made)
    for name, values in encoder.named_parameters():
        # Fresh models have biases of 0 and norms of 1, which would hide a forgotten one.
        if "bias" in name or "LayerNorm" in name:
            torch.nn.init.normal_(values, mean=1.0 if name.endswith("LayerNorm.weight") else 0.0, std=0.3)
    encoder.save_pretrained(folder)
    width = SIZES["hidden_size"]
    steps = [("", "Transformer"), ("1_Pooling", "Pooling")]
    (folder / "1_Pooling").mkdir()
    modes = {
        f"pooling_mode_{mode}": name == case.pooling for mode, name in (("cls_token", "cls"), ("mean_tokens", "mean"))
    }
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": width, **modes}))
    if case.dense:
        steps.append(("2_Dense", "Dense"))
        (folder / "2_Dense").mkdir()
        written = {
            "in_features": width,
            "out_features": 12,
            "bias": True,
            "activation_function": (
                "torch.nn.modules.linear." if case.dense == "Identity" else "torch.nn.modules.activation."
            )
            + case.dense,
        }
        (folder / "2_Dense" / "config.json").write_text(json.dumps(written))
        weights = {"linear.weight": torch.randn(12, width), "linear.bias": torch.randn(12)}
        save_file(weights, folder / "2_Dense" / "model.safetensors")
    if case.normalizes:
        steps.append(("3_Normalize", "Normalize"))
    (folder / "modules.json").write_text(modules_json(*steps))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 48, "do_lower_case": false}')
    save_tokenizer(folder, "[PAD]" if case.options.get("pad_token_id", 0) == 0 else "[UNK]")
    return folder


def save_tokenizer(folder: Path, padding: str) -> None:
    from transformers import PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(
        tokenizer_object=word_tokenizer(),
        pad_token=padding,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=48,
    )
    made.save_pretrained(folder)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


def texts_of_every_length(seed: int = 5) -> list[str]:
    rng = random.Random(seed)
    known = [word for word in WORDS if word.startswith("word")]
    return [" ".join(rng.choices(known, k=length)) for length in [1, 1, 2, 3, 5, 8, 13, 21, 34, 44, 46, 60, 90]]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_graph_gives_the_vectors_of_sentence_transformers(tmp_path: Path, case: Case) -> None:
    folder = make_model(tmp_path / "model", case)
    spec = EmbeddingModelSpec(alias="tiny", model="tiny", folder=str(folder), device="cpu", backend="openvino")
    build_graph(read_layout(spec, folder))  # is covered, so that the comparison is of this graph
    texts = texts_of_every_length()
    built = open_model(spec, tmp_path / "cache").embed_documents(texts)
    reference = open_model(replace(spec, backend="torch"), tmp_path / "cache").embed_documents(texts)
    assert np.abs(built - reference).max() <= MAX_DIFFERENCE
    assert len(np.unique(built.round(4), axis=0)) > len(texts) // 2


@pytest.mark.model
@pytest.mark.slow
def test_a_thousand_texts_of_every_length_have_the_vectors_of_sentence_transformers(model_cache: Path) -> None:
    rng = random.Random(3)
    # Each length once, what is longer than the model reads among them, and as many short ones as make a thousand.
    lengths = [0, *range(1, 252), *[1] * 748]
    texts = [" ".join(rng.choices(VARIED_WORDS, k=length)) for length in lengths]
    assert len(texts) == 1_000
    built = open_model(replace(MINILM, backend="openvino"), model_cache).embed_documents(texts)
    reference = open_model(replace(MINILM, backend="torch"), model_cache).embed_documents(texts)
    assert np.einsum("ij,ij->i", built.astype(np.float64), reference.astype(np.float64)).min() >= LEAST_COSINE


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "mpnet"}, "models of type mpnet"),
        ({"position_embedding_type": "relative_key"}, "positions of type relative_key"),
        ({"hidden_act": "silu"}, "the activation silu"),
        ({"is_decoder": True}, "decoders"),
        ({"num_hidden_layers": 2}, "weights named encoder.layer.2"),
        ({"num_hidden_layers": 4}, "weights without encoder.layer.3"),
    ],
)
def test_what_is_not_covered_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    folder = make_model(tmp_path / "model", CASES[0])
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    spec = EmbeddingModelSpec(alias="tiny", model="tiny", folder=str(folder))
    with pytest.raises(NotCovered, match=said):
        build_graph(read_layout(spec, folder))


def test_a_pooling_that_is_not_covered_is_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model", CASES[0])
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "lasttoken", "word_embedding_dimension": 24}')
    spec = EmbeddingModelSpec(alias="tiny", model="tiny", folder=str(folder))
    with pytest.raises(NotCovered, match="lasttoken pooling"):
        build_graph(read_layout(spec, folder))


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model", CASES[0])
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    spec = EmbeddingModelSpec(alias="tiny", model="tiny", folder=str(folder))
    with pytest.raises(NotCovered, match=r"the weights in model\.safetensors"):
        build_graph(read_layout(spec, folder))


def test_a_model_that_needs_the_extra_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_model(tmp_path / "model", Case("silu", options={"hidden_act": "silu"}))
    monkeypatch.setattr(extra, "has_torch", lambda: False)
    spec = EmbeddingModelSpec(alias="tiny", model="tiny", folder=str(folder), device="cpu")
    with pytest.raises(
        ModelUnavailable, match=r"the activation silu.*pip install 'rag-pipeline\[sentence-transformers\]'"
    ):
        open_model(spec, tmp_path / "cache").embed_query("word1")
    with pytest.raises(ModelUnavailable, match=r"pip install"):
        open_model(replace(spec, backend="torch"), tmp_path / "cache").embed_query("word1")
    # Nothing is remembered: the same model works once the extra is there.
    shutil.rmtree(tmp_path / "cache" / "graphs", ignore_errors=True)


WITHOUT_TORCH = """
import sys
from pathlib import Path
for name in ("torch", "sentence_transformers", "transformers", "onnx"):
    sys.modules[name] = None
from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding.open import open_model
spec = EmbeddingModelSpec("minilm", "sentence-transformers/all-MiniLM-L6-v2")
print(open_model(spec, Path(sys.argv[1])).embed_documents(["how are keys rotated", ""]).shape)
"""


@pytest.mark.model
def test_the_default_model_is_made_ready_and_run_without_torch(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "(2, 384)"
