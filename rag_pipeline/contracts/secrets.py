"""Addresses as they may be shown: without the passwords and keys that they can hold.

Belongs here: what of a URL is shown in citations, messages, logs and the UI. Standard library only.
Does not belong here: opening anything with them (`sources/`, `stores/`).
"""

from __future__ import annotations

# What stands before the @ is a container, a repository or a branch there, and part of the place.
_NAMES_BEFORE_AT = frozenset({"abfs", "abfss", "az", "adl", "wasb", "wasbs", "github", "git"})


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
