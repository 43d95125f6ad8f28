"""Text as it may be shown: of a length that a person can read, and without what opens a place.

Belongs here: cutting, and taking passwords and keys out of addresses. Standard library only; everything may use it.
Does not belong here: opening anything with an address (`sources/`, `stores/`), drawing (`cli/`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# A message of ours with its names and next step is a tenth of it.
MOST_CHARS = 4_000
# A scheme has an end, so that a text of a megabyte is looked through once and not once for each letter.
_ADDRESS = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s'\"<>]+")
# What stands before the @ is a container, a repository or a branch there, and part of the place.
_NAMES_BEFORE_AT = frozenset({"abfs", "abfss", "az", "adl", "wasb", "wasbs", "github", "git"})


# Shorter values are words like `true`, which stand in every message.
_LEAST_SECRET_CHARS = 6
_secrets: set[str] = set()


def keep_secret(values: Iterable[str]) -> None:
    """Values that no text shows from now on, wherever in it they stand: keys and passwords out of options."""
    _secrets.update(value for value in values if len(value) >= _LEAST_SECRET_CHARS)


def without_secrets(location: str) -> str:
    """A location without user, password and query, part by part of an fsspec chain; a folder stays as it is."""
    if "://" not in location:
        return location
    return "::".join(map(_bare, location.split("::")))


def _bare(part: str) -> str:
    scheme, mark, rest = part.partition("://")
    if not mark:
        return part
    # A signature in the query opens as much as a password does.
    place, question, query = rest.partition("?")
    if question and "=" not in query:
        place = rest
    authority, slash, path = place.partition("/")
    if scheme.lower() not in _NAMES_BEFORE_AT:
        host, port = authority.rpartition("@")[2], authority.rpartition(":")[2]
        if "@" not in authority and ":" in authority and not port.isdigit() and "@" in path:
            # A password with a slash in it ends at the last @.
            return f"{scheme}://{path.rpartition('@')[2]}"
        authority = host
    return f"{scheme}://{authority}{slash}{path}"


def masked(text: str) -> str:
    """A text with every address in it as `without_secrets` shows it, and without the values that are kept secret."""
    for value in sorted(_secrets, key=len, reverse=True):
        text = text.replace(value, "***")
    return _ADDRESS.sub(lambda found: without_secrets(found[0]), text) if "://" in text else text


def bounded(text: str, most: int = MOST_CHARS) -> str:
    """A text whose middle is left out if it is too long, with its length; what to do next stands at the end."""
    if len(text) <= most:
        return text
    head, tail = most * 3 // 5, most // 4
    left_out = len(text) - head - tail
    return f"{text[:head]} [… {left_out:,} of {len(text):,} characters are left out …] {text[-tail:]}"


def shown(text: str) -> str:
    """A text that anybody may see, without secrets and bounded."""
    return bounded(masked(text))
