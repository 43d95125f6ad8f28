"""Metadata block at the head of a Markdown-like text: YAML between `---` lines or TOML between `+++` lines.

Belongs here: finding it, reading its scalar fields, and cutting it off.
Does not belong here: what the fields mean for permissions; sources decide that before parsing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_YAML = re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S | re.M)
_TOML = re.compile(r"\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*(?:\n|\Z)", re.S | re.M)
_FIELD = re.compile(r"([A-Za-z_][\w .-]{0,60}?)[ \t]*[:=][ \t]*(\S.*)?$")
_MAX_CHARS = 100_000
_MAX_VALUE_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """What a text begins with.

    Attributes:
        end_char: Where the text proper starts; 0 without front matter.
        line_count: Lines that were cut off.
        fields: Scalar fields and lists of scalars (joined with ", "), as strings.
    """

    end_char: int = 0
    line_count: int = 0
    fields: dict[str, str] = field(default_factory=dict)

    def take(self, *names: str) -> str | None:
        """Remove these fields (any letter case) and return the first that has a value."""
        found: str | None = None
        for name in names:
            for key in [key for key in self.fields if key.casefold() == name]:
                value = self.fields.pop(key)
                found = found or value or None
        return found


def split_front_matter(text: str) -> FrontMatter:
    """The front matter that clean `text` begins with.

    Front matter that is no valid YAML or TOML is still cut off; its fields are then read line by line, and
    the field "front_matter_error" says so.
    """
    for pattern, load in ((_YAML, _load_yaml), (_TOML, _load_toml)):
        match = pattern.match(text[:_MAX_CHARS]) if text.startswith(("---", "+++")) else None
        if match is None:
            continue
        body = match.group(1)
        loaded = load(body)
        if loaded is None:
            fields = _fields_by_line(body)
            if not fields and body.strip():
                return FrontMatter()
            fields["front_matter_error"] = "not valid; read line by line"
        elif isinstance(loaded, Mapping):
            fields = scalar_fields(loaded)
        elif body.strip():
            # Text between two thematic breaks.
            return FrontMatter()
        else:
            fields = {}
        return FrontMatter(match.end(), text.count("\n", 0, match.end()), fields)
    return FrontMatter()


def scalar_fields(mapping: Mapping[Any, Any]) -> dict[str, str]:
    """The scalar values of `mapping`, and its lists of scalars, as strings; deeper values are left out."""
    fields: dict[str, str] = {}
    for key, value in mapping.items():
        if isinstance(value, list | tuple):
            items = [scalar_text(item) for item in value[:200]]
            text = ", ".join(item for item in items if item) if all(item is not None for item in items) else None
        else:
            text = scalar_text(value)
        if text:
            fields[str(key)[:100]] = text[:_MAX_VALUE_CHARS]
    return fields


def scalar_text(value: Any) -> str | None:
    """A scalar as JSON would write it, without quotes; None for null and for containers."""
    if value is None or isinstance(value, dict | list | tuple | set):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    # Python refuses to write numbers of more than 4300 digits.
    if isinstance(value, int) and value.bit_length() > 14_000:
        return None
    return str(value)


def _load_yaml(body: str) -> Any | None:
    import yaml

    try:
        return yaml.load(body, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, RecursionError, AttributeError):
        return None


def _load_toml(body: str) -> Any | None:
    import tomllib

    try:
        return tomllib.loads(body)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return None


def _fields_by_line(body: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in body.split("\n"):
        match = _FIELD.match(line)
        if match and match.group(2):
            fields[match.group(1)] = match.group(2).strip().strip("\"'")[:_MAX_VALUE_CHARS]
    return fields
