"""What is asked of a cross-encoder that reranks.

Belongs here: plain frozen values of the standard library, stored beside a publication.
Does not belong here: finding or running the model (`embedding/`), blending (`retrieval/rerank.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

RerankPrecision = Literal["fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class RerankerSpec:
    """What `pipeline.yaml` says under `rerank`.

    Attributes:
        model: Name on the model hub, or a folder.
        folder: Where its files lie; looked at first.
        revision: Commit on the model hub; needed only to download.
        candidates: So many of the best hits are read by the model.
        weight: What its scores count against the first order's, in [0, 1].
        time_budget_seconds: Scoring stops after this long, and what was not scored keeps its place.
        max_tokens: Question and text are cut to this many tokens; None: the model's own limit.
    """

    model: str
    folder: str | None = None
    revision: str | None = None
    candidates: int = 50
    weight: float = 0.3
    time_budget_seconds: float = 4.0
    max_tokens: int | None = None
    precision: RerankPrecision = "fp32"

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> RerankerSpec:
        """From what `dataclasses.asdict` gave, by this version or a later one."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in known})
