"""What says "look here": a line of ours, or a notification of an object store.

Belongs here: hints as values, and reading them out of one JSON value.
Does not belong here: where they wait (`stores/hints.py`) and come from (`stores/hint_stream.py`). Standard library
only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

# Longer than any path of a file system or key of a store.
MOST_ADDRESS_CHARS = 4_096


class Hint(NamedTuple):
    """What a hint says.

    Attributes:
        address: Of an object as listings name it; None: the source as a whole.
    """

    source: str
    address: str | None


class Bucket(NamedTuple):
    """Where a source lies in an object store.

    Attributes:
        prefix: Ends with a slash, or is empty.
    """

    name: str
    prefix: str


def bucket_of(location: str) -> Bucket | None:
    """The bucket of a source's location; None: it lies in none."""
    scheme, mark, rest = location.partition("://")
    if not mark or scheme in ("file", "local", "http", "https", "memory"):
        return None
    name, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    return Bucket(name, f"{prefix}/" if prefix else "") if name else None


def hints_of(found: Any, buckets: Mapping[str, Bucket]) -> set[Hint]:
    """The hints in one JSON value; none: it is no hint.

    Notifications are those of S3 and what speaks like it (`Records`; through SNS or EventBridge, too) and of Google
    Cloud Storage. They say a bucket and a key, so they are for each source that lies there.

    Args:
        buckets: By source, of those that lie in an object store.
    """
    if not isinstance(found, dict):
        return set()
    source = found.get("source")
    # EventBridge says its own name there, and what it is about in `detail`.
    if isinstance(source, str) and not isinstance(found.get("detail"), dict):
        return {Hint(source, address_of(found.get("address")))}
    return {
        Hint(name, address_of(key.removeprefix(bucket.prefix)))
        for told, key in _objects(found)
        for name, bucket in buckets.items()
        if told == bucket.name and key.startswith(bucket.prefix)
    }


def _objects(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Buckets and keys that a notification names."""
    wrapped = found.get("Message")
    if isinstance(wrapped, str):
        try:
            inner = json.loads(wrapped)
        except (ValueError, RecursionError):
            return
        if isinstance(inner, dict) and "Message" not in inner:
            yield from _objects(inner)
        return
    records = found.get("Records")
    for record in records if isinstance(records, list) else ():
        # Keys are quoted as in forms here, and nowhere else.
        yield from ((bucket, unquote_plus(key)) for bucket, key in _pair(_member(record, "s3")))
    yield from _pair(_member(found, "detail"))
    if isinstance(found.get("bucket"), str) and isinstance(found.get("name"), str):
        yield found["bucket"], found["name"]


def _pair(said: Any) -> Iterator[tuple[str, str]]:
    bucket, key = _member(_member(said, "bucket"), "name"), _member(_member(said, "object"), "key")
    if isinstance(bucket, str) and isinstance(key, str):
        yield bucket, key


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def address_of(value: object) -> str | None:
    """An address that a hint names; None: what it names is none, so that the source is looked at as a whole."""
    if not isinstance(value, str) or len(value) > MOST_ADDRESS_CHARS:
        return None
    # The source decides what is an address of its own; what cannot be one anywhere is not even kept.
    return None if {"", ".", ".."} & set(value.split("/")) else value
