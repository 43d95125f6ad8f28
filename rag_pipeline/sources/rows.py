"""A row of a table as a document: its address, text, readers and metadata.

Belongs here: what the settings of the kind `sql` make of one row, pure.
Does not belong here: reading rows (`sql.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

from rag_pipeline.contracts.ids import bytes_hash, digest
from rag_pipeline.contracts.sources import DeclaredMetadata, SourceObject, SourceSpec
from rag_pipeline.sources import reading
from rag_pipeline.sources.addresses import segment_of

Row = Mapping[str, Any]
Key = int | str | UUID

_FIELD = re.compile(r"\{(\w+)\}")


class Unusable(ValueError):
    """A row that cannot be a document; the message is a sentence."""


def fields_in(template: str) -> list[str]:
    """Columns that a template names in braces."""
    return _FIELD.findall(template)


class RowShape:
    """What the columns of a source's rows are for."""

    def __init__(self, spec: SourceSpec) -> None:
        fields = spec.fields
        self._spec = spec
        self.key: tuple[str, ...] = tuple(fields["key"])
        self._text: tuple[str, ...] = tuple(fields["text"])
        self._template: str | None = fields["template"]
        self._content: str | None = fields["content"]
        self._url: str | None = fields["url"]
        self._one = {name: fields[name] for name in ("title", "author", "modified", "revision", "principals")}
        self._media_type = fields["media_type"] or (None if self._content else "text/plain")
        self._body = {*self._text, *fields_in(self._template or ""), *filter(None, [self._content])}
        light = {*self.key, *filter(None, self._one.values()), *fields_in(self._url or "")}
        self._said = {*light, *self._body}
        self._light = light
        # Whoever changes what makes a document has every row read again.
        self._recipe = digest(
            "rows", repr([fields[name] for name in ("query", "text", "template", "content", "media_type")])
        )

    @property
    def named(self) -> set[str]:
        """Columns that the settings name."""
        return self._said

    def listed_columns(self, columns: Sequence[str]) -> list[str]:
        """Columns that a listing reads: all, or all but the bodies where a revision tells of these."""
        if self._one["revision"] is None:
            return list(columns)
        return [name for name in columns if name in self._light or name not in self._body]

    def listed(self, row: Row) -> SourceObject:
        """A row as listed.

        Raises:
            Unusable: Its key is no name.
        """
        address = self.address(row)
        size = problem = None
        if self._one["revision"] is not None:
            fact = _canonical(row[self._one["revision"]])
        else:
            raw = self.raw_of(row)
            fact, size = bytes_hash(raw), len(raw)
            if size > self._spec.max_document_bytes:
                problem = reading.too_large(size, self._spec.max_document_bytes)
        return SourceObject(
            address=address,
            uri=self._uri(row, address),
            size_bytes=size,
            modified_at=_moment(row[self._one["modified"]]) if self._one["modified"] else None,
            stamp=digest("row", self._recipe, fact, str(problem is not None))[:32],
            problem=problem,
            declared=self.declared(row),
        )

    def address(self, row: Row) -> str:
        """The key's values, escaped, as a path."""
        parts = []
        for name in self.key:
            value = row[name]
            if isinstance(value, bool) or not isinstance(value, Key) or value == "":
                kind = "empty" if value is None or value == "" else f"of the type {type(value).__name__}"
                raise Unusable(f"the key column {name} is {kind} in a row; want whole numbers, text or UUIDs.")
            parts.append(segment_of(str(value)))
        return "/".join(parts)

    def key_types(self, row: Row, known: tuple[type, ...] = ()) -> tuple[type, ...]:
        """Types of the key's values.

        Args:
            known: Those of a row before.

        Raises:
            Unusable: They differ from those of the row before: an address would not tell which is meant.
        """
        types = tuple(type(row[name]) for name in self.key)
        if known and types != known:
            raise Unusable("the key is of different types in two rows; make it text in the query.")
        return types

    def key_of(self, address: str, types: Sequence[type]) -> dict[str, Key] | None:
        """The inverse of `address`; None: no row can have it."""
        parts = [unquote(part) for part in address.split("/")]
        if not len(parts) == len(types) == len(self.key):
            return None
        try:
            return {name: each(part) for name, each, part in zip(self.key, types, parts, strict=True)}
        except ValueError:
            return None

    def raw_of(self, row: Row) -> bytes:
        """The document's bytes.

        Raises:
            Unusable: `content` is neither bytes nor text.
        """
        if self._content is not None:
            value = row[self._content]
            if value is None or isinstance(value, (bytes, bytearray, memoryview)):
                return bytes(value or b"")
            if isinstance(value, str):
                return value.encode("utf-8", "replace")
            raise Unusable(f"the column {self._content} holds neither bytes nor text.")
        if self._template is not None:
            text = _FIELD.sub(lambda match: _canonical(row[match[1]]), self._template)
        else:
            text = "\n\n".join(part for part in (_canonical(row[name]) for name in self._text) if part)
        return text.encode("utf-8", "replace")

    def declared(self, row: Row) -> DeclaredMetadata:
        """What the row says beside its text."""
        principals = self._one["principals"]
        title, author = (_canonical(row[name]) if name else "" for name in (self._one["title"], self._one["author"]))
        rest = {name: value for name, value in row.items() if name not in self._said}
        return DeclaredMetadata(
            title=title or None,
            author=author or None,
            allowed_principals=None if principals is None else principals_in(row[principals]),
            extra={name: _canonical(value) for name, value in sorted(rest.items()) if _is_shown(value)},
            media_type=self._media_type,
        )

    def _uri(self, row: Row, address: str) -> str:
        if self._url is None:
            return f"{self._spec.name}:{address}"
        return _FIELD.sub(lambda match: quote(_canonical(row[match[1]]), safe=""), self._url)


def principals_in(value: object) -> tuple[str, ...]:
    """Who may read a row: a list, an array, text that is a JSON list, or one name. What is none of these is nobody."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.lstrip().startswith("[") else [value]
        except ValueError:
            return ()
    if not isinstance(value, (list, tuple, set, frozenset)):
        return ()
    return tuple(sorted({name.strip() for name in value if isinstance(name, str) and name.strip()}))


def _is_shown(value: object) -> bool:
    return value is not None and not isinstance(value, (bytes, bytearray, memoryview))


def _canonical(value: object) -> str:
    """A value as text that is the same for equal values, whatever the session's time zone and the driver."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value.normalize(), "f") if value.is_finite() else str(value)
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=_canonical)
    return str(value)


def _moment(value: object) -> datetime | None:
    """A time in UTC; one without a zone is taken for UTC, and what is no time tells nothing."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
