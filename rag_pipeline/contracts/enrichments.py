"""What models and rules read out of documents: one enrichment as a value.

Belongs here: kinds, what names the recipe of a reading, and the form in which rows hold it.
Does not belong here: settings (`settings/enrichments.py`), which texts are read (`transforms/enrichments.py`), the
table of readings (`tables.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rag_pipeline.contracts.ids import fingerprint

Kind = Literal["rules", "nearest", "classify", "extract", "summarise", "context", "questions", "translate"]
# What a chat model writes, by kind, under the name that its answer has for it. In this order it stands in headers.
WRITTEN: Mapping[str, str] = {
    "summarise": "summary",
    "context": "context",
    "questions": "questions",
    "translate": "translation",
}
# Raise it when the same settings and texts would give other readings: every text is read again.
ENRICHMENT_VERSION = "1"
NO_LABEL = "none"


ValueType = Literal["text", "number", "integer", "boolean", "date"]


@dataclass(frozen=True, slots=True)
class ExtractField:
    """One field that a model reads out of a text.

    Attributes:
        values: Of a text: the only ones it may be; empty: any.
    """

    name: str
    type: ValueType
    description: str = ""
    values: tuple[str, ...] = ()
    many: bool = False


@dataclass(frozen=True, slots=True)
class Enrichment:
    """One entry of `enrichments`, ready to be used.

    Attributes:
        model: Alias of the embedding model or chat model; empty for rules.
        fields: Metadata names that it says something of; what documents themselves say under these does not count.
        recipe: Names what decides its readings; its name, its sources and where it goes are no part of it.
        asked_as: What else decides whether a model answers, like its address.
        sources, media_types: Documents that it reads; empty: all.
        labels: What stands for each: phrases, prototypes, or what it means.
        most_chars: Of a text's beginning that are read.
        beginnings: Of `nearest`: names the recipe of the vectors of these beginnings, which are kept as readings are.
        extracted: Fields, where the kind is `extract`.
        instructions: Of a chat model: what it is told to do.
        schema: Of a chat model: what its answer must be.
        most_answer_chars: Of what is written: how long it may be.
        most_answers: Of `questions`: how many there may be.
        writes_header: Whether what is read stands in headers of chunks, and is no metadata.
        not_language: Documents that it does not read, by language; empty: all are read.
        concurrency: Texts that a chat model reads at once.
        most_seconds: How long one run asks a chat model for.
    """

    name: str
    kind: Kind
    fields: tuple[str, ...]
    recipe: str
    model: str = ""
    asked_as: str = ""
    sources: tuple[str, ...] = ()
    media_types: tuple[str, ...] = ()
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    takes_many: bool = False
    threshold: float = 0.0
    most_chars: int = 0
    beginnings: str = ""
    extracted: tuple[ExtractField, ...] = ()
    instructions: str = ""
    schema: Mapping[str, Any] | None = None
    most_answer_chars: int = 0
    most_answers: int = 1
    writes_header: bool = False
    not_language: str = ""
    concurrency: int = 1
    most_seconds: float = 0.0

    @property
    def uses_chat(self) -> bool:
        return self.kind in ("classify", "extract") or self.kind in WRITTEN

    @property
    def gives_labels(self) -> bool:
        return self.kind in ("rules", "nearest", "classify")

    @property
    def reads_chunks(self) -> bool:
        """Whether it reads each chunk, and not the document as a whole."""
        return self.kind in ("context", "questions", "translate")

    @property
    def reads_windows(self) -> bool:
        """Whether it is shown each chunk within its document, and not alone."""
        return self.kind == "context"


def recipe_of(kind: Kind | Literal["beginning"], *parts: str) -> str:
    """Names a recipe by everything that decides what it reads."""
    return fingerprint("enrichment", ENRICHMENT_VERSION, kind, *parts)


def value_text(value: Sequence[str] | Mapping[str, Sequence[str]]) -> str:
    """Labels, or values by field, as rows hold them: equal readings are equal texts."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
