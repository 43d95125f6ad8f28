"""Read what a model folder holds, from its configuration files alone.

Belongs here: the folder formats of sentence-transformers (several generations) and of plain transformer models.
Does not belong here: loading weights, or tokenizing.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.errors import ModelUnavailable

# Positions before this offset are taken by padding in these families (as in fairseq's RoBERTa).
_POSITION_OFFSET = {"roberta": 2, "xlm-roberta": 2, "camembert": 2, "mpnet": 2, "xlm-roberta-xl": 2}

_LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_GRAPH_MODULES = {"Transformer", "Pooling", "Dense", "Normalize"}


@dataclass(frozen=True, slots=True)
class Module:
    """One step of a sentence-transformers model: its class name and its folder."""

    type: str
    folder: Path

    def config(self, name: str = "config.json") -> dict[str, Any]:
        return read_json(self.folder / name)


@dataclass(frozen=True, slots=True)
class ModelLayout:
    """What the configuration files say.

    Attributes:
        pooling: Readable and exact: pooling modes, and the layers after it.
        dimension: Width of the model's vectors, before any truncation.
        max_tokens: The model's limit, special tokens included; None: it has none.
        max_positions: The largest limit the weights allow; None: any.
        lower_case: Text is lower-cased before the tokenizer sees it.
        prompts: As the model declares them, by name.
        is_plain: A graph of the whole can be made: known steps, all of the prompt pooled.
    """

    folder: Path
    modules: tuple[Module, ...]
    tokenizer_file: Path
    pooling: str
    dimension: int
    max_tokens: int | None
    max_positions: int | None
    lower_case: bool
    pad_token_id: int
    prompts: dict[str, str]
    is_plain: bool

    @property
    def is_static(self) -> bool:
        return self.modules[0].type == "StaticEmbedding"

    def prompt(self, *names: str) -> str:
        """The first declared prompt of these names, or no prompt."""
        return next((self.prompts[name] for name in names if name in self.prompts), "")


def read_layout(spec: EmbeddingModelSpec, folder: Path) -> ModelLayout:
    """Read the folder of a sentence-transformers or static model.

    Raises:
        ModelUnavailable: A file that is needed is missing or unreadable.
    """
    modules = _modules(folder)
    first = modules[0]
    tokenizer_file = first.folder / "tokenizer.json"
    if not tokenizer_file.is_file():
        tokenizer_file = folder / "tokenizer.json"
    if not tokenizer_file.is_file():
        raise ModelUnavailable(
            f"embedding model {spec.alias} has no tokenizer.json in {first.folder}. Save its tokenizer in the fast "
            f"format once (transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)).",
            alias=spec.alias,
            folder=str(folder),
        )
    config = first.config()
    sentence = sentence_config(first.folder)
    positions = config.get("max_position_embeddings")
    if positions is not None:
        positions -= _POSITION_OFFSET.get(config.get("model_type", ""), 0)
    return ModelLayout(
        folder=folder,
        modules=modules,
        tokenizer_file=tokenizer_file,
        pooling=_pooling(modules),
        dimension=_dimension(spec, modules),
        max_tokens=_max_tokens(sentence, read_json(tokenizer_file.parent / "tokenizer_config.json"), positions),
        max_positions=positions,
        lower_case=bool(sentence.get("do_lower_case", False)),
        pad_token_id=int(config.get("pad_token_id") or 0),
        prompts=read_json(folder / "config_sentence_transformers.json").get("prompts") or {},
        is_plain=_is_plain(modules),
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one when the file is not there.

    Raises:
        ModelUnavailable: The file is there but is not JSON.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"{path} of an embedding model cannot be read: {error}. Restore the model's folder.", path=str(path)
        ) from error
    return value if isinstance(value, dict) else {"": value}


def sentence_config(folder: Path) -> dict[str, Any]:
    """How the first module takes text; older models name the file by their architecture."""
    files = [folder / "sentence_bert_config.json", *sorted(folder.glob("sentence_*_config.json"))]
    return read_json(next((file for file in files if file.is_file()), files[0]))


def matrix_shape(weights: Path, *names: str) -> tuple[int, int]:
    """Rows and columns of the first of these tensors, from the header of a safetensors file.

    Raises:
        ModelUnavailable: The file is no safetensors file or has none of them.
    """
    try:
        with weights.open("rb") as file:
            (header_bytes,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(header_bytes))
        rows, columns = next(header[name]["shape"] for name in names if name in header)
    except (OSError, ValueError, struct.error, StopIteration) as error:
        raise ModelUnavailable(
            f"{weights} is not a readable safetensors file with a matrix named {' or '.join(names)}: {error!r}. "
            f"Save the model again with safe serialization.",
            path=str(weights),
        ) from error
    return int(rows), int(columns)


def _modules(folder: Path) -> tuple[Module, ...]:
    # Folders without modules.json are plain transformers; sentence-transformers reads them with mean pooling.
    listed = read_json(folder / "modules.json").get("") or [{"type": "Transformer", "path": ""}]
    return tuple(Module(entry["type"].rpartition(".")[2], folder / entry.get("path", "")) for entry in listed)


def _pooling_modes(config: dict[str, Any]) -> list[str]:
    mode = config.get("pooling_mode")
    if mode is not None:
        return [mode] if isinstance(mode, str) else list(mode)
    return [name for key, name in _LEGACY_POOLING.items() if config.get(key)] or ["mean"]


def _pooling(modules: tuple[Module, ...]) -> str:
    steps: list[str] = []
    for module in modules[1:]:
        config = module.config()
        if module.type == "Pooling":
            without = "" if config.get("include_prompt", True) else " without prompt"
            steps.append("+".join(_pooling_modes(config)) + without)
        elif module.type == "Dense":
            steps.append(f"Dense({config.get('out_features')})")
        elif module.type != "Normalize":
            steps.append(module.type)
    return " > ".join(steps) or "mean"


def _dimension(spec: EmbeddingModelSpec, modules: tuple[Module, ...]) -> int:
    if modules[0].type == "StaticEmbedding":
        return matrix_shape(modules[0].folder / "model.safetensors", "embedding.weight", "embeddings")[1]
    width = modules[0].config().get("hidden_size") or modules[0].config().get("dim")
    for module in modules[1:]:
        config = module.config()
        if module.type == "Pooling":
            one = config.get("embedding_dimension") or config.get("word_embedding_dimension") or width or 0
            width = int(one) * len(_pooling_modes(config))
        elif module.type == "Dense":
            width = int(config["out_features"])
    if not width:
        raise ModelUnavailable(
            f"the configuration of embedding model {spec.alias} does not say how wide its vectors are; restore "
            f"config.json in {modules[0].folder}.",
            alias=spec.alias,
        )
    return int(width)


def _max_tokens(sentence: dict[str, Any], tokenizer: dict[str, Any], positions: int | None) -> int | None:
    if sentence.get("max_seq_length"):
        return int(sentence["max_seq_length"])
    # Tokenizers without a limit store a number with thirty digits.
    limits = [limit for limit in (tokenizer.get("model_max_length"), positions) if limit and limit < 10_000_000]
    return int(min(limits)) if limits else None


def _is_plain(modules: tuple[Module, ...]) -> bool:
    whole_prompt = all(m.config().get("include_prompt", True) for m in modules if m.type == "Pooling")
    return modules[0].type == "Transformer" and whole_prompt and {m.type for m in modules} <= _GRAPH_MODULES
