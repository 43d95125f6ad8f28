"""The way in: name a model's space, count its tokens, open it.

Belongs here: choosing the backend for a spec.
Does not belong here: what backends do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rag_pipeline.contracts.embedding import EmbeddingModelSpec, EmbeddingSpace
from rag_pipeline.contracts.tokens import TokenCounter
from rag_pipeline.embedding.model import Backend, BackendModel, EmbeddingModel
from rag_pipeline.embedding.space import ResolvedModel, resolve
from rag_pipeline.embedding.tokens import HuggingFaceTokenCounter, WordTokenCounter
from rag_pipeline.errors import SettingsError

if TYPE_CHECKING:
    from rag_pipeline.embedding.layout import ModelLayout

__all__ = ["EmbeddingModel", "TokenCounter", "open_model", "resolve_space", "token_counter"]


def resolve_space(spec: EmbeddingModelSpec, cache_folder: Path) -> EmbeddingSpace:
    """The space a model's vectors lie in, from its files alone: nothing is loaded.

    Args:
        cache_folder: Where hashes of weight files are remembered.

    Raises:
        ModelUnavailable: The files are nowhere to be found, or not whole.
        SettingsError: The spec asks for what the model cannot give.
    """
    return resolve(spec, cache_folder).space


def token_counter(spec: EmbeddingModelSpec, cache_folder: Path) -> TokenCounter:
    """Counts tokens as the model does; raises as `resolve_space` does."""
    resolved = resolve(spec, cache_folder)
    space, layout = resolved.space, resolved.layout
    if layout is not None:
        return HuggingFaceTokenCounter(
            layout.tokenizer_file, space.tokenizer_hash, space.max_tokens, space.document_prompt, layout.lower_case
        )
    if spec.kind == "endpoint" and spec.folder is not None:
        file = Path(spec.folder).expanduser() / "tokenizer.json"
        return HuggingFaceTokenCounter(file, space.tokenizer_hash, space.max_tokens, space.document_prompt)
    return WordTokenCounter(space.tokenizer_hash, space.max_tokens, space.document_prompt)


def open_model(spec: EmbeddingModelSpec, cache_folder: Path) -> EmbeddingModel:
    """The model, with its space named now and its weights loaded on first use.

    Args:
        cache_folder: Where hashes and converted graphs are kept.

    Raises:
        ModelUnavailable: The files are nowhere to be found, or not whole.
        SettingsError: The spec asks for what the model cannot give.
    """
    resolved = resolve(spec, cache_folder)
    return BackendModel(resolved.space, lambda: _backend(resolved, cache_folder))


def _backend(resolved: ResolvedModel, cache_folder: Path) -> Backend:
    spec, space, layout = resolved.spec, resolved.space, resolved.layout
    if spec.kind == "hashing":
        from rag_pipeline.embedding.hashing_backend import HashingBackend

        return HashingBackend(space.dimension, space.max_tokens)
    if spec.kind == "endpoint":
        from rag_pipeline.embedding.endpoint_backend import EndpointBackend

        return EndpointBackend(spec, space, token_counter(spec, cache_folder))
    assert layout is not None, "models with files have a layout"
    if spec.kind == "static":
        from rag_pipeline.embedding.static_backend import StaticBackend

        return StaticBackend(layout, space)
    return _transformer(spec, space, layout, cache_folder)


def _transformer(spec: EmbeddingModelSpec, space: EmbeddingSpace, layout: ModelLayout, cache_folder: Path) -> Backend:
    from rag_pipeline.embedding.devices import chosen_device

    if spec.device == "cuda" and spec.backend == "openvino":
        raise SettingsError(
            f"embedding model {spec.alias}: `backend: openvino` runs on the CPU; with `device: cuda` use auto or torch",
            alias=spec.alias,
        )
    device = chosen_device(spec.device)
    if spec.backend == "openvino" or (spec.backend == "auto" and device == "cpu"):
        from rag_pipeline.embedding.openvino_backend import open_openvino

        opened = open_openvino(layout, space, cache_folder)
        if opened is not None:
            return opened
    from rag_pipeline.embedding.torch_backend import TorchBackend

    return TorchBackend(layout, space, device)
