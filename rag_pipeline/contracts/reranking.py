"""What is asked of a model that reranks.

Belongs here: plain frozen values of the standard library, stored beside a publication.
Does not belong here: finding or running the model (`embedding/`), blending (`retrieval/rerank.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

RerankPrecision = Literal["fp32", "bf16"]
RerankKind = Literal["cross-encoder", "late-interaction"]


@dataclass(frozen=True, slots=True)
class RerankerSpec:
    """What `pipeline.yaml` says under `rerank` or `late_interaction`.

    Attributes:
        model: Name on the model hub, or a folder.
        folder: Where its files lie; looked at first.
        revision: Commit on the model hub; needed only to download.
        candidates: So many of the best hits are read by the model.
        weight: What its scores count against the first order's, in [0, 1].
        time_budget_seconds: Scoring stops after this long, and what was not scored keeps its place.
        max_tokens: Question and text are cut to this many tokens; None: the model's own limit; late interaction
            reads each by itself.
        kind: How question and text meet: read together, or each token for itself and compared afterwards.
    """

    model: str
    folder: str | None = None
    revision: str | None = None
    candidates: int = 50
    weight: float = 0.3
    time_budget_seconds: float = 4.0
    max_tokens: int | None = None
    precision: RerankPrecision = "fp32"
    kind: RerankKind = "cross-encoder"

    @property
    def is_late(self) -> bool:
        return self.kind == "late-interaction"

    @property
    def section(self) -> str:
        """The key in pipeline.yaml that it stands under."""
        return "late_interaction" if self.is_late else "rerank"

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> RerankerSpec:
        """From what `dataclasses.asdict` gave, by this version or a later one."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in known})
