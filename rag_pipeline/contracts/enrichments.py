"""What models and rules read out of documents: one enrichment as a value.

Belongs here: kinds, what names the recipe of a reading, and the form in which rows hold it.
Does not belong here: settings (`settings/enrichments.py`), which texts are read (`transforms/enrichments.py`), the
table of readings (`tables.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rag_pipeline.contracts.ids import fingerprint

Kind = Literal["rules", "nearest"]
# Raise it when the same settings and texts would give other readings: every text is read again.
ENRICHMENT_VERSION = "1"
NO_LABEL = "none"


@dataclass(frozen=True, slots=True)
class Enrichment:
    """One entry of `enrichments`, ready to be used.

    Attributes:
        model: Alias of the embedding model; empty for rules.
        fields: Metadata names that it says something of; what documents themselves say under these does not count.
        recipe: Names what decides its readings; its name, its sources and where it goes are no part of it.
        asked_as: What else decides whether a model answers, like its address.
        sources, media_types: Documents that it reads; empty: all.
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


def recipe_of(kind: Kind, *parts: str) -> str:
    """Names a recipe by everything that decides what it reads."""
    return fingerprint("enrichment", ENRICHMENT_VERSION, kind, *parts)


def value_text(value: Sequence[str] | Mapping[str, Sequence[str]]) -> str:
    """Labels, or values by field, as rows hold them: equal readings are equal texts."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
