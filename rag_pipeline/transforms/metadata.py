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

from rag_pipeline.contracts.names import marked
from rag_pipeline.contracts.sources import DeclaredMetadata
from rag_pipeline.errors import InvalidMetadata, UndecodableBytes
from rag_pipeline.parsing.decode import clean_text, decode
from rag_pipeline.parsing.markup.front_matter import (
    FENCES,
    MAX_FRONT_MATTER_CHARS,
    UnreadableBlock,
    find_front_matter,
    load_toml,
    load_yaml,
)
from rag_pipeline.transforms.metadata_fields import (
    PERMISSION_KEY,
    declared_from_fields,
    is_permission_key,
    mentions_permissions,
    permission_keys,
)

# Part of every stamp: bump whenever the same bytes declare something else, and every document is read again.
METADATA_VERSION = "4"
MAX_SIDECAR_BYTES = 2**20

_PERMISSION_LINE = re.compile(
    r"""^[^\w\n]*+allowed[^\S\n_-]*+[_-]*+[^\S\n_-]*+principals["']?[^\S\n]*+[:=]""", re.I | re.M
)
# Most documents have no front matter, and begin with one of these. A dash, a plus sign and a space are not
# among them, nor what they are in EBCDIC; a NUL shows UTF-16 and UTF-32, where the first byte tells nothing.
_BEGINS_WITHOUT = frozenset(range(0x21, 0x7F)) - frozenset(b"-+`N@")
_MDX_COMMENT = "{/*"
# Longer ones are no version and no price, and no title either.
_LONGEST_NUMBER = 100
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# A loaded value, and how often the permissions are stated anywhere in it.
_Loaded = tuple[Any, int]


def read_front_matter(raw: bytes) -> DeclaredMetadata:
    """What YAML between `---` lines or TOML between `+++` lines at the head of a document declares.

    The text is decoded, cleaned and searched as the parsers do, so that nothing they cut off is missed. In a
    notebook it is the head of the first cell.

    Raises:
        InvalidMetadata: It is malformed and mentions `allowed_principals`, or states them in a wrong form.
    """
    original = _opening(raw)
    text = clean_text(original).lstrip()
    if not text.startswith(FENCES):
        return DeclaredMetadata()
    head = text[:MAX_FRONT_MATTER_CHARS]
    block = find_front_matter(text)
    # MDX comments are blanked before its front matter is looked for, so it may end elsewhere.
    if _MDX_COMMENT in (head[: block.end_char] if block else head) and mentions_permissions(head):
        raise _invalid("front matter", "it holds a comment of MDX")
    if block is None:
        if _PERMISSION_LINE.search(text):
            raise _invalid("front matter", f"it begins but does not end within {MAX_FRONT_MATTER_CHARS} characters")
        return DeclaredMetadata()
    try:
        loaded = _load(block.body, _load_toml if block.fence == "+++" else _load_yaml)
    except UnreadableBlock as error:
        if mentions_permissions(block.body):
            raise _invalid("front matter", str(error)) from error
        return DeclaredMetadata()
    declared = _declared(*loaded, "front matter")
    if declared.allowed_principals and original != text:
        _check_cleaning(original, declared.allowed_principals)
    return declared


def read_sidecar(raw: bytes, *, is_json: bool) -> DeclaredMetadata:
    """What a sidecar, YAML or JSON, declares.

    Raises:
        InvalidMetadata: It is empty, malformed, not a mapping, or states permissions in a wrong form.
    """
    text = _decoded(raw)
    try:
        loaded = _load(text, _load_json if is_json else _load_yaml)
    except UnreadableBlock as error:
        raise _invalid("sidecar", str(error)) from error
    return _declared(*loaded, "sidecar")


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


def _check_cleaning(original: str, principals: tuple[str, ...]) -> None:
    """Refuse names that stand in the text as it came otherwise than in the clean text: they look like others."""
    text = marked(original.replace("\r\n", "\n").replace("\r", "\n"))
    # What stands before the fence is no name; the fence itself is there, or the names are not known.
    begins = min((at for at in map(text.find, FENCES) if at >= 0), default=0)
    block = find_front_matter(text[begins:])
    try:
        if block is None:
            raise ValueError("the line that begins or ends it holds characters that nobody sees")
        fields, _ = _load(block.body, _load_toml if block.fence == "+++" else _load_yaml)
        if declared_from_fields(fields).allowed_principals != principals:
            raise ValueError(f"{PERMISSION_KEY} holds characters that are taken out of text")
    except ValueError as error:
        names = ", ".join(principals)
        reason = f"{error}. Type the names anew: {names}" if len(names) <= 200 else f"{error}. Type the names anew"
        raise _invalid("front matter", reason) from error


def _opening(raw: bytes) -> str:
    """Text, not cleaned yet, that begins where front matter would; "" if there can be none."""
    if raw[:1] == b"{" and b'"cells"' in raw:
        return _opening_of_notebook(raw)
    if not raw or (raw[0] in _BEGINS_WITHOUT and b"\0" not in raw):
        return ""
    try:
        return decode(raw).lstrip()
    except UndecodableBytes as error:
        text = clean_text(raw[: 2 * MAX_FRONT_MATTER_CHARS].decode("utf-8", "replace")).lstrip()
        if text.startswith(FENCES) and mentions_permissions(text):
            raise _invalid("front matter", "its characters cannot be read") from error
        return ""


def _opening_of_notebook(raw: bytes) -> str:
    try:
        notebook = json.loads(decode(raw))
    except (UndecodableBytes, ValueError, RecursionError):
        return ""
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    for cell in cells if isinstance(cells, list) else []:
        source = cell.get("source") if isinstance(cell, dict) else None
        if isinstance(source, list):
            source = "".join(piece for piece in source if isinstance(piece, str))
        text = clean_text(source).lstrip() if isinstance(source, str) else ""
        # A cell that shows nothing does not end the head.
        if text.startswith(FENCES) or any(character.isalnum() for character in text):
            return str(source)
    return ""


def _decoded(raw: bytes) -> str:
    # Text in an old encoding keeps its ASCII field names; what cannot be read turns into U+FFFD, which
    # no principal may contain.
    for mark, encoding in _ENCODINGS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(encoding, "replace")
    return raw.decode("utf-8", "replace")


def _load(text: str, loader: Callable[[str], _Loaded]) -> _Loaded:
    try:
        loaded, stated = loader(text)
        if not isinstance(loaded, Mapping):
            raise UnreadableBlock("it is empty" if loaded is None else "it is not a mapping of names to values")
        return loaded, max(stated, permission_keys(loaded)[1])
    except RecursionError as error:
        raise UnreadableBlock("it is nested too deeply") from error


def _load_yaml(text: str) -> _Loaded:
    loaded, names = load_yaml(text)
    if isinstance(loaded, Mapping):
        loaded = _spelled(loaded, load_yaml(text, as_written=True)[0])
    # Of two equal keys YAML keeps the last without a word, so they are counted before it loads them.
    return loaded, sum(map(is_permission_key, names))


def _spelled(typed: Mapping[Any, Any], written: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Numbers as they are written: a title 1.10 is not 1.1, nor 12:30 750. Permissions keep YAML's types."""
    if len(typed) != len(written):
        # Keys that YAML takes for equal.
        return typed
    return {
        key: value if is_permission_key(str(key)) else _spelled_value(value, as_written)
        for (key, value), as_written in zip(typed.items(), written.values(), strict=True)
    }


def _spelled_value(value: Any, as_written: Any) -> Any:
    if isinstance(value, list) and isinstance(as_written, list) and len(value) == len(as_written):
        return [_spelled_value(item, text) for item, text in zip(value, as_written, strict=True)]
    is_respelled = isinstance(value, int | float) and not isinstance(value, bool) and isinstance(as_written, str)
    return as_written if is_respelled and len(as_written) <= _LONGEST_NUMBER else value


def _load_toml(text: str) -> _Loaded:
    # TOML itself refuses equal keys.
    return load_toml(text), 0


def _load_json(text: str) -> _Loaded:
    stated = 0

    def counted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal stated
        stated += sum(is_permission_key(name) for name, _ in pairs)
        return dict(pairs)

    try:
        loaded = json.loads(text, object_pairs_hook=counted)
    except ValueError as error:
        raise UnreadableBlock(f"it is not valid ({type(error).__name__})") from error
    return loaded, stated


def _declared(fields: Mapping[Any, Any], stated: int, what: str) -> DeclaredMetadata:
    if stated > 1:
        raise _invalid(what, f"it states {PERMISSION_KEY} twice")
    if stated > permission_keys(fields)[0]:
        raise _invalid(what, f"{PERMISSION_KEY} stands below another field, not at the top")
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
