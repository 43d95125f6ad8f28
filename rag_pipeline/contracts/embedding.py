"""What is asked of an embedding model, and what names the space its vectors lie in.

Belongs here: plain frozen values of the standard library; `EmbeddingSpace` is stored beside vectors.
Does not belong here: finding, hashing or running a model (`embedding/`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from rag_pipeline.contracts.ids import fingerprint

ModelKind = Literal["sentence-transformers", "static", "endpoint", "hashing"]
Precision = Literal["fp32", "bf16", "int8"]
Device = Literal["auto", "cpu", "cuda"]
Backend = Literal["auto", "openvino", "torch"]


@dataclass(frozen=True, slots=True)
class EmbeddingModelSpec:
    """What `pipeline.yaml` says of one embedding model.

    Attributes:
        alias: Partition name, `^[a-z0-9][a-z0-9_-]{0,62}$`.
        model: Name on the model hub, a folder, or the model's name at an endpoint.
        folder: Where the weights lie; looked at first.
        revision: Commit on the model hub; needed only to download.
        document_prompt: Put before every text that is embedded; None: what the model declares, if anything.
        query_prompt: Put before every query; None: what the model declares, if anything.
        dimension: Keep this many leading values and renormalise (Matryoshka); the width for `hashing`;
            for an endpoint required, since its width is not known without asking it.
        max_tokens: Limit of one text in tokens, special tokens included; None: the model's own.
        backend: No part of the embedding space: each gives the same vectors within a tested tolerance.
        requests_per_minute: Endpoint only, as are the remaining fields; None: no limit.
        api_key_variable: Name of the environment variable that holds the key.
    """

    alias: str
    model: str
    kind: ModelKind = "sentence-transformers"
    folder: str | None = None
    revision: str | None = None
    document_prompt: str | None = None
    query_prompt: str | None = None
    dimension: int | None = None
    precision: Precision = "fp32"
    max_tokens: int | None = None
    device: Device = "auto"
    backend: Backend = "auto"
    base_url: str | None = None
    api_key_variable: str | None = None
    requests_per_minute: int | None = None
    price_per_million_tokens: float | None = None
    batch_texts: int = 64


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """Everything that changes the vector of the same text; `alias` and `model` are for people only.

    Attributes:
        weights_hash: Weight files and the configuration that says how they are used.
        tokenizer_hash: Tokenizer, without its stored truncation and padding, which are always overridden.
        pooling: How token vectors become one, with any layer after it.
        max_tokens: Where a text is cut, in tokens, special tokens included.
        dimension: Width of the vectors.
    """

    alias: str
    model: str
    weights_hash: str
    tokenizer_hash: str
    pooling: str
    normalized: bool
    document_prompt: str
    query_prompt: str
    max_tokens: int
    dimension: int
    precision: str

    @property
    def fingerprint(self) -> str:
        """16 hex digits; vectors of equal fingerprints may be compared, others never."""
        return fingerprint("embedding-space/1", *(str(getattr(self, name)) for name in _identity_fields()))

    def difference(self, other: EmbeddingSpace) -> list[str]:
        """What keeps the two spaces apart, one readable line a field; empty exactly when they are the same."""
        return [
            f"{name}: {getattr(self, name)!r} here, {getattr(other, name)!r} there"
            for name in _identity_fields()
            if getattr(self, name) != getattr(other, name)
        ]


def _identity_fields() -> list[str]:
    return [field.name for field in fields(EmbeddingSpace) if field.name not in ("alias", "model")]
