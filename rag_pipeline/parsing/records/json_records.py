"""JSON and newline-delimited JSON: tickets, arrays of records, chats, and configuration.

Belongs here: choosing what a file of JSON is. Does not belong here: reading values (`json_values.py`) and rendering
them (`records.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.contracts.ids import digest
from rag_pipeline.errors import UnparsableDocument
from rag_pipeline.parsing.builder import TextBuilder, one_line
from rag_pipeline.parsing.code.notebook import notebook_document
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text, decode
from rag_pipeline.parsing.limits import ParseLimits, check_count
from rag_pipeline.parsing.markup.front_matter import scalar_fields, scalar_text
from rag_pipeline.parsing.markup.plain import plain_document
from rag_pipeline.parsing.records.json_places import Placed, PlacedList, line_of
from rag_pipeline.parsing.records.json_tables import as_records, is_grid, is_table_schema
from rag_pipeline.parsing.records.json_values import load_json, load_leniently
from rag_pipeline.parsing.records.records import (
    are_documents,
    bad_records,
    chat_document,
    is_chat,
    is_ticket,
    readable_lines,
    record_document,
    record_documents,
    records_document,
)
from rag_pipeline.parsing.tabular import placed_table

VERSION = "16"

_STRICT_ENDINGS = (".json", ".jsonld", ".geojson")
# Named one by one; the rest are counted.
_MAX_BAD_LINES = 100
# A long list of numbers or words is one block for so many of them.
_SCALARS_A_BLOCK = 1_000
# Shorter lists of objects are fields of their record.
_LONG_LIST = 10
# Deeper lists stay one block with what they lie in.
_MAX_PARTED_DEPTH = 8


def parse_json(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """One ticket or configuration is one document; an array of records is one document each, or one for all.

    Newline-delimited JSON, values one after another, comments, and notebooks under a .json name are recognised.

    Raises:
        UnparsableDocument: Neither JSON nor newline-delimited JSON, or nested too deeply.
        UndecodableBytes, LimitExceeded.
    """
    text = decode(raw)
    try:
        value = load_json(text)
    except json.JSONDecodeError as error:
        if "\n" in text.strip() and _is_json_line(text.lstrip().split("\n", 1)[0]):
            return parse_ndjson(raw, context)
        try:
            value = load_leniently(text)
        except ValueError:
            if not context.address.casefold().endswith(_STRICT_ENDINGS):
                # JSON5, or text that only begins like JSON.
                return [plain_document(clean_text(text))]
            raise UnparsableDocument(
                f"{context.address}: not valid JSON at line {error.lineno}, column {error.colno}. "
                "Correct the file there.",
                address=context.address,
                line=error.lineno,
                column=error.colno,
            ) from None
    if isinstance(value, Mapping) and "nbformat" in value and isinstance(value.get("cells"), list):
        return [notebook_document(value)]
    return _documents(value, context.address, context.limits)


def parse_ndjson(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """One document a line where the records are worth it, else one for all.

    A line that is no JSON becomes a part of its own whose metadata has `parse_error`; beyond 100 such
    lines, the rest share one part.

    Raises:
        UnparsableDocument: No line is JSON.
        UndecodableBytes, LimitExceeded.
    """
    records: list[Any] = []
    lines: list[int] = []
    bad: list[tuple[int, str]] = []
    for number, line in enumerate(decode(raw).replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            # A text sequence (RFC 7464) puts a record separator before each value; it strips like a space.
            record = load_json(line.strip())
            records.append(Placed(record, number) if isinstance(record, dict) and record else record)
            lines.append(number)
        except (ValueError, RecursionError):
            bad.append((number, line))
    if not records:
        raise UnparsableDocument(
            f"{context.address}: none of the {len(bad):,} lines is JSON. Write one JSON value a line.",
            address=context.address,
            bad_line_count=len(bad),
        )
    documents = _documents(PlacedList(records, lines), context.address, context.limits)
    return [*documents, *_bad_line_documents(bad)]


def _documents(value: Any, address: str, limits: ParseLimits) -> list[ParsedDocument]:
    value = as_records(value)
    if isinstance(value, Mapping):
        return _documents_of_object(value, address, limits)
    records = [item for item in value if isinstance(item, Mapping) and item] if isinstance(value, list) else []
    # What says nothing makes no file another.
    odd = sum(not isinstance(item, Mapping | None) for item in value) if records else 0
    if len(records) <= odd:
        return [_config_document(value)]
    strays = [(item, _item_line(value, at)) for at, item in enumerate(value) if not isinstance(item, Mapping)]
    if are_documents(records):
        check_count(len(records), limits.max_records, "records", address)
        return [*record_documents(records), *_stray_documents(strays)]
    if is_chat(records):
        return [chat_document(records), *_stray_documents(strays)]
    if strays:
        document = _config_document(value)
        document.metadata.update(_stray_facts([line for _, line in strays]))
        return [document]
    return [records_document(records)]


def _documents_of_object(value: Mapping[str, Any], address: str, limits: ParseLimits) -> list[ParsedDocument]:
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


def _item_line(items: Any, number: int) -> int | None:
    return items.line_at(number) if isinstance(items, PlacedList) else None


def _stray_facts(lines: Sequence[int | None]) -> dict[str, str]:
    """How many values are no records, and where they stand."""
    return bad_records([line for line in lines if line is not None], len(lines))


def _stray_documents(strays: list[tuple[Any, int | None]]) -> list[ParsedDocument]:
    """What stands among records and is none, in one part, so that the records stay what they were."""
    if not strays:
        return []
    builder = TextBuilder()
    for item, line in strays:
        builder.add("field", "null" if item is None else "\n".join(readable_lines(item)), line=line)
    reason = f"{len(strays)} {'value is' if len(strays) == 1 else 'values are'} no record"
    return [
        builder.build(
            metadata={"parse_error": reason, **_stray_facts([line for _, line in strays])}, part="stray-values"
        )
    ]


def _wrapped_records(value: Mapping[str, Any]) -> tuple[str, list[Any]] | None:
    """The one array of objects in an export's envelope, such as {"total": 2, "issues": [...]}."""
    arrays = [
        (name, item)
        for name, item in value.items()
        if isinstance(item, list) and item and all(isinstance(record, Mapping) for record in item)
    ]
    others = [item for name, item in value.items() if isinstance(item, Mapping | list)]
    if len(arrays) != 1 or (len(others) > 1 and not is_table_schema(value)):
        return None
    records = arrays[0][1]
    return arrays[0] if are_documents(records) or is_chat(records) else None


def _config_document(value: Any) -> ParsedDocument:
    builder = TextBuilder()
    if is_grid(value):
        _add_grid(builder, value)
        return builder.build()
    if not isinstance(value, Mapping):
        for lines, line in _listed(value) if isinstance(value, list) else [(readable_lines(value), None)]:
            builder.add("field", "\n".join(lines), line=line)
        return builder.build()
    scalars: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping | list):
            _add_scalars(builder, scalars, value)
            scalars = {}
            _add_nested(builder, name, item, line_of(value, name))
        else:
            scalars[name] = item
    _add_scalars(builder, scalars, value)
    return builder.build()


def _add_scalars(builder: TextBuilder, scalars: Mapping[str, Any], holder: Any) -> None:
    line = line_of(holder, next(iter(scalars), None))
    builder.add("field", "\n".join(readable_lines(scalars)), line=line)


def _add_nested(builder: TextBuilder, name: str, item: Any, line: int | None, above: tuple[str, ...] = ()) -> None:
    """A field that holds others; a long list of objects as one block for each, so that each has its place.

    Args:
        above: Names of the fields that it lies in, none of which has a block of its own.
    """
    label = ".".join(one_line(clean_text(str(each))) for each in (*above, name))
    if _is_long_list(item):
        for number, each in enumerate(item):
            lines = readable_lines({name: [each]})
            builder.add("field", "\n".join(lines[1:] if number else lines), label=label, line=line_of(each))
    elif is_grid(item):
        builder.add("field", f"{one_line(clean_text(str(name)))}:", label=label, line=line)
        _add_grid(builder, item)
    elif isinstance(item, Mapping) and _holds_long_list(item, len(above)):
        builder.add("field", f"{one_line(clean_text(str(name)))}:", label=label, line=line)
        for inner, value in item.items():
            _add_nested(builder, inner, value, line_of(item, inner), (*above, name))
    else:
        builder.add("field", "\n".join(readable_lines({name: item})), label=label, line=line)


def _add_grid(builder: TextBuilder, rows: list[list[Any]]) -> None:
    """Rows of cells, the first of which may name the columns."""
    shown = [["" if cell is None else clean_text(scalar_text(cell) or "") for cell in row] for row in rows]
    starts = rows.lines if isinstance(rows, PlacedList) else ()
    builder.add("table", placed_table(shown, starts), line=_item_line(rows, 0), holds_lines=bool(starts))


def _is_long_list(item: Any) -> bool:
    return isinstance(item, list) and len(item) >= _LONG_LIST and all(isinstance(each, Placed) for each in item)


def _holds_long_list(item: Mapping[str, Any], depth: int) -> bool:
    """Whether a long list lies in fields of the object, or of objects in it, as deep as anybody nests them."""
    return depth < _MAX_PARTED_DEPTH and any(
        _is_long_list(value) or (isinstance(value, Mapping) and _holds_long_list(value, depth + 1))
        for value in item.values()
    )


def _listed(items: list[Any]) -> Iterator[tuple[list[str], int | None]]:
    """Lines and place of each container among the items, and of scalars in runs: a block or a line a number is dear."""
    number = 0
    for is_scalar, run in groupby(items, key=lambda item: not isinstance(item, Mapping | list)):
        step = _SCALARS_A_BLOCK if is_scalar else 1
        while batch := list(islice(run, step)):
            if all(isinstance(item, int | float) for item in batch):
                yield [", ".join(scalar_text(item) or "" for item in batch)], _item_line(items, number)
            else:
                yield readable_lines(batch), line_of(batch[0]) or _item_line(items, number)
            number += len(batch)


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
        documents.append(
            builder.build(
                metadata={"parse_error": f"line {number} is not valid JSON", **bad_records([number])}, part=part
            )
        )
    if rest:
        builder = TextBuilder()
        for number, line in rest:
            builder.add("code", clean_text(line), line=number)
        reason = f"{len(rest)} further lines, from line {rest[0][0]}, are not valid JSON"
        facts = {"parse_error": reason, **bad_records([number for number, _ in rest])}
        documents.append(builder.build(metadata=facts, part="bad-lines-rest"))
    return documents


def _is_json_line(line: str) -> bool:
    try:
        return isinstance(load_json(line), Mapping | list)
    except (ValueError, RecursionError):
        return False
