"""Single objects of a lake in an object store: read, created, replaced on condition, listed, copied to a file.

Belongs here: everything that touches `obstore`, and its errors as ours.
Does not belong here: what the objects say (`lease.py`, `conditional.py`), tables (`delta.py`, `vectors.py`).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rag_pipeline.errors import ExtraMissing, SettingsError, StoreError
from rag_pipeline.stores.failures import written

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

# An object's state as the store names it: another one after each write.
Tag = str

# How Delta and LanceDB call the options of each service, by the address's scheme; obstore wants these beginnings alone.
_PREFIXES = {"s3": "aws_", "s3a": "aws_", "gs": "google_", "az": "azure_", "abfs": "azure_", "abfss": "azure_"}
# What is said of the client, not of the service; Delta and LanceDB take these beside the others.
_OF_CLIENT = {
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_ca_certificate",
    "proxy_excludes",
    "proxy_url",
    "timeout",
    "user_agent",
}
# How Delta and LanceDB try again, and how much at once; they share one mapping of options with what is opened here.
_OF_OTHERS = {
    "client_max_retries",
    "client_retry_timeout",
    "download_retry_count",
    "max_retries",
    "object_store_concurrency_limit",
    "retry_timeout",
}
# Of an address: one library takes a part for no part of the place, and writes tables where another lake may lie, where
# another refuses it.
_UNFIT = re.compile(r"[?#\[\]\\\x00-\x1f\x7f]|//|(?:^|(?<=/))\.{1,2}(?=/|$)")
# A lease is renewed each third of its life, so a store that is silent for longer than this is asked again by then.
_RETRY_SECONDS = 10
_MOST_RETRIES = 3


# A file in transit: large enough that requests do not count, small enough that many files go at once.
_PIECE_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """One object as a listing shows it.

    Attributes:
        modified_at: To the second, by the store's clock.
    """

    size: int
    tag: Tag
    modified_at: datetime


class ConditionRefused(Exception):
    """The object is not as the write expected it; nothing was written."""


class ConditionsUnknown(Exception):
    """The client has no conditional writes for this store, or `lake_options` forbid them; nothing was written."""


class Objects:
    """The objects below a lake's address.

    Args:
        root: Like `s3://bucket/prefix`.
        options: The lake's options; credentials that they do not hold come from the environment or the platform.

    Raises:
        ExtraMissing: The client for object stores is not installed.
        SettingsError: The address or an option is none that the client knows.
    """

    def __init__(self, root: str, options: Mapping[str, str] | None) -> None:
        if importlib.util.find_spec("obstore") is None:
            raise ExtraMissing(
                f"the lake {root} is in an object store, and the package that keeps two writers apart there is not "
                f"installed (obstore): pip install 'rag-pipeline[object-store]'"
            )
        self.root = root
        self._store = _opened(root, dict(options or {}))

    def read(self, name: str, most_bytes: int | None = None) -> tuple[bytes, Tag] | None:
        """An object's content and state; None: there is none.

        Args:
            most_bytes: Of a larger one only so many and one more.

        Raises:
            StoreError: The store did not answer, or refused.
        """
        import obstore

        def get() -> tuple[bytes, Tag] | None:
            try:
                # The content follows when it is asked for.
                found = obstore.get(self._store, name)
                tag = found.meta["e_tag"] or ""
                if most_bytes is not None and found.meta["size"] > most_bytes:
                    return bytes(obstore.get_range(self._store, name, start=0, length=most_bytes + 1)), tag
                return bytes(found.bytes()), tag
            except FileNotFoundError:
                return None

        return written("", "read", self._place(name), get, note="")

    def tag(self, name: str) -> Tag | None:
        """An object's state; None: there is none."""
        import obstore

        def head() -> Tag | None:
            try:
                return obstore.head(self._store, name)["e_tag"] or ""
            except FileNotFoundError:
                return None

        return written("", "look at", self._place(name), head, note="")

    def create(self, name: str, content: bytes) -> Tag:
        """Write an object that is not there yet.

        Raises:
            ConditionRefused: It is there.
            StoreError: The store did not answer, or refused.
        """
        return self._put(name, content, "create")

    def replace(self, name: str, content: bytes, expected: Tag) -> Tag:
        """Write an object whose state is still the expected one.

        Raises:
            ConditionRefused: It is another one, or gone.
            StoreError: The store did not answer, or refused.
        """
        return self._put(name, content, {"e_tag": expected})

    def write(self, name: str, content: bytes) -> None:
        """Write an object, whatever was there."""
        self._put(name, content, "overwrite")

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens if it is not there."""
        import obstore

        written("", "remove", self._place(name), lambda: obstore.delete(self._store, name))

    def delete_all(self, names: Collection[str]) -> None:
        """Remove objects, a thousand with a request where the service can; those that are not there do no harm."""
        import obstore

        if names:
            written("", "remove", self._place("…"), lambda: obstore.delete(self._store, sorted(names)))

    def entries(self, folder: str = "") -> dict[str, Entry]:
        """Every object below a folder, by name from the root of the lake."""
        import obstore

        def listed() -> dict[str, Entry]:
            pages: Iterable[Any] = obstore.list(self._store, folder or None)
            return {
                each["path"]: Entry(each["size"], each["e_tag"] or "", each["last_modified"])
                for page in pages
                for each in page
            }

        return written("", "list", self._place(folder), listed, note="")

    def folders(self, folder: str) -> list[str]:
        """Names of the folders in a folder, sorted."""
        import obstore

        def listed() -> list[str]:
            found: Any = obstore.list_with_delimiter(self._store, folder)
            return sorted(each.rpartition("/")[2] for each in found["common_prefixes"])

        return written("", "list", self._place(folder), listed, note="")

    def fetch(self, name: str, path: Path) -> bool:
        """Copy an object into a file; False: there is none, and no file.

        Raises:
            StoreError: The store did not answer, or refused.
            OSError: The file cannot be written.
        """
        import obstore

        def opened() -> Any:
            try:
                return obstore.get(self._store, name)
            except FileNotFoundError:
                return None

        found = written("", "read", self._place(name), opened, note="")
        if found is None:
            return False
        pieces = iter(found.stream(min_chunk_size=_PIECE_BYTES))
        with path.open("wb") as file:
            while (piece := written("", "read", self._place(name), lambda: next(pieces, None), note="")) is not None:
                file.write(piece)
        return True

    def send(self, path: Path, name: str) -> None:
        """Copy a file into an object, whatever was there.

        Raises:
            StoreError: The store did not answer, or refused.
        """
        import obstore

        written("", "write", self._place(name), lambda: obstore.put(self._store, name, path))

    def keeps_versions(self, name: str) -> bool | None:
        """Whether the bucket keeps what is replaced or removed; None: the service does not say.

        Args:
            name: Of an object that is written for it and removed.
        """
        import obstore

        if not self.root.startswith(("s3://", "s3a://")):
            return None
        tried: Any = written("", "write", self._place(name), lambda: obstore.put(self._store, name, b"1"))
        self.delete(name)
        # A bucket that kept versions once and does no more names each new one `null`; what it kept is there still.
        return tried["version"] is not None

    def after(self, folder: str, name: str) -> dict[str, Tag]:
        """State of the objects of a folder whose names sort after this one, by name: the first thousand."""
        import obstore

        def listed() -> dict[str, Tag]:
            page: Any = next(iter(obstore.list(self._store, folder, offset=f"{folder}/{name}", chunk_size=1000)), [])
            return {found["path"].rpartition("/")[2]: found["e_tag"] or "" for found in page}

        return written("", "list", self._place(folder), listed, note="")

    def _put(self, name: str, content: bytes, mode: Any) -> Tag:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        is_unknown = False

        def put() -> Tag | None:
            nonlocal is_unknown
            try:
                # In one piece: a condition holds for the whole object.
                return obstore.put(self._store, name, content, mode=mode, use_multipart=False)["e_tag"] or ""
            except (AlreadyExistsError, PreconditionError):
                return None
            except NotImplementedError:
                is_unknown = True
                return None
            except FileNotFoundError:
                # An object that is gone cannot be replaced; to create one, it is the bucket that is not there.
                if not isinstance(mode, str):
                    return None
                raise StoreError(
                    f"could not write {self._place(name)}: there is no such bucket. Nothing was written. Make it, or "
                    f"correct `lake` in pipeline.yaml, then run: rag-pipeline run"
                ) from None

        tag = written("", "write", self._place(name), put)
        if is_unknown:
            raise ConditionsUnknown(self._place(name))
        if tag is None:
            raise ConditionRefused(self._place(name))
        return tag

    def _place(self, name: str) -> str:
        return f"{self.root}/{name}"


def _opened(root: str, options: dict[str, str]) -> ObjectStore:
    from obstore.exceptions import BaseError, UnknownConfigurationKeyError
    from obstore.store import from_url

    found = _UNFIT.search(root.partition("://")[2].rstrip("/"))
    if root.startswith("s3a://") or found:
        why = f"it holds {found.group()!r}" if found else "write s3:// instead of s3a://"
        raise SettingsError(
            f"lake: the libraries of tables, vectors and objects do not take {root} for the same place ({why}). Choose "
            f"another address; spaces and letters of any language are fine"
        )
    client, config = sorted_options(root, options)
    retry: Any = {"max_retries": _MOST_RETRIES, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)}
    opening: Callable[..., Any] = from_url
    try:
        store: ObjectStore = opening(root, config=config, client_options=client, retry_config=retry)
    except UnknownConfigurationKeyError as error:
        raise SettingsError(f"lake_options: {str(error).partition(chr(10))[0]}") from None
    except (BaseError, ValueError) as error:
        raise SettingsError(
            f"lake: {root} cannot be opened as an object store: {str(error).partition(chr(10))[0]}"
        ) from None
    return store


def for_polars(options: Mapping[str, str] | None) -> dict[str, Any] | None:
    """Options for reading data files, where a number of tries is a number, and more than that is not known."""
    known: dict[str, Any] = {key: value for key, value in (options or {}).items() if key not in _OF_OTHERS}
    tries = (options or {}).get("max_retries", "")
    return (known | ({"max_retries": int(tries)} if tries.isdecimal() else {})) or None


def sorted_options(root: str, options: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Options of the client and of the service, each once and under the name that obstore has for it.

    Delta and LanceDB know several names for one option, and a lake may have to give two of them.
    """
    prefix = _PREFIXES.get(root.partition("://")[0], "")
    client: dict[str, str] = {}
    config: dict[str, str] = {}
    # Those with the service's name are the more exact ones, and win.
    for key in sorted(options, key=lambda key: key.lower().startswith(prefix)):
        short = key.lower().removeprefix(prefix)
        if short in _OF_OTHERS:
            continue
        if short in _OF_CLIENT:
            client[short] = options[key]
        else:
            config[f"{prefix}{short}"] = options[key]
    return client, config
