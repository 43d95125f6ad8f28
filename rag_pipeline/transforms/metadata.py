"""What front matter and sidecars declare about a document, read so that permissions fail closed.

Belongs here: bytes in, DeclaredMetadata out.
Does not belong here: which file is whose sidecar (`sources/`), what permissions follow (`permissions.py`),
cutting front matter off the text (`parse/front_matter.py`).

Whatever may state permissions and cannot be understood is InvalidMetadata: the document is quarantined
instead of being shown under the source's default. Front matter that states none is never an error.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from rag_pipeline.contracts.sources import DeclaredMetadata
from rag_pipeline.errors import InvalidMetadata
from rag_pipeline.transforms.metadata_fields import (
    PERMISSION_KEY,
    declared_from_fields,
    normal_key,
    permission_keys,
)

METADATA_VERSION = "1"
MAX_SIDECAR_BYTES = 2**20

_HEAD_BYTES = 2**17
_MAX_DEPTH = 32
_FENCED = {
    "---": re.compile(r"---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*\r?(?:\n|\Z)", re.S | re.M),
    "+++": re.compile(r"\+\+\+[ \t]*\r?\n(.*?)^\+\+\+[ \t]*\r?(?:\n|\Z)", re.S | re.M),
}
_PERMISSION_LINE = re.compile(r"""^[ \t]*["']?allowed[_ -]principals["']?[ \t]*[:=]""", re.I | re.M)
_PERMISSION_WORD = re.compile(r"allowed[_ -]principals", re.I)
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class _Malformed(ValueError):
    """Not readable as what it should be; says nothing of the content."""


def read_front_matter(raw: bytes) -> DeclaredMetadata:
    """What YAML between `---` lines or TOML between `+++` lines at the head of a document declares.

    Raises:
        InvalidMetadata: It is malformed and mentions `allowed_principals`, or states them in a wrong form.
    """
    head = _head(raw)
    fence = head[:3]
    if fence not in _FENCED:
        return DeclaredMetadata()
    match = _FENCED[fence].match(head)
    if match is None:
        if _PERMISSION_LINE.search(head):
            raise _invalid("front matter", "it begins but does not end")
        return DeclaredMetadata()
    block = match.group(1)
    try:
        fields = _load(block, _load_toml if fence == "+++" else _load_yaml)
    except _Malformed as error:
        if _PERMISSION_WORD.search(block):
            raise _invalid("front matter", str(error)) from error
        return DeclaredMetadata()
    return _declared(fields, block, "front matter")


def read_sidecar(raw: bytes, *, is_json: bool) -> DeclaredMetadata:
    """What a sidecar, YAML or JSON, declares.

    Raises:
        InvalidMetadata: It is empty, malformed, not a mapping, or states permissions in a wrong form.
    """
    text = _decoded(raw)
    try:
        fields = _load(text, _load_json if is_json else _load_yaml)
    except _Malformed as error:
        raise _invalid("sidecar", str(error)) from error
    return _declared(fields, text, "sidecar")


def merge_declared(preferred: DeclaredMetadata, fallback: DeclaredMetadata) -> DeclaredMetadata:
    """Field by field, what `preferred` says, else what `fallback` says."""

    def first(one: Any, other: Any) -> Any:
        return other if one is None else one

    return DeclaredMetadata(
        title=first(preferred.title, fallback.title),
        author=first(preferred.author, fallback.author),
        allowed_principals=first(preferred.allowed_principals, fallback.allowed_principals),
        modified_at=first(preferred.modified_at, fallback.modified_at),
        language=first(preferred.language, fallback.language),
        extra={**fallback.extra, **preferred.extra},
        link_target=first(preferred.link_target, fallback.link_target),
        link_target_principals=first(preferred.link_target_principals, fallback.link_target_principals),
    )


def _head(raw: bytes) -> str:
    # Most documents have none, and this is asked of every document that is fetched.
    if not raw[:64].lstrip(b" \t\r\n\xef\xbb\xbf\xff\xfe\x00").startswith((b"---", b"+++", b"-\x00", b"+\x00")):
        return ""
    return _decoded(raw[:_HEAD_BYTES]).lstrip(" \t\r\n\ufeff")


def _decoded(raw: bytes) -> str:
    # Text in an old encoding keeps its ASCII field names; what cannot be read turns into U+FFFD, which
    # no principal may contain.
    for mark, encoding in _ENCODINGS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(encoding, "replace")
    return raw.decode("utf-8", "replace")


def _load(text: str, loader: Callable[[str], Any]) -> Mapping[Any, Any]:
    try:
        loaded = loader(text)
    except _Malformed:
        raise
    except RecursionError as error:
        raise _Malformed("it is nested too deeply") from error
    # Timestamps out of range, keys that cannot be keys: YAML has many ways to fail besides its own error.
    except (ValueError, TypeError, OverflowError, AttributeError, KeyError) as error:
        raise _Malformed(f"it is not valid ({type(error).__name__})") from error
    if not isinstance(loaded, Mapping):
        raise _Malformed("it is empty" if loaded is None else "it is not a mapping of names to values")
    return loaded


def _load_yaml(text: str) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        # The C loader recurses without a limit and ends the process on a few kilobytes of "- - - -";
        # an alias can stand for a billion values. Events are flat, so they are looked at first.
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.AliasEvent):
                raise _Malformed("it uses a YAML alias, which is not supported")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise _Malformed("it is nested too deeply")
        return yaml.load(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _Malformed(f"it is not valid YAML{line}") from error
    except yaml.YAMLError as error:
        raise _Malformed("it is not valid YAML") from error


def _load_toml(text: str) -> Any:
    import tomllib

    return tomllib.loads(text.replace("\r\n", "\n"))


def _load_json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if sum(normal_key(name) == PERMISSION_KEY for name, _ in pairs) > 1:
            raise _Malformed(f"it states {PERMISSION_KEY} twice")
        return dict(pairs)

    return json.loads(text, object_pairs_hook=unique)


def _declared(fields: Mapping[Any, Any], text: str, what: str) -> DeclaredMetadata:
    at_top, below = permission_keys(fields)
    if below:
        raise _invalid(what, f"{PERMISSION_KEY} stands below another field, not at the top")
    # YAML keeps the last of two equal keys without a word.
    stated = [line for line in _PERMISSION_LINE.findall(text) if not line[:1].isspace()]
    if at_top > 1 or len(stated) > 1:
        raise _invalid(what, f"it states {PERMISSION_KEY} twice")
    try:
        return declared_from_fields(fields)
    except ValueError as error:
        raise _invalid(what, str(error)) from error


def _invalid(what: str, reason: str) -> InvalidMetadata:
    return InvalidMetadata(
        f"The document's {what} cannot be read: {reason}. It may say who may read the document, so the document "
        f"is held back. Correct the {what}; the next run reads it again.",
        part=what,
    )
