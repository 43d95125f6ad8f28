"""What a chat model's answer must be, and reading it.

Belongs here: JSON schemas of the kinds of enrichments, and values out of an answer or a reason why it has none.
Does not belong here: asking (`asking.py`). A document can make a model say anything: what comes through here is one of
the labels of pipeline.yaml, or a value of the type that a field has, and nothing else.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from datetime import date
from typing import Any

from rag_pipeline.contracts.enrichments import NO_LABEL, WRITTEN, Enrichment, ExtractField
from rag_pipeline.contracts.filters import MAX_VALUE_CHARS

# More of one field of a document is a list of everything in it.
MOST_VALUES = 50
_TYPES = {"text": "string", "number": "number", "integer": "integer", "boolean": "boolean", "date": "string"}


class NotValid(ValueError):
    """An answer is not what the schema says; the message quotes nothing of it."""


def schema_of(labels: Sequence[str], *, takes_many: bool) -> dict[str, Any]:
    """Schema of an answer that gives labels."""
    if takes_many:
        return _object({"labels": {"type": "array", "items": {"type": "string", "enum": list(labels)}}})
    return _object({"label": {"type": "string", "enum": [*labels, NO_LABEL]}})


def schema_of_fields(fields: Sequence[ExtractField]) -> dict[str, Any]:
    """Schema of an answer that gives fields; each may be null."""
    return _object({field.name: _field_schema(field) for field in fields})


def schema_of_written(kind: str, most_chars: int, most_answers: int = 1) -> dict[str, Any]:
    """Schema of an answer that gives text; servers differ in whether they know bounds, so they are said in words."""
    bound = f"at most {most_chars} characters"
    if kind == "questions":
        said = f"At most {most_answers} questions, together {bound}."
        return _object({WRITTEN[kind]: {"type": "array", "items": {"type": "string"}, "description": said}})
    said = f"One sentence, {bound}." if kind == "context" else f"{bound.capitalize()}."
    return _object({WRITTEN[kind]: {"type": "string", "description": said}})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _field_schema(field: ExtractField) -> dict[str, Any]:
    one: dict[str, Any] = {"type": _TYPES[field.type]}
    if field.values:
        one["enum"] = list(field.values)
    said = field.description + (" (YYYY-MM-DD)" if field.type == "date" else "")
    described = {"description": said.strip()} if said.strip() else {}
    if field.many:
        return {"type": "array", "items": one, **described}
    return {"anyOf": [one, {"type": "null"}], **described}


def value_of(enrichment: Enrichment, answer: str) -> list[str] | dict[str, list[str]]:
    """Labels, or values by field; what is written is lines.

    Raises:
        NotValid: The answer is not what the schema says.
    """
    try:
        read = json.loads(_bare(answer))
    except (ValueError, RecursionError) as error:
        raise NotValid("it is not JSON") from error
    if not isinstance(read, dict):
        raise NotValid("it is not a JSON object")
    if enrichment.kind == "extract":
        _check_names(read, [field.name for field in enrichment.extracted])
        return {field.name: _values(field, read[field.name]) for field in enrichment.extracted}
    if enrichment.kind in WRITTEN:
        written = WRITTEN[enrichment.kind]
        _check_names(read, [written])
        return _lines(enrichment, written, read[written])
    name = "labels" if enrichment.takes_many else "label"
    _check_names(read, [name])
    return _labels(enrichment, read[name])


def _bare(answer: str) -> str:
    """An answer without the fence that some models put around JSON."""
    text = answer.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text.strip("`").removeprefix("json")
    return text


def _check_names(read: dict[str, Any], names: list[str]) -> None:
    if set(read) != set(names):
        raise NotValid(f"it must have exactly the keys {', '.join(names)}")


def _lines(enrichment: Enrichment, name: str, said: Any) -> list[str]:
    given = said if enrichment.kind == "questions" else [said]
    if not isinstance(given, list) or not all(isinstance(line, str) for line in given):
        raise NotValid(f"{name} must be {'a list of texts' if enrichment.kind == 'questions' else 'text'}")
    if len(given) > enrichment.most_answers:
        raise NotValid(f"{name} must be at most {enrichment.most_answers}")
    lines = list(dict.fromkeys(text for text in map(_one_line, given) if text))
    if sum(map(len, lines)) > enrichment.most_answer_chars:
        raise NotValid(f"{name} must have at most {enrichment.most_answer_chars} characters")
    return lines


def _labels(enrichment: Enrichment, said: Any) -> list[str]:
    known = [label for label, _ in enrichment.labels]
    given = said if enrichment.takes_many else [said]
    if not isinstance(given, list) or any(label not in known for label in given if label != NO_LABEL):
        raise NotValid(f"labels must be among: {', '.join(known)}")
    # In one order and each once, so that equal readings are equal.
    return [label for label in known if label in given] or [NO_LABEL]


def _values(field: ExtractField, said: Any) -> list[str]:
    if said is None:
        return []
    given = said if field.many else [said]
    if not isinstance(given, list) or len(given) > MOST_VALUES:
        raise NotValid(f"{field.name} must be a list of at most {MOST_VALUES}")
    return list(dict.fromkeys(text for text in (_value(field, one) for one in given) if text))


def _value(field: ExtractField, said: Any) -> str:
    if field.type == "boolean":
        if not isinstance(said, bool):
            raise NotValid(f"{field.name} must be true or false")
        return str(said).lower()
    if field.type in ("number", "integer"):
        return _number(field, said)
    if not isinstance(said, str):
        raise NotValid(f"{field.name} must be text")
    text = _one_line(said)
    if field.type == "date":
        return _date(field, text)
    if field.values and text not in field.values:
        raise NotValid(f"{field.name} must be one of: {', '.join(field.values)}")
    if len(text) > MAX_VALUE_CHARS:
        raise NotValid(f"{field.name} must have at most {MAX_VALUE_CHARS} characters")
    return text


def _one_line(said: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in unicodedata.normalize("NFC", said)).split())


def _number(field: ExtractField, said: Any) -> str:
    is_number = isinstance(said, int | float) and not isinstance(said, bool) and abs(said) < 10**15
    if not is_number or (field.type == "integer" and said != int(said)):
        raise NotValid(f"{field.name} must be {'a whole number' if field.type == 'integer' else 'a number'}")
    return str(int(said)) if said == int(said) else repr(said)


def _date(field: ExtractField, text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat() if text else ""
    except ValueError as error:
        raise NotValid(f"{field.name} must be a date like 2026-03-01") from error
