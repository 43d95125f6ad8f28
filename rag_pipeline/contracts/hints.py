"""What says "look here": a line of ours, or a notification of an object store.

Belongs here: hints as values, and reading them out of one JSON value.
Does not belong here: where they wait (`stores/hints.py`) and come from (`stores/hint_stream.py`). Standard library
only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_plus

# Longer than any path of a file system or key of a store.
MOST_ADDRESS_CHARS = 4_096
_AZURE = frozenset({"abfs", "abfss", "az", "adl", "wasb", "wasbs"})
_AZURE_EVENTS = "Microsoft.Storage."
_SUBJECT = re.compile(r"/?blobServices/default/containers/([^/]+)/blobs/(.+)", re.DOTALL)
_ACCOUNTS = "/storageAccounts/"


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
        name: Of the bucket; in Azure, of the container.
        prefix: Ends with a slash, or is empty.
        account: Of the container, where the location says it; empty: any, and in all other stores.
    """

    name: str
    prefix: str
    account: str = ""


def buckets_of(locations: Mapping[str, str]) -> dict[str, Bucket]:
    """By source the buckets of those that lie in one.

    Args:
        locations: By source.
    """
    found = {name: bucket_of(location) for name, location in locations.items()}
    return {name: bucket for name, bucket in found.items() if bucket is not None}


def bucket_of(location: str) -> Bucket | None:
    """The bucket of a source's location; None: it lies in none."""
    scheme, mark, rest = location.partition("://")
    if not mark or scheme in ("file", "local", "http", "https", "memory"):
        return None
    name, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    account = ""
    if scheme in _AZURE:
        # container@account.dfs.core.windows.net
        name, _, server = name.partition("@")
        account = server.partition(".")[0]
    return Bucket(name, f"{prefix}/" if prefix else "", account) if name else None


def hints_of(found: Any, buckets: Mapping[str, Bucket]) -> set[Hint]:
    """The hints in one JSON value; none: it is no hint.

    Notifications are those of S3 and what speaks like it (`Records`; through SNS or EventBridge, too), of Google Cloud
    Storage, and of Azure (Event Grid, in its own form or as CloudEvents; a list of them, too). They say a bucket and a
    key, so they are for each source that lies there.

    Args:
        buckets: By source, of those that lie in an object store.
    """
    if isinstance(found, list):
        return {hint for each in found if isinstance(each, dict) for hint in hints_of(each, buckets)}
    if not isinstance(found, dict):
        return set()
    source = found.get("source")
    # EventBridge says its own name there, and what it is about in `detail`; CloudEvents say where they come from.
    is_ours = not isinstance(found.get("detail"), dict) and "specversion" not in found
    if isinstance(source, str) and is_ours and not _is_azure(found):
        return {Hint(source, address_of(found.get("address")))}
    told = [(Bucket(name, "", account), key) for name, key, account in _blobs(found)]
    told += [(Bucket(name, ""), key) for name, key in _objects(found)]
    return {
        Hint(name, address_of(key.removeprefix(bucket.prefix)))
        for there, key in told
        for name, bucket in buckets.items()
        if _is_same(there, bucket) and key.startswith(bucket.prefix)
    }


def _is_same(one: Bucket, other: Bucket) -> bool:
    accounts = {one.account, other.account} - {""}
    return one.name == other.name and len(accounts) < 2


def _is_azure(found: Mapping[str, Any]) -> bool:
    kinds = (found.get("eventType"), found.get("type"))
    return any(isinstance(kind, str) and kind.startswith(_AZURE_EVENTS) for kind in kinds)


def _blobs(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Containers, keys and accounts that a notification of Azure names: one, and where it was before a rename."""
    subject = found.get("subject")
    match = _SUBJECT.fullmatch(subject) if isinstance(subject, str) and _is_azure(found) else None
    if match is None:
        return
    origins = (each for each in (found.get("topic"), found.get("source")) if isinstance(each, str))
    account = next((each.rpartition(_ACCOUNTS)[2].partition("/")[0] for each in origins if _ACCOUNTS in each), "")
    container, key = match.groups()
    yield container, key, account
    before = _member(found.get("data"), "sourceUrl")
    if isinstance(before, str):
        # Addresses are quoted, subjects are not.
        earlier = unquote(before.partition("?")[0]).partition(f"/{container}/")[2]
        if earlier:
            yield container, earlier, account


def _objects(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Buckets and keys that a notification of another store names."""
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
