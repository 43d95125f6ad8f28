"""Name the embedding space of a model from its files, without loading it.

Belongs here: what goes into each field of `EmbeddingSpace`.
Does not belong here: the fingerprint's recipe (`contracts/embedding.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rag_pipeline.contracts.embedding import EmbeddingModelSpec, EmbeddingSpace
from rag_pipeline.contracts.ids import digest
from rag_pipeline.embedding.file_hashes import file_sha256, remembered
from rag_pipeline.embedding.layout import ModelLayout, read_json, read_layout, sentence_config
from rag_pipeline.embedding.locate import model_folder
from rag_pipeline.errors import ModelUnavailable, SettingsError

HASHING_VERSION = "feature-hashing/1"
# Small, since it is for tests and for own work apart from a model's.
HASHING_DIMENSION = 256
WORD_TOKENS_VERSION = "words/1"
UNLIMITED_MAX_TOKENS = 512
"""Where texts are cut when neither the model nor the configuration sets a limit."""

# They say how the folder was made, not what the weights compute.
_INERT_KEYS = {"_name_or_path", "transformers_version", "use_cache", "gradient_checkpointing", "__version__"}


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A spec, its space, and its files where it has any."""

    spec: EmbeddingModelSpec
    space: EmbeddingSpace
    layout: ModelLayout | None


def resolve(spec: EmbeddingModelSpec, cache_folder: Path) -> ResolvedModel:
    """Find the model's files and name its space. Reads the weights only when they are new or have changed.

    Raises:
        ModelUnavailable: The model's files are nowhere, or not whole.
        SettingsError: The spec asks for what the model cannot give.
    """
    if spec.kind == "hashing":
        return ResolvedModel(spec, _hashing_space(spec), None)
    if spec.kind == "endpoint":
        return ResolvedModel(spec, _endpoint_space(spec, cache_folder), None)
    layout = read_layout(spec, model_folder(spec, cache_folder))
    if layout.is_static != (spec.kind == "static"):
        found = "static" if layout.is_static else "sentence-transformers"
        raise SettingsError(
            f"embedding model {spec.alias} is configured as kind {spec.kind}, but {layout.folder} holds a model of "
            f"kind {found}; set `kind: {found}`.",
            alias=spec.alias,
        )
    return ResolvedModel(spec, _model_space(spec, layout, cache_folder), layout)


def tokenizer_hash(file: Path, cache_folder: Path, lower_case: bool = False) -> str:
    """Hash of a `tokenizer.json` without its stored truncation and padding."""
    found = remembered(file, cache_folder, "tokenizer/1", _canonical_tokenizer)
    return digest(found, "lower_case") if lower_case else found


def _canonical_tokenizer(path: Path) -> str:
    content = read_json(path)
    content.pop("truncation", None)
    content.pop("padding", None)
    return digest(json.dumps(content, sort_keys=True, ensure_ascii=False))


def _model_space(spec: EmbeddingModelSpec, layout: ModelLayout, cache_folder: Path) -> EmbeddingSpace:
    if spec.precision != "fp32" and layout.is_static:
        raise SettingsError(f"embedding model {spec.alias} is static: only `precision: fp32` fits", alias=spec.alias)
    return EmbeddingSpace(
        alias=spec.alias,
        model=spec.model,
        weights_hash=_weights_hash(spec, layout, cache_folder),
        tokenizer_hash=tokenizer_hash(layout.tokenizer_file, cache_folder, layout.lower_case),
        pooling=layout.pooling,
        normalized=True,
        document_prompt=_given(spec.document_prompt, layout.prompt("document", "passage", "corpus")),
        query_prompt=_given(spec.query_prompt, layout.prompt("query")),
        max_tokens=_max_tokens(spec, layout),
        dimension=_dimension(spec, layout.dimension),
        precision=spec.precision,
    )


def _hashing_space(spec: EmbeddingModelSpec) -> EmbeddingSpace:
    return EmbeddingSpace(
        alias=spec.alias,
        model=spec.model,
        weights_hash=digest(HASHING_VERSION),
        tokenizer_hash=digest(WORD_TOKENS_VERSION),
        pooling="sum",
        normalized=True,
        document_prompt=spec.document_prompt or "",
        query_prompt=spec.query_prompt or "",
        max_tokens=spec.max_tokens or UNLIMITED_MAX_TOKENS,
        dimension=spec.dimension or HASHING_DIMENSION,
        precision="fp32",
    )


def _endpoint_space(spec: EmbeddingModelSpec, cache_folder: Path) -> EmbeddingSpace:
    if spec.dimension is None or spec.base_url is None:
        raise SettingsError(
            f"embedding model {spec.alias} is an endpoint and needs `base_url` and `dimension` (the width of its "
            f"vectors, or fewer of their leading values)",
            alias=spec.alias,
        )
    tokenizer = Path(spec.folder).expanduser() / "tokenizer.json" if spec.folder else None
    return EmbeddingSpace(
        alias=spec.alias,
        model=spec.model,
        # An endpoint shows no weights: address and name are all there is, and the canary audit watches the rest.
        weights_hash=digest("endpoint", spec.base_url.rstrip("/"), spec.model, spec.revision or ""),
        tokenizer_hash=tokenizer_hash(tokenizer, cache_folder) if tokenizer else digest(WORD_TOKENS_VERSION),
        pooling="endpoint",
        normalized=True,
        document_prompt=spec.document_prompt or "",
        query_prompt=spec.query_prompt or "",
        max_tokens=spec.max_tokens or UNLIMITED_MAX_TOKENS,
        dimension=spec.dimension,
        precision="fp32",
    )


def _weights_hash(spec: EmbeddingModelSpec, layout: ModelLayout, cache_folder: Path) -> str:
    parts: list[str] = []
    weights = 0
    for module in layout.modules:
        files = sorted(module.folder.glob("*.safetensors")) or sorted(module.folder.glob("pytorch_model*.bin"))
        # A step without weights of its own lies in no folder of its own in some models.
        if module.folder == layout.modules[0].folder and module is not layout.modules[0]:
            files = []
        weights += len(files)
        configs = [
            {key: value for key, value in config.items() if key not in _INERT_KEYS}
            for config in (module.config(), sentence_config(module.folder))
        ]
        parts += [module.type, json.dumps(configs, sort_keys=True)]
        parts += [f"{file.name}:{file_sha256(file, cache_folder)}" for file in files]
    if not weights:
        raise ModelUnavailable(
            f"{layout.folder} has the configuration of embedding model {spec.alias} but no weights "
            f"(*.safetensors); copy them there.",
            alias=spec.alias,
            folder=str(layout.folder),
        )
    return digest("weights/1", *parts)


def _max_tokens(spec: EmbeddingModelSpec, layout: ModelLayout) -> int:
    if spec.max_tokens is None:
        return layout.max_tokens or UNLIMITED_MAX_TOKENS
    if layout.max_positions is not None and spec.max_tokens > layout.max_positions:
        raise SettingsError(
            f"embedding model {spec.alias} takes at most {layout.max_positions} tokens; `max_tokens: "
            f"{spec.max_tokens}` is more",
            alias=spec.alias,
        )
    return spec.max_tokens


def _dimension(spec: EmbeddingModelSpec, native: int) -> int:
    if spec.dimension is not None and not 1 <= spec.dimension <= native:
        raise SettingsError(
            f"embedding model {spec.alias} gives {native} values; `dimension: {spec.dimension}` is not within",
            alias=spec.alias,
        )
    return spec.dimension or native


def _given(configured: str | None, declared: str) -> str:
    return declared if configured is None else configured
