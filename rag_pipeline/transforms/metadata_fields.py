"""The fields of front matter and sidecars: which names are known, and how loose their values may be.

Belongs here: a loaded mapping in, DeclaredMetadata out.
Does not belong here: YAML, TOML, JSON or encodings (`metadata.py`).

Descriptive fields are forgiving: a value of a wrong type is kept as text or dropped. Permissions are not.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from rag_pipeline.contracts.names import principal
from rag_pipeline.contracts.sources import DeclaredMetadata

PERMISSION_KEY = "allowed_principals"

_TITLE = ("title",)
_AUTHOR = ("author", "authors")
_MODIFIED = ("modified_at", "last_modified", "lastmod", "updated_at", "updated")
_LANGUAGE = ("language", "lang")
# A paragraph; longer values are texts in the wrong place.
_MAX_VALUE_CHARS = 2_000
# Exports of ticket systems have a hundred.
_MAX_EXTRA_FIELDS = 200
_BARE_PERMISSION_KEY = "allowedprincipals"
_NO_LETTER = re.compile(r"[\W_]+")
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|[\s\S])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def normal_key(key: object) -> str:
    """A field's name as it is compared: `Allowed-Principals` is `allowed_principals`."""
    return re.sub(r"[\s-]+", "_", key.strip()).casefold() if isinstance(key, str) else ""


def is_permission_key(key: object) -> bool:
    """Whether a field of this name states permissions: `allowedPrincipals` and `Allowed-Principals` do too."""
    return isinstance(key, str) and _bare_letters(key) == _BARE_PERMISSION_KEY


def mentions_permissions(text: str) -> bool:
    """Whether `text` may hold the name of the permissions, however it is written, escaped or broken up."""
    return _BARE_PERMISSION_KEY in _bare_letters(text) or _BARE_PERMISSION_KEY in _bare_letters(
        _ESCAPE.sub(_unescaped, text)
    )


def _bare_letters(text: str) -> str:
    """`text` in lower case, in compatible form, without anything but letters and digits."""
    return _NO_LETTER.sub("", unicodedata.normalize("NFKC", text).casefold())


def permission_keys(fields: Mapping[Any, Any]) -> tuple[int, int]:
    """How often the permissions are stated at the top, and how often anywhere."""
    return sum(map(is_permission_key, fields)), _count_permission_keys(fields)


def declared_from_fields(fields: Mapping[Any, Any]) -> DeclaredMetadata:
    """DeclaredMetadata of a loaded mapping.

    Raises:
        ValueError: The permissions are stated in a wrong form; the message says how.
    """
    left = {normal_key(key): value for key, value in fields.items() if isinstance(key, str)}
    stated = [key for key in left if is_permission_key(key)]
    principals = _principals(left.pop(stated[0])) if stated else None
    title = _take(left, _TITLE, _text)
    author = _take(left, _AUTHOR, _names)
    modified_at = _take(left, _MODIFIED, _moment)
    language = _take(left, _LANGUAGE, _language)
    return DeclaredMetadata(title, author, principals, modified_at, language, _extra(left))


def _count_permission_keys(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(map(is_permission_key, value)) + sum(map(_count_permission_keys, value.values()))
    return sum(map(_count_permission_keys, value)) if isinstance(value, list | tuple | set) else 0


def _unescaped(match: re.Match[str]) -> str:
    # The escapes of YAML, TOML and JSON; those that are no number stand for spaces and line ends.
    code = int(next(filter(None, match.groups()), "20"), 16)
    return chr(code) if code < 0x110000 else ""


def _principals(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) and "," in value:
        raise ValueError(f"{PERMISSION_KEY} is one text with commas; write a list")
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list):
        raise ValueError(f"{PERMISSION_KEY} must be a list of names, not {type(value).__name__}")
    principals = set()
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"{PERMISSION_KEY} holds {type(name).__name__} where a name should be; quote it")
        try:
            principals.add(principal(name))
        except ValueError as error:
            raise ValueError(f"{PERMISSION_KEY} must hold non-empty strings; {error}") from error
    return tuple(sorted(principals))


def _take(fields: dict[str, Any], names: tuple[str, ...], convert: Any) -> Any:
    # A value that does not convert stays, and ends among the extra fields as text.
    for name in names:
        if name in fields and (value := convert(fields[name])) is not None:
            del fields[name]
            return value
    return None


def _text(value: Any) -> str | None:
    """One line of text, or None when the value is no scalar or not readable."""
    if isinstance(value, bool | dict | list | tuple) or value is None:
        return None
    if isinstance(value, int) and value.bit_length() > 512:
        return None
    text = " ".join(_CONTROL.sub(" ", str(value)).split())[:_MAX_VALUE_CHARS]
    return text if text and _is_readable(text) else None


def _is_readable(text: str) -> bool:
    # U+FFFD stands for bytes that could not be decoded, and lone surrogates cannot be stored.
    return "\ufffd" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _names(value: Any) -> str | None:
    people = value if isinstance(value, list) else [value]
    names = [_text(person.get("name") if isinstance(person, dict) else person) for person in people[:50]]
    return ", ".join(name for name in names if name)[:_MAX_VALUE_CHARS] or None


def _moment(value: Any) -> datetime | None:
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=UTC)
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _language(value: Any) -> str | None:
    match = re.match(r"[A-Za-z]{2,3}(?![A-Za-z])", value.strip()) if isinstance(value, str) else None
    return match.group().lower() if match else None


def _extra(fields: dict[str, Any]) -> dict[str, str]:
    extra = {}
    for key in sorted(fields)[:_MAX_EXTRA_FIELDS]:
        value = fields[key]
        if isinstance(value, bool):
            text: str | None = "true" if value else "false"
        else:
            text = _json(value) if isinstance(value, dict | list) else _text(value)
        if text and (name := _text(key)):
            extra[name] = text
    return extra


def _json(value: Any) -> str | None:
    try:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    except (ValueError, TypeError, RecursionError):
        return None
    return text if value and len(text) <= _MAX_VALUE_CHARS and _is_readable(text) else None
