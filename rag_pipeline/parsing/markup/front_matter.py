"""Metadata block at the head of a Markdown-like text: YAML between `---` lines or TOML between `+++` lines.

Belongs here: finding it, loading it safely, reading its scalar fields, and cutting it off.
Does not belong here: what the fields mean for permissions (`transforms/metadata.py`). Sources decide that before
parsing, by the same `find_front_matter` and `load_yaml`: whatever is cut off here has been read there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

# A block that has not ended by here is text between two lines.
MAX_FRONT_MATTER_CHARS = 100_000
FENCES = ("---", "+++")

_PATTERNS = {
    "---": re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S | re.M),
    "+++": re.compile(r"\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*(?:\n|\Z)", re.S | re.M),
}
# A dotted TOML key costs memory by the square of its parts.
_LONG_KEY = re.compile(r"(?<![\w-])(?:(?:[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')[ \t]*+\.[ \t]*+){33}")
_FIELD = re.compile(r"([A-Za-z_][\w .-]{0,60}?)[ \t]*[:=][ \t]*(\S.*)?$")
_PLAIN_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})$")
_MAX_VALUE_CHARS = 2_000
_MAX_DEPTH = 32


class WrittenFloat(float):
    """A number that is shown as it was written: a version 1.10 is not 1.1."""

    __slots__ = ("written",)
    written: str

    def __new__(cls, written: str) -> WrittenFloat:
        number = super().__new__(cls, written)
        number.written = written
        return number

    def __str__(self) -> str:
        return self.written


class UnreadableBlock(ValueError):
    """A block is not readable as what it should be; the message says nothing of the content."""


@dataclass(frozen=True, slots=True)
class FencedBlock:
    """What stands between two fences at the head of a text.

    Attributes:
        fence: One of `FENCES`.
        body: The lines between them.
        end_char: Where the text after the closing fence starts.
    """

    fence: str
    body: str
    end_char: int


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


def find_front_matter(text: str) -> FencedBlock | None:
    """The fenced block that clean `text` begins with, if it ends within `MAX_FRONT_MATTER_CHARS`."""
    pattern = _PATTERNS.get(text[:3])
    match = pattern.match(text[:MAX_FRONT_MATTER_CHARS]) if pattern else None
    return FencedBlock(text[:3], match.group(1), match.end()) if match else None


def split_front_matter(text: str) -> FrontMatter:
    """The front matter that clean `text` begins with.

    Front matter that is no valid YAML or TOML is still cut off; its fields are then read line by line, and
    the field "front_matter_error" says so.
    """
    block = find_front_matter(text)
    if block is None:
        return FrontMatter()
    try:
        loaded = (
            load_toml(block.body)
            if block.fence == "+++"
            else load_yaml(block.body, allow_aliases=True, as_written=True)[0] or {}
        )
    except UnreadableBlock:
        fields = _fields_by_line(block.body)
        if not fields and block.body.strip():
            return FrontMatter()
        fields["front_matter_error"] = "not valid; read line by line"
    else:
        if not isinstance(loaded, Mapping):
            # Text between two thematic breaks.
            return FrontMatter()
        fields = scalar_fields(loaded)
    return FrontMatter(block.end_char, text.count("\n", 0, block.end_char), fields)


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


def load_yaml(text: str, *, allow_aliases: bool = False, as_written: bool = False) -> tuple[Any, list[str]]:
    """The value of YAML `text`, and the names of all fields in it, at any depth and repeated as they are.

    Args:
        as_written: Leave plain scalars but null and decimal integers as strings: 1.10, 12:30, No and 0123
            are text to a reader.

    Raises:
        UnreadableBlock: It is not valid, nested more than 32 deep, or uses an alias where none is allowed.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # The C loader recurses without a limit and ends the process on a few kilobytes of "- - - -". Events
        # are flat, so they are looked at first.
        names = _field_names(yaml.parse(text, Loader=loader), allow_aliases)
        return yaml.load(text, Loader=_written_loader() if as_written else loader), names
    except UnreadableBlock:
        raise
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UnreadableBlock(f"it is not valid YAML{line}") from error
    except RecursionError as error:
        raise UnreadableBlock("it is nested too deeply") from error
    # Timestamps out of range, keys that cannot be keys: YAML has many ways to fail besides its own error.
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, AttributeError, KeyError) as error:
        raise UnreadableBlock(f"it is not valid YAML ({type(error).__name__})") from error


@cache
def _written_loader() -> Any:
    """A loader that resolves null, merges and decimal integers only."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    kept = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
    resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if tag in kept]
        for first, pairs in base.yaml_implicit_resolvers.items()
    }
    loader: Any = type("WrittenLoader", (base,), {"yaml_implicit_resolvers": resolvers})
    loader.add_implicit_resolver("tag:yaml.org,2002:int", _PLAIN_INTEGER, list("-0123456789"))
    return loader


def load_toml(text: str) -> dict[str, Any]:
    """The table of TOML `text`. Raises UnreadableBlock."""
    import tomllib

    if _LONG_KEY.search(text):
        raise UnreadableBlock("a key is nested too deeply")
    try:
        return tomllib.loads(text, parse_float=WrittenFloat)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise UnreadableBlock(f"it is not valid TOML ({type(error).__name__})") from error


def _field_names(events: Iterable[Any], allow_aliases: bool) -> list[str]:
    from yaml import AliasEvent, CollectionEndEvent, CollectionStartEvent, MappingStartEvent, NodeEvent, ScalarEvent

    names: list[str] = []
    has_alias = False
    # One entry for each open collection: whether a key comes next; None in a list, which has no keys.
    open_collections: list[bool | None] = []
    for event in events:
        if isinstance(event, CollectionEndEvent):
            open_collections.pop()
        if not isinstance(event, NodeEvent):
            continue
        has_alias = has_alias or isinstance(event, AliasEvent)
        if has_alias and not allow_aliases:
            # An alias can stand for a billion values.
            raise UnreadableBlock("it uses a YAML alias, which is not supported")
        if open_collections and (is_key := open_collections[-1]) is not None:
            open_collections[-1] = not is_key
            if is_key and isinstance(event, ScalarEvent):
                names.append(event.value)
        if isinstance(event, CollectionStartEvent):
            open_collections.append(True if isinstance(event, MappingStartEvent) else None)
            if len(open_collections) > _MAX_DEPTH:
                raise UnreadableBlock("it is nested too deeply")
    _refuse_merges(names, has_alias)
    return names


def _refuse_merges(names: Sequence[str], has_alias: bool) -> None:
    """Merging copies, so a few lines of merged aliases fill the memory."""
    if has_alias and "<<" in names:
        raise UnreadableBlock("it merges YAML aliases, which is not supported")


def _fields_by_line(body: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in body.split("\n"):
        match = _FIELD.match(line)
        if match and match.group(2):
            fields[match.group(1)] = match.group(2).strip().strip("\"'")[:_MAX_VALUE_CHARS]
    return fields
