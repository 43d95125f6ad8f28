"""Small reranking models of random weights, as sentence-transformers and ColBERT save them, made with NumPy alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"word{number}" for number in range(200))]
WIDTH, LAYERS, INNER, POSITIONS = 16, 2, 24, 64
# Large enough that two pairs hardly ever score the same.
SPREAD = 0.4


def make_cross_encoder(folder: Path, words: list[str] | None = None, seed: int = 3, **changes: Any) -> Path:
    """Write a BERT cross-encoder; `changes` go into its configuration."""
    folder.mkdir(parents=True)
    words = words or WORDS
    config = {
        "model_type": "bert",
        "architectures": ["BertForSequenceClassification"],
        "vocab_size": len(words),
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "id2label": {"0": "LABEL_0"},
        **changes,
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights_of(len(words), seed, int(changes.get("labels", 1))), folder / "model.safetensors")
    save_pair_tokenizer(folder, words)
    return folder


def make_late_model(folder: Path, words: list[str] | None = None, seed: int = 3, projected: int = 8) -> Path:
    """Write a BERT that gives a vector for each token, in as many numbers as ColBERT's projection leaves; 0: none."""
    make_cross_encoder(folder, words, seed)
    weights = load_file(folder / "model.safetensors")
    kept = {name: values for name, values in weights.items() if not name.startswith("classifier")}
    if projected:
        kept["linear.weight"] = np.random.default_rng(seed).normal(0, SPREAD, (projected, WIDTH)).astype(np.float32)
    save_file(kept, folder / "model.safetensors")
    return folder


def weights_of(vocabulary: int, seed: int, labels: int = 1) -> dict[str, np.ndarray]:
    """Weights by the names that transformers gives them."""
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (vocabulary, WIDTH),
        "bert.embeddings.position_embeddings.weight": (POSITIONS, WIDTH),
        "bert.embeddings.token_type_embeddings.weight": (2, WIDTH),
        "bert.pooler.dense.weight": (WIDTH, WIDTH),
        "bert.pooler.dense.bias": (WIDTH,),
        "classifier.weight": (labels, WIDTH),
        "classifier.bias": (labels,),
    }
    norms = ["bert.embeddings.LayerNorm"]
    for layer in range(LAYERS):
        name = f"bert.encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{name}.{part}.weight": (WIDTH, WIDTH), f"{name}.{part}.bias": (WIDTH,)}
        shapes |= {f"{name}.intermediate.dense.weight": (INNER, WIDTH), f"{name}.intermediate.dense.bias": (INNER,)}
        shapes |= {f"{name}.output.dense.weight": (WIDTH, INNER), f"{name}.output.dense.bias": (WIDTH,)}
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
    shapes |= {f"{norm}.{part}": (WIDTH,) for norm in norms for part in ("weight", "bias")}
    made = {name: random.normal(0, SPREAD, shape).astype(np.float32) for name, shape in shapes.items()}
    return {name: values + 1 if name.endswith("LayerNorm.weight") else values for name, values in made.items()}


def save_pair_tokenizer(folder: Path, words: list[str]) -> None:
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    said = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": POSITIONS,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
