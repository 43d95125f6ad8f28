"""What reads the best hits again: the sections `rerank` and `late_interaction` of pipeline.yaml.

Belongs here: the model, how many hits it reads, what it counts, what time it may take.
Does not belong here: running it (`embedding/reranker.py`), blending (`retrieval/rerank.py`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rag_pipeline.contracts.reranking import RerankerSpec
from rag_pipeline.settings.limits import Section


class RerankSettings(Section):
    """A cross-encoder that reads the best hits of mode hybrid beside the question and orders them anew; a change is
    evaluated, and published like a change of the embedding model."""

    model: str = Field(min_length=1, max_length=4_096)
    """Name like `cross-encoder/ms-marco-MiniLM-L-12-v2`, or a folder: a sentence-transformers CrossEncoder of the BERT
    or RoBERTa family, or `model.onnx` with its `tokenizer.json`."""
    folder: str | None = Field(default=None, min_length=1, max_length=4_096)
    """Folder of the model's files, looked at before the model hub."""
    revision: str | None = Field(default=None, max_length=4_096)
    """Revision on the model hub; needed only to download."""
    candidates: int = Field(default=50, ge=2, le=1_000)
    """So many of the best hits are read; what comes after keeps its place."""
    weight: float = Field(default=0.3, gt=0, le=1)
    """What the model's scores count against the fused score; 1: they alone order."""
    time_budget_seconds: float = Field(default=4, gt=0, le=3_600)
    """Reading stops after this long, and what was not read keeps its place. Opening the model, once, is not counted."""
    max_tokens: int | None = Field(default=None, gt=7, le=1_000_000)
    """Question and text are cut after this many tokens together; none: the model's own limit."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic; `bf16` is faster where the processor has it, and another precision is another order."""

    def spec(self) -> RerankerSpec:
        return RerankerSpec(**self.model_dump())


class LateInteractionSettings(RerankSettings):
    """A ColBERT model that compares each token of the question with those of the best hits of mode hybrid, and orders
    them anew, instead of a cross-encoder; a change is evaluated, and published like a change of the embedding model."""

    model: str = Field(min_length=1, max_length=4_096)
    """Name like `answerdotai/answerai-colbert-small-v1`, or a folder: the weights of a BERT or RoBERTa with or without
    ColBERT's projection, or `model.onnx` that gives a vector for each token, with its `tokenizer.json`."""
    candidates: int = Field(default=20, ge=2, le=1_000)
    """So many of the best hits are compared; what comes after keeps its place."""
    weight: float = Field(default=0.8, gt=0, le=1)
    """What the model's scores count against the fused score; 1: they alone order."""
    max_tokens: int | None = Field(default=None, gt=7, le=1_000_000)
    """The question and each text are cut after this many tokens; none: the model's own limit."""

    def spec(self) -> RerankerSpec:
        return RerankerSpec(**self.model_dump(), kind="late-interaction")
