"""What a document says of itself, in the form that filters look at.

Belongs here: metadata of the content, of sidecars and of front matter as one list of texts; comparing their values.
Does not belong here: the filter (`contracts/filters.py`), reading metadata (`metadata_fields.py`).

A fact is `name=value`, and `name` alone says that there is one. A list has one fact for each of its values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rag_pipeline.contracts.filters import Condition, fact_name, fact_value
from rag_pipeline.contracts.sources import DeclaredMetadata

# Each is a term of the index, for each chunk of the document.
MAX_FACTS = 400


def facts_of(metadata: str, declared: str, enriched: str | None = None) -> list[str]:
    """Facts of a document, each once, in order.

    Args:
        metadata: What the content says, as JSON.
        declared: What sidecar and front matter say, as JSON; it stands before what the content says of the same name.
        enriched: What enrichments read out of it, as JSON: values by name. Of these names nothing else counts, or a
            document could label itself.
    """
    said = DeclaredMetadata.from_json(declared)
    fields: dict[str, Any] = {fact_name(name): value for name, value in json.loads(metadata).items()}
    fields |= {fact_name(name): _loaded(value) for name, value in said.extra.items()}
    if said.author:
        fields["author"] = said.author
    read: dict[str, Any] = json.loads(enriched) if enriched else {}
    found: dict[str, None] = {}
    # What was read comes first: there is a most, and a document may say any number of things.
    for name, value in [*sorted(read.items()), *sorted(each for each in fields.items() if each[0] not in read)]:
        for one in value if isinstance(value, list) else [value]:
            if name and isinstance(one, str | int | float) and (text := fact_value(_written(one))):
                found |= {name: None, f"{name}={text}": None}
    return list(found)[:MAX_FACTS]


def _loaded(value: str) -> Any:
    if not value.startswith("["):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def values_in_range(condition: Condition, values: Iterable[str]) -> list[str]:
    """Those of a field's values that a comparison holds for.

    Numbers are compared with numbers and times with times; what is neither is compared as text with text.
    """
    (wanted,) = condition.values
    kind, limit = _typed(wanted)
    found = []
    for value in values:
        of_kind, typed = _typed(value)
        if of_kind == kind and _holds(condition.operator, typed, limit):
            found.append(value)
    return sorted(found)


def _holds(operator: str, value: Any, limit: Any) -> bool:
    if operator == "<":
        return bool(value < limit)
    if operator == "<=":
        return bool(value <= limit)
    return bool(value > limit if operator == ">" else value >= limit)


def _typed(text: str) -> tuple[str, Any]:
    try:
        return "number", float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return "text", text
    return "time", moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
