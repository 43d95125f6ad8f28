"""Models for the tests of the embedding layer: the packaged one, and small ones made on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from rag_pipeline.contracts.embedding import EmbeddingModelSpec

MINILM = EmbeddingModelSpec(alias="minilm", model="sentence-transformers/all-MiniLM-L6-v2", device="cpu")
# Of other scripts, of no letters, of many pieces, and what a tokenizer takes for its own.
VARIED_WORDS = [
    "pipeline",
    "über",
    "会议",
    "retry",
    "3.14",
    "naïve",
    "😀",
    "x" * 40,
    "the",
    "of",
    "keys",
    "\u200b",
    "[SEP]",
]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"word{number}" for number in range(60))]


@pytest.fixture(scope="session")
def model_cache(request: pytest.FixtureRequest) -> Path:
    """Kept between test runs, since converting the model takes many seconds."""
    assert request.config.cache is not None
    return Path(request.config.cache.mkdir("embedding_models"))


def word_tokenizer(with_special_tokens: bool = True) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if with_special_tokens:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return tokenizer


def modules_json(*steps: tuple[str, str]) -> str:
    """What sentence-transformers reads first: path and class of each step."""
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(steps)
    ]
    return json.dumps(listed)


MakeFolder = Callable[..., Path]


@pytest.fixture
def transformer_folder(tmp_path: Path) -> MakeFolder:
    """A folder in the format of sentence-transformers; its weights are only good for hashing."""

    def make(name: str = "model", **changes: object) -> Path:
        folder = tmp_path / name
        (folder / "1_Pooling").mkdir(parents=True)
        config = {"hidden_size": 8, "max_position_embeddings": 64, "_name_or_path": name, **changes}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 32, "do_lower_case": false}')
        (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
        steps = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
        (folder / "modules.json").write_text(modules_json(*steps))
        word_tokenizer().save(str(folder / "tokenizer.json"))
        save_file({"weights": np.ones((4, 8), dtype=np.float32)}, folder / "model.safetensors")
        return folder

    return make


@pytest.fixture
def static_folder(tmp_path: Path) -> Path:
    """A static model of random vectors, as sentence-transformers saves one."""
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "modules.json").write_text(modules_json(("", "StaticEmbedding")))
    word_tokenizer(with_special_tokens=False).save(str(folder / "tokenizer.json"))
    matrix = np.random.default_rng(3).normal(size=(len(WORDS), 16)).astype(np.float32)
    save_file({"embedding.weight": matrix}, folder / "model.safetensors")
    return folder
