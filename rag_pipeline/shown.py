"""Text as it may be shown: of a length that a person can read, as it is, and without what opens a place.

Belongs here: cutting, making visible what nobody would see, and taking passwords and keys out of addresses. Standard
library only; everything may use it.
Does not belong here: opening anything with an address (`sources/`, `stores/`), drawing (`cli/`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote

# A message of ours with its names and next step is a tenth of it.
MOST_CHARS = 4_000
# A scheme has an end, so that a text of a megabyte is looked through once and not once for each letter.
_ADDRESS = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s'\"<>]+")
# What stands before the @ is a container, a repository or a branch there, and part of the place.
_NAMES_BEFORE_AT = frozenset({"abfs", "abfss", "az", "adl", "wasb", "wasbs", "github", "git"})


# Shorter values are words like `true`, which stand in every message.
_LEAST_SECRET_CHARS = 6
# A signature is longer than any switch or version in a query.
_LEAST_QUERY_CHARS = 16
_PATH = re.compile(r"[/?#]")
# `s3:/key:secret@bucket` lacks a slash, and is looked for among folders.
_MISTYPED = re.compile(r"((?:^|(?<=[/\\]))[A-Za-z][A-Za-z0-9+.-]*:[/\\]*)[^/\\:@\s]+:([^@]+)@")
_secrets: set[str] = set()
# Control characters could move the cursor or rewrite what is on a screen.
_UNSEEN: dict[int, str | None] = {code: "·" for code in (*range(9), *range(11, 32), *range(127, 160))} | {13: None}
# These turn the direction of writing or end a line.
_UNSEEN |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029), "·")


def keep_secret(values: Iterable[str]) -> None:
    """Values that no text shows from now on, wherever in it they stand: keys and passwords out of options."""
    _secrets.update(value for value in values if len(value) >= _LEAST_SECRET_CHARS)


def without_secrets(location: str) -> str:
    """A location without user, password and query, part by part of an fsspec chain; a folder stays as it is."""
    if "://" not in location:
        return _MISTYPED.sub(r"\1", location)
    return "::".join(map(_bare, _parts(location)))


def without_user(address: str) -> str:
    """An address for people without user and password. Its query stays, unlike in `without_secrets`: pages have one."""
    scheme, mark, rest = address.partition("://")
    authority = _authority(rest)
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{rest[len(authority) :]}" if mark else address


def secrets_of(location: str) -> set[str]:
    """Passwords and signatures that a location holds, as they are written and as they are meant."""
    found: set[str] = set()
    for part in _parts(location):
        rest = part.partition("://")[2] or part
        if _opens(part):
            user, _, password = _authority(rest).rpartition("@")[0].partition(":")
            found.add(password or user)
        found.update(value for _, value in parse_qsl(rest.partition("?")[2]) if len(value) >= _LEAST_QUERY_CHARS)
    if "://" not in location:
        found.update(match[2] for match in _MISTYPED.finditer(location))
    return {written for value in found for written in (value, unquote(value))} - {""}


def _parts(location: str) -> list[str]:
    """Parts of an fsspec chain; what cannot begin one belongs to the password before it."""
    parts: list[str] = []
    for part in location.split("::"):
        if parts and "@" in part and "://" not in part:
            parts[-1] += f"::{part}"
        else:
            parts.append(part)
    return parts


def _authority(rest: str) -> str:
    """What stands before the path; a password with a slash, a question or a number sign in it ends at the last @."""
    authority = _PATH.split(rest, maxsplit=1)[0]
    port = authority.rpartition(":")[2]
    if "@" in rest and "@" not in authority and ":" in authority and not (port.isdigit() or port.endswith("]")):
        return f"{rest.rpartition('@')[0]}@{_PATH.split(rest.rpartition('@')[2], maxsplit=1)[0]}"
    return authority


def _opens(part: str) -> bool:
    """Whether what stands before the @ of an address is a user, and no container, repository or branch."""
    scheme, mark, rest = part.partition("://")
    if not mark or scheme.lower() not in _NAMES_BEFORE_AT:
        return bool(mark)
    before, _, after = _PATH.split(rest, maxsplit=1)[0].rpartition("@")
    return ":" in (after if scheme.lower() in ("github", "git") else before)


def _bare(part: str) -> str:
    scheme, mark, rest = part.partition("://")
    if not mark:
        return part
    if _opens(part):
        authority = _authority(rest)
        rest = authority.rpartition("@")[2] + rest[len(authority) :]
    # A signature in the query or behind the number sign opens as much as a password does.
    place, question, query = rest.partition("?")
    if question and "=" not in query and not scheme.lower().startswith("http"):
        place = rest
    head, _, fragment = place.partition("#")
    return f"{scheme}://{head if '=' in fragment else place}"


def masked(text: str) -> str:
    """A text with every address in it as `without_secrets` shows it, and without the values that are kept secret."""
    for value in sorted(_secrets, key=len, reverse=True):
        text = text.replace(value, "***")
    return _ADDRESS.sub(lambda found: without_secrets(found[0]), text) if "://" in text else text


def visible(text: str) -> str:
    """A text with a dot for each character that could make it look like another; tabs and line ends stay."""
    return text.translate(_UNSEEN)


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
