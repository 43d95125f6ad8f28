"""Values within the answers of an API: by a path with dots, and as text.

Belongs here: pure reading of what an answer holds. Does not belong here: getting answers (`pages.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

_FIELD = re.compile(r"\{([\w.@-]+)\}")


def value_at(value: Any, path: str) -> Any:
    """What stands at a path with dots; of a list, what stands there in each of its members. None: nothing does."""
    for position, part in enumerate(path.split(".") if path else ()):
        if isinstance(value, list):
            rest = ".".join(path.split(".")[position:])
            found = (value_at(each, rest) for each in value)
            return [each for each in found if each is not None]
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def within(value: Any, path: str) -> Any:
    """What stands at a path with dots where every level before it is an object. None: nothing does."""
    for part in path.split(".") if path else ():
        value = value.get(part) if isinstance(value, dict) else None
    return value


def leaves(value: Any, path: str) -> Iterator[Any]:
    """All that stands at a path with dots, in each member of lists on the way and at its end.

    Where nothing stands that is None, unlike in `value_at`: only an empty list gives nothing.
    """
    if isinstance(value, list):
        for each in value:
            if path:
                yield from leaves(each, path)
            else:
                yield each
    elif path:
        part, _, rest = path.partition(".")
        yield from leaves(value.get(part) if isinstance(value, dict) else None, rest)
    else:
        yield value


def fits(item: Any, only: Mapping[str, str], without: Mapping[str, Collection[str]] | None = None) -> bool:
    """Whether an object has all of some values, and none of others."""
    if any(text_of(value_at(item, path)) in values for path, values in (without or {}).items()):
        return False
    return all(text_of(value_at(item, path)) == value for path, value in only.items())


def text_of(value: Any) -> str:
    """A value as text that is the same for equal values."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, (str, int, float)) for each in value):
        return ", ".join(text_of(each) for each in value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def filled(template: str, item: Any, then: Callable[[str], str] = str) -> str:
    """A template with the fields in braces replaced; `{@}` is the whole item.

    Args:
        then: What is done with each value, like escaping it for an address.
    """
    return _FIELD.sub(lambda match: then(text_of(item if match[1] == "@" else value_at(item, match[1]))), template)


def moment_in(value: Any) -> datetime | None:
    """A time in ISO 8601, or in seconds since 1970, in UTC; what is no time tells nothing."""
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            found = datetime.fromisoformat(value.strip())
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        return datetime.fromtimestamp(float(value), UTC) if isinstance(value, (str, int, float)) else None
    except (ValueError, OverflowError, OSError):
        return None
