"""JSON and newline-delimited JSON: tickets, arrays of records, chats, and configuration.

Belongs here: reading JSON safely and choosing what a file is. Does not belong here: `records.py`'s rendering.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.contracts.ids import digest
from rag_pipeline.errors import UnparsableDocument
from rag_pipeline.transforms.parse.builder import TextBuilder, one_line
from rag_pipeline.transforms.parse.decode import clean_text, decode
from rag_pipeline.transforms.parse.front_matter import scalar_fields
from rag_pipeline.transforms.parse.limits import ParseLimits, check_count
from rag_pipeline.transforms.parse.records import (
    are_documents,
    chat_document,
    is_chat,
    is_ticket,
    readable_lines,
    record_document,
    record_documents,
    records_document,
)

VERSION = "1"

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_JSONC = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.S)
_MAX_BAD_LINES = 100


def parse_json(raw: bytes, address: str, limits: ParseLimits) -> list[ParsedDocument]:
    """One ticket or configuration is one document; an array of records is one document each, or one for all.

    Newline-delimited JSON and notebooks under a .json name are recognised.

    Raises:
        UnparsableDocument: Neither JSON nor newline-delimited JSON, or nested too deeply.
        UndecodableBytes, LimitExceeded.
    """
    text = decode(raw)
    try:
        value = load_json(text)
    except json.JSONDecodeError as error:
        if "\n" in text.strip() and _is_json_line(text.lstrip().split("\n", 1)[0]):
            return parse_ndjson(raw, address, limits)
        try:
            value = load_json(_JSONC.sub(_without_comment, text))
        except json.JSONDecodeError:
            raise UnparsableDocument(
                f"{address}: not valid JSON at line {error.lineno}, column {error.colno}. Correct the file there.",
                address=address,
                line=error.lineno,
                column=error.colno,
            ) from None
    if isinstance(value, Mapping) and "nbformat" in value and isinstance(value.get("cells"), list):
        from rag_pipeline.transforms.parse.notebook import notebook_document

        return [notebook_document(value)]
    return _documents(value, address, limits)


def parse_ndjson(raw: bytes, address: str, limits: ParseLimits) -> list[ParsedDocument]:
    """One document a line where the records are worth it, else one for all.

    A line that is no JSON becomes a part of its own whose metadata has `parse_error`; beyond 100 such
    lines, the rest share one part.

    Raises:
        UnparsableDocument: No line is JSON.
        UndecodableBytes, LimitExceeded.
    """
    records: list[Any] = []
    bad: list[tuple[int, str]] = []
    for number, line in enumerate(decode(raw).replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append(load_json(line))
        except (ValueError, RecursionError):
            bad.append((number, line))
    if not records:
        raise UnparsableDocument(
            f"{address}: none of the {len(bad):,} lines is JSON. Write one JSON value a line.",
            address=address,
            bad_line_count=len(bad),
        )
    documents = _documents(records, address, limits)
    return [*documents, *_bad_line_documents(bad)]


def _documents(value: Any, address: str, limits: ParseLimits) -> list[ParsedDocument]:
    if isinstance(value, Mapping):
        if is_ticket(value):
            return [record_document(value)]
        wrapped = _wrapped_records(value)
        if wrapped is None:
            return [_config_document(value)]
        name, records = wrapped
        documents = _documents(records, address, limits)
        shared = scalar_fields({key: item for key, item in value.items() if key != name})
        for document in documents:
            # The record's own field wins over the envelope's.
            document.metadata.update({key: item for key, item in shared.items() if key not in document.metadata})
        return documents
    if not isinstance(value, list) or not value or not all(isinstance(item, Mapping) for item in value):
        return [_config_document(value)]
    if are_documents(value):
        check_count(len(value), limits.max_records, "records", address)
        return record_documents(value)
    return [chat_document(value) if is_chat(value) else records_document(value)]


def _wrapped_records(value: Mapping[str, Any]) -> tuple[str, list[Any]] | None:
    """The one array of objects in an export's envelope, such as {"total": 2, "issues": [...]}."""
    arrays = [
        (name, item)
        for name, item in value.items()
        if isinstance(item, list) and item and all(isinstance(record, Mapping) for record in item)
    ]
    others = [item for name, item in value.items() if isinstance(item, Mapping | list)]
    if len(arrays) != 1 or len(others) > 1:
        return None
    records = arrays[0][1]
    return arrays[0] if are_documents(records) or is_chat(records) else None


def _config_document(value: Any) -> ParsedDocument:
    builder = TextBuilder()
    if not isinstance(value, Mapping):
        for item in value if isinstance(value, list) else [value]:
            builder.add("field", "\n".join(readable_lines([item] if isinstance(value, list) else item)))
        return builder.build()
    scalars: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping | list):
            builder.add("field", "\n".join(readable_lines(scalars)))
            scalars = {}
            builder.add("field", "\n".join(readable_lines({name: item})), label=one_line(clean_text(str(name))))
        else:
            scalars[name] = item
    builder.add("field", "\n".join(readable_lines(scalars)))
    return builder.build()


def _bad_line_documents(bad: list[tuple[int, str]]) -> list[ParsedDocument]:
    documents: list[ParsedDocument] = []
    rest = bad[_MAX_BAD_LINES:]
    seen: dict[str, int] = {}
    for number, line in bad[:_MAX_BAD_LINES]:
        builder = TextBuilder()
        builder.add("code", clean_text(line), line=number)
        part = "bad-line-" + digest("bad line", line)[:16]
        seen[part] = seen.get(part, 0) + 1
        part += f"#{seen[part]}" if seen[part] > 1 else ""
        documents.append(builder.build(metadata={"parse_error": f"line {number} is not valid JSON"}, part=part))
    if rest:
        builder = TextBuilder()
        for number, line in rest:
            builder.add("code", clean_text(line), line=number)
        reason = f"{len(rest)} further lines, from line {rest[0][0]}, are not valid JSON"
        documents.append(builder.build(metadata={"parse_error": reason}, part="bad-lines-rest"))
    return documents


def _is_json_line(line: str) -> bool:
    try:
        return isinstance(load_json(line), Mapping | list)
    except (ValueError, RecursionError):
        return False


def load_json(text: str) -> Any:
    """The value of JSON `text`, lone surrogates as "?". Raises ValueError, RecursionError."""
    value = json.loads(text)
    if _SURROGATE_ESCAPE.search(text):
        # A lone surrogate is valid JSON but no character: it could not be stored as UTF-8.
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def _without_comment(match: re.Match[str]) -> str:
    token = match.group()
    return token if token.startswith('"') else ""
